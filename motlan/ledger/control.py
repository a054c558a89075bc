"""What people do with runs: see what was tried and how far it came, and end one whose work shall not be kept.

A run is gone on with by the pipeline's own functions (`motlan.pipeline.resume`); here is what of it needs the ledger alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from motlan.errors import ConfigurationError
from motlan.ledger import changed_states, holds, log, runs
from motlan.ledger.results import Begun, Compared, Landed, Linked
from motlan.ledger.row_log import commit_rows
from motlan.store import Store, tables

STEPS = {
    "sync": ("land", "clean", "commit"),
    "reconcile": ("begin", "link", "merge", "cross_check", "diff", "publish"),
}
"""Kind of run -> its steps, in their order."""
STATES = ("running", *runs.SEEN, runs.RETRACTED, *runs.WAITING, "refused", "unchanged", *runs.CLOSED)
_ABORTABLE = ("running", *runs.STOPPED, *runs.WAITING)


@dataclass(frozen=True)
class Wanted:
    """Which runs are listed; None where it does not matter.

    Attributes:
        kind: `sync`, `reconcile` or another.
        subject: A dataset, or an entity.
        state: One of `STATES`.
        since: The runs that began then or later.
        limit: How many at the most, the newest.
    """

    kind: str | None = None
    subject: str | None = None
    state: str | None = None
    since: datetime | None = None
    limit: int = 20


def listed(store: Store, wanted: Wanted) -> list[dict[str, Any]]:
    """Return runs, newest first: `run`, `kind`, `subject`, `state`, `started_at`, `ended_at`, `seconds`, `rows`, `error`.

    A run that is open and that nobody will go on with has the state `abandoned`, as it has once the next run closed it. `rows`
    are those that a sync run landed or a reconcile run linked, null before that.
    """
    given_up = runs.abandoned(store)
    table = tables.runs.c
    query = _selected(given_up)
    if wanted.kind is not None:
        query = query.where(table.kind == wanted.kind)
    if wanted.subject is not None:
        query = query.where(table.subject == wanted.subject)
    if wanted.since is not None:
        query = query.where(table.started_at >= wanted.since)
    if wanted.state is not None:
        query = query.where(_state_of(given_up) == wanted.state)
    with store.engine.connect() as connection:
        found = connection.execute(query.order_by(table.id.desc()).limit(wanted.limit)).mappings()
        return [_described(row, given_up) for row in found]


def _state_of(given_up: dict[str, str]) -> sa.ColumnElement[str]:
    table = tables.runs.c
    return sa.case((table.id.in_(given_up), "abandoned"), else_=table.state)


def _selected(given_up: dict[str, str]) -> sa.Select[Any]:
    table = tables.runs.c
    until = sa.func.coalesce(table.ended_at, sa.func.now())
    seconds = sa.func.extract("epoch", until - table.started_at).label("seconds")
    told = (table.steps, table.holder, table.held_at, table.started_at, table.ended_at, table.error)
    return sa.select(table.id, table.kind, table.subject, _state_of(given_up).label("state"), *told, seconds)


def _described(row: sa.RowMapping, given_up: dict[str, str]) -> dict[str, Any]:
    run = runs.Run(row["id"], row["kind"], row["subject"], row["state"], row["steps"])
    landed, linked = run.find_result(Landed), run.find_result(Linked)
    reason = given_up.get(run.id)
    return {
        "run": run.id,
        "kind": run.kind,
        "subject": run.subject,
        "state": run.state,
        "started_at": row["started_at"].isoformat(),
        "ended_at": row["ended_at"] and row["ended_at"].isoformat(),
        "seconds": round(float(row["seconds"]), 1),
        "rows": linked.rows if linked else landed.landed if landed else None,
        "error": f"abandoned: {reason}" if reason else row["error"],
    }


def show(store: Store, run: str) -> dict[str, Any]:
    """Return a run as `listed` does, and how far it came.

    Beside these: `steps` (each with `step`, `done`, `seconds` and its `counts`), `asked`, `holder` (who is or was the last at
    work on it, in words), `replaced_by` (a newer run of its subject), `why_full`, `left_out` (dataset -> sync runs that it does
    not read, because an agency is held), `held` (limits of change that it passes), `snapshots` (table -> the lake's snapshot),
    `publication` and whether it is `projected`, `decisions` of people, and `next` (what to do, in words).

    Raises:
        ConfigurationError: There is no such run.
    """
    current, given_up = runs.get(store, run), runs.abandoned(store)
    table, decided = tables.runs.c, tables.run_decisions.c
    with store.engine.connect() as connection:
        row = connection.execute(_selected(given_up).where(table.id == run)).mappings().one()
        snapshots = connection.execute(sa.select(tables.snapshots).where(tables.snapshots.c.run == run)).mappings()
        held = {found["table_name"]: found["snapshot_id"] for found in snapshots}
        published = sa.select(tables.publications).where(tables.publications.c.run == run)
        publication = connection.execute(published).mappings().one_or_none()
        columns = (decided.principal, decided.action, decided.reason, decided.recorded_at)
        decisions = connection.execute(sa.select(*columns).where(decided.run == run).order_by(decided.id)).mappings()
        said = [{**one, "recorded_at": one["recorded_at"].isoformat()} for one in decisions]
        newer = runs.replaced_by(connection, current)
    linked, compared = current.find_result(Linked), current.find_result(Compared)
    began = current.find_result(Begun) if current.kind == "reconcile" else None
    found = {
        **_described(row, given_up),
        "steps": _steps(current),
        "asked": current.steps.get(runs.ASKED, {}),
        "holder": holds.describe(row["holder"], row["held_at"]),
        "replaced_by": newer,
        "why_full": linked.why if linked else "",
        "left_out": began.left_out if began else {},
        "held": compared.held if compared else 0,
        "snapshots": held or _staged(current),
        "publication": publication and publication["number"],
        "projected": publication and publication["projected_at"] is not None,
        "decisions": said,
    }
    return {**found, "next": _next(found)}


def _staged(run: runs.Run) -> dict[str, int]:
    """Return the snapshots that a run added to the lake, before it is visible."""
    return {table: snapshot for counts in run.steps.values() for table, snapshot in counts.get("snapshots", {}).items()}


def _steps(run: runs.Run) -> list[dict[str, Any]]:
    names = STEPS.get(run.kind, tuple(name for name in run.steps if name != runs.ASKED))
    beside = {"run", "seconds", "snapshots"}
    found = []
    for name in names:
        counts = run.steps.get(name)
        kept = {key: value for key, value in (counts or {}).items() if key not in beside}
        found.append(
            {"step": name, "done": counts is not None, "seconds": (counts or {}).get("seconds"), "counts": kept}
        )
    return found


def _next(found: dict[str, Any]) -> str:
    """Say what to do with a run."""
    run, state, again = found["run"], found["state"], f"`motlan {found['kind']} {found['subject']}`"
    again = "`motlan reconcile`" if found["kind"] == "reconcile" else again
    if state in runs.STOPPED:
        newer = found["replaced_by"]
        return (
            f"run {newer} took its place"
            if newer
            else f"`motlan runs retry {run}` goes on with it, or {again} begins anew"
        )
    if state == "published" and not found["projected"]:
        return "`motlan project` loads it into PostgreSQL"
    told = {
        "running": "wait; `motlan runs abort` ends it",
        "reconciled": f"`motlan publish --entity {found['subject']}`",
        "waiting": f"`motlan release show {run}`: people release or refuse it",
        "released": f"`motlan publish --entity {found['subject']}`",
        "refused": "mend what is wrong, then `motlan reconcile`",
        runs.ABORTED: f"{again} begins anew",
        runs.RETRACTED: "it was taken back: `motlan reconcile` and `motlan publish` carry that on",
    }
    return told.get(state, "nothing: it is done")


def require_resumable(store: Store, run: runs.Run) -> None:
    """Let somebody go on with a run.

    Raises:
        ConfigurationError: Nobody needs to, or its kind cannot be gone on with. What is next is said.
        ContractError: A newer run took its place, or a person aborted it.
        TransientError: Somebody else is at work on it.
    """
    found = show(store, run.id)
    if run.kind not in STEPS:
        raise ConfigurationError(
            f"a run of the kind {run.kind} is not gone on with", where=run.id, next_step="begin it anew."
        )
    if found["state"] == runs.ABORTED:
        raise runs.replaced(run.id, "a person aborted it")
    if found["state"] in runs.STOPPED:
        if found["replaced_by"]:
            raise runs.replaced(run.id, f"run {found['replaced_by']} took its place")
        return
    if found["state"] == "running":
        raise holds.under_way(
            holds.lock_of(run.kind, run.subject), holds.named(store, holds.lock_of(run.kind, run.subject))
        )
    raise ConfigurationError(
        f"this run is {found['state']}: it needs nobody to go on with it", where=run.id, next_step=f"{found['next']}."
    )


def require_abortable(store: Store, run: str) -> runs.Run:
    """Let somebody be asked why they abort a run.

    Raises:
        ConfigurationError: There is no such run, or it is over. What is next is said.
    """
    found = runs.get(store, run)
    if found.state not in _ABORTABLE:
        raise _over(found)
    return found


def _over(run: runs.Run) -> ConfigurationError:
    step = "it was aborted before; see `motlan runs show`."
    if run.state in ("unchanged", "refused"):
        step = "it changes nothing that is seen, so there is nothing to abort."
    elif run.state == "visible":
        step = (
            f"what it landed stays, and is never altered: take it back (`motlan retract {run.id}`), hold its agency "
            "(`motlan hold AGENCY`), let the source correct its records, or change the mapping and `motlan reclean`."
        )
    elif run.state == "published":
        step = "readers have it: hold publishing (`motlan hold publish`), mend the cause, and publish the correction."
    return ConfigurationError(f"this run is {run.state} and cannot be aborted", where=run.id, next_step=step)


def abort(store: Store, run: str, principal: str, why: str) -> runs.Run:
    """Close a run for good: what is at work on it keeps nothing, and nobody goes on with it.

    Args:
        store: The open store.
        run: Its id.
        principal: Who aborts it.
        why: In the person's words.

    Returns:
        The run as it was before.

    Raises:
        ConfigurationError: There is no such run, it is over, or the reason is missing.
    """
    if not why.strip():
        raise ConfigurationError("a decision needs its reason", next_step="say why.")
    found, table = require_abortable(store, run), tables.runs
    values = {"state": runs.ABORTED, "error": f"aborted by {principal}", "ended_at": sa.func.now()}
    said = {"run": run, "principal": principal, "action": "abort", "reason": why.strip()}
    changed_states.note(run)
    with store.publishing() as connection:
        open_ = (table.c.id == run, table.c.state.in_(_ABORTABLE))
        if not connection.execute(sa.update(table).where(*open_).values(**values)).rowcount:
            raise _over(runs.get(store, run))
        decided = tables.run_decisions
        number = connection.execute(sa.insert(decided).values(**said).returning(decided.c.id)).scalar_one()
        body = {"run": run, "kind": found.kind, "subject": found.subject, "action": "aborted"}
        log.append(connection, "run", body | commit_rows(connection, decided, [number]))
    return found
