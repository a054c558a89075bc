"""Commitments of what people decided: the log's entry about a row of the ledger binds the whole row, and tells nothing of it.

A commitment is the SHA-256 of the row's canonical JSON (RFC 8785), its own random salt among it: reasons may name persons, and
who knows them confirms nothing by the log. It is made in the transaction that writes the row: what others write has none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import rfc8785
import sqlalchemy as sa

from motlan.store import tables

ROWS = "rows"
"""Name in an entry's body: table and key of a row -> commitment, in hex."""
BOUND: dict[str, tuple[sa.Table, tuple[str, ...]]] = {
    table.name: (table, tuple(names or table.c.keys()))
    for table, names in (
        (tables.link_decisions, ()),
        (tables.value_decisions, ()),
        (tables.quarantine_decisions, ()),
        (tables.approvals, ()),
        (tables.run_decisions, ()),
        (tables.publication_holds, ()),
        (tables.api_keys, ()),
        (tables.people, ("id", "name", "role", "added_by", "removed_at", "salt")),
    )
}
"""Tables whose rows are bound, and which columns are: of people not what signing in changes."""


def commit_rows(connection: sa.Connection, table: sa.Table, keys: Iterable[Any]) -> dict[str, dict[str, str]]:
    """Return what an entry's body has of some rows, as the caller's transaction sees them.

    Args:
        connection: Has written the rows.
        table: One of `BOUND`.
        keys: Values of the key's first column; of all rows that have one of them.
    """
    first = next(iter(table.primary_key.columns))
    query = sa.select(table).where(first.in_(list(keys)))
    return {ROWS: {name: commitment for name, commitment, _ in _commitments(connection, table, query)}}


def read_commitments(connection: sa.Connection) -> Iterator[tuple[str, str, str]]:
    """Give all rows that are bound, as the store has them now: table and key, commitment, day on which it was written."""
    for table, _ in BOUND.values():
        yield from _commitments(connection, table, sa.select(table).execution_options(yield_per=1_000))


def _commitments(connection: sa.Connection, table: sa.Table, query: Any) -> Iterator[tuple[str, str, str]]:
    _, names = BOUND[table.name]
    for row in connection.execute(query).mappings():
        key = " ".join(str(row[column.name]) for column in table.primary_key.columns)
        at = next((row[name] for name in ("recorded_at", "held_at", "created_at", "added_at") if name in row), None)
        yield f"{table.name} {key}", commitment_of({name: row[name] for name in names}), str(at.date()) if at else ""


def commitment_of(row: Mapping[str, Any]) -> str:
    """Return the commitment of a row: moments in UTC, bytes in hex, numbers that are not whole as texts."""
    return hashlib.sha256(rfc8785.dumps({name: _plain(value) for name, value in row.items()})).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, bytes | memoryview):
        return bytes(value).hex()
    if value is None or isinstance(value, str | bool | int):
        return value
    return str(value)
