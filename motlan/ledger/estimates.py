"""How long a run may take, by what the ledger has of earlier ones."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from motlan.ledger import runs
from motlan.store import Store, tables

RECONCILE = ("link", "merge", "cross_check", "diff")
"""Steps of a reconcile run."""


@dataclass(frozen=True)
class FullRun:
    """The newest full reconcile run of an entity.

    Attributes:
        run: Its id.
        rows: Rows that it linked.
        seconds: What its steps took together.
    """

    run: str
    rows: int
    seconds: float

    def seconds_for(self, rows: int) -> float:
        """Return the seconds that a full run over so many rows may take: they grow with the rows."""
        return self.seconds * rows / max(self.rows, 1)


def newest_full(store: Store, entity: str) -> FullRun | None:
    """Return the newest reconcile run of an entity that linked, merged and checked everything; None where there is none."""
    table = tables.runs.c
    scope = sa.func.coalesce(
        table.steps["link"]["scope"].astext, "full"
    )  # earlier versions did everything, and say nothing
    query = sa.select(table.id, table.steps).where(table.kind == "reconcile", table.subject == entity, scope == "full")
    query = query.where(*(table.steps.has_key(step) for step in RECONCILE), table.state.in_((*runs.SEEN, "unchanged")))
    with store.engine.connect() as connection:
        found = connection.execute(query.order_by(table.id.desc()).limit(1)).one_or_none()
    if found is None:
        return None
    return FullRun(found.id, int(found.steps["link"]["rows"]), sum(found.steps[step]["seconds"] for step in RECONCILE))
