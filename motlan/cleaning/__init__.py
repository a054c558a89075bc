"""Cleaning: raw words of a register become canonical fields, by named expressions and nothing else."""

from motlan.cleaning.changes import changes
from motlan.cleaning.compile import select_canonical

__all__ = ["changes", "select_canonical"]
