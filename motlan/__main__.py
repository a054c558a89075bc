"""`python -m motlan` is the command line."""

from motlan.cli.main import main

main()
