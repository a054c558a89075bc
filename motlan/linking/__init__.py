"""Linking: which rows are about the same person. A wrong link shows one citizen another's data: precision comes first."""
