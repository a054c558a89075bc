"""The store: PostgreSQL, embedded or yours. It holds what is small and must be atomic, and projections of the lake."""

from motlan.store.session import Store, open_store

__all__ = ["Store", "open_store"]
