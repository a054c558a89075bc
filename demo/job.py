"""The main job as the demo runs it: the real DAGs, one after another, and what the ledger says of each run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa

from demo.runner import DagRunResult, Runner
from motlan.errors import MotlanError
from motlan.store import tables
from motlan.workspace import Workspace

Told = Callable[[DagRunResult], None]


def dag_ids(work: Workspace) -> list[str]:
    """Return the DAGs of the main job, in its order."""
    entities = work.registry.entities
    reconciled = [f"{step}_{entity}" for entity in entities for step in ("reconcile", "publish")]
    return [*(f"sync_{dataset}" for dataset in work.registry.datasets), *reconciled]


def run(work: Workspace, runner: Runner, told: Told) -> list[dict[str, Any]]:
    """Run every DAG of the job to its end.

    Returns:
        One entry a DAG run: `dag_id`, `state`, `seconds`.

    Raises:
        MotlanError: A DAG run failed; says which task, and why.
    """
    results = []
    for dag_id in dag_ids(work):
        result = runner.run_dag(dag_id)
        told(result)
        results.append(result)
        if result.state != "success":
            raise MotlanError(
                result.error or "the run failed", where=f"DAG {dag_id}, task {result.task}", next_step="read the log."
            )
    return [{name: asdict(result)[name] for name in ("dag_id", "state", "seconds")} for result in results]


def newest_runs(work: Workspace) -> dict[str, dict[str, Any]]:
    """Return each subject's newest run of the ledger: subject -> step -> counts."""
    runs = tables.runs.c
    newest = sa.select(sa.func.max(runs.id)).group_by(runs.subject)
    query = sa.select(runs.subject, runs.steps).where(runs.id.in_(newest))
    with work.store.engine.connect() as connection:
        return {row.subject: row.steps for row in connection.execute(query)}


def by_agency(work: Workspace) -> dict[str, dict[str, Any]]:
    """Return what the newest sync runs did: agency -> `pulled`, `landed`, `accepted`, `quarantined`, `in_register`,
    `pulled_equals_source` (by the source's own count or manifest).
    """
    found: dict[str, dict[str, Any]] = {}
    runs = newest_runs(work)
    for name, dataset in work.registry.datasets.items():
        steps = runs[name]
        landed, cleaned = steps["land"], steps["clean"]
        counts = found.setdefault(dataset.agency, {"pulled_equals_source": True, "in_register": 0})
        counts["in_register"] += landed["source_total"]
        counts["pulled_equals_source"] &= landed["pulled"] == landed["source_rows"]
        for key, value in (
            ("pulled", landed["pulled"]),
            ("landed", landed["landed"]),
            ("accepted", cleaned["accepted"]),
            ("quarantined", cleaned["quarantined"]),
        ):
            counts[key] = counts.get(key, 0) + value
    return found


def corrections(work: Workspace, entity: str) -> dict[str, int]:
    """Return how many corrections are open for each agency."""
    table = sa.table(f"corrections_{entity}", sa.column("dataset"))
    with work.store.engine.connect() as connection:
        rows = connection.execute(sa.select(table.c.dataset, sa.func.count()).group_by(table.c.dataset)).all()
    counts = dict.fromkeys(work.registry.agencies, 0)
    for dataset, count in rows:
        counts[work.registry.datasets[dataset].agency] += count
    return counts
