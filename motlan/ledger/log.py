"""The append-only log: a Merkle tree (RFC 9162) over what became visible, was decided by people, or was looked at.

A leaf is the canonical JSON (RFC 8785) of an entry: its moment, its kind and a small body without personal values. Inner
nodes are stored when they become complete, so that appending and proving read a logarithm of the entries. Every entry keeps
the tree head after it, so that a later change of an earlier entry shows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import rfc8785
import sqlalchemy as sa

from motlan.ledger import merkle
from motlan.ledger.merkle import Node, Tree, hash_leaf, nodes_of, tree_head
from motlan.store import tables

Body = dict[str, Any]
LOCK = 0x4D6F746C616F
"""Advisory lock of whoever appends, until the transaction ends."""
BATCH = 10_000
"""Entries read at a time."""


def leaf_data(at: datetime, kind: str, body: Body) -> bytes:
    """Return what a leaf is of: the canonical JSON (RFC 8785) of an entry's moment (UTC, microseconds), kind and body."""
    return rfc8785.dumps(entry_of(at, kind, body))


def entry_of(at: datetime, kind: str, body: Body) -> Body:
    """Return an entry as its leaf has it."""
    return {"at": at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"), "body": body, "kind": kind}


def leaf_hash(at: datetime, kind: str, body: Body) -> bytes:
    """Return the hash of an entry's leaf."""
    return hash_leaf(leaf_data(at, kind, body))


def leaves(connection: sa.Connection, first: int = 0, end: int | None = None) -> list[bytes]:
    """Return the leaf hashes of entries from an index on, in order, up to another one where it is given."""
    table = tables.log_entries.c
    query = sa.select(table.leaf_hash).where(table.index >= first).order_by(table.index)
    return [bytes(leaf) for leaf in connection.scalars(query if end is None else query.where(table.index < end))]


def root_of(connection: sa.Connection, size: int) -> bytes | None:
    """Return the tree head that the log kept after so many entries; None where it has fewer."""
    table = tables.log_entries.c
    if size == 0:
        return tree_head(())
    found = connection.execute(sa.select(table.root_hash).where(table.index == size - 1)).scalar_one_or_none()
    return None if found is None else bytes(found)


def size_of(connection: sa.Connection) -> int:
    """Return how many entries the log has."""
    newest = sa.func.coalesce(sa.func.max(tables.log_entries.c.index) + 1, 0)  # the end of an index
    return int(connection.execute(sa.select(newest)).scalar_one())


def read_nodes(connection: sa.Connection, wanted: set[Node]) -> Mapping[Node, bytes]:
    """Return the hashes of complete subtrees, as the log stores them.

    Raises:
        KeyError: One is missing: it is not complete yet, or was removed.
    """
    entries, nodes = tables.log_entries.c, tables.log_nodes.c
    below = [index for level, index in wanted if level == 0]
    inner = [node for node in wanted if node[0] > 0]
    query = sa.select(entries.index, entries.leaf_hash).where(entries.index.in_(below))
    found: dict[Node, bytes] = {(0, row[0]): bytes(row[1]) for row in connection.execute(query)}
    if inner:
        query = sa.select(nodes.level, nodes.index, nodes.hash).where(sa.tuple_(nodes.level, nodes.index).in_(inner))
        found |= {(row[0], row[1]): bytes(row[2]) for row in connection.execute(query)}
    if missing := wanted - found.keys():
        raise KeyError(f"{len(missing)} nodes of the log are missing")
    return found


def append(connection: sa.Connection, kind: str, body: Body) -> int:
    """Append an entry inside the caller's transaction; return its index. Others that append wait until it ends.

    Its cost does not grow with the log: the heads of the complete subtrees are read, some twenty of a million entries.
    """
    connection.execute(sa.text("select pg_advisory_xact_lock(:key)"), {"key": LOCK})
    size, at = size_of(connection), datetime.now(UTC)
    tree = tree_before(connection, size)
    leaf = leaf_hash(at, kind, body)
    made = tree.append(leaf)
    values = {"index": size, "kind": kind, "body": body, "recorded_at": at, "leaf_hash": leaf}
    connection.execute(sa.insert(tables.log_entries).values(**values, root_hash=tree.head()))
    if made:
        rows = [{"level": level, "index": size >> level, "hash": node} for level, node in enumerate(made, 1)]
        connection.execute(sa.insert(tables.log_nodes), rows)
    return size


def prove_inclusion(connection: sa.Connection, index: int, size: int) -> list[bytes]:
    """Return the proof that an entry is in the log of a size (RFC 9162, section 2.1.3.1)."""
    return merkle.prove(merkle.inclusion_ranges(index, size), lambda wanted: read_nodes(connection, wanted))


def prove_consistency(connection: sa.Connection, old: int, size: int) -> list[bytes]:
    """Return the proof that the log of a size extends the log of a smaller one (RFC 9162, section 2.1.4.1)."""
    return merkle.prove(merkle.consistency_ranges(old, size), lambda wanted: read_nodes(connection, wanted))


@dataclass(frozen=True)
class Checked:
    """An entry that was computed again.

    Attributes:
        index: Its index.
        at: Its moment; None where the entry is missing.
        kind: Its kind.
        body: Its body.
        root: The tree head after it, computed again.
        holds: Whether its hash, the head that it keeps and the nodes that became complete with it are what was computed.
    """

    index: int
    at: datetime | None
    kind: str
    body: Body
    root: bytes
    holds: bool


def first_broken(connection: sa.Connection) -> int | None:
    """Recompute the whole log, inner nodes too; return the index of the first entry that does not hold, or None."""
    return next((entry.index for entry in check_entries(connection) if not entry.holds), None)


def check_entries(connection: sa.Connection, first: int = 0) -> Iterator[Checked]:
    """Recompute the log from an entry on; give each entry, also those that are missing.

    What comes before the first is taken as its nodes say: hold their head against a checkpoint that was kept elsewhere.
    """
    table, nodes = tables.log_entries, tables.log_nodes
    tree, expected = tree_before(connection, first), first
    stored = _StoredNodes(connection)
    order = sa.select(table).where(table.c.index >= first).order_by(table.c.index)
    for row in connection.execute(order.execution_options(yield_per=BATCH)).mappings():
        index = int(row["index"])
        for missing in range(expected, min(index, expected + 1)):
            yield Checked(missing, None, "", {}, tree.head(), holds=False)
        leaf = leaf_hash(row["recorded_at"], row["kind"], row["body"])
        made = tree.append(leaf)
        root = tree.head()
        holds = (row["leaf_hash"], row["root_hash"]) == (leaf, root) and stored.of(index) == made
        yield Checked(index, row["recorded_at"], row["kind"], row["body"], root, holds)
        expected = index + 1
    query = sa.select(sa.func.count()).select_from(nodes)
    if connection.execute(query).scalar_one() != sum(expected >> level for level in range(1, 64)):
        yield Checked(expected, None, "", {}, tree.head(), holds=False)


def tree_before(connection: sa.Connection, size: int) -> Tree:
    """Return the tree of the first entries, as the log's nodes give it."""
    covering = nodes_of((0, size))
    known = read_nodes(connection, set(covering)) if covering else {}
    return Tree((1 << level, known[level, index]) for level, index in covering)


class _StoredNodes:
    """The inner nodes that became complete with each entry, read a batch of entries at a time."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection
        self._first = -1
        self._found: dict[Node, bytes] = {}

    def of(self, index: int) -> list[bytes]:
        """Return the nodes that became complete with an entry, from level 1 on, as far as they are stored."""
        if index // BATCH != self._first:
            self._first = index // BATCH
            self._found = self._read(self._first * BATCH, (self._first + 1) * BATCH)
        levels = ((index + 1) & -(index + 1)).bit_length() - 1
        nodes = [self._found.get((level, index >> level)) for level in range(1, levels + 1)]
        return [node for node in nodes if node is not None]

    def _read(self, first: int, end: int) -> dict[Node, bytes]:
        table = tables.log_nodes.c
        last = ((table.index + 1) * sa.func.power(2, table.level)).cast(sa.BigInteger) - 1
        # One range a level, by the key.
        parts = [
            sa.and_(table.level == level, table.index >= first >> level, table.index <= end >> level)
            for level in range(1, max(end.bit_length(), 2))
        ]
        query = sa.select(table.level, table.index, table.hash).where(sa.or_(*parts), last >= first, last < end)
        return {(row[0], row[1]): bytes(row[2]) for row in self._connection.execute(query)}
