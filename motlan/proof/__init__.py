"""Proof: signed checkpoints of the log, proofs of one value, and the check of everything that the log names."""
