"""Alerts: one a cause, not one a task. What fails again for the same cause is counted, and told again only after a day.

A cause is over when what failed has come to its end once since; the next failure is a new one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from motlan.ledger.runs import SEEN, WAITING
from motlan.store import Store, tables

AGAIN = timedelta(days=1)
"""After so long what still fails is told once more."""
OF_AN_AGENCY = ("TransientError", "AccessError")
"""Errors that all datasets of an agency have together."""
OF_THE_BUS = ("EngineError",)
"""Errors that everything has together."""
RUNBOOK = {
    "TransientError": "agency-down",
    "AccessError": "lost-key",
    "ContractError": "run-failed",
    "EngineError": "store-down",
    "ConfigurationError": "bad-release",
}
"""Class of an error -> the section of docs/operations.md that tells what to do; `run-failed` for any other."""


@dataclass(frozen=True)
class Alert:
    """What people are told of a failure. No personal value.

    Attributes:
        cause: What is common to the failures that are told together.
        kind: `sync`, `reconcile` or what else failed.
        subject: The dataset, or the entity.
        run: The run, if one had begun.
        error: The error's words.
        times: How many failures of this cause there were since it began.
        runbook: The section of docs/operations.md.
    """

    cause: str
    kind: str
    subject: str
    run: str | None
    error: str
    times: int
    runbook: str


def raise_alert(store: Store, kind: str, subject: str, agency: str | None) -> Alert | None:
    """Count a failure; return what to tell people, or None where they know of its cause.

    Args:
        store: The open store.
        kind: Kind of what failed.
        subject: Its dataset, or its entity.
        agency: The dataset's agency.
    """
    table, ledger = tables.alerts, tables.runs.c
    mine = (ledger.kind == kind, ledger.subject == subject)
    with store.engine.begin() as connection:
        newest = sa.select(ledger.id, ledger.error).where(*mine).order_by(ledger.id.desc()).limit(1)
        run = connection.execute(newest).one_or_none()
        error = (run.error if run else None) or "it failed before it began"
        kind_of_error = error.split(":", 1)[0]
        cause = f"{kind_of_error} {_common(kind_of_error, kind, subject, agency)}"
        done = sa.select(sa.func.max(ledger.ended_at)).where(*mine, ledger.state.in_((*SEEN, *WAITING, "unchanged")))
        healed = connection.execute(done).scalar_one()
        known = (
            connection.execute(sa.select(table).where(table.c.cause == cause).with_for_update())
            .mappings()
            .one_or_none()
        )
        now = connection.execute(sa.select(sa.func.now())).scalar_one()
        goes_on = bool(known and not (healed and healed > known["last_at"]))
        times = known["times"] + 1 if known and goes_on else 1
        quiet = bool(known and goes_on and now - known["told_at"] < AGAIN)
        values = {"cause": cause, "kind": kind, "subject": subject, "times": times, "last_at": now}
        values["first_at"] = known["first_at"] if known and goes_on else now
        values["told_at"] = known["told_at"] if known and quiet else now
        put = insert(table).values(**values)
        connection.execute(put.on_conflict_do_update(index_elements=["cause"], set_=values))
    if quiet:
        return None
    return Alert(cause, kind, subject, run.id if run else None, error, times, RUNBOOK.get(kind_of_error, "run-failed"))


def _common(error: str, kind: str, subject: str, agency: str | None) -> str:
    if error in OF_THE_BUS:
        return "of the bus"
    return f"of {agency}" if agency and error in OF_AN_AGENCY else f"of {kind} {subject}"
