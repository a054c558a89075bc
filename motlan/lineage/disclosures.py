"""Who has seen a person's values: agencies by the feeds, and people and auditors one by one.

An agency has received a value where a page that it read has a line of this person: every line brings all the fields that the
agency is allowed. What is read of the ledger is what was written before each answer was given.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from motlan.config.registry import Entity
from motlan.projection.tables import mirror_of
from motlan.store import tables
from motlan.workspace import Workspace

Tree = dict[str, Any]
FEEDS = ("feed.read", "feed.snapshot")
_CHANGES = re.compile(r"(\w+) after (\d+) limit (\d+)")
_SNAPSHOT = re.compile(r"(\w+) after ([0-9a-f-]{36}|none) limit (\d+)")
LISTED = 1000
"""Looks at one person that are listed at the most, the newest."""


def read_looks(work: Workspace, person: str, moment: datetime | None) -> list[Tree]:
    """Return who looked at a person one by one, oldest first: `who`, `what`, `at`, and `purpose`, `legal_basis`, `fields`."""
    table = tables.accesses.c
    query = sa.select(tables.accesses).where(table.persons.contains([person]), table.action.not_in(FEEDS))
    if moment:
        query = query.where(table.recorded_at <= moment)
    with work.store.engine.connect() as connection:
        found = connection.execute(query.order_by(table.id.desc()).limit(LISTED)).mappings().all()
    return [
        {"who": row["principal"], "what": row["action"], "at": row["recorded_at"].isoformat(), **_recorded(dict(row))}
        for row in reversed(found)
    ]


def _recorded(row: Mapping[str, Any]) -> Tree:
    """Return what an entry says of why and of what, as far as it does."""
    return {name: row[name] for name in ("purpose", "legal_basis", "fields", "case_reference") if row[name]}


def read_recipients(
    work: Workspace, entity: str, person: str, changes: Sequence[Tree], moment: datetime | None
) -> list[Tree]:
    """Return which agencies received lines of a person by the feed, oldest first.

    Args:
        work: The open installation.
        entity: The entity's name.
        person: The bus's own person id.
        changes: The feed's numbers of the person (see `value_history.Published.feed_numbers`).
        moment: Until when; None for now.

    Returns:
        Of each: `agency`, `at`, `how` (`changes` or `snapshot`), `seq` and `publication` of the line, `fields` (those that it
        brought), `legal_basis`, and where the entry says so `purpose`.
    """
    of = work.registry.entity(entity)
    table = tables.accesses.c
    numbers = [change["seq"] for change in changes]
    ranged = sa.or_(
        sa.and_(table.first_seq <= max(numbers, default=0), table.last_seq >= min(numbers, default=0)),
        sa.and_(table.first_key <= sa.cast(person, sa.UUID), table.last_key >= sa.cast(person, sa.UUID)),
    )
    mine = sa.and_(table.entity == entity, ranged)
    # What was written down before the ranges of answers were has the question alone.
    older = sa.and_(table.entity.is_(None), table.subject.startswith(f"{entity} "))
    query = sa.select(tables.accesses).where(table.action.in_(FEEDS), sa.or_(mine, older))
    if moment:
        query = query.where(table.recorded_at <= moment)
    told = []
    with work.store.engine.connect() as connection:
        for row in map(dict, connection.execute(query.order_by(table.id)).mappings().all()):
            for change in _brought(connection, of, person, row, changes):
                grant = of.grants.get(row["principal"])
                fields = row.get("fields") or (grant.fields if grant else [])
                told.append(
                    {
                        "agency": row["principal"],
                        "at": row["recorded_at"].isoformat(),
                        "how": "changes" if row["action"] == FEEDS[0] else "snapshot",
                        "seq": change["seq"],
                        "publication": change["publication"],
                        "fields": [name for name in fields if change["row"].get(name) is not None],
                        "legal_basis": row.get("legal_basis") or (grant.legal_basis if grant else None),
                        **({"purpose": row["purpose"]} if row.get("purpose") else {}),
                    }
                )
    return told


def _brought(
    connection: sa.Connection, entity: Entity, person: str, row: Mapping[str, Any], changes: Sequence[Tree]
) -> Iterator[Tree]:
    """Give the changes of a person that the answer to one call of the feed had."""
    at = row["recorded_at"].isoformat()
    there = [change for change in changes if change["recorded_at"] <= at]
    if row["entity"] and row["action"] == FEEDS[1]:
        yield from [change for change in there if change["seq"] <= row["last_seq"]][-1:]
        return
    if row["action"] == FEEDS[1]:
        if there and there[-1]["event"] != "removed" and _in_snapshot(connection, entity, person, row["subject"]):
            yield there[-1]
        return
    found = _CHANGES.fullmatch(row["subject"])
    first = row.get("first_seq") or (int(found.group(2)) + 1 if found else None)
    if first is None:
        return
    grant = entity.grants.get(row["principal"])
    fields = row.get("fields") or (grant.fields if grant else [])
    passing = [change for change in there if change["event"] != "updated" or {*change["changed"]} & {*fields}]
    mine = [change for change in passing if change["seq"] >= first]
    if not mine:
        return
    last = row.get("last_seq")
    if last is None and found:
        last = _last(connection, entity, first - 1, int(found.group(3)), list(fields), mine[0]["seq"])
    yield from (change for change in mine if last is not None and change["seq"] <= last)


def _last(
    connection: sa.Connection, entity: Entity, after: int, limit: int, fields: list[str], wanted: int
) -> int | None:
    """Return the last number that a page has: at least so many numbers on, more where lines that tell nothing are left out."""
    if wanted <= after + limit:
        return after + limit
    feed = sa.table(mirror_of(entity).feed_table, *(sa.column(name) for name in ("seq", "event", "changed")))
    told = sa.or_(feed.c.event != "updated", feed.c.changed.op("&&")(sa.cast(fields, sa.ARRAY(sa.Text))))
    query = sa.select(feed.c.seq).where(feed.c.seq > after, told).order_by(feed.c.seq).offset(limit - 1).limit(1)
    found: int | None = connection.execute(query).scalar_one_or_none()
    return wanted if found is None else found


def _in_snapshot(connection: sa.Connection, entity: Entity, person: str, subject: str) -> bool:
    """Tell whether a page of a snapshot has a person: by today's persons, for those of that day are not kept in order."""
    found = _SNAPSHOT.fullmatch(subject)
    if not found or (found.group(2) >= person and found.group(2) != "none"):
        return False
    mirror = mirror_of(entity)
    key = sa.column(mirror.key, sa.Uuid)
    between = sa.select(key).select_from(sa.table(mirror.golden_table)).where(key <= sa.cast(person, sa.Uuid))
    if found.group(2) != "none":
        between = between.where(key > sa.cast(found.group(2), sa.Uuid))
    counted = sa.select(sa.func.count()).select_from(between.limit(int(found.group(3)) + 1).subquery())
    return int(connection.execute(counted).scalar_one()) <= int(found.group(3))
