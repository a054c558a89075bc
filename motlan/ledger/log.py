"""The append-only log: a Merkle tree after RFC 9162 (RFC 6962) over what became visible.

An entry is the canonical JSON of a small body without personal values: a landing's commitments, a publication's
digest. Every entry keeps the tree head after it, so a later change of any earlier entry shows.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from motlan.store import tables

Body = dict[str, Any]


def leaf_hash(body: Body) -> bytes:
    """Hash an entry: SHA-256 of 0x00 and its canonical JSON (sorted keys, no spaces, UTF-8)."""
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(b"\x00" + text.encode()).digest()


class Tree:
    """A Merkle tree (RFC 9162, section 2.1.1) to which leaf hashes are appended. It keeps its subtrees' heads alone."""

    def __init__(self) -> None:
        self._frontier: list[tuple[int, bytes]] = []

    def append(self, leaf: bytes) -> None:
        """Append a leaf hash."""
        size, node = 1, leaf
        while self._frontier and self._frontier[-1][0] == size:
            node = hashlib.sha256(b"\x01" + self._frontier.pop()[1] + node).digest()
            size *= 2
        self._frontier.append((size, node))

    def head(self) -> bytes:
        """Return the tree hash; of no leaf, the hash of nothing."""
        if not self._frontier:
            return hashlib.sha256().digest()
        *others, (_, head) = self._frontier
        for _, node in reversed(others):
            head = hashlib.sha256(b"\x01" + node + head).digest()
        return head


def tree_head(leaves: Iterable[bytes]) -> bytes:
    """Return the Merkle tree hash of leaf hashes (RFC 9162, section 2.1.1); of none, the hash of nothing."""
    tree = Tree()
    for leaf in leaves:
        tree.append(leaf)
    return tree.head()


def leaves(connection: sa.Connection, first: int = 0) -> list[bytes]:
    """Return the leaf hashes of all entries from an index on, in order."""
    table = tables.log_entries.c
    query = sa.select(table.leaf_hash).where(table.index >= first).order_by(table.index)
    return [bytes(leaf) for leaf in connection.scalars(query)]


def root_of(connection: sa.Connection, size: int) -> bytes | None:
    """Return the tree head that the log kept after so many entries; None where it has fewer."""
    table = tables.log_entries.c
    if size == 0:
        return tree_head(())
    found = connection.execute(sa.select(table.root_hash).where(table.index == size - 1)).scalar_one_or_none()
    return None if found is None else bytes(found)


def size_of(connection: sa.Connection) -> int:
    """Return how many entries the log has."""
    return int(
        connection.execute(sa.select(sa.func.coalesce(sa.func.max(tables.log_entries.c.index) + 1, 0))).scalar_one()
    )


def append(connection: sa.Connection, kind: str, body: Body) -> int:
    """Append an entry inside the publisher's transaction; return its index."""
    table = tables.log_entries
    before = leaves(connection)
    leaf = leaf_hash(body)
    values = {"index": len(before), "kind": kind, "body": body, "leaf_hash": leaf}
    connection.execute(sa.insert(table).values(**values, root_hash=tree_head([*before, leaf])))
    return len(before)


def first_broken(connection: sa.Connection) -> int | None:
    """Recompute the whole log; return the index of the first entry that does not hold, or None."""
    table = tables.log_entries
    tree = Tree()
    for index, row in enumerate(connection.execute(sa.select(table).order_by(table.c.index)).mappings()):
        leaf = leaf_hash(row["body"])
        tree.append(leaf)
        if (row["index"], row["leaf_hash"], row["root_hash"]) != (index, leaf, tree.head()):
            return int(row["index"])
    return None
