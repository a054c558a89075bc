"""Merge: linked rows become golden records: which value holds of a person, who says so, and who must be told otherwise."""
