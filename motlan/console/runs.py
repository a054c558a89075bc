"""What the pages show of runs, read from the ledger."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from motlan.ledger import holds, runs
from motlan.ledger.results import Begun
from motlan.store import Store, tables

SHOWN = 50
"""Runs of a list, at the most."""
_ORDER = {
    name: at
    for at, name in enumerate(
        ("asked", "begin", "land", "clean", "commit", "link", "merge", "cross_check", "diff", "publish")
    )
}
"""Steps in the order in which they are done: the ledger keeps them in none."""
_HIDDEN = frozenset(
    {"run", "seconds", "snapshots", "chunks", "rules", "profile", "key", "guard", "written", "filled", "inputs"}
)


def newest(store: Store, subject: str | None = None, kind: str | None = None) -> list[dict[str, Any]]:
    """Return the newest runs: `id`, `kind`, `subject`, `state`, `started_at`, `ended_at`, `error`."""
    table = tables.runs.c
    columns = (table.id, table.kind, table.subject, table.state, table.started_at, table.ended_at, table.error)
    query = sa.select(*columns).order_by(table.id.desc()).limit(SHOWN)
    if subject:
        query = query.where(table.subject == subject)
    if kind:
        query = query.where(table.kind == kind)
    with store.engine.connect() as connection:
        return [dict(row) for row in connection.execute(query).mappings()]


def describe(store: Store, run: str) -> dict[str, Any]:
    """Return a run's row, `held` (who is or was at work on it), and `shown`: of each step its seconds and numbers.

    Raises:
        ConfigurationError: There is no such run.
    """
    runs.get(store, run)
    with store.engine.connect() as connection:
        row = connection.execute(sa.select(tables.runs).where(tables.runs.c.id == run)).mappings().one()
    steps = sorted(row["steps"].items(), key=lambda step: _ORDER.get(step[0], len(_ORDER)))
    shown = {name: (counts.get("seconds"), _numbers(counts)) for name, counts in steps}
    return {**row, "held": holds.describe(row["holder"], row["held_at"]), "shown": shown}


def _numbers(counts: dict[str, Any]) -> dict[str, str]:
    found = {
        name: value for name, value in counts.items() if name not in _HIDDEN and not isinstance(value, dict | list)
    }
    return {
        name: f"{value:,}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)
        for name, value in found.items()
        if value not in (None, "")
    }


def quality(store: Store, run: str) -> list[dict[str, Any]]:
    """Return what the rules found in a run, the worst first: the rule's row, and `failed`."""
    table = tables.rule_results
    failed = (table.c.assessed - table.c.passed).label("failed")
    query = sa.select(table, failed).where(table.c.run == run).order_by(failed.desc(), table.c.dataset, table.c.rule)
    with store.engine.connect() as connection:
        return [dict(row) for row in connection.execute(query).mappings()]


def lineage(store: Store, run: str) -> dict[str, Any]:
    """Return what a run read and wrote.

    Returns:
        `inputs` (dataset -> sync runs), `previous` (the run that it carried on), `versions` (step -> what decided), `snapshots`
        (table -> snapshot of the lake), `publication`, `readers` (reconcile runs that read this sync run).
    """
    found = runs.get(store, run)
    begun = found.find_result(Begun) if found.kind == "reconcile" else None
    table, ledger = tables.snapshots.c, tables.runs.c
    readers = sa.select(ledger.id).where(
        ledger.kind == "reconcile", ledger.steps["begin"]["inputs"][found.subject].op("?")(run)
    )
    with store.engine.connect() as connection:
        snapshots = connection.execute(sa.select(table.table_name, table.snapshot_id).where(table.run == run)).all()
        number = sa.select(tables.publications.c.number).where(tables.publications.c.run == run)
        return {
            "inputs": begun.inputs if begun else {},
            "previous": begun.previous if begun else None,
            "versions": {name: step["version"] for name, step in found.steps.items() if "version" in step},
            "snapshots": {row.table_name: row.snapshot_id for row in snapshots},
            "publication": connection.execute(number).scalar_one_or_none(),
            "readers": list(connection.scalars(readers.order_by(ledger.id.desc()).limit(SHOWN))),
        }
