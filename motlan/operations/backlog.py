"""What waits: for people, for the next run, for the next publication."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from motlan.ledger import runs
from motlan.ledger.results import Begun
from motlan.publication import publish
from motlan.quarantine import LIVE
from motlan.store import tables
from motlan.workspace import Workspace


def backlog(work: Workspace) -> dict[str, Any]:
    """Return what waits.

    Returns:
        `quarantine` (dataset -> entries that wait), `corrections` (dataset -> open), `unreconciled` (dataset -> visible sync runs
        that no whole reconcile run read yet), `unpublished` (runs that are whole and can be published: `run`, `entity`, `state`),
        `unprojected` (publications that PostgreSQL's tables do not have yet: `number`, `run`, `entity`).
    """
    with work.store.engine.connect() as connection:
        return {
            "quarantine": _quarantine(connection),
            "corrections": corrections(connection, work),
            "unreconciled": _unreconciled(connection, work),
            "unpublished": _unpublished(connection, work),
            "unprojected": _unprojected(connection),
        }


def _quarantine(connection: sa.Connection) -> dict[str, int]:
    table = tables.quarantine_entries.c
    query = sa.select(table.dataset, sa.func.count()).where(table.state.in_(LIVE)).group_by(table.dataset)
    return {row[0]: row[1] for row in connection.execute(query.order_by(table.dataset))}


def corrections(connection: sa.Connection, work: Workspace) -> dict[str, int]:
    """Count the corrections that are offered to owners and not yet made, by dataset."""
    found: dict[str, int] = {}
    for entity in work.registry.entities:
        table = f"corrections_{entity}"
        if sa.inspect(connection).has_table(table):
            by: sa.ColumnElement[str] = sa.column("dataset", sa.Text)
            counts = sa.select(by, sa.func.count()).select_from(sa.table(table)).group_by(by).order_by(by)
            for dataset, number in connection.execute(counts):
                found[dataset] = found.get(dataset, 0) + number
    return found


def _unreconciled(connection: sa.Connection, work: Workspace) -> dict[str, int]:
    found = {}
    for entity in work.registry.entities:
        read = _newest_inputs(connection, entity)
        for dataset in work.registry.datasets_of(entity):
            if number := len(set(runs.visible(connection, "sync", dataset.name)) - set(read.get(dataset.name, ()))):
                found[dataset.name] = number
    return found


def _newest_inputs(connection: sa.Connection, entity: str) -> dict[str, list[str]]:
    """Return the sync runs that the newest whole reconcile run of an entity read."""
    table = tables.runs.c
    whole = (*runs.SEEN, *runs.WAITING, "unchanged")
    query = sa.select(table.steps["begin"]).where(
        table.kind == "reconcile", table.subject == entity, table.state.in_(whole)
    )
    found = connection.execute(query.order_by(table.id.desc()).limit(1)).scalar_one_or_none()
    return Begun.read(found).inputs if found else {}


def _unpublished(connection: sa.Connection, work: Workspace) -> list[dict[str, str]]:
    """Return the runs that compare with the newest publication of their entity: others are stale."""
    table, found = tables.runs.c, []
    for entity in work.registry.entities:
        fresh = table.steps["begin"]["after_publication"].as_integer() == publish.last_number(connection, entity)
        mine = (table.kind == "reconcile", table.subject == entity, table.state.in_(runs.WAITING), fresh)
        query = sa.select(table.id, table.state).where(*mine).order_by(table.id.desc())
        found += [{"run": run, "entity": entity, "state": state} for run, state in connection.execute(query)]
    return found


def _unprojected(connection: sa.Connection) -> list[dict[str, Any]]:
    table = tables.publications.c
    query = sa.select(table.number, table.run, table.entity).where(table.projected_at.is_(None)).order_by(table.number)
    return [dict(row) for row in connection.execute(query).mappings()]
