"""Release: a publication that a limit holds back waits until enough people let it go, or one refuses it.

Who, when and why are kept for ever. Nobody decides twice about one run, be it once signed in and once not.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from motlan.errors import AccessError, ConfigurationError, ContractError
from motlan.ledger import log, runs
from motlan.ledger.results import Begun, Compared
from motlan.ledger.row_log import commit_rows
from motlan.principals import ACCOUNT, aliases, humans
from motlan.store import Store, tables

STALE = "stale"
"""What a run that waits is called once another was published: it compares with what is no longer there."""
STATES = ("waiting", "released", "refused")
"""States of a run between its comparison and its publication, where a limit was passed."""


def require(store: Store, run: runs.Run) -> None:
    """Let a run be published, or make it wait.

    Raises:
        ContractError: It passes limits and people have not let it go yet, or refused it.
    """
    passed = run.result(Compared).held
    if not passed or run.state in runs.SEEN:
        return
    with store.engine.begin() as connection:
        decided = decisions(connection, run.id)
        state = _state(connection, run, decided)
        people = _people(connection, decided)
        if state != "released":
            runs.set_state(connection, run.id, state)
    if state == "refused":
        raise ContractError(
            "this publication was refused", where=run.id, next_step="mend what is wrong, then run `motlan reconcile`."
        )
    with store.engine.connect() as connection:
        _require_fresh(connection, run)
    if state == "waiting":
        missing = _needed(run) - people
        raise ContractError(
            f"{passed} limits of change are passed: the publication waits for {missing} more to release it",
            where=run.id,
            next_step=f"see `motlan release show {run.id}`, then `motlan release approve {run.id}` by each of them.",
        )


def decisions(connection: sa.Connection, run: str) -> list[dict[str, Any]]:
    """Return what was decided about a run, oldest first: `principal`, `action`, `reason`, `recorded_at`."""
    table = tables.approvals.c
    columns = (table.principal, table.action, table.reason, table.recorded_at)
    found = connection.execute(sa.select(*columns).where(table.run == run).order_by(table.recorded_at)).mappings()
    return [{**row, "recorded_at": row["recorded_at"].isoformat()} for row in found]


def _needed(run: runs.Run) -> int:
    return int((run.result(Compared).guard or {})["approvals"])


def _people(connection: sa.Connection, decided: list[dict[str, Any]]) -> int:
    return humans(connection, {decision["principal"] for decision in decided})


def _state(connection: sa.Connection, run: runs.Run, decided: list[dict[str, Any]]) -> str:
    if any(decision["action"] == "refuse" for decision in decided):
        return "refused"
    return "released" if _people(connection, decided) >= _needed(run) else "waiting"


def decide(store: Store, run: str, principal: str, action: str, why: str) -> str:
    """Let a waiting run go, or refuse it.

    Args:
        store: The open store.
        run: The run's id.
        principal: Who decides, as signed in.
        action: `approve` or `refuse`.
        why: In the person's words.

    Returns:
        The run's state after it: `waiting`, `released` or `refused`.

    Raises:
        AccessError: This person decided about this run before.
        ConfigurationError: The run waits for nobody, or the reason is missing.
        ContractError: It is to be approved, and another run was published since it began: what it would change is not what it
            shows.
    """
    if not why.strip():
        raise ConfigurationError("a decision needs its reason", next_step="say why.")
    found = runs.get(store, run)
    with store.publishing() as connection:
        values = {"run": run, "principal": principal, "action": action, "reason": why.strip()}
        first = insert(tables.approvals).values(**values).on_conflict_do_nothing()
        _require_waiting(found)
        if action == "approve":
            _require_fresh(connection, found)
        if connection.execute(first.returning(tables.approvals.c.run)).one_or_none() is None:
            raise _decided_before(run)
        decided = decisions(connection, run)
        _check_not_twice(connection, run, principal, decided)
        state = _state(connection, found, decided)
        runs.set_state(connection, run, state)
        body = {"run": run, "action": action, "decisions": len(decided), "state": state}
        log.append(connection, "release", body | commit_rows(connection, tables.approvals, [run]))
    return state


def require_decidable(store: Store, run: str, principal: str) -> None:
    """Let somebody be asked for their reason: the run is there, waits for people, and they did not decide about it yet.

    Raises:
        AccessError: This person decided about this run before.
        ConfigurationError: There is no such run, or it waits for nobody.
    """
    _require_waiting(runs.get(store, run))
    with store.engine.connect() as connection:
        if principal in {decision["principal"] for decision in decisions(connection, run)}:
            raise _decided_before(run)


def _require_waiting(run: runs.Run) -> None:
    if run.state not in ("waiting", "released"):
        raise ConfigurationError("this run waits for no release", where=run.id, next_step="see `motlan release list`.")


def _decided_before(run: str) -> AccessError:
    return AccessError(
        "you decided about this run before", where=run, next_step="another person has to decide as well."
    )


def later(connection: sa.Connection, run: runs.Run) -> int:
    """Return how many publications of its entity there were since a run began: it does not know of them."""
    table, began = tables.publications.c, run.find_result(Begun)
    newer = sa.and_(table.entity == run.subject, table.number > (began.after_publication if began else 0))
    return int(connection.execute(sa.select(sa.func.count()).where(newer)).scalar_one())


def _require_fresh(connection: sa.Connection, run: runs.Run) -> None:
    if number := later(connection, run):
        raise ContractError(
            f"this run is stale: {number} publications were made since it was compared, and it cannot be published",
            where=run.id,
            next_step="run `motlan reconcile`: it compares anew, and waits for people if a limit is still passed.",
        )


def _check_not_twice(connection: sa.Connection, run: str, principal: str, decided: list[dict[str, Any]]) -> None:
    """Refuse the decision of a machine account after that of a person who signed in on it: they may be one human.

    The other way round the person's is taken, because it says more, and both count as one.
    """
    before = {decision["principal"] for decision in decided} - {principal}
    if principal.startswith(ACCOUNT) and (same := aliases(connection, principal) & before):
        raise AccessError(
            f"{min(same)}, who signs in on your machine account, decided about this run before",
            where=run,
            next_step="another person has to sign in (`motlan sign-in NAME`) and decide.",
        )


def listed(store: Store) -> list[dict[str, Any]]:
    """Return the runs that a limit held back, newest first: `run`, `entity`, `state`, `started_at`, `passed`, `decisions`.

    `stale` tells of one that waits whether others were published since it was compared: it cannot be published any more.
    """
    table = tables.runs.c
    query = (
        sa.select(table.id, table.kind, table.subject, table.state, table.steps, table.started_at)
        .where(table.kind == "reconcile", table.steps["diff"]["held"].as_integer() > 0)
        .order_by(table.id.desc())
    )
    with store.engine.connect() as connection:
        found = [(runs.Run(*row), began) for *row, began in connection.execute(query)]
        return [
            {
                "run": run.id,
                "entity": run.subject,
                "state": run.state,
                STALE: _is_stale(connection, run),
                "started_at": began.isoformat(),
                "passed": run.result(Compared).held,
                "decisions": len(decisions(connection, run.id)),
            }
            for run, began in found
        ]


def _is_stale(connection: sa.Connection, run: runs.Run) -> bool:
    return run.state in ("waiting", "released") and later(connection, run) > 0


def show(store: Store, run: str) -> dict[str, Any]:
    """Return a run's `state`, limits `passed` and `counts` by register and area, and `decisions`. No personal value.

    `stale` tells whether others were published since it was compared.
    """
    found = runs.get(store, run)
    compared = found.find_result(Compared)
    if compared is None or compared.guard is None:
        raise ConfigurationError(
            "this run changed nothing that has limits", where=run, next_step="see `motlan release list`."
        )
    with store.engine.connect() as connection:
        told = {"run": run, "state": found.state, STALE: _is_stale(connection, found)}
        return {**told, **compared.guard, "decisions": decisions(connection, run)}
