"""Who has looked: the accesses of one person, single ones and pages of feeds that had them, or of one who looks, or all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from motlan.errors import ConfigurationError
from motlan.ledger import accesses
from motlan.ledger.erasures import EVENT
from motlan.projection.tables import ENDED_EVENTS, Mirror, mirror_of
from motlan.store import tables
from motlan.workspace import Workspace

_SHOWN = (
    "id",
    "recorded_at",
    "principal",
    "action",
    "subject",
    "entity",
    "persons",
    "first_seq",
    "last_seq",
    "fields",
    "purpose",
    "legal_basis",
    "case_reference",
    "log_index",
)


@dataclass(frozen=True)
class Wanted:
    """Which accesses.

    Attributes:
        person: The bus's own id of a person whose data were seen; anybody's where absent.
        principal: Who looked; all where absent.
        since: From this moment on.
        limit: The newest so many.
    """

    person: str | None = None
    principal: str | None = None
    since: datetime | None = None
    limit: int = 100


@dataclass(frozen=True)
class _Event:
    """A change of a thing in a feed: its id, the number, what happened, and the fields that changed."""

    key: str
    seq: int
    event: str
    changed: list[str]


def list_accesses(work: Workspace, wanted: Wanted, principal: str) -> list[dict[str, Any]]:
    """Return accesses, the newest first; this look is written into the ledger first, and is among the next one's.

    A page of a feed is a person's where it gave a change of theirs, by its numbers and the fields that were granted; a page of
    a snapshot where they stood in its range of ids.

    Args:
        work: The open installation.
        wanted: Which.
        principal: Who asks.

    Raises:
        ConfigurationError: The person's id is none of the bus's own.
    """
    table = tables.accesses.c
    conditions: list[sa.ColumnElement[bool]] = []
    if wanted.person is not None:
        _require_id(wanted.person)
        conditions.append(sa.or_(table.persons.contains([wanted.person]), *_in_bulk(work, wanted.person)))
    if wanted.principal is not None:
        conditions.append(table.principal == wanted.principal)
    if wanted.since is not None:
        conditions.append(table.recorded_at >= wanted.since)
    told = ", ".join(f"{name} {value}" for name, value in vars(wanted).items() if value and name != "limit")
    persons = [wanted.person] if wanted.person else []
    accesses.record(work.store, principal, "accesses.list", told or "all", accesses.Seen(persons=persons))
    query = sa.select(*(table[name] for name in _SHOWN)).where(*conditions).order_by(table.id.desc())
    with work.store.engine.connect() as connection:
        found = connection.execute(query.limit(wanted.limit)).mappings().all()
    return [{**row, "recorded_at": row["recorded_at"].isoformat()} for row in found]


def _require_id(person: str) -> None:
    if not accesses.is_own_id(person):
        raise ConfigurationError(
            "this is none of the bus's own ids",
            next_step="give the id that `motlan lineage` shows; never an identifier.",
        )


def _in_bulk(work: Workspace, person: str) -> Iterator[sa.ColumnElement[bool]]:
    """Give conditions on the pages of feeds and snapshots that had a person, or something beside them."""
    table = tables.accesses.c
    registry = work.registry
    mirrors = [*map(mirror_of, registry.entities.values()), *map(mirror_of, registry.related_entities.values())]
    for mirror in mirrors:
        events = _events(work, mirror, person)
        ours = table.entity == mirror.name
        for event in events:
            page = sa.and_(ours, table.first_seq <= event.seq, table.last_seq >= event.seq)
            # Of an update a reader gets only what is granted; other events are about every value.
            yield page if event.event != "updated" else sa.and_(page, table.fields.overlap(event.changed))
        for key in {event.key for event in events}:
            mine = [event for event in events if event.key == key]
            for begin, end in zip(mine, [*mine[1:], None], strict=True):
                # What was erased since stood there until the next event.
                if begin.event not in ENDED_EVENTS or (begin.event == EVENT and end):
                    stood = [table.last_seq >= begin.seq, *([table.last_seq < end.seq] if end else [])]
                    yield sa.and_(ours, table.first_key <= key, table.last_key >= key, *stood)


def _events(work: Workspace, mirror: Mirror, person: str) -> list[_Event]:
    """Return what the feed said of a person, or of what is beside them, in order."""
    with work.store.engine.connect() as connection:
        if not sa.inspect(connection).has_table(mirror.feed_table):
            return []
        query = sa.text(
            f"select {mirror.key}::text as key, seq, event, changed from {mirror.feed_table} "
            f"where {mirror.owner} = cast(:person as uuid) order by seq"
        )
        return [_Event(*row) for row in connection.execute(query, {"person": person})]
