"""The report of quality: scores by agency, rule, field, dimension, area and day, with colours and their trend, and
how many findings are open and due.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from motlan.config.registry import Registry
from motlan.config.scoring import DIMENSIONS, Colour
from motlan.quality import scores as register_scores
from motlan.quality.deadlines import due
from motlan.quality.scores import By, Count
from motlan.store import Store

RUNS = 12
"""Points of a trend."""
DAYS = 400
"""Reconcile runs that a history by day looks back at."""


@dataclass(frozen=True)
class Line:
    """One score of the report.

    Attributes:
        agency: Whose register.
        name: What is scored: a dimension, or the rule, field, area or day that was asked for; `all` is the register.
        score: 0 to 100.
        colour: green, yellow or red.
        trend: Earlier scores, oldest first, this one last.
        change: Difference to the score before, None where there is none.
        assessed: Rows that were assessed.
        passed: Those that passed.
    """

    agency: str
    name: str
    score: float
    colour: Colour
    trend: list[float]
    change: float | None
    assessed: int
    passed: int


def report(
    store: Store, registry: Registry, *, by: By | None = None, dataset: str | None = None, today: date | None = None
) -> dict[str, Any]:
    """Return `lines` (see `Line`), `findings` (see `motlan.quality.deadlines.Due`), `due_days` and `thresholds`.

    Args:
        store: The open store.
        registry: What is declared.
        by: What to score by; by dimension and as a whole where absent.
        dataset: Only this dataset; its agency's others are left out.
        today: The day in UTC on which findings are due or overdue; this day where absent.

    Raises:
        ConfigurationError: There is no such dataset.
    """
    if dataset is not None:
        registry.dataset(dataset)
    points = register_scores.history(store, DAYS if by == "day" else RUNS)
    if by == "day":
        points = list({day: (run, day) for run, day in points}.values())
    past = register_scores.counts_of(store, [run for run, _ in points], by_area=by == "area")
    series = register_scores.carried(registry, (past[run] for run, _ in points)) or [
        register_scores.current(store, registry)
    ]
    if points and by != "area":
        series[-1] = register_scores.current(store, registry)
    names = [day for _, day in points]
    lines = []
    for agency in registry.agencies:
        own = [[count for count in counts if _belongs(registry, count, agency, dataset)] for counts in series]
        lines += _days(registry, agency, own, names) if by == "day" else _lines(registry, agency, own, by)
    scoring = registry.scoring
    return {
        "lines": [asdict(line) for line in lines],
        "findings": [asdict(line) for line in due(store, registry, by_rule=by == "rule", dataset=dataset, today=today)],
        "due_days": scoring.due_days.model_dump(),
        "thresholds": {"green": scoring.green, "yellow": scoring.yellow},
    }


def _belongs(registry: Registry, count: Count, agency: str, dataset: str | None) -> bool:
    found = registry.datasets.get(count.dataset)
    return found is not None and found.agency == agency and dataset in (None, count.dataset)


def _key(count: Count, by: By | None) -> str:
    return str(getattr(count, by or "dimension"))


def _lines(registry: Registry, agency: str, series: list[list[Count]], by: By | None) -> list[Line]:
    """Return the lines of an agency, by what was asked; the trend of each over the series."""
    names = list(dict.fromkeys(_key(count, by) for count in series[-1]))
    names.sort(key=lambda name: DIMENSIONS.index(name) if name in DIMENSIONS else 0)
    wholly = by in ("field", "area")
    lines = [
        _line(registry, agency, name, [[c for c in counts if _key(c, by) == name] for counts in series], wholly)
        for name in names
    ]
    if by is None:
        lines.append(_line(registry, agency, "all", series, True))
    return [line for line in lines if line]


def _days(registry: Registry, agency: str, series: list[list[Count]], names: Sequence[str]) -> list[Line]:
    """Return a line a day, each with the trend up to it."""
    lines = (_line(registry, agency, day, series[: place + 1][-RUNS:], True) for place, day in enumerate(names))
    return [line for line in lines if line]


def _line(registry: Registry, agency: str, name: str, series: list[list[Count]], wholly: bool) -> Line | None:
    scoring = registry.scoring
    scores = [
        register_scores.of_register(counts, scoring) if wholly else register_scores.of_rules(counts)
        for counts in series
    ]
    if not scores or scores[-1] is None:
        return None
    trend = [round(value, 2) for value in scores if value is not None]
    newest = series[-1]
    broken = any(
        scoring.must_be_full_in(count.field, count.dimension) and count.passed < count.assessed for count in newest
    )
    full = broken and len({count.field for count in newest}) == 1
    return Line(
        agency=agency,
        name=name,
        score=trend[-1],
        colour="red" if full else scoring.colour(trend[-1]),
        trend=trend,
        change=round(trend[-1] - trend[-2], 2) if len(trend) > 1 else None,
        assessed=sum(count.assessed for count in newest),
        passed=sum(count.passed for count in newest),
    )
