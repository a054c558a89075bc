"""Feeds: the API that agencies read, an application with its own authentication."""
