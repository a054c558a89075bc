"""Peers of the benchmarks: other tools on the same rows in the same run, set up as their manuals advise."""
