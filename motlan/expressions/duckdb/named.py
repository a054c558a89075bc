"""Calls by name: what the steps write where another engine than DuckDB runs them.

The steps are written once, in DuckDB's SQL. Inside `named_calls` an expression that is compiled for DuckDB leaves every call of
a catalogue function standing by its name, `catalogue_name_key(full_name)`, and the other engine's session puts its own
dialect's SQL there. So DuckDB's templates are never guessed at, and what a version pins is DuckDB's SQL whatever engine runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from motlan.expressions.dialect import Dialect
from motlan.expressions.duckdb.dialect import DUCKDB, DuckDbDialect

PREFIX = "catalogue_"
VERBATIM = "verbatim_query"
_naming: ContextVar[bool] = ContextVar("motlan_named_calls", default=False)


class NamedDialect(DuckDbDialect):
    """DuckDB's SQL, with the calls of catalogue functions by name."""

    name = "named"

    def call(self, function: str, arguments: Sequence[str]) -> str:
        """Return the call, by the function's name."""
        return f"{PREFIX}{function}({', '.join(arguments)})"


NAMED = NamedDialect()
"""The dialect of calls by name."""


@contextmanager
def named_calls(on: bool = True) -> Iterator[None]:
    """Let expressions for DuckDB be written with calls by name, or again (`on=False`) in full: what a version pins is."""
    token = _naming.set(on)
    try:
        yield
    finally:
        _naming.reset(token)


def written(dialect: Dialect) -> Dialect:
    """Return the dialect to write in where one is asked for."""
    return NAMED if dialect is DUCKDB and _naming.get() else dialect


def verbatim(query: str) -> str:
    """Return, for a step's SQL, a query of the other engine that is to be taken as it is."""
    return f"(select * from {VERBATIM}({DUCKDB.literal(query)}))"
