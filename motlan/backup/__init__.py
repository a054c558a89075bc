"""Backups: taken while the bus works, restored into an empty place, checked, reconciled with what was published."""
