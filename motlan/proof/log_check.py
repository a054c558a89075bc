"""The check of the log itself: every entry and node again, against checkpoints that were kept elsewhere, and against the key."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from motlan.errors import ConfigurationError
from motlan.ingest.retraction import KIND as RETRACTION
from motlan.ledger import erasures, log
from motlan.ledger.file_entries import KIND as FILES
from motlan.ledger.row_log import ROWS
from motlan.proof import check
from motlan.proof.checkpoints import KEY, Checkpoint
from motlan.proof.findings import Finding
from motlan.store import tables

Watch = Callable[[str, int, int], None]
"""Is given what is checked, how much of it is done, and how much there is."""


@dataclass
class Read:
    """What reading the log gave, for the checks of what it names.

    Attributes:
        size: How many entries there are.
        files: File of the lake -> its digest in hex, and the day and index of the entry that names it.
        removed: Files that were removed by the bus itself.
        landings: Sync run -> the body of its landing, with `day`.
        retracted: Sync runs that were taken back.
        publications: Reconcile run -> the body of its publication, with `day`.
        accesses: Access -> commitment of it, in hex, and day.
        keys: Public keys that signed the log, oldest first.
        rows: Row of the ledger that people's decisions made (table and key) -> its commitment, in hex, and day.
        erasing: Erasures that were begun and are not done: id -> file -> the digest that it will have, in hex.
        erased_payloads: Payloads that were erased.
    """

    size: int = 0
    files: dict[str, tuple[str, str, int]] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)
    landings: dict[str, dict[str, Any]] = field(default_factory=dict)
    retracted: set[str] = field(default_factory=set)
    publications: dict[str, dict[str, Any]] = field(default_factory=dict)
    accesses: dict[int, tuple[str, str]] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)
    rows: dict[str, tuple[str, str]] = field(default_factory=dict)
    erasing: dict[str, dict[str, str]] = field(default_factory=dict)
    erased_payloads: set[str] = field(default_factory=set)

    def becomes(self, path: str) -> str | None:
        """Return the digest that a file will have by an erasure that is under way, empty where it goes; None where none is."""
        return next((files[path] for files in self.erasing.values() if path in files), None)

    def add(self, index: int, day: str, kind: str, body: dict[str, Any]) -> None:
        """Take in an entry."""
        if kind == erasures.BEGUN:
            self.erasing[body["erasure"]] = {path: after for path, (_, after) in body["files"].items()}
            self.erased_payloads.update(body["payloads"])
            self._bind(body, day)
        elif kind == erasures.DONE:
            self.files |= {path: (digest, day, index) for path, digest in body["files"].items() if path in self.files}
            self.erasing.pop(body["erasure"], None)
        elif kind == FILES:
            self.files |= {path: (digest, day, index) for path, digest in body["files"].items()}
            self.removed.update(body["removed"])
        elif kind in ("landing", "publication"):
            named = self.landings if kind == "landing" else self.publications
            named[body["run"]] = body | {"day": day}
        elif kind == RETRACTION:
            self.retracted.add(body["retracted"])
        elif kind == "access":
            self.accesses[body["access"]] = (body["commitment"], day)
        elif kind == KEY:
            self.keys.append(body["key"])
        else:
            self._bind(body, day)

    def _bind(self, body: dict[str, Any], day: str) -> None:
        """Take in the rows of the ledger that an entry binds."""
        if isinstance(bound := body.get(ROWS), dict):
            self.rows |= {name: (commitment, day) for name, commitment in bound.items()}


@dataclass(frozen=True)
class Pins:
    """What an auditor holds elsewhere.

    Attributes:
        key: The log's public key; where it is not held elsewhere, that of the key file.
        checkpoints: Checkpoints that were kept: of auditors, agencies or witnesses.
        since: The checkpoint from which on the log is read again; the whole log where absent.
    """

    key: str
    checkpoints: Sequence[Checkpoint] = ()
    since: Checkpoint | None = None


def check_log(connection: sa.Connection, pins: Pins, read: Read, watch: Watch) -> Iterator[Finding]:
    """Compute the log again; give what does not hold, and fill `read`."""
    roots: dict[int, bytes] = {}
    total = log.size_of(connection)
    wanted = {one.size for one in pins.checkpoints} | set(connection.scalars(sa.select(tables.log_checkpoints.c.size)))
    first = pins.since.size if pins.since else 0
    yield from _entries(connection, first, read, roots, wanted, lambda done: watch("log", done, total))
    for one in pins.checkpoints:
        yield from _held_elsewhere(one, pins.key, read.size, roots)
    yield from _stored_checkpoints(connection, pins.key, read, roots)
    yield from _keys(connection, pins.key)


def _entries(
    connection: sa.Connection,
    first: int,
    read: Read,
    roots: dict[int, bytes],
    wanted: set[int],
    watch: Callable[[int], None],
) -> Iterator[Finding]:
    """Compute entries again from an index on; earlier ones are bound by the head that their nodes give."""
    table = tables.log_entries
    roots[first] = log.tree_before(connection, first).head()
    earlier = sa.select(table).where(table.c.index < first).order_by(table.c.index)
    for row in connection.execute(earlier.execution_options(yield_per=log.BATCH)).mappings():
        read.add(row["index"], str(row["recorded_at"].date()), row["kind"], row["body"])
    read.size = first
    for entry in log.check_entries(connection, first):
        day = str(entry.at.date()) if entry.at else ""
        if not entry.holds:
            what = "it was altered: the entry, its hash or its nodes" if entry.at else "an entry or nodes are missing"
            yield Finding("log", f"entry {entry.index}", "", day, what)
        if entry.at is None:
            continue
        if entry.index + 1 in wanted:
            roots[entry.index + 1] = entry.root
        read.add(entry.index, day, entry.kind, entry.body)
        read.size = entry.index + 1
        if not entry.index % 1000:
            watch(entry.index)
    watch(read.size)


def _held_elsewhere(one: Checkpoint, key: str, size: int, roots: dict[int, bytes]) -> Iterator[Finding]:
    place = f"checkpoint of {one.size} entries"
    if not _is_signed(one, key):
        yield Finding(
            "checkpoint", place, "", "", "a checkpoint that was kept elsewhere is not signed by the log's key"
        )
    elif one.size > size:
        yield Finding(
            "log", f"entry {size}", "", "", f"the log was rolled back: {one.size} entries were signed, {size} are here"
        )
    elif roots.get(one.size, one.root) != one.root:
        yield Finding(
            "log",
            f"entry {one.size - 1} or an earlier one",
            "",
            "",
            "the log was rewritten since a checkpoint of it was kept elsewhere",
        )


def _stored_checkpoints(connection: sa.Connection, key: str, read: Read, roots: dict[int, bytes]) -> Iterator[Finding]:
    """Hold the checkpoints that the store keeps against keys and log; those under earlier keys against these."""
    table = tables.log_checkpoints.c
    keys = [key, *read.keys]
    for size, note, at in connection.execute(sa.select(table.size, table.note, table.signed_at).order_by(table.size)):
        place, day = f"checkpoint of {size} entries", str(at.date())
        try:
            one = Checkpoint.read(note)
        except ConfigurationError:
            yield Finding("checkpoint", place, "", day, "it is no checkpoint")
            continue
        if not any(_is_signed(one, own) for own in keys):
            yield Finding("checkpoint", place, "", day, "it is not signed by the log's key")
        elif one.size != size or one.size > read.size or roots.get(size, one.root) != one.root:
            yield Finding("checkpoint", place, "", day, "it is not of this log: the log was rewritten, or rolled back")


def _is_signed(one: Checkpoint, key: str) -> bool:
    try:
        return bool(check.signers(one.note, [key]))
    except (check.ProofError, ValueError):
        return False


def _keys(connection: sa.Connection, key: str) -> Iterator[Finding]:
    """Hold the key against the one that the log names last."""
    entry = tables.log_entries.c
    query = sa.select(entry.body["key"].astext, entry.recorded_at).where(entry.kind == KEY).order_by(entry.index.desc())
    newest = connection.execute(query.limit(1)).one_or_none()
    if newest and newest[0] != key:
        yield Finding("key", "the log's key", "", str(newest[1].date()), "the key is another than the log names")
