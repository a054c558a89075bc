"""`motlan link`: the same linking on anybody's files, without a registry, a lake or a store."""
