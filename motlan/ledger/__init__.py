"""The ledger: what is written down as things happen. Runs, versions, accesses and the Merkle log."""
