"""Sweep: what killed runs and processes left is removed by the next run, and never what a live one uses.

Three things are left: folders of what passed between the steps of a run, folders of processes (spilled files, exports, Spark's
own), and files that a run staged or even added to the lake's tables, and that nobody will ever read. What PostgreSQL is killed
with goes by itself: its temporary tables, and the schema in which a projection is built aside, end with their transaction.
"""

from __future__ import annotations

import logging
import re
import shutil
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import sqlalchemy as sa

from motlan import processes
from motlan.errors import TransientError
from motlan.lake.expire import Expired
from motlan.lake.expire import expire as expire_table
from motlan.ledger import holds, runs
from motlan.store import tables
from motlan.workspace import Workspace

log = logging.getLogger(__name__)
RUN = re.compile(r"\d{8}T\d{12}-[0-9a-f]{4}")
"""A run's id, which names its folders."""
OPEN = ("running", *runs.WAITING)
"""States of a run whose folder is still needed."""
FREQUENCIES = "frequencies"
"""Namespace of the lake's tables of models' frequencies."""
UNSURE_S = 86_400.0
"""Age in seconds after which a folder goes whose owner cannot be looked up: of another machine, or an unknown run."""
OLD_SPILL = re.compile(r"duckdb_temp_.*|spark-[0-9a-f]{32}|export-\d+")
"""What earlier versions left in the scratch folder itself."""


def sweep(work: Workspace) -> int:
    """Remove what is left in the scratch folder, or half written among the payloads, and needed no more; return how many."""
    left = [
        path
        for folder in (work.settings.scratch, work.settings.payloads)
        if folder.is_dir()
        for path in folder.iterdir()
    ]
    needed = _needed(work, [path.name for path in left if RUN.fullmatch(path.name)])
    gone = [path for path in left if _is_left(path, needed)]
    for path in gone:
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
    return len(gone)


def _is_left(path: Path, needed: dict[str, bool]) -> bool:
    """Tell whether nobody needs a thing of the scratch folder."""
    if RUN.fullmatch(path.name):
        known = needed.get(path.name)
        return _is_old(path) if known is None else not known
    if process := processes.of_folder(path.name):
        lives = process.lives()
        return _is_old(path) if lives is None else not lives
    return bool(OLD_SPILL.fullmatch(path.name)) and _is_old(path)


def _is_old(path: Path) -> bool:
    try:
        newest = max((file.lstat().st_mtime for file in (path, *path.rglob("*"))), default=0.0)
    except OSError:  # somebody is at work in it
        return False
    return time.time() - newest > UNSURE_S


def _needed(work: Workspace, names: list[str]) -> dict[str, bool]:
    """Tell of runs whether their folders are needed: those that are open, and those that a retry may go on with."""
    if not names:
        return {}
    table, newer = tables.runs, tables.runs.alias("newer")
    same = sa.and_(newer.c.kind == table.c.kind, newer.c.subject == table.c.subject, newer.c.id > table.c.id)
    retried = sa.and_(table.c.state.in_(runs.STOPPED), ~sa.exists().where(same))
    query = sa.select(table.c.id, sa.or_(table.c.state.in_(OPEN), retried)).where(table.c.id.in_(names))
    with work.store.engine.connect() as connection:
        return {row[0]: row[1] for row in connection.execute(query)}


def discard(work: Workspace, kind: str, subject: str, *, newest_too: bool = False) -> list[str]:
    """Remove what earlier runs of a subject put into the lake and will never make visible; return these runs.

    The caller has the subject's lock, and has begun a newer run: so no retry goes on with one of them.

    Args:
        work: The open installation.
        kind: The runs' kind.
        subject: Their subject.
        newest_too: Whether no retry goes on with the newest run either, though no newer one was begun.
    """
    table = tables.runs
    newest = (
        sa.select(sa.func.max(table.c.id)).where(table.c.kind == kind, table.c.subject == subject).scalar_subquery()
    )
    query = sa.select(table.c.id).where(
        table.c.kind == kind,
        table.c.subject == subject,
        table.c.state.in_(runs.CLOSED),
        table.c.swept_at.is_(None),
        sa.or_(table.c.id < newest, sa.literal(newest_too)),
    )
    models = tables.link_models.c
    with work.store.engine.connect() as connection:
        found = list(connection.scalars(query))
        # A model is released by the linking that learned it, whatever becomes of its run, and reads its frequencies.
        learned = set(connection.scalars(sa.select(models.run).where(models.run.in_(found))))
    return [run for run in found if _discarded(work, run, frequencies=run not in learned)]


def _discarded(work: Workspace, run: str, *, frequencies: bool) -> bool:
    try:
        for folder in sorted(work.lake.root.glob(f"*/*/run={run}")):
            if frequencies or folder.parent.parent.name != FREQUENCIES:
                work.lake.discard(f"{folder.parent.parent.name}.{folder.parent.name}", run)
    except Exception as error:  # noqa: BLE001 - what is left is for a later run; it must not stop this one
        log.warning("What run %s left in the lake stays for now (%s)", run, type(error).__name__)
        return False
    with work.store.engine.begin() as connection:
        connection.execute(sa.update(tables.runs).where(tables.runs.c.id == run).values(swept_at=sa.func.now()))
    return True


def expire(work: Workspace, days: int) -> dict[str, int]:
    """Remove the lake's metadata of snapshots that are older than some days, of each table that nobody writes now.

    Args:
        work: The open installation.
        days: How old.

    Returns:
        `snapshots`, `files` and `bytes` that were removed, and `busy`: tables that were left for the next time.
    """
    before = datetime.now(UTC) - timedelta(days=days)
    with work.store.engine.connect() as connection:
        known = [table for table in work.lake.tables(connection) if not table.startswith(f"{FREQUENCIES}.")]
    by_lock: dict[tuple[str, ...], list[str]] = {}
    for table in known:
        by_lock.setdefault(_writers(work, table), []).append(table)
    found, busy = Expired(), 0
    for locks, names in by_lock.items():
        try:
            with ExitStack() as held:
                for lock in locks:
                    held.enter_context(holds.hold(work.store, lock))
                found = sum((expire_table(work.lake, name, before) for name in names), found)
        except TransientError:
            busy += len(names)
    return {"snapshots": found.snapshots, "files": found.files, "bytes": found.size, "busy": busy}


def _writers(work: Workspace, table: str) -> tuple[str, ...]:
    """Return the locks under which a table is written: its dataset's, or those of every linked entity."""
    name = table.split(".")[1]
    if name in work.registry.datasets:
        return (holds.lock_of("sync", name),)
    return tuple(holds.lock_of(kind, entity) for entity in work.registry.entities for kind in ("reconcile", "care"))
