"""Connections to the built-in engine: safe, and the same on every machine.

A session reads and writes only the folders that it was given, never loads an extension, never reaches the network,
and its settings cannot be changed afterwards by any query.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, cast

import duckdb

from motlan.errors import ConfigurationError
from motlan.expressions.catalogue import installed
from motlan.expressions.duckdb.dialect import DUCKDB
from motlan.telemetry import traces


def connect(
    *,
    temp_dir: Path | None = None,
    memory_limit: str | None = None,
    threads: int | None = None,
    allowed: Sequence[Path] = (),
) -> duckdb.DuckDBPyConnection:
    """Open an in-memory session, in which the engine's macros are made when a query calls one (see `Session`).

    Args:
        temp_dir: Where it may spill; it never spills without one.
        memory_limit: Such as `4GB`; the engine's default when None.
        threads: Number of threads; the engine's default when None.
        allowed: Folders whose files it may read and write.

    Raises:
        ConfigurationError: A limit is not one that the engine knows.
    """
    settings: dict[str, str | bool | int | float | list[str]] = {
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "allow_community_extensions": False,
        "allow_unsigned_extensions": False,
        "allow_persistent_secrets": False,
        "python_enable_replacements": False,
        "temp_directory": str(temp_dir) if temp_dir else "",
    }
    if memory_limit is not None:
        settings["memory_limit"] = memory_limit
    if threads is not None:
        settings["threads"] = threads
    try:
        con = duckdb.connect(":memory:", config=settings)
    except duckdb.Error:
        raise ConfigurationError(
            "the engine refused its settings", where="engine", next_step="check memory_limit, threads and temp_dir"
        ) from None
    folders = [*allowed, *([temp_dir] if temp_dir else [])]
    listed = ", ".join(literal(f"{folder.resolve()}/") for folder in folders)
    con.execute(f"SET allowed_directories = [{listed}]")
    con.execute("SET enable_progress_bar = false")
    con.execute("SET TimeZone = 'UTC'")
    # A session in memory has nothing to checkpoint, and would rewrite its tables after a drop.
    con.execute("SET checkpoint_threshold = '1TB'")
    # Of rows that go to a file for each value of a column, more than so many are no use and stand in memory, or spill.
    con.execute("SET partitioned_write_flush_threshold = 100000")
    con.execute("SET enable_external_access = false")
    con.execute("SET lock_configuration = true")
    return cast(duckdb.DuckDBPyConnection, Session(con))


class Session:
    """A connection that makes what queries call by name, macros and the tables of code lists, when one first does.

    Macros take longer to make than most queries to run, and most sessions call none.
    """

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self.connection = con
        """The engine's own, for libraries that ask for one."""
        self._unmade: list[tuple[re.Pattern[str], Callable[[duckdb.DuckDBPyConnection], None]]] = []
        self.make_when_named(installed().duckdb.macros, prepare)

    def make_when_named(self, names: Iterable[str], make: Callable[[duckdb.DuckDBPyConnection], None]) -> None:
        """Have something made before the first query that has one of some names in it."""
        self._unmade.append((re.compile(rf"\b(?:{'|'.join(names)})\b"), make))

    def execute(self, query: str, parameters: object = None) -> duckdb.DuckDBPyConnection:
        """Run a query as the connection does."""
        self._make(query)
        with traces.query("duckdb", query):
            return self.connection.execute(query, parameters)

    def sql(self, query: str, **given: Any) -> duckdb.DuckDBPyRelation:
        """Make a relation of a query as the connection does."""
        self._make(query)
        return self.connection.sql(query, **given)

    def beside(self) -> Session:
        """Return a further session of the same tables, for another thread. What its queries call by name must be `ready`."""
        other = Session.__new__(Session)
        other.connection, other._unmade = self.connection.cursor(), self._unmade
        return other

    def ready(self, query: str) -> None:
        """Make what a query calls by name, before it runs."""
        self._make(query)

    def _make(self, query: str) -> None:
        for named in [named for named in self._unmade if named[0].search(query)]:
            self._unmade.remove(named)
            named[1](self.connection)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.connection, name)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()


def prepare(con: duckdb.DuckDBPyConnection) -> None:
    """Create the macros that compiled expressions call."""
    with con.cursor() as cursor:  # the caller's own may still be reading a result
        for definition in installed().duckdb.macros.values():
            cursor.execute(f"CREATE OR REPLACE MACRO {definition}")


def fingerprint() -> str:
    """Return the SHA-256 of what compiled expressions rest on besides their own text and the code lists."""
    parts = [f"duckdb {duckdb.__version__}", *installed().duckdb.macros.values()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def one(con: duckdb.DuckDBPyConnection, query: str, parameters: object = None) -> tuple[Any, ...]:
    """Return the first row of a query that has one, and close its result.

    A result that is left open (by `fetchone`) forbids the next `register` on the same connection.
    """
    row: tuple[Any, ...] = con.execute(query, parameters).fetchall()[0]
    return row


def make(con: duckdb.DuckDBPyConnection, table: str, queries: Iterable[str]) -> None:
    """Make a temporary table of the rows of one query or more, asked one after another: each has the memory for itself."""
    first, *others = queries
    con.execute(f"create or replace temp table {table} as {first}")
    for query in others:
        con.execute(f"insert into {table} {query}")


def quote(identifier: str) -> str:
    """Return an identifier, quoted for the built-in engine."""
    return DUCKDB.quote(identifier)


def literal(text: str) -> str:
    """Return a text literal of the built-in engine."""
    return DUCKDB.literal(text)


def constant(text: str) -> str:
    """Return, for a query that is written to a file, a text that all rows have: as the one value of an enumeration.

    The file is the same as with a plain text, but its writer does not look the text up for every row, some 45 ns each.
    """
    return f"{literal(text)}::enum({literal(text)})"
