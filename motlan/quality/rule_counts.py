"""Counts of answers: how many rows a rule assessed and passed, by dataset and area, and since when findings are open.

What row rules answered is kept beside each clean row as bits, so that a register can be scored as it stands now without
asking its rows again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from motlan.config.quality import Rule
from motlan.expressions import quote
from motlan.store import tables

BITS = 62
"""Answers that one whole number of the engine holds."""
NOWHERE = ""
"""The area of rows that have none."""
Counts = dict[str, dict[str, dict[str, list[int]]]]
"""Dataset -> rule -> area -> [assessed, passed]."""
Results = dict[str, dict[str, list[int]]]
"""Dataset -> rule -> [assessed, passed]."""


def assessed(rules: Sequence[Rule]) -> str:
    """Return the SQL of which rules assessed a row, as a list of whole numbers: bit n of them is rule n."""
    answers = [f"({quote('_rule_' + rule.name)} is not null)::bigint" for rule in rules]
    words = [answers[start : start + BITS] for start in range(0, len(answers), BITS)]
    sums = [" + ".join(f"{answer} * {1 << place}" for place, answer in enumerate(word)) for word in words]
    return f"[{', '.join(sums)}]::bigint[]"


def decode(names: Sequence[str], words: Sequence[int]) -> list[str]:
    """Return the names of the rules whose bits are set."""
    return [name for place, name in enumerate(names) if words[place // BITS] >> (place % BITS) & 1]


class Tally:
    """Counts by dataset, rule and area; open findings by dataset, kind, rule and the day they were first seen."""

    def __init__(self) -> None:
        self.counts: Counts = {}
        self.open: list[tuple[str, str, str, str, int]] = []

    def add(self, dataset: str, rule: str, area: str | None, assessed: int, passed: int) -> None:
        """Add what a rule answered about some rows."""
        areas = self.counts.setdefault(dataset, {}).setdefault(rule, {})
        count = areas.setdefault(area or NOWHERE, [0, 0])
        count[0] += assessed
        count[1] += passed

    def merge(self, counts: Mapping[str, Mapping[str, Mapping[str, Sequence[int]]]], times: int = 1) -> None:
        """Add the counts of another tally, or take them away (-1 times)."""
        for dataset, rules in counts.items():
            for rule, areas in rules.items():
                for area, (assessed, passed) in areas.items():
                    self.add(dataset, rule, area, times * assessed, times * passed)

    def add_open(self, dataset: str, kind: str, subject: str, since: str, number: int) -> None:
        """Add findings that are open: their kind (see `motlan.quality.deadlines`), rule or field, and day (UTC, yyyy-mm-dd)."""
        self.open.append((dataset, kind, subject, since, number))

    def some(self) -> Counts:
        """Return the counts of areas in which a rule assessed or passed anything."""
        found: Counts = {}
        for dataset, rules in self.counts.items():
            for rule, areas in rules.items():
                if kept := {area: list(count) for area, count in areas.items() if any(count)}:
                    found.setdefault(dataset, {})[rule] = kept
        return found

    def results(self) -> Results:
        """Return the sums over the areas, of rules that assessed anything."""
        return {
            dataset: {
                rule: [sum(count[0] for count in areas.values()), sum(count[1] for count in areas.values())]
                for rule, areas in rules.items()
                if any(count[0] for count in areas.values())
            }
            for dataset, rules in self.counts.items()
        }

    def save(self, path: Path) -> None:
        """Keep the counts in a file, so that only its path need travel between steps."""
        path.write_text(json.dumps({"counts": self.counts, "open": self.open}), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Tally:
        """Read them back."""
        tally = cls()
        kept = json.loads(path.read_text(encoding="utf-8"))
        tally.counts, tally.open = kept["counts"], [tuple(found) for found in kept["open"]]
        return tally


def record(
    connection: sa.Connection, run: str, rules: Mapping[str, Rule], results: Results, areas: Tally | None = None
) -> None:
    """Keep a run's counts, in the caller's transaction. Rules that are no longer declared are left out."""
    totals = [
        {"run": run, "dataset": dataset, "rule": name, "assessed": assessed, "passed": passed}
        | {"field": rules[name].field, "dimension": rules[name].dimension, "weight": rules[name].weight}
        for dataset, answered in results.items()
        for name, (assessed, passed) in answered.items()
        if name in rules
    ]
    _insert(connection, tables.rule_results, totals)
    if areas:
        rows = (
            {"run": run, "dataset": dataset, "rule": name, "area": area} | {"assessed": assessed, "passed": passed}
            for dataset, answered in areas.counts.items()
            for name, places in answered.items()
            if name in results.get(dataset, {}) and name in rules
            for area, (assessed, passed) in places.items()
            if assessed
        )
        _insert(connection, tables.area_results, rows)
        _record_open(connection, results, areas)


def _record_open(connection: sa.Connection, datasets: Iterable[str], tally: Tally) -> None:
    """Put the findings that are open now in the place of those of the reconcile before."""
    table = tables.open_findings
    connection.execute(sa.delete(table).where(table.c.dataset.in_(list(datasets))))
    names = ("dataset", "kind", "subject", "since", "number")
    _insert(connection, table, (dict(zip(names, found, strict=True)) for found in tally.open))


def _insert(connection: sa.Connection, table: sa.Table, rows: Iterable[Mapping[str, object]]) -> None:
    if found := list(rows):
        connection.execute(insert(table).on_conflict_do_nothing(), found)  # a retry after a kill changes nothing
