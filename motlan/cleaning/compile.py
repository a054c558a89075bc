"""Compile a dataset's mapping into one query, which is stored and hashed: lineage replays it years later."""

from __future__ import annotations

from motlan.engine import DUCKDB, Expression, quote
from motlan.registry import Dataset

RAW = "raw_rows"
"""Name of the relation that the compiled query reads: landed rows with landing's own columns."""


def select_canonical(dataset: Dataset) -> str:
    """Return the query from `raw_rows` to canonical rows.

    A field may be made from fields that were made from raw columns (a province from its commune); a name that is both
    a raw column's and a field's means the raw column.

    Columns: `_ref`, `_run`, `_key`, `_moment`, `_locator`, the mapped canonical fields, and every declared raw column
    as `raw_<column>` for the rules that look at what was sent.
    """
    first, second = split(dataset)
    meta = "_ref, _run, _key, _moment, _locator"
    raw = [f"{quote(column)} as {quote('raw_' + column)}" for column in dataset.columns]
    made = [f"{expression.sql(DUCKDB)} as {quote(field)}" for field, expression in first.items()]
    query = f"select {meta},\n       " + ",\n       ".join([*raw, *made]) + f"\nfrom {RAW}"
    if not second:
        return query
    names = {field: quote(field) for field in first} | {column: quote(f"raw_{column}") for column in dataset.columns}
    derived = [f"{expression.sql(DUCKDB, names)} as {quote(field)}" for field, expression in second.items()]
    return "select *,\n       " + ",\n       ".join(derived) + f"\nfrom ({query})"


def split(dataset: Dataset) -> tuple[dict[str, Expression], dict[str, Expression]]:
    """Return the fields made from raw columns alone, and those made from them."""
    first = {field: made for field, made in dataset.expressions.items() if made.fields <= set(dataset.columns)}
    return first, {field: made for field, made in dataset.expressions.items() if field not in first}
