"""Cleaning: raw words of a register become canonical fields, by named expressions and nothing else."""

from motlan.cleaning.compile import select_canonical

__all__ = ["select_canonical"]
