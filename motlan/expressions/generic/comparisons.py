"""Functions that compare two texts. All are null when a side is."""

from __future__ import annotations

from motlan.expressions.functions import Function, catalogue, parameters

FUNCTIONS = catalogue(
    Function(
        "similarity",
        parameters("a, b"),
        "Jaro-Winkler similarity from 0 to 1 (Winkler 1990), made for names of people: a common start counts more.",
        ((("an", "an"), 1.0), (("an", "xyz"), 0.0), ((None, "an"), None)),
    ),
    Function(
        "edits",
        parameters("a, b"),
        "Insertions, deletions, substitutions and swaps of neighbours between two texts (Damerau-Levenshtein).",
        ((("an", "na"), 1), (("an", "anh"), 1), (("an", "an"), 0), ((None, "an"), None)),
    ),
    Function(
        "one_edit",
        parameters("a, b"),
        "Whether at most one edit lies between two texts. Lengths are compared first, which is cheap.",
        ((("an", "na"), True), (("an", "anh"), True), (("an", "minh"), False), ((None, "an"), None)),
    ),
)
"""The functions, by name."""
