"""What changed since the last publication: golden versions, corrections and findings, each appended to its table."""

from __future__ import annotations

import duckdb

from motlan.engine import literal, one, quote
from motlan.golden import conflicts, facets, guard
from motlan.golden.survivorship import POINTER
from motlan.lake import changes, current
from motlan.ledger import runs
from motlan.workspace import Workspace

CORRECTION_KEY = ("dataset", "_key", "field")
FINDING_KEY = ("dataset", "_key", "rule")
FINDING_COLUMNS = ("person_id", "_ref", "dimension", "severity", "field")


def golden_table(entity: str) -> str:
    """Return the name of the lake's table of an entity's golden versions."""
    return f"golden.{entity}"


def corrections_table(entity: str) -> str:
    """Return the name of the lake's table of corrections: created is opened, updated refreshed, removed closed."""
    return f"corrections.{entity}"


def findings_table(entity: str) -> str:
    """Return the name of the lake's table of what the cross-register rules found."""
    return f"findings.{entity}"


def diff(work: Workspace, run: runs.Run, published: list[str]) -> runs.Counts:
    """Stage what turns the published state into this run's.

    Golden changes carry `_ordinal` (1, 2, ... in the order of the feed, null where no value changed): the feed's numbers
    are these, counted on from the last publication's. A removed person whose rows went over to others, and a created one whose
    rows were others', carry these persons' ids in `_others`: a merge and a split.

    Returns:
        Counts: `created`, `updated`, `removed` persons in the feed, `changes` (their sum), `merged` and `split` (those among the
        removed and the created that have others), `versions` (golden rows written),
        `corrections` and `findings` (changed), `facets` (of each entity beside it, changes in its feed and `versions`),
        `held` and `guard` (see `guard.measure`), `snapshots`.
    """
    beside = [golden_table(facet.name) for facet in work.registry.facets_of(run.subject)]
    tables = [golden_table(run.subject), corrections_table(run.subject), findings_table(run.subject), *beside]
    return work.staged(run.id, "diff", tables, lambda: _diff(work, run, published))


def _diff(work: Workspace, run: runs.Run, published: list[str]) -> runs.Counts:
    entity = work.registry.entity(run.subject)
    fields = (*entity.fields, POINTER, "_merge_version")
    others = (
        (corrections_table(run.subject), "conflicts", CORRECTION_KEY, conflicts.COLUMNS),
        (findings_table(run.subject), "findings", FINDING_KEY, FINDING_COLUMNS),
    )
    with work.bulk_engine(f"comparing {run.subject}") as engine:
        table = golden_table(run.subject)
        _compare(work, engine, run.id, published, table, "golden", ("person_id",), fields, entity.fields)
        guarded = _guard(work, engine, run, published)
        merged, split = _name_others(work, engine, run, published)
        ops = _number(engine, "person_id")
        versions = _stage(work, engine, run.id, table, "ordered")
        written = {}
        for table, name, key, columns in others:
            _compare(work, engine, run.id, published, table, name, key, columns)
            written[name] = _stage(work, engine, run.id, table, "difference")
        beside = {}
        for facet in work.registry.facets_of(run.subject):
            table, marked = golden_table(facet.name), ("person_id", *facet.fields)
            kept = (*facets.COLUMNS, *facet.fields)
            _compare(work, engine, run.id, published, table, facets.file(facet.name), (facets.KEY,), kept, marked)
            told = sum(_number(engine, facets.KEY).values())
            beside[facet.name] = {"changes": told, "versions": _stage(work, engine, run.id, table, "ordered")}
    return {
        **{op: ops.get(op, 0) for op in ("created", "updated", "removed")},
        "changes": sum(ops.values()),
        "merged": merged,
        "split": split,
        "versions": versions,
        "corrections": written["conflicts"],
        "findings": written["findings"],
        "facets": beside,
        **guarded,
    }


def _name_others(
    work: Workspace, engine: duckdb.DuckDBPyConnection, run: runs.Run, published: list[str]
) -> tuple[int, int]:
    """Give `difference` the column `_others`; return how many persons were merged into others, and split off from others."""
    files = work.lake.files(f"links.{run.subject}", set(published))
    was = (
        current(files, ("dataset", "_key"))
        if files
        else "(select '' as dataset, '' as _key, '' as person_id where false)"
    )
    now = f"read_parquet({literal(str(work.scratch(run.id) / 'links.parquet'))})"
    engine.execute(
        f"""create temp table told as
            with moved as (
                select was.person_id as old, now.person_id as new
                from {was} as was join {now} as now using (dataset, _key) where was.person_id != now.person_id)
            select difference.*, _others from difference left join (
                select 'removed' as _op, old as person_id, list(distinct new order by new) as _others from moved group by all
                union all select 'created', new, list(distinct old order by old) from moved group by all)
            using (person_id, _op);
            drop table difference; alter table told rename to difference"""
    )
    merged, split = one(
        engine,
        """select count(*) filter (where _op = 'removed'), count(*) filter (where _op = 'created')
           from difference where _others is not null""",
    )
    return int(merged), int(split)


def _number(engine: duckdb.DuckDBPyConnection, key: str) -> dict[str, int]:
    """Make `ordered` of `difference`: `_ordinal` where a feed tells of it. Return how many, by what happened."""
    told = "(_op != 'updated' or len(_changed) > 0)"
    engine.execute(
        f"""create or replace temp table ordered as select *, case when {told}
                then row_number() over (partition by {told} order by {key}) end as _ordinal
            from difference"""
    )
    counted = engine.execute("select _op, count(*) from ordered where _ordinal is not null group by _op").fetchall()
    return dict(counted)


def _guard(work: Workspace, engine: duckdb.DuckDBPyConnection, run: runs.Run, published: list[str]) -> runs.Counts:
    """Count what the merge changes; nothing is a change of the first publication."""
    files = work.lake.files(f"links.{run.subject}", set(published))
    if not files:
        return {"held": 0}
    before = f"(select dataset, _key, person_id from {current(files, ('dataset', '_key'))})"
    after = f"read_parquet({literal(str(work.scratch(run.id) / 'links.parquet'))})"
    entity, province = work.registry.entity(run.subject), work.registry.scoring.province_field
    return guard.measure(engine, entity, province, before, after)


def _compare(
    work: Workspace,
    engine: duckdb.DuckDBPyConnection,
    run: str,
    published: list[str],
    table: str,
    name: str,
    key: tuple[str, ...],
    columns: tuple[str, ...],
    marked: tuple[str, ...] = (),
) -> None:
    """Make the table `difference` between what is published and what the run's scratch folder holds."""
    fresh = f"read_parquet({literal(str(work.scratch(run) / (name + '.parquet')))})"
    files = work.lake.files(table, set(published))
    kept = ", ".join(map(quote, (*key, *columns)))
    engine.execute(f"create or replace temp table fresh as select {kept} from {fresh}")
    old = f"select {kept} from {current(files, key)}" if files else "from fresh where false"
    engine.execute(f"create or replace temp table published as {old}")
    engine.execute(f"create or replace temp table difference as {changes('fresh', 'published', key, columns, marked)}")


def _stage(work: Workspace, engine: duckdb.DuckDBPyConnection, run: str, table: str, relation: str) -> int:
    """Write a table's changes, where there are any; return how many."""
    count: int = one(engine, f"select count(*) from {relation}")[0]
    if count:
        target = work.lake.folder(table, run) / "000000.parquet"
        engine.execute(
            f"copy (select *, {literal(run)} as _run from {relation}) to {literal(str(target))} "
            "(format parquet, compression zstd)"
        )
    return count
