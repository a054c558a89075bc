"""DuckDB's SQL for numbers that identify, as keyboards and spreadsheets leave them."""

from __future__ import annotations

from motlan.expressions.dialect import Sql, Stage
from motlan.expressions.duckdb.pieces import chain, let
from motlan.expressions.duckdb.traces import narrow

# A spreadsheet's own words: digits behind an exponent are gone for good, and so is what an error or a narrow column hides.
_SPREADSHEET = r"""'[\s''="]*-?\d([.,]\d+)?[eE][+-]?\d+[\s"]*|[\s="]*#[A-Z/0?!#]+[\s"]*'"""
_DAMAGED = f"regexp_full_match(@1, {_SPREADSHEET})"
_LOST_FOR_GOOD = "digits lost to a spreadsheet''s exponent form or error: nobody can know them"
_BETWEEN = r"\s\p{Z}\p{Cf}\x00-\x1F\x7F-\x9F.,''\x{2018}\x{2019}`\x{2010}-\x{2015}-"
_WRAPPING = r"[\s\p{Z}\p{Cf}''\x{2018}-\x{201D}\"=]+"
_CUT = rf"(?:\d[{_BETWEEN}]*){{9}}\d[{_BETWEEN}]+\d\d?|\d{{8,}}[.,]\d\d?"
BARE = (
    Stage(
        "plain digits and letters, no formula or apostrophe around them",
        f"regexp_replace({narrow('@1')}, '^{_WRAPPING}|{_WRAPPING}$', '', 'g')",
        f"CASE WHEN {_DAMAGED} THEN '{_LOST_FOR_GOOD}' END",
    ),
    Stage(
        "the .0 dropped that a spreadsheet hangs on",
        r"regexp_replace(@1, '^(\d{4,})[.,]0+$|^(\d+)[.,]0{4,}$|[.,]00?$', '\1\2', 'g')",
    ),
    Stage(
        "nothing where one or two digits are left over behind ten, or behind a point: they belong to no number",
        let("@1", rf"CASE WHEN regexp_full_match(v, '{_CUT}') AND regexp_matches(v, '\d{{3}}') THEN NULL ELSE v END"),
    ),
    Stage("separators dropped", f"regexp_replace(@1, '[{_BETWEEN}]', '', 'g')"),
)
"""Steps that every number goes through. A branch cut short and the digits of a fraction are no part of a number: were their
separator dropped as the others are, they would make one that nobody gave."""


_DIGITS = r"regexp_full_match(@1, '\d+')"
_FIXED = (
    *BARE,
    Stage(
        "the digits if they are as many",
        let("@1", r"CASE WHEN length(v) = @2 AND regexp_full_match(v, '\d+') THEN v END"),
    ),
)
NUMBERS = Sql(
    templates={
        "fixed_digits": f"CASE WHEN length(@1) = @2 AND {_DIGITS} THEN @1 WHEN {_DIGITS} THEN NULL ELSE {chain(_FIXED)} END",
        "spreadsheet_damaged": _DAMAGED,
    },
    stages={"fixed_digits": _FIXED},
)
"""The SQL of functions on any number."""
