"""The command line: a file for each group of commands; `motlan.cli.main` puts them together."""
