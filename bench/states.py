"""What a reconcile run left, as far as an incremental run and a full one must leave the same: for benchmarks and tests."""

from __future__ import annotations

from typing import Any

import pyarrow.parquet as pq
import sqlalchemy as sa

from motlan.lake.tables import KEYS, golden_table
from motlan.store import tables
from motlan.workspace import Workspace

SCORES = {
    tables.rule_results: ("dataset", "rule", "field", "dimension", "weight", "assessed", "passed"),
    tables.area_results: ("dataset", "rule", "area", "assessed", "passed"),
}


def open_findings(work: Workspace) -> list[tuple[Any, ...]]:
    """Return how many findings are open, by dataset, kind, rule and day."""
    with work.store.engine.connect() as connection:
        return sorted(map(tuple, connection.execute(sa.select(tables.open_findings))), key=repr)


def scores(work: Workspace, run: str) -> dict[str, list[tuple[Any, ...]]]:
    """Return what a run counted of each rule, and of each rule and area, by the table's name."""
    found = {}
    with work.store.engine.connect() as connection:
        for table, columns in SCORES.items():
            query = sa.select(*(table.c[name] for name in columns)).where(table.c.run == run)
            found[table.name] = sorted(map(tuple, connection.execute(query)), key=repr)
    return found


def written(work: Workspace, run: str, entity: str) -> dict[str, list[str]]:
    """Return the files with rows that a run added to the tables of appended versions of an entity, by table."""
    names = [f"{namespace}.{entity}" for namespace in KEYS]
    names += [golden_table(related.name) for related in work.registry.related_to(entity)]
    found = {}
    for name in names:
        if files := [path for path in work.lake.files(name, {run}) if pq.read_metadata(path).num_rows]:
            found[name] = files
    return found
