"""Erasures, as the log tells of them: what was destroyed, by references and digests, and never by a value or a key.

Two entries are of one erasure. The first is appended before a file is touched, and names each file with the digest that it has
and the one that it will have; the second when all is done. What lies between them is an erasure under way.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from motlan.lake.digests import ERASURE, ERASURE_BEGUN
from motlan.ledger import log
from motlan.store import tables

BEGUN, DONE = ERASURE_BEGUN, ERASURE
"""Kinds of the log's entries.

`erasure begun` has `erasure` (its id), `dataset`, `landed` (references of the landed rows), `persons` (ids of whom nothing is
left), `files` (path under the lake's folder -> digests before and after, in hex; an empty one after where no row is left),
`payloads` (digests of those that rows of others name too), `principal`, `reason`, and as `motlan.ledger.row_log` has it what
people decided about the record, emptied. `erasure` has `erasure`, `dataset`, `landed` (how many rows) and `files`.
"""
EVENT = "erased"
"""What the feed calls an event whose values were erased."""
TOKEN = "(erased) "  # noqa: S105 - no password
"""How the token begins that takes the place of an erased record's key where something has to stand."""


def under_way(connection: sa.Connection) -> Mapping[str, Any] | None:
    """Return the body of the erasure that was begun and is not done; None where none is."""
    entry = tables.log_entries
    done = entry.alias("done")
    ended = sa.exists().where(done.c.kind == DONE, done.c.body["erasure"].astext == entry.c.body["erasure"].astext)
    query = sa.select(entry.c.body).where(entry.c.kind == BEGUN, ~ended).order_by(entry.c.index.desc()).limit(1)
    found: Mapping[str, Any] | None = connection.execute(query).scalar_one_or_none()
    return found


def begin(connection: sa.Connection, body: log.Body) -> int:
    """Append that an erasure begins, in the caller's transaction."""
    return log.append(connection, BEGUN, body)


def end(connection: sa.Connection, begun: Mapping[str, Any]) -> int:
    """Append that an erasure is done, in the transaction that records the files' digests."""
    files = {path: after for path, (_, after) in begun["files"].items() if after}
    body = {"erasure": begun["erasure"], "dataset": begun["dataset"], "landed": len(begun["landed"]), "files": files}
    return log.append(connection, DONE, body)


def erased_payloads(connection: sa.Connection) -> dict[str, str]:
    """Return the payloads that were erased and that rows of others name: digest -> the day."""
    entry = tables.log_entries.c
    query = sa.select(entry.body["payloads"], entry.recorded_at).where(entry.kind == BEGUN).order_by(entry.index)
    return {name: str(at.date()) for names, at in connection.execute(query) for name in names}


def erased_rows(connection: sa.Connection) -> dict[str, str]:
    """Return the landed rows that were erased: reference -> the day."""
    entry = tables.log_entries.c
    query = sa.select(entry.body["landed"], entry.recorded_at).where(entry.kind == BEGUN).order_by(entry.index)
    return {ref: str(at.date()) for refs, at in connection.execute(query) for ref in refs}


def listed(connection: sa.Connection) -> list[dict[str, Any]]:
    """Return all erasures, oldest first: `erasure`, `dataset`, `landed`, `persons`, `principal`, `reason`, `at`, `done`."""
    entry = tables.log_entries.c
    query = sa.select(entry.kind, entry.body, entry.recorded_at).where(entry.kind.in_((BEGUN, DONE)))
    found: dict[str, dict[str, Any]] = {}
    for kind, body, at in connection.execute(query.order_by(entry.index)):
        if kind == BEGUN:
            names = ("erasure", "dataset", "landed", "persons", "principal", "reason")
            found[body["erasure"]] = {name: body[name] for name in names} | {"at": at.isoformat(), "done": False}
        else:
            found[body["erasure"]]["done"] = True
    return list(found.values())
