"""Ingest: what a source sent is kept as received, and cleaned into canonical fields by named expressions."""
