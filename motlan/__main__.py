"""`python -m motlan` is the command line."""

from motlan.cli import main

main()
