"""The demo: a synthetic country, the real agencies' protocols, the real DAGs, and a report of what happened."""
