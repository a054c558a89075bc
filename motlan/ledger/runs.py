"""Runs: what was tried, how far it came, and which runs a reader may see.

A step that finished is not done again when its run is retried. A run is invisible until one transaction says otherwise.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from motlan.errors import ConfigurationError, ContractError, InternalError, MotlanError
from motlan.ledger import changed_states, holds
from motlan.ledger.results import Result
from motlan.settings import sizes
from motlan.store import Store, tables
from motlan.telemetry import scope, traces

SEEN = ("visible", "published")
STOPPED = ("failed", "abandoned")
"""States of a run that a retry goes on with, as long as no newer run of its subject took its place."""
ABORTED = "aborted"
"""State of a run that a person closed: nobody goes on with it."""
RETRACTED = "retracted"
"""State of a sync run that was taken back (see `motlan.ingest.retraction`): its rows stay, and nobody reads them as current."""
CLOSED = (*STOPPED, ABORTED)
"""States of a run whose open work is not kept."""
WAITING = ("reconciled", "waiting", "released")
"""States of a run that is whole and not published yet: nobody is at work on it."""
ASKED = "asked"
"""Name, beside the steps of a run, of what was asked for, where that is more than its kind says."""
Counts = dict[str, Any]
R = TypeVar("R", bound=Result)
_log = logging.getLogger("motlan.steps")
_log.addHandler(logging.NullHandler())  # silent where nobody set up a log: the command line tells of its steps itself


@dataclass(frozen=True)
class Run:
    """One run of the ledger."""

    id: str
    kind: str
    subject: str
    state: str
    steps: dict[str, Counts]

    def result(self, kind: type[R]) -> R:
        """Return what a step of the run returned.

        Raises:
            InternalError: The step is not done.
        """
        found = self.find_result(kind)
        if found is None:
            raise InternalError(
                f"the step {kind.step} of this run is not done", where=self.id, next_step="report this."
            )
        return found

    def find_result(self, kind: type[R]) -> R | None:
        """Return what a step of the run returned; None where it is not done."""
        return kind.read(self.steps[kind.step]) if kind.step in self.steps else None


def begin(
    store: Store,
    kind: str,
    subject: str,
    job: str | None = None,
    *,
    rests: bool = False,
    asked: Counts | None = None,
) -> Run:
    """Write down that a run begins, and who does it. Ids sort by start.

    Args:
        store: The open store.
        kind: `sync`, `reconcile` or `fit`.
        subject: A dataset, or an entity.
        job: What of a scheduler asked for it.
        rests: Whether its steps are processes of their own, so that this one need not live until its end.
        asked: What was asked for, where that is more than the kind says, for whoever goes on with the run.
    """
    run = f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{secrets.token_hex(2)}"
    held = holds.holder(holds.lock_of(kind, subject), None, job, rests=rests)
    values = {"id": run, "kind": kind, "subject": subject, "state": "running", "holder": held, "held_at": sa.func.now()}
    values |= {"steps": {ASKED: asked} if asked else {}}
    with store.engine.begin() as connection:
        connection.execute(sa.insert(tables.runs).values(**values))
    changed_states.note(run)
    return get(store, run)


@contextmanager
def alone(store: Store, kind: str, subject: str, job: str | None = None) -> Iterator[None]:
    """Be the only one that works on a subject, to begin a run of it; earlier runs that nobody goes on with are closed.

    Args:
        store: The open store.
        kind: As of `begin`.
        subject: As of `begin`.
        job: As of `begin`. A job that begins a run goes on with no earlier one of its own.

    Raises:
        TransientError: Another run of the subject is still under way. It is named.
    """
    lock, deadline = holds.lock_of(kind, subject), time.monotonic() + holds.patience()
    while True:
        with holds.hold(store, lock, wait=deadline - time.monotonic()):
            other = _under_way(store, kind, subject, job)
            if other is None:
                close_abandoned(store)
                yield
                return
        if time.monotonic() >= deadline:
            raise holds.under_way(lock, other)
        time.sleep(holds.POLL)


def _under_way(store: Store, kind: str, subject: str, job: str | None) -> sa.RowMapping | None:
    """Return a run of a subject that somebody goes on with, and close all others. The caller has the subject's lock."""
    for row in _running(store, kind, subject):
        held, idle = row["holder"] or {}, row["now"] - row["held_at"]
        reason = holds.gone(store, holds.lock_of(kind, subject), held, row["held_at"], row["now"], ours=True)
        if (
            not reason
            and held.get("rests")
            and (idle > timedelta(seconds=sizes().rest_seconds) or (job and job == held.get("job")))
        ):
            reason = "another run of it began, and nobody was at work on this one"
        if not reason:
            return row
        _close(store, row, reason)
    return None


def close_stale(connection: sa.Connection, kind: str, subject: str, after: int) -> None:
    """Close the runs that are whole and can never be published: another one was, since they began.

    Args:
        connection: In the caller's transaction.
        kind: `reconcile`.
        subject: The entity.
        after: The number of the newest publication.
    """
    table = tables.runs
    stale = table.c.steps["begin"]["after_publication"].as_integer() < after
    mine = (table.c.kind == kind, table.c.subject == subject, table.c.state == "reconciled", stale)
    values = {
        "state": "abandoned",
        "error": "abandoned: another run was published since it began",
        "ended_at": sa.func.now(),
    }
    connection.execute(sa.update(table).where(*mine).values(**values))


def close_abandoned(store: Store) -> list[str]:
    """Close the runs that nobody will go on with, with the reason; return their ids. A retry may still finish one."""
    return [row["id"] for row, reason in _abandoned(store) if _close(store, row, reason)]


def replaced_by(connection: sa.Connection, run: Run) -> str | None:
    """Return the newest run of the same subject that began after a run; None where there is none."""
    table = tables.runs.c
    newer = sa.select(sa.func.max(table.id)).where(table.kind == run.kind, table.subject == run.subject)
    found: str | None = connection.execute(newer.where(table.id > run.id)).scalar_one()
    return found


def abandoned(store: Store) -> dict[str, str]:
    """Return the runs that are open and that nobody will go on with: id -> why. Nothing is changed."""
    return {row["id"]: reason for row, reason in _abandoned(store)}


def at_work(store: Store) -> list[dict[str, Any]]:
    """Return the runs that are open: `run`, `kind`, `subject`, `told` (step, since when, by whom, which process), `abandoned`.

    The last says why nobody will go on with it; None where somebody may.
    """
    given_up = abandoned(store)
    return [
        {
            "run": row["id"],
            "kind": row["kind"],
            "subject": row["subject"],
            "told": holds.describe(row["holder"], row["held_at"]),
            "abandoned": given_up.get(row["id"]),
        }
        for row in _running(store)
    ]


def _abandoned(store: Store) -> list[tuple[sa.RowMapping, str]]:
    found = []
    for row in _running(store):
        lock = holds.lock_of(row["kind"], row["subject"])
        reason = holds.gone(store, lock, row["holder"], row["held_at"], row["now"], ours=False)
        if reason:
            found.append((row, reason))
    return found


def _running(store: Store, kind: str | None = None, subject: str | None = None) -> list[sa.RowMapping]:
    table = tables.runs.c
    since = sa.func.coalesce(table.held_at, table.started_at).label("held_at")
    columns = (table.id, table.kind, table.subject, table.holder, since, sa.func.now().label("now"))
    query = sa.select(*columns).where(table.state == "running").order_by(table.id)
    if kind:
        query = query.where(table.kind == kind, table.subject == subject)
    with store.engine.connect() as connection:
        return list(connection.execute(query).mappings())


def _close(store: Store, row: sa.RowMapping, reason: str) -> bool:
    """Close a run, if nobody took it up meanwhile."""
    table = tables.runs
    since = sa.func.coalesce(table.c.held_at, table.c.started_at)
    same = (table.c.id == row["id"], table.c.state == "running", since == row["held_at"])
    values = {"state": "abandoned", "error": f"abandoned: {reason}", "ended_at": sa.func.now()}
    changed_states.note(row["id"])
    with store.engine.begin() as connection:
        return bool(connection.execute(sa.update(table).where(*same).values(**values)).rowcount)


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
        raise ConfigurationError(f"there is no run {run}", next_step="see `motlan runs list`.")
    return Run(*found)


def step(
    store: Store,
    run: str,
    name: str,
    work: Callable[[Run], Result | Counts],
    *,
    lock: str | None = None,
    ends: str | None = None,
) -> Counts:
    """Do a step once: where the run finished it before, its counts are given back and nothing is done.

    Args:
        store: The open store.
        run: The run's id.
        name: The step's name.
        work: Does it; returns its result, small and without personal values.
        lock: What one process at a time does; the run's kind where absent.
        ends: The state of the run when the step is done, where nobody is at work on it then.

    Raises:
        ContractError: The run was closed, before or meanwhile, and a newer one took its place.
        TransientError: Another process is at work on the run's subject. It is named.
    """
    current = get(store, run)
    if name in current.steps:
        return current.steps[name]
    with working(store, current, name, lock):
        current = get(store, run)
        if name in current.steps:  # done by the one that had the lock before
            return current.steps[name]
        started = time.perf_counter()
        found = work(current)
        counts = found.counts() if isinstance(found, Result) else found
        counts = {"run": run, **counts, "seconds": round(time.perf_counter() - started, 3)}
        traces.annotate({}, counts)
        with store.engine.begin() as connection:
            require_open(connection, run)
            values = {"steps": _with(name, counts), "error": None}
            connection.execute(sa.update(tables.runs).where(tables.runs.c.id == run).values(**values))
            if ends:
                set_state(connection, run, ends)
        told = {"counts": {"seconds": counts["seconds"]}}
        _log.info("run %s: %s of %s: %s", run, name, current.subject, _numbers(counts), extra=told)
        return counts


@contextmanager
def working(store: Store, run: Run, name: str, lock: str | None = None) -> Iterator[None]:
    """Be the one that works on a run, and be named as such; a run that was given up is open again.

    Args:
        store: The open store.
        run: The run.
        name: The step's name.
        lock: What one process at a time does; the run's kind where absent.

    Raises:
        ContractError: A newer run took the place of this one.
        TransientError: Another process is at work on the run's subject. It is named.
    """
    locked = holds.lock_of(lock or run.kind, run.subject)
    names = {"run": run.id, "step": name, "kind": run.kind, "subject": run.subject}
    traces.annotate(names)
    with scope.at_work(**names), holds.hold(store, locked, wait=holds.patience()) as outermost:
        rests = _take_up(store, run, holds.holder(locked, name, None, rests=False)) or outermost
        failure: BaseException | None = None
        try:
            yield
        except BaseException as error:
            failure = error
            _log.warning("run %s: %s of %s failed: %s", run.id, name, run.subject, words(error))
            raise
        finally:
            with suppress(DBAPIError):  # what ended the step is what is told
                _let_go(store, run.id, holds.holder(locked, None, None, rests=rests), failure)


def _take_up(store: Store, run: Run, held: holds.Holder) -> bool:
    """Name who is at work on a run, and open it again where it was given up; tell whether it rested."""
    table = tables.runs
    with store.engine.begin() as connection:
        query = sa.select(table.c.id, table.c.state, table.c.holder, table.c.held_at)
        row = connection.execute(query.where(table.c.id == run.id).with_for_update(key_share=True)).mappings().one()
        if row["holder"] and holds.works_elsewhere(row["holder"]):
            raise holds.under_way(held["lock"], row)
        if row["state"] == ABORTED:
            raise replaced(run.id, "a person aborted it")
        if row["state"] in STOPPED:
            if found := replaced_by(connection, run):
                raise replaced(run.id, f"run {found} took its place")
            again = {"state": "running", "ended_at": None}
            connection.execute(sa.update(table).where(table.c.id == run.id).values(**again))
            changed_states.note(run.id)
        _name(connection, run.id, held)
    return bool(row["holder"] and row["holder"]["rests"])


def _let_go(store: Store, run: str, held: holds.Holder, failure: BaseException | None) -> None:
    """Name nobody as at work on a run; why a try of an open one failed is told while its next try is waited for."""
    table = tables.runs
    with store.engine.begin() as connection:
        _name(connection, run, held)
        if failure is not None:
            mine = (table.c.id == run, table.c.state == "running")
            connection.execute(sa.update(table).where(*mine).values(error=words(failure)))


def _numbers(counts: Counts) -> str:
    """Return a step's numbers as people read them: nothing else of its counts is told in a log."""
    told = (
        (key, value) for key, value in counts.items() if isinstance(value, int | float) and not isinstance(value, bool)
    )
    return ", ".join(f"{key} {value:,}" for key, value in told)


def words(error: BaseException) -> str:
    """Return what may be told of an error: our own errors' words, of any other one its class only (libraries quote values)."""
    if isinstance(error, KeyboardInterrupt):
        return "a person stopped it (Ctrl-C)"
    return f"{type(error).__name__}: {error}" if isinstance(error, MotlanError) else type(error).__name__


def _name(connection: sa.Connection, run: str, held: holds.Holder) -> None:
    """Write down who holds a run; the job that began it stays named."""
    table = tables.runs
    job = sa.func.jsonb_build_object("job", sa.func.coalesce(table.c.holder, sa.cast({}, table.c.holder.type))["job"])
    said = sa.cast(held, table.c.holder.type).op("||")(job)
    connection.execute(sa.update(table).where(table.c.id == run).values(holder=said, held_at=sa.func.now()))


def require_open(connection: sa.Connection, run: str) -> None:
    """Let a run's work be kept, in the caller's transaction, unless somebody closed the run meanwhile.

    Raises:
        ContractError: It was closed.
    """
    query = sa.select(tables.runs.c.state).where(tables.runs.c.id == run).with_for_update(key_share=True)
    if connection.execute(query).scalar_one() in CLOSED:
        raise replaced(run, "it was closed while this step was at work")


def replaced(run: str, why: str) -> ContractError:
    """Return the error that says that a run is over, and why."""
    return ContractError(
        f"this run is over: {why}", where=run, next_step="nothing is lost: a new run does what this one left undone."
    )


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
    changed_states.note(run)


def fail(store: Store, run: str, reason: str) -> None:
    """Write down that a try of a run failed. A visible run stays visible, and one that waits (for people, or to be
    published) waits.

    A retry may still finish it.
    """
    table = tables.runs
    unseen = sa.and_(table.c.id == run, table.c.state.not_in((*SEEN, *WAITING, "unchanged", "refused", ABORTED)))
    with store.engine.begin() as connection:
        connection.execute(sa.update(table).where(unseen).values(state="failed", error=reason, ended_at=sa.func.now()))
        waits = sa.and_(table.c.id == run, table.c.state.in_(WAITING))
        connection.execute(sa.update(table).where(waits).values(error=reason))
    changed_states.note(run)


def visible(connection: sa.Connection, kind: str, subject: str) -> list[str]:
    """Return the ids of the runs that readers may see, oldest first."""
    table = tables.runs.c
    query = sa.select(table.id).where(table.kind == kind, table.subject == subject, table.state.in_(SEEN))
    return list(connection.scalars(query.order_by(table.id)))


def newest_done(connection: sa.Connection, kind: str, subject: str) -> str | None:
    """Return the id of the newest run that readers may see, or that found nothing to show; None where there is none."""
    table = tables.runs.c
    query = sa.select(sa.func.max(table.id)).where(table.kind == kind, table.subject == subject)
    found: str | None = connection.scalars(query.where(table.state.in_((*SEEN, "unchanged")))).one()
    return found


def newest_unread(
    connection: sa.Connection, entity: str, datasets: Sequence[str], *, by_hand: bool = False
) -> str | None:
    """Return the newest visible sync run that the newest reconcile run under way or done does not read; None where there is none.

    Args:
        connection: Of the store.
        entity: The linked entity.
        datasets: Names of its datasets.
        by_hand: Whether only runs count that no job of a scheduler made.
    """
    table = tables.runs.c
    begun = sa.select(table.steps["begin"]["inputs"]).where(
        table.kind == "reconcile", table.subject == entity, table.steps.has_key("begin"), table.state.not_in(CLOSED)
    )
    inputs = connection.execute(begun.order_by(table.id.desc()).limit(1)).scalar_one_or_none() or {}
    known = [run for read in inputs.values() for run in read]
    mine = (table.kind == "sync", table.subject.in_(datasets), table.state.in_(SEEN), table.id.not_in(known))
    query = sa.select(sa.func.max(table.id)).where(*mine)
    if by_hand:
        query = query.where(table.holder["job"].as_string().is_(None))
    found: str | None = connection.execute(query).scalar_one()
    return found


def newest_of_jobs(connection: sa.Connection, dataset: str, jobs: str, but: str, hours: float) -> str | None:
    """Return the newest sync run of a dataset, under way or done, that a job began in the last hours.

    Args:
        connection: Of the store.
        dataset: The dataset.
        jobs: What the jobs' names begin with.
        but: The job that asks.
        hours: How long ago at the most.
    """
    table = tables.runs.c
    job = table.holder["job"].as_string()
    mine = (table.kind == "sync", table.subject == dataset, job.startswith(jobs, autoescape=True), job != but)
    recent = table.started_at > sa.func.now() - timedelta(hours=hours)
    query = sa.select(table.id).where(*mine, recent, table.state.in_((*SEEN, "unchanged", "running")))
    return connection.execute(query.order_by(table.id.desc()).limit(1)).scalar_one_or_none()


def retracted(connection: sa.Connection, datasets: Sequence[str]) -> dict[str, list[str]]:
    """Return the ids of the sync runs that were taken back, by dataset."""
    table = tables.runs.c
    query = sa.select(table.subject, table.id).where(table.kind == "sync", table.subject.in_(datasets))
    found: dict[str, list[str]] = {}
    for dataset, run in connection.execute(query.where(table.state == RETRACTED).order_by(table.id)):
        found.setdefault(dataset, []).append(run)
    return found


def replays(connection: sa.Connection, dataset: str) -> list[str]:
    """Return the ids of a dataset's runs that landed rows of its quarantine again, and pulled nothing."""
    table = tables.runs.c
    query = sa.select(table.id).where(table.kind == "sync", table.subject == dataset)
    return list(connection.scalars(query.where(table.steps["land"].has_key("replayed"))))


def record_snapshot(connection: sa.Connection, run: str, table: str, snapshot: int | None) -> None:
    """Name the lake's snapshot that holds a run's files of a table; None is where it staged no rows."""
    if snapshot is not None:
        connection.execute(sa.insert(tables.snapshots).values(run=run, table_name=table, snapshot_id=snapshot))
