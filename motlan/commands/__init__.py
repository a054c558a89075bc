"""Groups of commands, a file each; `motlan.cli` hangs them on the command line."""
