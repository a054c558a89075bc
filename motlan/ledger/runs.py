"""Runs: what was tried, how far it came, and which runs a reader may see.

A step that finished is not done again when its run is retried. A run is invisible until one transaction says otherwise.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from motlan.errors import ConfigurationError
from motlan.store import Store, tables

SEEN = ("visible", "published")
Counts = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """One run of the ledger."""

    id: str
    kind: str
    subject: str
    state: str
    steps: dict[str, Counts]


def begin(store: Store, kind: str, subject: str) -> Run:
    """Write down that a run begins. Ids sort by start."""
    run = f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{secrets.token_hex(2)}"
    with store.engine.begin() as connection:
        connection.execute(sa.insert(tables.runs).values(id=run, kind=kind, subject=subject, state="running"))
    return get(store, run)


def get(store: Store, run: str) -> Run:
    """Read a run.

    Raises:
        ConfigurationError: There is no such run.
    """
    table = tables.runs.c
    with store.engine.connect() as connection:
        columns = (table.id, table.kind, table.subject, table.state, table.steps)
        found = connection.execute(sa.select(*columns).where(table.id == run)).one_or_none()
    if found is None:
        raise ConfigurationError(f"there is no run {run}", next_step="see `motlan status`.")
    return Run(*found)


def step(store: Store, run: str, name: str, work: Callable[[Run], Counts]) -> Counts:
    """Do a step once: where the run finished it before, its counts are given back and nothing is done.

    Args:
        store: The open store.
        run: The run's id.
        name: The step's name.
        work: Does it; returns small counts without personal values.
    """
    current = get(store, run)
    if name in current.steps:
        return current.steps[name]
    started = time.perf_counter()
    counts = work(current)
    counts = {"run": run, **counts, "seconds": round(time.perf_counter() - started, 3)}
    with store.engine.begin() as connection:
        values = {"steps": _with(name, counts), "error": None}
        connection.execute(sa.update(tables.runs).where(tables.runs.c.id == run).values(**values))
    return counts


def note(store: Store, run: str, name: str, counts: Counts) -> None:
    """Write something down beside the steps of a run that is about to fail: counts, never a personal value."""
    with store.engine.begin() as connection:
        connection.execute(sa.update(tables.runs).where(tables.runs.c.id == run).values(steps=_with(name, counts)))


def _with(name: str, counts: Counts) -> sa.ColumnElement[Counts]:
    steps = tables.runs.c.steps
    return steps.op("||")(sa.cast({name: counts}, steps.type))


def set_state(connection: sa.Connection, run: str, state: str) -> None:
    """Move a run to its final state, in the caller's transaction."""
    values = {"state": state, "ended_at": sa.func.now()}
    connection.execute(sa.update(tables.runs).where(tables.runs.c.id == run).values(**values))


def fail(store: Store, run: str, reason: str) -> None:
    """Write down that a try of a run failed. A visible run stays visible, and one that waits for people waits.

    A retry may still finish it.
    """
    table = tables.runs
    unseen = sa.and_(table.c.id == run, table.c.state.not_in((*SEEN, "unchanged", "waiting", "refused")))
    with store.engine.begin() as connection:
        connection.execute(sa.update(table).where(unseen).values(state="failed", error=reason, ended_at=sa.func.now()))


def visible(connection: sa.Connection, kind: str, subject: str) -> list[str]:
    """Return the ids of the runs that readers may see, oldest first."""
    table = tables.runs.c
    query = sa.select(table.id).where(table.kind == kind, table.subject == subject, table.state.in_(SEEN))
    return list(connection.scalars(query.order_by(table.id)))


def replays(connection: sa.Connection, dataset: str) -> list[str]:
    """Return the ids of a dataset's runs that landed rows of its quarantine again, and pulled nothing."""
    table = tables.runs.c
    query = sa.select(table.id).where(table.kind == "sync", table.subject == dataset)
    return list(connection.scalars(query.where(table.steps["land"].has_key("replayed"))))


def record_snapshot(connection: sa.Connection, run: str, table: str, snapshot: int | None) -> None:
    """Name the lake's snapshot that holds a run's files of a table; None is where it staged no rows."""
    if snapshot is not None:
        connection.execute(sa.insert(tables.snapshots).values(run=run, table_name=table, snapshot_id=snapshot))
