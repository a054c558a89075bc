"""Erasures, as the log tells of them: what was destroyed, by references and digests, and never by a value or a key.

Two entries are of one erasure. The first is appended before a file is touched, and names each file with the digest that it has
and the one that it will have; the second when all is done. What lies between them is an erasure under way.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from motlan.lake.digests import ERASURE, ERASURE_BEGUN
from motlan.ledger import log
from motlan.settings import Settings
from motlan.store import Store, tables

BEGUN, DONE = ERASURE_BEGUN, ERASURE
"""Kinds of the log's entries.

`erasure begun` has `erasure` (its id), `request` (empty where nobody else asked), `dataset`, `landed` (references of the landed
rows), `persons` (of how many nothing is left), `files` (path under the lake's folder -> digests before and after, in hex; empty
after where no row is left), `payloads` (digests of those that rows of others name too), `principal`, `reason`, and as
`motlan.ledger.row_log` has it what people decided about the record, emptied. `erasure` has `erasure`, `dataset`, `landed` (how
many rows) and `files`.
"""
LISTED = "erasures.jsonl"
"""File in the folder of backups: the erasures so far, by ids and references, for whoever restores an older backup."""
TO_REPEAT = "erasures-to-repeat.jsonl"
"""File in a restored installation's folder: those that came after its backup."""
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
    """Return all erasures, oldest first: what the first entry says but files and payloads, its moment `at`, and `done`."""
    entry = tables.log_entries.c
    query = sa.select(entry.kind, entry.body, entry.recorded_at).where(entry.kind.in_((BEGUN, DONE)))
    found: dict[str, dict[str, Any]] = {}
    for kind, body, at in connection.execute(query.order_by(entry.index)):
        if kind == BEGUN:
            names = ("erasure", "request", "dataset", "landed", "persons", "principal", "reason")
            found[body["erasure"]] = {name: body[name] for name in names} | {"at": at.isoformat(), "done": False}
        else:
            found[body["erasure"]]["done"] = True
    return list(found.values())


def save_list(store: Store, folder: Path | None) -> None:
    """Write the erasures so far into the folder of backups: a backup that is older than one of them holds what was erased.

    Erasures that are there and not in this log, of a state that was restored, stay.
    """
    if folder is None or not folder.is_dir():
        return
    with store.engine.connect() as connection:
        found = {one["erasure"]: one for one in listed(connection)}
    path = folder / LISTED
    before = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    known = {one["erasure"]: one for one in map(json.loads, before)}
    draft = folder / f"{LISTED}.draft"
    draft.write_text("".join(f"{json.dumps(one)}\n" for one in (known | found).values()), encoding="utf-8")
    draft.rename(path)


def note_later(settings: Settings, folder: Path, taken_at: str) -> int:
    """Leave in a restored installation which erasures came after its backup; return how many."""
    path = folder / LISTED
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    taken = datetime.fromisoformat(taken_at)
    later = [line for line in lines if datetime.fromisoformat(json.loads(line)["at"]) > taken]
    if later:
        (settings.var / TO_REPEAT).write_text("\n".join(later) + "\n", encoding="utf-8")
    return len(later)
