"""A register as it stands: what row rules answered about the newest accepted row of each record, and about the rows that
are still in quarantine, and the questions asked of the register as a whole.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import duckdb
import pyarrow as pa
import sqlalchemy as sa

from motlan.config.registry import Dataset
from motlan.expressions import make, one, quote
from motlan.lake.iceberg import read_parquet
from motlan.lake.newest import MOMENT, newest_first
from motlan.ledger import runs, versions
from motlan.ledger.results import Landed
from motlan.partitioning import make_buckets
from motlan.quality import deadlines
from motlan.quality.register_rules import ask
from motlan.quality.rule_counts import Tally, decode
from motlan.store import tables
from motlan.workspace import Workspace

PACE_SECONDS = 30 * 86400
"""The time before a register's newest change that tells its pace of changes."""


def count_standing(
    work: Workspace, engine: duckdb.DuckDBPyConnection, dataset: Dataset, files: list[str], tally: Tally
) -> tuple[int, str | None]:
    """Count what row rules answered about the newest accepted row of each record into a tally, and since when these are faulty.

    Leaves these rows as the view `standing`: see `_show_standing`.

    Args:
        work: The open installation.
        engine: An engine of the steps.
        dataset: Whose rows they are.
        files: All accepted rows of some records, or of all, older ones too.
        tally: Where to.

    Returns:
        How many records these are, and the newest moment.
    """
    _show_standing(work, engine, dataset, files)
    asked = engine.execute(
        "select _version, area, _assessed, count(*), max(_moment) from standing group by _version, area, _assessed"
    ).fetchall()
    names = {version: _rules_of_version(work, version) for version in {row[0] for row in asked}}
    for version, where, words, number, _ in asked:
        for name in decode(names[version], words or []) if words else []:
            tally.add(dataset.name, name, where, number, number)
    broken = engine.execute(
        "select area, rule, count(*) from (select area, unnest(broken) as rule from faulty) group by all"
    ).fetchall()
    for where, name, number in broken:
        tally.add(dataset.name, name, where, 0, -number)
    deadlines.count_rows(engine, dataset, "faulty", files, tally)
    return sum(row[3] for row in asked), max((moment for *_, moment in asked if moment is not None), default=None)


def count_recent(engine: duckdb.DuckDBPyConnection, rows: str, newest: str | None) -> int:
    """Return how many rows changed in the last `PACE_SECONDS` before the newest change of their register.

    Args:
        engine: An engine of the steps.
        rows: Relation with `_moment`.
        newest: The newest moment; of no moment nothing is known.
    """
    since = f"try_cast(? as timestamptz) - to_seconds({PACE_SECONDS})"
    return int(
        one(engine, f"select count(*) from {rows} where try_cast(_moment as timestamptz) > {since}", [newest])[0]
    )


def earliest_day(newest: str | None) -> str:
    """Return a day before which no row is recent, so that few moments are read as such; empty where that is not known."""
    try:
        return (
            (datetime.fromisoformat((newest or "")[:10]) - timedelta(seconds=PACE_SECONDS, days=1)).date().isoformat()
        )
    except (ValueError, OverflowError):
        return ""


def ask_register(
    work: Workspace,
    engine: duckdb.DuckDBPyConnection,
    dataset: Dataset,
    standing: str | None,
    counted: tuple[int, str | None, int],
    tally: Tally,
) -> None:
    """Count into a tally what waits in quarantine, as failing what it broke, and what register rules answer.

    Args:
        work: The open installation.
        engine: An engine of the steps.
        dataset: Which register.
        standing: Relation of the `_key` of each of its records that has an accepted row; None where it has none.
        counted: How many records these are, the newest moment, and how many are recent (see `count_recent`).
        tally: Where to.
    """
    accepted, newest, recent = counted
    waiting = _waiting(work, dataset)
    for names, number in waiting["rules"]:
        for name in names:
            tally.add(dataset.name, name, None, number, 0)
    records = accepted + _unknown_keys(engine, waiting["keys"], standing)
    measures: dict[str, int | None] = {"records": records, "accepted": accepted, "quarantined": len(waiting["keys"])}
    measures |= _newest_pull(work, dataset, newest)
    measures |= {"freshness": dataset.freshness, "expected": recent * dataset.freshness // PACE_SECONDS}
    for rule in work.registry.rules.registers:
        if rule.applies_to(dataset.name):
            tally.add(dataset.name, rule.name, None, *ask(engine, rule, measures))


def _show_standing(work: Workspace, engine: duckdb.DuckDBPyConnection, dataset: Dataset, files: list[str]) -> None:
    """Show the newest accepted row of each record as `standing`; keep those with findings in the table `faulty`.

    Most records have one row alone, which is read where it is: the others' newest rows are found first.

    Columns of `standing`: `_key`, `_run`, `_moment`, `_version`, `_assessed`, `_errors`, `area`, `versions` (how many rows
    the record has); of `faulty`: `_key`, `_run`, `area`, `versions`, `broken` (names of rules).
    """
    area = work.registry.scoring.area
    place = quote(area) if area in dataset.fields else "null::varchar"
    rows, columns = (
        read_parquet(files),
        f"_key, _run, {MOMENT} as _moment, _version, _assessed, _errors, {place} as area",
    )
    some = make_buckets(one(engine, f"select count(*) from {rows}")[0])
    again = "select _key, count(*) as versions from {} where {} group by _key having count(*) > 1"
    make(engine, "again", (again.format(rows, part("abs(hash(_key))")) for part in some))
    engine.execute(
        f"""create or replace temp table renewed as select {columns}, versions from (
                select *, row_number() over (partition by _key order by {newest_first(dataset)}) as _newest
                from {rows} join again using (_key)) where _newest = 1"""
    )
    others = "anti join again using (_key)" if one(engine, "select count(*) from again")[0] else ""
    engine.execute(
        f"""create or replace temp view standing as
                select {columns}, 1::bigint as versions from {rows} {others} union all select * from renewed"""
    )
    engine.execute(
        """create or replace temp table faulty as
               select _key, _run, area, versions, list_transform(_errors, lambda error: error.rule) as broken
               from standing where len(_errors) > 0"""
    )


def _rules_of_version(work: Workspace, version: str) -> list[str]:
    names: list[str] = versions.read(work.store, version)[2].get("rules", [])
    return names


def _waiting(work: Workspace, dataset: Dataset) -> dict[str, Any]:
    """Return the quarantined rows that still wait: the rules that they broke with counts, and their keys."""
    table = tables.quarantine_entries.c
    waits = sa.and_(table.dataset == dataset.name, table.state == "open")
    with work.store.engine.connect() as connection:
        rules = connection.execute(sa.select(table.rules, sa.func.count()).where(waits).group_by(table.rules)).all()
        keys = connection.scalars(sa.select(sa.func.coalesce(table.source_key, table.ref)).where(waits).distinct())
        return {"rules": [(list(names), number) for names, number in rules], "keys": list(keys)}


def _unknown_keys(engine: duckdb.DuckDBPyConnection, keys: list[str], standing: str | None) -> int:
    """Count the waiting records of which no older row was accepted."""
    if standing is None or not keys:
        return len(keys)
    engine.register("waiting", pa.table({"_key": pa.array(keys, pa.string())}))
    found: int = one(engine, f"select count(*) from waiting anti join {standing} as standing using (_key)")[0]
    engine.unregister("waiting")
    return found


def _newest_pull(work: Workspace, dataset: Dataset, newest: str | None) -> dict[str, int | None]:
    """Return what the newest pull of a dataset that came through told: counts, and an age in seconds.

    A pull of which nothing was announced cannot have come short: what it lets stand is the one before.
    """
    landed = _landed(work, dataset)
    announced = landed if landed and landed.source_rows else _landed(work, dataset, announced=True)
    return {
        "pulled": announced.pulled if announced else None,
        "source_rows": announced.source_rows if announced else None,
        "source_total": landed.source_total if landed else None,
        "age": _seconds(newest, landed.source_as_of if landed else None),
    }


def _landed(work: Workspace, dataset: Dataset, *, announced: bool = False) -> Landed | None:
    """Return the newest pull, or the newest of which rows were announced; None where there is none."""
    table = tables.runs.c
    query = (
        sa.select(table.steps["land"])
        .where(table.kind == "sync", table.subject == dataset.name, table.state.in_((*runs.SEEN, "unchanged")))
        .where(sa.not_(table.steps["land"].has_key("replayed")))  # a replay pulled nothing
        .order_by(table.id.desc())
        .limit(1)
    )
    if announced:
        query = query.where(table.steps["land"]["source_rows"].astext.cast(sa.BigInteger) > 0)
    with work.store.engine.connect() as connection:
        found = connection.execute(query).scalar_one_or_none()
    return Landed.read(found) if found else None


def _seconds(since: str | None, until: str | None) -> int | None:
    """Return the seconds between two moments; None where one is no moment."""
    try:
        passed = datetime.fromisoformat(until or "") - datetime.fromisoformat(since or "")
    except (TypeError, ValueError):
        return None
    return int(passed.total_seconds())
