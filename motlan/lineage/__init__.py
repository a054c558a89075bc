"""Lineage: where a value comes from. It is replayed from what was kept, never copied along the way."""
