"""Incremental runs: merge, check and compare the persons that a change touches, and carry everything else on."""
