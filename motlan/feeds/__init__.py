"""Feeds: what the agencies read. Their own application, with its own authentication."""
