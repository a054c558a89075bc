"""How to reach each agency: its protocol, its format, and what is peculiar to it. Declared in `agencies.yaml`."""
