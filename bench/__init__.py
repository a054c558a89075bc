"""Benchmarks: ratios against a stated floor or peer in the same run."""
