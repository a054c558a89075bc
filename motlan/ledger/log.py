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
    """A Merkle tree (RFC 9162, section 2.1.1) that grows by leaf hashes: what is kept of it is the roots of its whole parts."""

    def __init__(self) -> None:
        self._frontier: list[tuple[int, bytes]] = []

    def append(self, leaf: bytes) -> None:
        """Add a leaf hash."""
        size, node = 1, leaf
        while self._frontier and self._frontier[-1][0] == size:
            node = hashlib.sha256(b"\x01" + self._frontier.pop()[1] + node).digest()
            size *= 2
        self._frontier.append((size, node))

    def head(self) -> bytes:
        """Return the tree's hash; of no leaf, the hash of nothing."""
        if not self._frontier:
            return hashlib.sha256().digest()
        *before, (_, head) = self._frontier
        for _, node in reversed(before):
            head = hashlib.sha256(b"\x01" + node + head).digest()
        return head


def tree_head(leaves: Iterable[bytes]) -> bytes:
    """Return the Merkle tree hash of leaf hashes (RFC 9162, section 2.1.1); of none, the hash of nothing."""
    tree = Tree()
    for leaf in leaves:
        tree.append(leaf)
    return tree.head()


def append(connection: sa.Connection, kind: str, body: Body) -> int:
    """Append an entry inside the publisher's transaction; return its index."""
    table = tables.log_entries
    leaves = [bytes(row) for row in connection.scalars(sa.select(table.c.leaf_hash).order_by(table.c.index))]
    leaf = leaf_hash(body)
    values = {"index": len(leaves), "kind": kind, "body": body, "leaf_hash": leaf}
    connection.execute(sa.insert(table).values(**values, root_hash=tree_head([*leaves, leaf])))
    return len(leaves)


def first_broken(connection: sa.Connection) -> int | None:
    """Recompute the whole log; return the index of the first entry that does not hold, or None."""
    table = tables.log_entries
    tree = Tree()
    for number, row in enumerate(connection.execute(sa.select(table).order_by(table.c.index)).mappings()):
        leaf = leaf_hash(row["body"])
        tree.append(leaf)
        if (row["index"], row["leaf_hash"], row["root_hash"]) != (number, leaf, tree.head()):
            return int(row["index"])
    return None
