"""Slices: what a query does with many rows, done with a part of them at a time.

So it needs no more memory for a country than for a city. Rows are cut by a hash, so slices are about equal. Another engine may
cut others: what comes of all of them is the same.
"""

from __future__ import annotations

from collections.abc import Callable

ROWS = 12_500_000
"""Rows of a slice at the most: what passes through a join of so many fits into the memory that one small machine has."""

Slice = Callable[[str], str]
"""Gives the SQL of whether a row, by the column of its number, is in it."""


def number(text: str) -> str:
    """Return the SQL of a text's number: 63 bits, the lake's longest, of its MD5; the same in every run and on every engine."""
    return f"(md5_number({text}) >> 65)::bigint"


def whole(_: str) -> str:
    """The slice that every row is in."""
    return "true"


def slices(rows: int) -> list[Slice]:
    """Cut so many rows into slices."""
    count = max(1, -(-rows // ROWS))
    if count == 1:
        return [whole]
    return [lambda column, place=place: f"{column} % {count} = {place}" for place in range(count)]  # type: ignore[misc]
