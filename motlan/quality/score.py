"""Scores: đúng (accuracy), đủ (completeness), sạch (cleanliness), sống (timeliness), thống nhất (consistency).

A rule's score is passed / assessed * 100; a dimension's is the weighted mean of its rules'. Row rules count every row
version that was landed; cross rules count the rows of the newest publication.
"""

from __future__ import annotations

import sqlalchemy as sa

from motlan.ledger.runs import SEEN
from motlan.registry import Registry
from motlan.store import Store, tables

DIMENSIONS = ("dung", "du", "sach", "song", "thong_nhat")


def by_agency(store: Store, registry: Registry) -> dict[str, dict[str, float | None]]:
    """Return agency -> dimension -> score, 0 to 100; None where no rule of the dimension was asked."""
    runs, results = tables.runs.c, tables.rule_results.c
    newest = (
        sa.select(sa.func.max(runs.id)).where(runs.kind == "reconcile", runs.state == "published").scalar_subquery()
    )
    query = (
        sa.select(
            results.dataset,
            results.dimension,
            results.rule,
            results.weight,
            sa.func.sum(results.assessed),
            sa.func.sum(results.passed),
        )
        .join(tables.runs, runs.id == results.run)
        .where(runs.state.in_(SEEN), sa.or_(runs.kind == "sync", runs.id == newest))
        .group_by(results.dataset, results.dimension, results.rule, results.weight)
    )
    sums: dict[tuple[str, str], list[float]] = {}
    with store.engine.connect() as connection:
        for dataset, dimension, _, weight, assessed, passed in connection.execute(query):
            if dataset in registry.datasets and assessed:
                total = sums.setdefault((registry.datasets[dataset].agency, dimension), [0.0, 0.0])
                total[0] += weight * 100 * float(passed) / float(assessed)
                total[1] += weight
    return {
        agency: {
            dimension: round(sums[agency, dimension][0] / sums[agency, dimension][1], 2)
            if (agency, dimension) in sums
            else None
            for dimension in DIMENSIONS
        }
        for agency in registry.agencies
    }
