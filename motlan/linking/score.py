"""The weight of evidence that two rows are about one person: a sum of log2 likelihood ratios (Fellegi and Sunter 1969).

Compiled from `matching.yaml` into SQL over two aliases, `l` and `r`, and stored as a version: lineage replays it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from motlan.engine import DUCKDB, Expression, parse, quote
from motlan.registry import Level, Matching


def sides(expression: Expression) -> dict[str, str]:
    """Map `left_<field>` and `right_<field>` to columns of the aliases `l` and `r`."""
    return {
        name: f"l.{quote(name[5:])}" if name.startswith("left_") else f"r.{quote(name[6:])}"
        for name in expression.fields
    }


def _comparison(name: str, levels: Sequence[Level]) -> str:
    cases = []
    for level in levels:
        expression = parse(level.when, where=f"matching.yaml, comparisons.{name}")
        cases.append(f"when {expression.sql(DUCKDB, sides(expression))} then {level.weight}")
    return f"(case {' '.join(cases)} else 0 end)"


def weight(matching: Matching) -> str:
    """Return the SQL of the sum of weights of `l` and `r`, the identifiers left out."""
    return " + ".join(_comparison(name, levels) for name, levels in matching.comparisons.items())


def conflict(matching: Matching) -> str:
    """Return the SQL of what forbids a link without an identifier; null is no conflict."""
    expression = parse(matching.conflict, where="matching.yaml, conflict")
    return f"coalesce({expression.sql(DUCKDB, sides(expression))}, false)"


def exact_key(matching: Matching) -> str:
    """Return the SQL of a row's exact key: a list of all its parts, or null where one is missing or `exact_when` fails."""
    parts = [parse(text, where="matching.yaml, exact").sql(DUCKDB) for text in matching.exact]
    complete = " and ".join(f"({part}) is not null" for part in parts)
    allowed = parse(matching.exact_when, where="matching.yaml, exact_when").sql(DUCKDB)
    return f"case when {complete} and ({allowed}) then [{', '.join(parts)}] end"


def body(matching: Matching) -> Mapping[str, str | float | list[str]]:
    """Return what a version of the linking decisions must pin."""
    return {
        "weight": weight(matching),
        "conflict": conflict(matching),
        "exact_key": exact_key(matching),
        "accept": matching.accept,
        "identifiers": list(matching.identifiers),
        "spine": list(matching.spine),
    }
