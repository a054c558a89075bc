"""A small country for tests: two agencies whose registers are JSON files. The bus must not care which country it serves."""
