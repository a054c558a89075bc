"""Spark: its SQL, written from the same templates as DuckDB's, and a session that the steps can use."""
