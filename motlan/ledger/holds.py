"""Who works on what: one process at a time on a subject, known by its name, and known as gone when it is.

A session's advisory lock of PostgreSQL says that somebody works; it ends with its process, however that ended. Beside it the
run names who that is. Where PostgreSQL itself was started anew, its locks are gone and the named process is looked up instead.
A scheduler's tasks are processes one after another: between two of them a run rests, and nobody needs to live.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from motlan import processes
from motlan.errors import TransientError
from motlan.settings import patience as declared_patience
from motlan.store import Store, tables

LEASE = timedelta(hours=2)
"""After so long without a task a scheduler's run counts as abandoned; no wait between two tries is longer than one hour."""
POLL = 0.25
NAMING = 4
"""How often a holder is looked for that has its lock and has not written its name yet."""
_patience: ContextVar[float | None] = ContextVar("patience", default=None)
_mine = threading.local()
_ours: set[tuple[int, str, str]] = set()
"""What any thread of this process holds: its number (a fork holds nothing), the store and the lock."""

Holder = dict[str, Any]


def lock_of(kind: str, subject: str) -> str:
    """Return the name of what one process at a time works on."""
    return f"{kind}:{subject}"


@contextmanager
def patient(seconds: float | None) -> Iterator[None]:
    """Let what is done in this block wait so long for others, or as long as is set where None."""
    before = _patience.set(seconds)
    try:
        yield
    finally:
        _patience.reset(before)


def patience() -> float:
    """Return how many seconds to wait for another process that is at work on the same."""
    told = _patience.get()
    return declared_patience() if told is None else told


def _number(lock: str) -> int:
    return int.from_bytes(hashlib.sha256(lock.encode()).digest()[:8], "big", signed=True)


def holder(lock: str, step: str | None, job: str | None, *, rests: bool) -> Holder:
    """Return who works here now, as a run names it.

    Args:
        lock: What is worked on.
        step: The step, None between two.
        job: What of a scheduler asked for it.
        rests: Whether nobody needs to live until the next step.
    """
    return {**processes.me().as_dict(), "by": _user(), "lock": lock, "step": step, "job": job, "rests": rests}


def _user() -> str:
    """Return the account that runs this process; what the environment says of it is no proof."""
    try:
        return f"user:{pwd.getpwuid(os.getuid()).pw_name}"
    except KeyError:  # an account without a name
        return f"user:{os.getuid()}"


def _held_here() -> set[tuple[int, str, str]]:
    """Return what this thread of this process holds."""
    found: set[tuple[int, str, str]] = _mine.__dict__.setdefault("held", set())
    return found


@contextmanager
def hold(store: Store, lock: str, *, wait: float = 0) -> Iterator[bool]:
    """Be the one that works on a subject. Within a block that has it already this is no new one.

    Args:
        store: The open store.
        lock: From `lock_of`.
        wait: Seconds to wait for who has it.

    Yields:
        Whether this block is the outermost of this thread.

    Raises:
        TransientError: Another process, or thread, still works on it. It is named.
    """
    mine = (processes.me().pid, store.url, lock)
    if mine in _held_here():
        yield False
        return
    with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if not _taken(connection, lock, wait):
            raise under_way(lock, _working(store, lock))
        _held_here().add(mine)
        _ours.add(mine)
        try:
            yield True
        finally:
            _held_here().discard(mine)
            _ours.discard(mine)
            try:
                connection.execute(sa.text("select pg_advisory_unlock(:key)"), {"key": _number(lock)})
            except DBAPIError:  # the server ended meanwhile, and the lock with it
                with suppress(DBAPIError):
                    connection.invalidate()


def _taken(connection: sa.Connection, lock: str, wait: float) -> bool:
    deadline = time.monotonic() + wait
    while True:
        if connection.execute(sa.text("select pg_try_advisory_lock(:key)"), {"key": _number(lock)}).scalar_one():
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL)


def _is_locked(connection: sa.Connection, lock: str) -> bool:
    """Tell whether somebody else's session has the lock."""
    high, low = divmod(_number(lock) % 2**64, 2**32)
    query = sa.text(
        "select exists (select from pg_locks where locktype = 'advisory' and objsubid = 1 and granted "
        "and classid = cast(:high as bigint)::oid and objid = cast(:low as bigint)::oid and pid != pg_backend_pid() "
        "and database = (select oid from pg_database where datname = current_database()))"
    )
    return bool(connection.execute(query, {"high": high, "low": low}).scalar_one())


def _working(store: Store, lock: str) -> sa.RowMapping | None:
    """Return the run that somebody works on; None where that one has not written its name yet."""
    for _ in range(NAMING):
        run = named(store, lock)
        if run and not run["holder"]["rests"] and processes.Process.of(run["holder"]).lives() is not False:
            return run
        time.sleep(POLL)
    return None


def named(store: Store, lock: str) -> sa.RowMapping | None:
    """Return the run (`id`, `holder`, `held_at`) whose holder was the last to work on a subject."""
    table = tables.runs.c
    query = sa.select(table.id, table.holder, table.held_at).where(table.holder["lock"].as_string() == lock)
    with store.engine.connect() as connection:
        return connection.execute(query.order_by(table.held_at.desc()).limit(1)).mappings().one_or_none()


def under_way(lock: str, run: sa.RowMapping | None) -> TransientError:
    """Return the error that says who works on a subject."""
    kind, subject = lock.split(":", 1)
    told = "" if run is None else f": run {run['id']}, {describe(run['holder'], run['held_at'])}"
    return TransientError(
        f"{kind} of {subject} is under way{told}",
        next_step="wait until it has ended (`--wait SECONDS` does), or end that process.",
    )


def describe(held: Holder | None, since: datetime | None) -> str:
    """Tell who holds a run: step, since when, by whom, which process of which machine."""
    if not held:
        return "of an earlier version of the bus"
    what = f"at {held['step']} " if held.get("step") else "between two tasks " if held.get("rests") else ""
    moment = f"since {since:%Y-%m-%d %H:%M:%S %Z}" if since else ""
    job = f" for {held['job']}" if held.get("job") else ""
    return f"{what}{moment}, by {held['by']}{job}, process {held['pid']} on {held['host']}"


def works_elsewhere(held: Holder) -> bool:
    """Tell whether another process that lives is named as at work: one that lost its lock when PostgreSQL was started anew."""
    process = processes.Process.of(held)
    return bool(held["step"]) and process != processes.me() and bool(process.lives())


def gone(store: Store, lock: str, held: Holder | None, since: datetime, now: datetime, *, ours: bool) -> str | None:
    """Say why nobody will go on with a run; None where somebody may.

    Args:
        store: The open store.
        lock: What the run is about.
        held: Who held it last.
        since: When that was written down.
        now: The moment, by the store's clock.
        ours: Whether this block holds the lock, for another run.
    """
    if not held or held["rests"]:
        return f"nobody went on with it for {_minutes(now - since)} minutes" if now - since > LEASE else None
    process = processes.Process.of(held)
    lives = process.lives()
    if process == processes.me():
        lives = not ours and (process.pid, store.url, lock) in _ours
    if lives is None and not ours:
        with store.engine.connect() as connection:
            lives = _is_locked(connection, lock)
    return None if lives else f"its process is gone ({describe(held, since)})"


def _minutes(span: timedelta) -> int:
    return int(span.total_seconds()) // 60
