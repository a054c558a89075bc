"""Motlan: a data-interoperability bus between government registers. It knows no agency by name."""

__version__ = "0.1.0"
