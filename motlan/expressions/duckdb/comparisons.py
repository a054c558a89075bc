"""DuckDB's SQL for the comparison of two texts."""

from __future__ import annotations

from motlan.expressions.dialect import Sql

COMPARISONS = Sql(
    templates={
        "similarity": "jaro_winkler_similarity(@1, @2)",
        "edits": "damerau_levenshtein(@1, @2)",
        # One edit leaves two letters at the beginning or at the end as they were.
        "one_edit": "(@1 = @2 OR abs(length(@1) - length(@2)) <= 1"
        " AND (length(@1) < 6 OR @1[:2] = @2[:2] OR @1[-2:] = @2[-2:]) AND damerau_levenshtein(@1, @2) <= 1)",
    }
)
"""The comparisons' SQL."""
