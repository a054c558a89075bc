"""What an operator's tools ask of an installation: metrics for Prometheus, made of the ledger, and whether it is ready.

A step's process lives for seconds and is nobody's to scrape: what is measured is what it wrote into the ledger, whoever ran it.
"""
