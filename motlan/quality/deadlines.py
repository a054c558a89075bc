"""Since when a finding is open, and when it is due: verified, then fixed and sent again (mapping/scoring.yaml, `due_days`).

Nothing is written beside a finding for it: the runs that its rows and its versions in the lake name say when it was first
seen. A finding that goes and comes back is a new one. What is kept in the store are counts by day, never whose they are.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

import duckdb
import sqlalchemy as sa

from motlan.config.registry import Dataset, Registry
from motlan.config.scoring import DueDays
from motlan.expressions import literal, quote
from motlan.lake.iceberg import Versions, read_parquet
from motlan.lake.newest import newest_first
from motlan.lake.tables import corrections_table, findings_table
from motlan.ledger import runs
from motlan.ledger.results import Begun
from motlan.partitioning import PersonRanges
from motlan.quality.rule_counts import Tally
from motlan.store import Store, tables
from motlan.workspace import Workspace

Kind = Literal["row", "cross", "correction", "quarantine"]
CONFLICTS: tuple[Kind, ...] = ("cross", "correction")
"""Kinds of findings that two records or registers have a part in."""
_APPENDED = (("cross", "findings", "rule"), ("correction", "conflicts", "field"))
"""Kind, file in the run's scratch folder, and the column that names the rule or field."""
_TABLES = {"findings": findings_table, "conflicts": corrections_table}
"""File in the scratch folder -> the lake's table that keeps its changes, by the entity."""


def day_of(run: str) -> str:
    """Return the SQL of the day (UTC) on which a run began, from its id."""
    return f"substr({run}, 1, 4) || '-' || substr({run}, 5, 2) || '-' || substr({run}, 7, 2)"


def open_rows(dataset: Dataset, newest: str, files: Collection[str]) -> str:
    """Return the SQL of the findings of each record's newest accepted row: `_key`, `rule`, `since` (a run).

    A finding is open since the oldest row from which on every row of the record has it. Most records have one row alone.

    Args:
        dataset: Whose rows they are.
        newest: Name of a relation of those of these newest rows that have findings: `_key`, `_run`, `broken` (the rules'
            names) and `versions` (how many accepted rows the record has).
        files: All accepted rows, older ones too.
    """
    return f"""
        (with found as (select _key, unnest(broken) as rule from {newest} where versions > 1),
        versions as (
            select _key, _run, list_transform(_errors, lambda error: error.rule) as broken,
                   row_number() over (partition by _key order by {newest_first(dataset)}) as place
            from {read_parquet(files)} semi join found using (_key)),
        met as (
            select _key, rule, list(_run order by place) as runs,
                   min(place) filter (where not list_contains(broken, rule)) as sound
            from found join versions using (_key) group by _key, rule)
        select _key, rule, list_min(runs[1:coalesce(sound - 1, len(runs))]) as since from met
        union all
        select _key, unnest(broken) as rule, _run as since from {newest} where versions = 1)"""


def open_changes(files: Collection[str], key: Sequence[str]) -> str:
    """Return the SQL of since when each row of a table of appended versions is there: the key and `since` (a run)."""
    names = ", ".join(map(quote, key))
    return f"(select {names}, _since as since from {Versions.of(files).since(key)} where _op != 'removed')"


def count_rows(
    engine: duckdb.DuckDBPyConnection, dataset: Dataset, newest: str, files: Collection[str], tally: Tally
) -> None:
    """Count the open findings of a dataset's rows into a tally; see `open_rows`."""
    query = f"select rule, {day_of('since')} as day, count(*) from {open_rows(dataset, newest, files)} group by all"
    for rule, day, number in engine.execute(query).fetchall():
        tally.add_open(dataset.name, "row", rule, day, number)


def count_changes(
    work: Workspace, run: runs.Run, engine: duckdb.DuckDBPyConnection, parts: PersonRanges, tally: Tally
) -> None:
    """Count what a reconcile run found across registers, and the corrections that it leads to, into a tally."""
    for kind, name, column in _APPENDED:
        if not parts.files(name):
            continue
        key = ("dataset", "_key", column)
        now = parts.read(name)
        files = work.lake.base_and_deltas(_TABLES[name](run.subject), run.result(Begun).published)
        since = literal(run.id)
        if files:
            now = f"{now} left join {open_changes(files, key)} using ({', '.join(map(quote, key))})"
            since = f"coalesce(since, {since})"
        query = f"select dataset, {column}, {day_of(since)} as day, count(*) from {now} group by all"
        for dataset, subject, day, number in engine.execute(query).fetchall():
            tally.add_open(dataset, kind, subject, day, number)


@dataclass
class Due:
    """How many findings are open.

    Attributes:
        agency: Whose register.
        kind: `row` (of a row alone), `cross` (across rows or registers), `correction` (a value that its owner is asked to
            correct) or `quarantine` (a row that is held back).
        name: The rule; of a correction the field; empty where all are counted together.
        open: All of them.
        due: Those that should have been verified by now, and need not be fixed yet.
        overdue: Those that should have been fixed and sent again.
        first_seen: Day (UTC) of the oldest.
        due_date: Last day on which the oldest is not overdue.
    """

    agency: str
    kind: Kind
    name: str
    open: int = 0
    due: int = 0
    overdue: int = 0
    first_seen: str = "9999-12-31"
    due_date: str = "9999-12-31"

    def add(self, since: date, number: int, verify: date, fix: date, today: date) -> None:
        """Count findings of a day, with the last days on which they are not due and not overdue."""
        self.open += number
        self.overdue += number if today > fix else 0
        self.due += number if verify < today <= fix else 0
        self.first_seen = min(self.first_seen, since.isoformat())
        self.due_date = min(self.due_date, fix.isoformat())


def last_days(days: DueDays, kind: Kind, field: str, since: date) -> tuple[date, date]:
    """Return the last days on which a finding can be verified, and fixed and sent again, in time.

    A conflict about one of the complex fields has the longer time to be fixed.
    """
    verify = since + timedelta(days=days.verify)
    is_complex = kind in CONFLICTS and field in days.complex_fields
    return verify, verify + timedelta(days=days.complex if is_complex else days.fix)


def held_until(days: DueDays, first_seen: datetime) -> date:
    """Return the last day (UTC) on which a row that is held in quarantine is not overdue."""
    return last_days(days, "quarantine", "", first_seen.astimezone(UTC).date())[1]


def due(
    store: Store, registry: Registry, *, by_rule: bool = False, dataset: str | None = None, today: date | None = None
) -> list[Due]:
    """Return how many findings are open, due and overdue, by agency and kind, and by rule where asked.

    Args:
        store: The open store.
        registry: What is declared.
        by_rule: Whether each rule (or corrected field) is counted by itself.
        dataset: Only this dataset's.
        today: The day in UTC to which it applies; this day where absent.
    """
    today = today or datetime.now(UTC).date()
    found: dict[tuple[str, str, str], Due] = {}
    for row in (*_open(store), *_held(store)):
        if row["dataset"] not in registry.datasets or dataset not in (None, row["dataset"]):
            continue
        agency, kind, subject = registry.datasets[row["dataset"]].agency, row["kind"], row["subject"]
        rule = registry.rules.by_name.get(subject)
        field = subject if kind == "correction" else rule.field if rule else ""
        key = (agency, kind, subject if by_rule else "")
        verify, fix = last_days(registry.scoring.due_days, kind, field, row["since"])
        found.setdefault(key, Due(*key)).add(row["since"], row["number"], verify, fix, today)
    order = list(registry.agencies)
    return sorted(found.values(), key=lambda one: (order.index(one.agency), one.kind, one.name))


def _open(store: Store) -> list[dict[str, Any]]:
    with store.engine.connect() as connection:
        return [dict(row) for row in connection.execute(sa.select(tables.open_findings)).mappings()]


def _held(store: Store) -> list[dict[str, Any]]:
    """Return what is held in quarantine; a row counts once, under the first rule that it broke."""
    table = tables.quarantine_entries.c
    since = sa.cast(sa.func.timezone("UTC", table.first_seen), sa.Date).label("since")
    kind, subject = sa.literal("quarantine").label("kind"), table.rules[1].label("subject")
    query = sa.select(table.dataset, kind, subject, since, sa.func.count().label("number"))
    query = query.where(table.state != "closed").group_by(table.dataset, subject, since)
    with store.engine.connect() as connection:
        return [dict(row) for row in connection.execute(query).mappings()]
