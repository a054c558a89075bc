"""Connections to the built-in engine: safe, and the same on every machine.

A session reads and writes only the folders that it was given, never loads an extension, never reaches the network,
and its settings cannot be changed afterwards by any query.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import duckdb

from motlan.engine.duckdb_dialect import DUCKDB, MACROS
from motlan.errors import ConfigurationError


def connect(
    *,
    temp_dir: Path | None = None,
    memory_limit: str | None = None,
    threads: int | None = None,
    allowed: Sequence[Path] = (),
) -> duckdb.DuckDBPyConnection:
    """Open an in-memory session with the engine's macros in it.

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
    prepare(con)
    con.execute("SET lock_configuration = true")
    return con


def prepare(con: duckdb.DuckDBPyConnection) -> None:
    """Create the macros that compiled expressions call. `connect` has done it already."""
    for definition in MACROS.values():
        con.execute(f"CREATE OR REPLACE MACRO {definition}")


def fingerprint() -> str:
    """Return the SHA-256 of what compiled expressions rest on besides their own text and the code lists."""
    parts = [f"duckdb {duckdb.__version__}", *MACROS.values()]
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
