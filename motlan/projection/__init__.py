"""The projection: the tables of PostgreSQL, made from the lake and rebuildable from it."""
