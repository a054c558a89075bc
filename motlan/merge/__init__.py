"""Merge: linked rows become golden records. Which value holds of a person, who says so, and which values lose."""
