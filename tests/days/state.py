"""The state that a reconcile run left, as far as an incremental run and a full one must leave the same."""

from __future__ import annotations

import inspect
from typing import Any

import duckdb
import sqlalchemy as sa

from motlan import pipeline
from motlan.lake.iceberg import read_parquet
from motlan.lake.tables import KEYS, golden_table
from motlan.ledger.runs import Counts
from motlan.store import tables
from motlan.workspace import Workspace, open_workspace

SCORES = {
    tables.rule_results: ("dataset", "rule", "field", "dimension", "weight", "assessed", "passed"),
    tables.area_results: ("dataset", "rule", "area", "assessed", "passed"),
}


def reconcile(entity: str, *, full: bool) -> Counts:
    """Reconcile an entity, by what changed or in full."""
    if "full" in inspect.signature(pipeline.reconcile).parameters:
        return pipeline.reconcile(entity, full=full)
    return pipeline.reconcile(entity)


def open_findings(work: Workspace) -> list[tuple[Any, ...]]:
    """Return how many findings are open, by dataset, kind, rule and day."""
    table = tables.open_findings.c
    with work.store.engine.connect() as connection:
        return sorted(map(tuple, connection.execute(sa.select(*table))), key=repr)


def scores(work: Workspace, run: str) -> dict[str, list[tuple[Any, ...]]]:
    """Return what a run counted of each rule, and of each rule and area."""
    found = {}
    with work.store.engine.connect() as connection:
        for table, columns in SCORES.items():
            query = sa.select(*(table.c[name] for name in columns)).where(table.c.run == run)
            found[table.name] = sorted(map(tuple, connection.execute(query)), key=repr)
    return found


def written(work: Workspace, run: str, entity: str = "person") -> dict[str, list[tuple[Any, ...]]]:
    """Return the rows that a run added to the tables of appended versions."""
    names = [f"{namespace}.{entity}" for namespace in KEYS]
    names += [golden_table(related.name) for related in work.registry.related_to(entity)]
    found = {}
    for name in names:
        if files := work.lake.files(name, {run}):
            found[name] = duckdb.sql(f"from {read_parquet(files)}").fetchall()
    return found


def assert_as_full(run: str, entity: str = "person", *, where: str = "") -> None:
    """Assert that a full reconcile after a published run of the same inputs changes nothing, and scores alike.

    Args:
        run: The run that was published last.
        entity: The linked entity.
        where: What led there, for the message.
    """
    work = open_workspace()
    open_before, counted = open_findings(work), scores(work, run)
    full = reconcile(entity, full=True)
    added = written(work, full["run"], entity)
    assert {name: len(rows) for name, rows in added.items()} == {}, f"{where}: {_shown(added)}"
    assert full["link"]["changed"] == 0, where
    diff = full["diff"]
    assert [diff[name] for name in ("versions", "changes", "corrections", "findings")] == [0, 0, 0, 0], where
    assert {name: beside["versions"] for name, beside in diff["related_entities"].items() if beside["versions"]} == {}
    pipeline.publish(full["run"])
    again = scores(work, full["run"])
    for name, rows in counted.items():
        assert set(again[name]) - set(rows) == set() == set(rows) - set(again[name]), f"{where}: {name}"
    assert open_findings(work) == open_before, where


def _shown(added: dict[str, list[tuple[Any, ...]]]) -> str:
    """Return some of the rows that were added, of synthetic people, for who looks for the cause."""
    return "; ".join(f"{name}: {rows[:3]}" for name, rows in added.items())
