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


def tree_head(leaves: Iterable[bytes]) -> bytes:
    """Return the Merkle tree hash of leaf hashes (RFC 9162, section 2.1.1); of none, the hash of nothing."""
    frontier: list[tuple[int, bytes]] = []
    for leaf in leaves:
        size, node = 1, leaf
        while frontier and frontier[-1][0] == size:
            node = hashlib.sha256(b"\x01" + frontier.pop()[1] + node).digest()
            size *= 2
        frontier.append((size, node))
    if not frontier:
        return hashlib.sha256().digest()
    _, head = frontier.pop()
    while frontier:
        head = hashlib.sha256(b"\x01" + frontier.pop()[1] + head).digest()
    return head


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
    leaves: list[bytes] = []
    for row in connection.execute(sa.select(table).order_by(table.c.index)).mappings():
        leaves.append(leaf_hash(row["body"]))
        if (row["index"], row["leaf_hash"], row["root_hash"]) != (len(leaves) - 1, leaves[-1], tree_head(leaves)):
            return int(row["index"])
    return None
