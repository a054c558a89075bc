"""Scores of the registers in each dimension of quality.

A rule's score is passed / assessed * 100. Weighted means go from rule to dimension, to field, to register; the weights are
configuration (docs/explanation/domain.md, reported method).

A register is scored as it stands: at each reconcile, the newest accepted row of each of its records, the rows that still
wait in quarantine as failing what they broke, and what only a bus can see. Before a dataset's first reconcile, all rows
that were landed stand for it. Every reconcile run that was published, or found nothing to publish, is a point in history.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import sqlalchemy as sa

from motlan.config.registry import Registry
from motlan.config.scoring import DIMENSIONS, Scoring
from motlan.ledger.runs import SEEN
from motlan.store import Store, tables

By = Literal["rule", "field", "dimension", "area", "day"]


@dataclass(frozen=True)
class Count:
    """What one rule answered about one dataset (in one area)."""

    dataset: str
    rule: str
    field: str
    dimension: str
    weight: int
    assessed: int
    passed: int
    area: str = ""

    @property
    def score(self) -> float:
        """Share of rows that passed, 0 to 100."""
        return 100 * self.passed / self.assessed


def mean(parts: Iterable[tuple[float, float]]) -> float | None:
    """Return the weighted mean of (value, weight) pairs; None where nothing weighs."""
    pairs = list(parts)
    weight = sum(pair[1] for pair in pairs)
    return sum(value * share for value, share in pairs) / weight if weight else None


def of_rules(counts: Iterable[Count]) -> float | None:
    """Return the score of rules of one dimension: the weighted mean of theirs."""
    return mean((count.score, count.weight) for count in counts)


def of_register(counts: Iterable[Count], scoring: Scoring) -> float | None:
    """Return the score over several dimensions and fields: rule, then dimension, then field, then register."""
    fields = []
    for field, own in _grouped(counts, "field"):
        parts = ((dimension, of_rules(asked)) for dimension, asked in _grouped(own, "dimension"))
        score = mean((value, scoring.dimension_weights.get(name, 1)) for name, value in parts if value is not None)  # type: ignore[call-overload]
        if score is not None:
            fields.append((score, scoring.field_weights.get(field, 1)))
    return mean(fields)


def _grouped(counts: Iterable[Count], key: str) -> Iterator[tuple[str, list[Count]]]:
    groups: dict[str, list[Count]] = {}
    for count in counts:
        groups.setdefault(getattr(count, key), []).append(count)
    yield from groups.items()


def history(store: Store, limit: int) -> list[tuple[str, str]]:
    """Return the newest reconcile runs that scored the registers, oldest first, as (run, day in UTC)."""
    table = tables.runs.c
    day = sa.func.to_char(sa.func.timezone("UTC", table.started_at), "YYYY-MM-DD")
    scored = sa.exists().where(tables.rule_results.c.run == table.id)
    query = (
        sa.select(table.id, day)
        .where(table.kind == "reconcile", table.state.in_((*SEEN, "unchanged")), scored)
        .order_by(table.id.desc())
        .limit(limit)
    )
    with store.engine.connect() as connection:
        return [(run, when) for run, when in reversed(connection.execute(query).all())]


def _newest_of_each(store: Store) -> list[str]:
    """Return the newest reconcile run of each linked entity that scored registers."""
    table = tables.runs.c
    scored = sa.exists().where(tables.rule_results.c.run == table.id)
    seen = (table.kind == "reconcile", table.state.in_((*SEEN, "unchanged")))
    with store.engine.connect() as connection:
        query = sa.select(sa.func.max(table.id)).where(*seen, scored).group_by(table.subject)
        return sorted(connection.scalars(query))


def carried(registry: Registry, series: Iterable[list[Count]]) -> list[list[Count]]:
    """Return the counts of reconcile runs, each with those of the newest run before it of every other linked entity."""
    standing: dict[str, list[Count]] = {}
    found = []
    for counts in series:
        known = [count for count in counts if count.dataset in registry.datasets]
        scored: dict[str, list[Count]] = {}
        for count in known:
            scored.setdefault(registry.datasets[count.dataset].entity, []).append(count)
        standing |= scored
        found.append([count for own in standing.values() for count in own] if scored else known)
    return found


def counts_of(store: Store, runs: Iterable[str], *, by_area: bool = False) -> dict[str, list[Count]]:
    """Return what rules answered in each of these reconcile runs."""
    results, areas = tables.rule_results.c, tables.area_results.c
    columns = [results.run, results.dataset, results.rule, results.field, results.dimension, results.weight]
    query: sa.Select[tuple[object, ...]] = sa.select(*columns, results.assessed, results.passed)
    if by_area:
        same = sa.and_(*(getattr(areas, name) == getattr(results, name) for name in ("run", "dataset", "rule")))
        query = sa.select(*columns, areas.assessed, areas.passed, areas.area).join_from(
            tables.rule_results, tables.area_results, same
        )
    wanted = list(runs)
    found: dict[str, list[Count]] = {run: [] for run in wanted}
    with store.engine.connect() as connection:
        for row in connection.execute(query.where(results.run.in_(wanted), results.assessed > 0)).mappings():
            found[row["run"]].append(Count(**{name: value for name, value in row.items() if name != "run"}))
    return found


def _landed(store: Store) -> list[Count]:
    """Return what row rules answered about all rows that were ever landed and seen."""
    runs, results = tables.runs.c, tables.rule_results.c
    sums = (sa.cast(sa.func.sum(column), sa.BigInteger) for column in (results.assessed, results.passed))
    names = (results.dataset, results.rule, results.field, results.dimension, results.weight)
    query = (
        sa.select(*names, *sums)
        .join(tables.runs, runs.id == results.run)
        .where(runs.state.in_(SEEN), runs.kind == "sync", results.assessed > 0)
        .group_by(*names)
    )
    with store.engine.connect() as connection:
        return [Count(*row) for row in connection.execute(query)]


def current(store: Store, registry: Registry) -> list[Count]:
    """Return what the rules say of every register as it stands: by the newest reconcile run of each linked entity."""
    newest = _newest_of_each(store)
    standing = [count for counts in counts_of(store, newest).values() for count in counts]
    scored = {count.dataset for count in standing}
    landed = (
        [count for count in _landed(store) if count.dataset not in scored] if scored < set(registry.datasets) else []
    )
    return [count for count in (*standing, *landed) if count.dataset in registry.datasets]


def by_agency(store: Store, registry: Registry) -> dict[str, dict[str, float | None]]:
    """Return agency -> dimension -> score, 0 to 100; None where no rule of the dimension was asked."""
    counts = current(store, registry)
    found: dict[str, dict[str, float | None]] = {}
    for agency in registry.agencies:
        own = [count for count in counts if registry.datasets[count.dataset].agency == agency]
        scores = {name: of_rules(count for count in own if count.dimension == name) for name in DIMENSIONS}
        found[agency] = {name: None if score is None else round(score, 2) for name, score in scores.items()}
    return found
