"""Current rows as linking compares them, kept from run to run with hashes of what they are found by.

An incremental run finds the rows that share a number, an exact key or a blocking key with a changed row by a semi join on such a
hash: a few bytes of each row are read. Two values may have one hash, so what is found is compared by the values themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from motlan.config.matching import Matching, sql
from motlan.expressions import constant, quote
from motlan.linking import model as models

ROW_COLUMNS = ("n", "dataset", "_key", "_ref", "_moment")
"""Columns of `row_keys.<entity>` beside what linking compares, what it counts by, and the hashes."""
EXACT = "hash_exact"


def hash_of(*texts: str) -> str:
    """Return the SQL of a hash of values, a whole number of 31 bits; null where one of them is."""
    known = " and ".join(f"({text}) is not null" for text in texts)
    return f"case when {known} then (abs(hash({', '.join(texts)})) % 2147483647)::int end"


def of_identifier(name: str) -> str:
    """Return the name of the column of an identifier's hash."""
    return f"hash_{name}"


def of_rule(place: int, side: str) -> str:
    """Return the name of the column of a blocking rule's hash.

    Args:
        place: Of the rule.
        side: `left` or `right`.
    """
    return f"hash_rule_{place}_{side}"


def hashes(matching: Matching, alias: str) -> dict[str, str]:
    """Return the SQL of all hashes of a row by the names of their columns."""
    found = {of_identifier(name): hash_of(f"{alias}.{quote(name)}") for name in matching.identifiers}
    found[EXACT] = hash_of(f"{alias}.exact_key")
    for place, (left, right) in enumerate(matching.keys):
        found[of_rule(place, "left")] = hash_of(*sql(left, alias))
        if left != right:
            found[of_rule(place, "right")] = hash_of(*sql(right, alias))
    return found


def rule_columns(matching: Matching) -> list[tuple[str, str]]:
    """Return the columns of left and right rows by which pairs of each blocking rule are found."""
    return [
        (of_rule(place, "left"), of_rule(place, "left" if left == right else "right"))
        for place, (left, right) in enumerate(matching.keys)
    ]


def columns(matching: Matching, also: Iterable[str]) -> list[str]:
    """Return the columns of a row in memory and in the lake, without its hashes: `also` are other rooms' keys."""
    counted = [models.rarity(name) for name in models.counted(matching)]
    return [*ROW_COLUMNS, *matching.columns, "exact_key", *counted, *also]


def row_keys_query(matching: Matching, rows: Mapping[str, bool], also: Sequence[str]) -> str:
    """Return the SQL of rows of `row_keys.<entity>`, all of them new.

    Args:
        matching: The declaration.
        rows: Relation -> whether its rows have rarities.
        also: Columns of other steps' keys.
    """
    texts = ", ".join(f"{text} as {quote(name)}" for name, text in hashes(matching, "r").items())
    counted = [models.rarity(name) for name in models.counted(matching)]
    parts = []
    for relation, with_rarities in rows.items():
        rare = [f"r.{quote(name)}" if with_rarities else f"null::double as {quote(name)}" for name in counted]
        kept = [f"r.{quote(name)}" for name in (*ROW_COLUMNS, *matching.columns, "exact_key", *also)]
        parts.append(f"select {', '.join((*kept, *rare))}, {texts} from {relation} as r")
    created = f"{constant('created')} as _op, []::varchar[] as _changed"
    return f"select *, {created} from ({' union all by name '.join(parts)})"
