"""The ledger: runs, versions, accesses and the Merkle log, written as things happen."""
