"""DuckDB's SQL for the functions on any text."""

from __future__ import annotations

from motlan.expressions.dialect import Sql
from motlan.expressions.duckdb.pieces import let
from motlan.expressions.duckdb.traces import narrow

TEXTS = Sql(
    templates={
        "join_words": "nullif(concat_ws(' ', @*), '')",
        "digits": f"nullif(regexp_replace({narrow('@1')}, '[^0-9]', '', 'g'), '')",
        "upper": "upper(@1)",
        "lower": "lower(@1)",
        "length": "length(@1)",
        "no_longer_than": "(strlen(@1) <= @2 OR length(@1) <= @2)",
        "is_storable": "(strlen(@1) <= 1000 AND NOT contains(@1, chr(0)))",
        "substring": "substring(@1, @2, @3)",
        "matches": "regexp_full_match(@1, @2)",
        "coalesce": "coalesce(@*)",
        "number": let("try_cast(trim(@1) AS DOUBLE)", "CASE WHEN isfinite(v) THEN v END"),
        "last_word": "string_split(@1, ' ')[-1]",
        "sorted_words": "array_to_string(list_sort(string_split(@1, ' ')), ' ')",
        "initials": r"regexp_replace(@1, '(\w)\w*( |$)', '\1', 'g')",
    },
    # Of a word that begins with a visible ASCII character one comparison tells that it is not blank.
    each={"join_words": "CASE WHEN @1 > '!' AND @1 < '~' OR trim(@1) <> '' THEN @1 END"},
)
"""The SQL of functions on texts that know no word."""
