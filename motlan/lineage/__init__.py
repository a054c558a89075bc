"""Lineage: what is asked afterwards. It is replayed from what was kept, never copied along the way."""
