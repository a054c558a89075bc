"""Checks of what the store and the lake hold: the log, what was published, runs, ages, what waits for people."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import sqlalchemy as sa

from motlan.ingest import timeliness
from motlan.lake.iceberg import Lake
from motlan.ledger import log, runs
from motlan.operations.findings import Finding
from motlan.publication import approval, hold, publish
from motlan.settings import Settings
from motlan.store import Store, tables
from motlan.store.session import migration
from motlan.workspace import Workspace

SETTLE = timedelta(minutes=10)
"""For how long an entry may be without a signature."""
KEY_DAYS = 14
"""Days before its end from which an API key is told of."""


def migrations(store: Store) -> Iterator[Finding]:
    """Find tables of another version."""
    with store.engine.connect() as connection:
        current, newest = migration(connection)
    if current != newest:
        has = f"are of version {current}" if current else "are not made yet"
        step = (
            f"`motlan status` brings them to version {newest}; if this goes on, they are of a newer bus than this one."
        )
        yield Finding("migrations", "broken", f"the store's tables {has}", step, "bad-release")


def lake_of(settings: Settings, store: Store) -> Lake:
    """Return the lake."""
    return Lake(settings, store)


def last_publication(store: Store) -> int:
    """Return the number of the newest publication; 0 where there is none."""
    with store.engine.connect() as connection:
        return publish.last_number(connection)


def published(settings: Settings, store: Store) -> Iterator[Finding]:
    """Compare what was published with the log, and with the lake."""
    with store.engine.connect() as connection:
        entry = log.first_broken(connection)
        unlogged = _unlogged(connection)
        recorded = connection.execute(_RECORDED).all()
    if entry is not None:
        what = f"entry {entry} of the log does not follow from the entries before it: it was altered, or one is missing"
        step = "`motlan hold publish`, then restore the log from a backup; nothing after this entry is proven."
        yield Finding("log-broken", "broken", what, step, "log-broken")
    if unlogged:
        what = f"publication {unlogged[0]} is not in the log as it stands in the ledger ({len(unlogged)} such)"
        yield Finding(
            "publication-altered", "broken", what, "`motlan hold publish`, then compare with a backup.", "wrong-publish"
        )
    lake, missing = lake_of(settings, store), {}
    for table in sorted({row.table_name for row in recorded}):
        files = lake.added(table)
        there = {file.run for file in files}
        lost = {file.run for file in files if not Path(file.path).is_file()}
        wanted = {row.run for row in recorded if row.table_name == table}
        if gone := sorted((wanted - there) | (wanted & {run for run in lost if run})):
            missing[table] = gone
    for table, gone in missing.items():
        what = f"the lake lacks files of {table} that {len(gone)} visible runs added, the first of run {gone[0]}"
        yield Finding(
            "lake-incomplete",
            "broken",
            what,
            "restore the lake from a backup: `motlan restore --help`.",
            "restore-backup",
        )


_RECORDED = (
    sa.select(tables.snapshots.c.run, tables.snapshots.c.table_name)
    .join(tables.runs, tables.runs.c.id == tables.snapshots.c.run)
    .where(tables.runs.c.state.in_(runs.SEEN))
)


def _unlogged(connection: sa.Connection) -> list[int]:
    """Return the publications of which the log says something else than the ledger, or nothing."""
    entry, row = tables.log_entries.c, tables.publications.c
    same = (
        entry.kind == "publication",
        entry.body["number"].as_integer() == row.number,
        entry.body["run"].astext == row.run,
        entry.body["first_seq"].as_integer() == row.first_seq,
        entry.body["changes"].as_integer() == row.changes,
    )
    query = sa.select(row.number).where(~sa.exists().where(*same)).order_by(row.number)
    return list(connection.scalars(query))


def runs_that_stopped(store: Store) -> Iterator[Finding]:
    """Find the newest runs of their subjects that failed or were abandoned."""
    table = tables.runs.c
    newest = sa.select(sa.func.max(table.id)).group_by(table.kind, table.subject)
    given_up = runs.abandoned(store)
    query = sa.select(table.id, table.kind, table.subject, table.state, table.error).where(table.id.in_(newest))
    with store.engine.connect() as connection:
        found = connection.execute(query.order_by(table.id)).all()
    for run, kind, subject, state, error in found:
        if state not in runs.STOPPED and run not in given_up:
            continue
        told = f"abandoned: {given_up[run]}" if run in given_up else error or state
        page = "agency-down" if kind == "sync" and told.startswith(("TransientError", "AccessError")) else "run-failed"
        what = f"{kind} of {subject}, run {run}: {told}"
        yield Finding("run-failed", "broken", what, f"`motlan runs show {run}`, then `motlan runs retry {run}`.", page)


def unprojected(store: Store) -> Iterator[Finding]:
    """Find publications that PostgreSQL's tables do not have."""
    table = tables.publications.c
    query = sa.select(table.entity, sa.func.count()).where(table.projected_at.is_(None)).group_by(table.entity)
    with store.engine.connect() as connection:
        found = connection.execute(query.order_by(table.entity)).all()
    for entity, number in found:
        what = f"{number} publications of {entity} are not in the feed's tables yet"
        yield Finding("not-projected", "broken", what, f"`motlan project --entity {entity}`.", "run-failed")


def unsigned(store: Store) -> Iterator[Finding]:
    """Find entries of the log that no checkpoint signs, though runs came to their end since."""
    entry, kept = tables.log_entries.c, sa.select(sa.func.max(tables.log_checkpoints.c.size)).scalar_subquery()
    with store.engine.connect() as connection:
        signed = connection.execute(sa.select(sa.func.coalesce(kept, 0))).scalar_one()
        later = sa.select(sa.func.count()).where(
            entry.index >= signed,
            entry.kind.in_(("landing", "publication")),
            entry.recorded_at < sa.func.now() - SETTLE,
        )
        number = connection.execute(later).scalar_one()
    if number:
        what = f"{number} landings and publications came since the log was signed last"
        step = "`motlan audit checkpoint` signs it, or says why it cannot be signed."
        yield Finding("log-unsigned", "warning", what, step, "log-broken")


def approvals(store: Store) -> Iterator[Finding]:
    """Find publications that wait for people."""
    for row in approval.listed(store):
        if row["state"] == "waiting" and not row["stale"]:
            what = f"run {row['run']} passes {row['passed']} limits of change, and waits for people"
            yield Finding(
                "approval-waiting", "warning", what, f"`motlan release show {row['run']}`.", "held-publication"
            )


def holds(store: Store) -> Iterator[Finding]:
    """Find what people or a restore hold."""
    for row in hold.listed(store):
        subject, restored = row["subject"], row["principal"] == hold.RESTORE
        step = (
            "`motlan restore confirm` reconciles with what was published last, and ends it."
            if restored
            else f"`motlan release {subject}`, once the reason is gone."
        )
        what = f"{subject} is held since {row['held_at'][:16]} UTC by {row['principal']}"
        yield Finding("held", "warning", what, step, "restore-backup" if restored else "held-publication")


def keys(store: Store) -> Iterator[Finding]:
    """Find agencies whose last valid API key ends soon."""
    table = tables.api_keys.c
    ends = sa.func.max(table.expires_at)
    query = sa.select(table.agency, ends).where(table.revoked_at.is_(None)).group_by(table.agency)
    soon = datetime.now(UTC) + timedelta(days=KEY_DAYS)
    with store.engine.connect() as connection:
        found = connection.execute(query.having(ends < soon).order_by(table.agency)).all()
    for agency, until in found:
        over = "ended" if until <= datetime.now(UTC) else "ends"
        what = f"the last API key of {agency} {over} on {until:%Y-%m-%d}"
        yield Finding("key-expiring", "warning", what, f"`motlan feeds key {agency}` makes another.", "lost-key")


def stale(work: Workspace) -> Iterator[Finding]:
    """Find data that are older than their owner promised."""
    for name, row in timeliness.timeliness(work).items():
        if not row["late"]:
            continue
        if row["why"] == timeliness.NEVER:
            what = f"{name} was never pulled"
            yield Finding("never-pulled", "warning", what, f"`motlan sync {name}`.", "stale-data")
            continue
        hours, promised = row["age"] / 3600, row["promised"] / 3600
        what = f"the newest data of {name} are {hours:,.1f} h old, {promised:g} h were promised"
        if row["why"] == timeliness.NOT_PULLED:
            yield Finding(
                "stale-data",
                "broken",
                f"{what}: nothing was pulled since {row['pulled_at'][:16]} UTC",
                f"`motlan sync {name}`.",
                "stale-data",
            )
        else:
            step = f"ask {work.registry.dataset(name).owner}; `motlan agencies check {name}`."
            yield Finding("stale-source", "warning", f"{what}: {row['why']}", step, "stale-data")
