"""DuckDB's SQL for looking words up in code lists.

A look-up stands twice: as a correlated query, which works anywhere, and as a join, which answers a whole relation at once.
"""

from __future__ import annotations

from motlan.expressions.dialect import Lookup, Sql

FOLD = "lower(nfc_normalize(trim(@1)))"
"""A code as lists are looked up by."""
BY_THEN = " AND (c.cl_valid_from <= coalesce({}, '9999'))"
"""Condition of a line of a list: that it began by a moment."""
_FOLDED = FOLD.replace("@1", "{}")
_LOOKUP = "(SELECT arg_max({value}, c.cl_valid_from) FROM motlan_codes c WHERE c.cl_list = {list} AND {rest})"
_MEANINGS = "SELECT c.code AS code, c.{} AS found FROM motlan_meanings c WHERE c.list = {}"


def looked_up(code_list: str, folded: str, *, value: str = "c.cl_value", also: str = "") -> str:
    """Return SQL of what the newest line of a list says of a code.

    Args:
        code_list: SQL of the list's name.
        folded: SQL of the code, folded.
        value: What is wanted of the line.
        also: A condition of the line, after ` AND `.
    """
    return _LOOKUP.format(value=value, list=code_list, rest=f"c.cl_code = {folded}{also}")


def meaning_at(moment: str, field: str = "value") -> str:
    """Return SQL of the meaning at a moment. Most codes mean now what they meant then: the newest is tried first."""
    return (
        f"CASE WHEN @found.since <= coalesce({moment}, '9999') THEN @found.{field}"
        f" ELSE list_filter(@found.older, lambda m: m.since <= coalesce({moment}, '9999'))[1].{field} END"
    )


def meanings_of(code_list: str, code: str, answer: str, field: str = "meaning") -> Lookup:
    """Return the join that finds what a list says of a code.

    Args:
        code_list: SQL of the list's name.
        code: SQL of the code, as it is given.
        answer: SQL of the answer, of the meaning as `@found`.
        field: What is found: `meaning`, with its history, or `meaning.value`, the newest.
    """
    return Lookup(_MEANINGS.format(field, code_list), _FOLDED.format(code), answer)


CODES = Sql(
    templates={
        "code": looked_up("@1", _FOLDED.format("@2")),
        "code_at": looked_up("@1", _FOLDED.format("@2"), also=BY_THEN.format("@3")),
        "candidate_of": ("CASE WHEN @1 IS NOT NULL THEN coalesce(list_contains(string_split(@2, ';'), @1), false) END"),
    },
    lookups={
        "code": meanings_of("@1", "@2", "@found", "meaning.value"),
        "code_at": meanings_of("@1", "@2", meaning_at("@3")),
    },
    tables={
        "motlan_meanings": """
SELECT c.cl_list AS list, c.cl_code AS code,
 {'since': max(c.cl_valid_from), 'value': arg_max(c.cl_value, c.cl_valid_from),
  'candidates': arg_max(c.cl_candidates, c.cl_valid_from), 'older': CASE WHEN count(*) > 1 THEN
  list({'since': c.cl_valid_from, 'value': c.cl_value, 'candidates': c.cl_candidates} ORDER BY c.cl_valid_from DESC)[2:] END}
 AS meaning
 FROM motlan_codes c GROUP BY ALL"""
    },
)
"""The SQL of look-ups. `motlan_meanings` says of each code what it means now, and what it meant before, newest first."""
