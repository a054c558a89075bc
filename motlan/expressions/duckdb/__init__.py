"""DuckDB: its SQL of every catalogue function, and the sessions that run it."""
