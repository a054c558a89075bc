"""Slices: what a query does with many rows, done with a part of them at a time.

So it needs no more memory for a country than for a city. Rows are cut by a hash, so slices are about equal. Another engine may
cut others: what comes of all of them is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import pyarrow.parquet as pq

from motlan.expressions import literal
from motlan.settings import sizes

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
    count = max(1, -(-rows // sizes().bucket_rows))
    if count == 1:
        return [whole]
    return [lambda column, place=place: f"{column} % {count} = {place}" for place in range(count)]  # type: ignore[misc]


def file_slices(files: Collection[str], column: str) -> list[tuple[list[str], str]]:
    """Cut files into slices, each with the SQL of whether a value of a text column may be in it.

    Where the values rise from file to file, as those of `_ref` do, another relation's rows are each asked for in one slice.

    Args:
        files: Parquet files, with the least and the greatest value of each row group.
        column: The column; never null.
    """
    found: list[tuple[list[str], str]] = []
    low, high, total, most = "", "", 0, sizes().bucket_rows
    for first, last, rows, path in sorted(_span(path, column) for path in files):
        if found and total + rows <= most:
            low, high, total = min(low, first), max(high, last), total + rows
            paths = [*found.pop()[0], path]
        else:
            low, high, total, paths = first, last, rows, [path]
        found.append((paths, f"{column} between {literal(low)} and {literal(high)}"))
    return found if len(found) > 1 else [(paths, "true") for paths, _ in found]


def _span(path: str, column: str) -> tuple[str, str, int, str]:
    """Return the least and the greatest value of a file's column, its number of rows, and its path."""
    told = pq.read_metadata(path)
    place = told.schema.names.index(column)
    groups = [told.row_group(number).column(place).statistics for number in range(told.num_row_groups)]
    return min((g.min for g in groups), default=""), max((g.max for g in groups), default=""), told.num_rows, path
