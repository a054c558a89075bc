"""What a run linked and merged, against the generator's truth: the definitions of `bench.linking`, on the run's lake tables.

Rows and persons are 64-bit numbers here (of more than a hundred million, two share one once in thousands of worlds), so that
the whole country's comparison fits into the engine's limit and spills beyond it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb

from bench.linking import ENTITY, FIXED, GOLDEN, THRESHOLDS
from bench.national.pipeline import Setting
from bench.national.watch import Steps
from motlan.expressions import literal, one
from motlan.lake.iceberg import read_parquet
from motlan.lake.tables import clean_table, golden_table, links_table, reviews_table
from motlan.ledger import runs
from motlan.workspace import Workspace, open_workspace

FOUNDERS = ("founder", "provisional founder")
"""Rules of rows that founded a person: they are no links."""
SLICE = 5_000_000
"""Persons that are judged at a time: all of a big country do not fit into the engine's limit."""


def score(steps: Steps, setting: Setting, run: str, splink: Path) -> dict[str, Any]:
    """Score a reconcile run, and Splink's pairs where there are any.

    Returns:
        Flat figures.
    """
    setting.enter()
    work = open_workspace()
    spill = setting.folder / "scoring"
    limits: dict[str, Any] = {
        "memory_limit": setting.memory_limit,
        "threads": setting.threads,
        "temp_directory": str(spill),
    }
    with duckdb.connect(str(_fresh(spill) / "scores.duckdb"), config=limits) as con:
        con.execute("set enable_progress_bar = false")
        con.execute("set preserve_insertion_order = false")
        with steps.step("truth"):
            _ours(con, work, setting, run)
        with steps.step("links"):
            figures = _links(con, work, run)
        with steps.step("golden"):
            figures |= _golden(con, work, setting, run)
        if splink.exists():
            with steps.step("peer"):
                figures |= score_splink(con, splink)
    shutil.rmtree(spill)
    return figures


def _fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _table(work: Workspace, table: str, run: str) -> str:
    return read_parquet(work.lake.files(table, {run}))


def _ours(con: duckdb.DuckDBPyConnection, work: Workspace, setting: Setting, run: str) -> None:
    """Make `ours`, every landed row that has a true person and what became of it, and `represents`, the group of each person."""
    spine = ", ".join(map(literal, work.registry.entity(ENTITY).matching.spine))
    founders = ", ".join(map(literal, FOUNDERS))
    con.execute(
        f"""create table ours as
            with links as (
                select hash(dataset || '/' || _key) as n, hash(entity_id) as person, hash(founder) as founder,
                       hash(compared) as compared, rule not in ({founders}) as linked
                from {_table(work, links_table(ENTITY), run)}),
            truth as (
                select hash(dataset || '/' || key) as n, true_id, dataset in ({spine}) as is_spine
                from read_parquet({literal(f"{setting.truth}/rows/*.parquet")}) where true_id is not null)
            select truth.*, person, founder, compared, coalesce(linked, false) as linked from truth left join links using (n)"""
    )
    con.execute("create table known as select distinct true_id from ours where is_spine")
    con.execute(
        """create table represents as
           with shares as (
               select true_id, person, count(*) filter (is_spine and not linked) as spine_rows, count(*) as rows,
                      any_value(founder) as founder
               from ours where person is not null group by all),
           best as (select *, row_number() over (partition by true_id order by spine_rows desc, rows desc, founder) as t,
                           row_number() over (partition by person order by spine_rows desc, rows desc, true_id) as p from shares)
           select true_id, person from best where t = 1 and p = 1"""
    )


Part = Callable[[str], str]
"""Gives, of a number's SQL, the condition that it is in a slice: two numbers that are equal are in the same."""


def _slices(con: duckdb.DuckDBPyConnection) -> list[Part]:
    """Return slices of about `SLICE` persons each."""
    count = -(-one(con, "select count(*) from represents")[0] // SLICE) or 1

    def part(place: int) -> Part:
        return lambda number: f"coalesce({number}, 0) % {count} = {place}"

    return [part(place) for place in range(count)]


def _summed(con: duckdb.DuckDBPyConnection, ask: Callable[[Part], str]) -> list[int]:
    """Add up what a query of one row tells of each slice."""
    return [sum(counts) for counts in zip(*(one(con, ask(part)) for part in _slices(con)), strict=True)]


def _links(con: duckdb.DuckDBPyConnection, work: Workspace, run: str) -> dict[str, Any]:
    rows, recalled = _summed(
        con,
        lambda part: (
            f"""
            select count(*), count(r.person) from (from ours where {part("person")}) as mine
            left join (from represents where {part("person")}) as r on r.true_id = mine.true_id and r.person = mine.person
            where not mine.is_spine"""
        ),
    )
    links, right = _summed(
        con,
        lambda part: (
            f"""
            select count(*) filter (mine.linked), count(*) filter (mine.linked and theirs.true_id = mine.true_id)
            from (from ours where {part("compared")}) as mine
            left join (from ours where {part("n")}) as theirs on theirs.n = mine.compared where not mine.is_spine"""
        ),
    )
    (placed,) = _summed(
        con,
        lambda part: (
            f"""
            select count(*) filter (if(theirs.is_spine, theirs.true_id = mine.true_id, known.true_id is null))
            from (from ours where {part("founder")}) as mine
            left join (from ours where {part("n")}) as theirs on theirs.n = mine.founder
            left join known on known.true_id = mine.true_id where not mine.is_spine"""
        ),
    )
    files = work.lake.files(reviews_table(ENTITY), {run})
    reviews = one(con, f"select count(distinct (dataset, _key)) from {read_parquet(files)}")[0] if files else 0
    return {
        **_rates(right, links, recalled, placed, rows),
        "review_share": reviews / max(rows, 1),
        "agency_rows": rows,
        "links": links,
        "wrong_links": links - right,
        "reviews": reviews,
    }


def _rates(right: int, links: int, recalled: int, placed: int, rows: int) -> dict[str, float]:
    precision, recall, share = right / max(links, 1), recalled / max(rows, 1), placed / max(rows, 1)
    return {"precision": precision, "recall": recall, "f1": 2 * precision * share / max(precision + share, 1e-9)}


def _golden(con: duckdb.DuckDBPyConnection, work: Workspace, setting: Setting, run: str) -> dict[str, float]:
    """Compare golden values with the truth's; the ceiling is what some row of the person says."""
    persons = f"read_parquet({literal(f'{setting.truth}/persons/*.parquet')})"
    columns = ", ".join(f"{column} as true_{name}" for name, column in GOLDEN.items())
    told = ", ".join(f"count(true_{name}), count(*) filter ({name} = true_{name})" for name in GOLDEN)
    known, most = [0] * 2 * len(GOLDEN), [0] * len(GOLDEN)
    for part in _slices(con):
        con.execute(
            f"""create or replace table compared as
                select person, {", ".join(f"g.{name}, true_{name}" for name in GOLDEN)}
                from (select hash(entity_id) as person, {", ".join(GOLDEN)} from {_table(work, golden_table(ENTITY), run)}) as g
                join (from represents where {part("person")}) as r using (person)
                join (select true_id, {columns} from {persons} where valid_from_day = 0) using (true_id)"""
        )
        known = [a + b for a, b in zip(known, one(con, f"select {told} from compared"), strict=True)]
        most = [a + b for a, b in zip(most, one(con, _ceiling(work)), strict=True)]
    total = max(sum(known[0::2]), 1)
    shares = {f"golden_accuracy_{name}": known[2 * i + 1] / max(known[2 * i], 1) for i, name in enumerate(GOLDEN)}
    return {"golden_accuracy": sum(known[1::2]) / total, "golden_ceiling": sum(most) / total, **shares}


def _ceiling(work: Workspace) -> str:
    """Return the query that counts, of each field, the persons of `compared` of whom some row says the true value."""
    parts = []
    for dataset in work.registry.datasets_of(ENTITY):
        if files := work.lake.files(clean_table(dataset.name), _all_runs(work, dataset.name)):
            fields = ", ".join(name if name in dataset.fields else f"null::varchar as {name}" for name in GOLDEN)
            parts.append(f"select hash('{dataset.name}/' || _key) as n, {fields} from {read_parquet(files)}")
    said = ", ".join(f"bool_or(f.{name} = c.true_{name}) as {name}" for name in GOLDEN)
    return f"""
        select {", ".join(f"count(*) filter ({name})" for name in GOLDEN)} from (
            select {said} from compared as c join ours using (person) join ({" union all ".join(parts)}) as f using (n)
            group by person)"""


def _all_runs(work: Workspace, dataset: str) -> set[str]:
    with work.store.engine.connect() as opened:
        return set(runs.visible(opened, "sync", dataset))


def score_splink(con: duckdb.DuckDBPyConnection, pairs: Path) -> dict[str, float]:
    """Score Splink at its best threshold, and at its own: a row's most probable person.

    Args:
        con: With the tables `ours` (`n`, `true_id`, `is_spine`) and `known` (`true_id` of the spine's).
        pairs: What Splink wrote: `l`, `r`, `weight`, `probability`.
    """
    con.execute(
        f"""create table judged as
            select mine.true_id, probability, spine.true_id as said, known.true_id is not null as known
            from ours as mine
            left join (select hash(r) as n, hash(arg_max(l, (weight, l))) as l, max(probability) as probability
                       from read_parquet({literal(str(pairs))}) group by r) as theirs using (n)
            left join (select n as l, true_id from ours where is_spine) as spine using (l)
            left join known on known.true_id = mine.true_id
            where not mine.is_spine"""
    )
    found = {}
    for threshold in THRESHOLDS:
        linked = f"coalesce(probability >= {threshold}, false)"
        rows, links, right, alone = one(
            con,
            f"""select count(*), count(*) filter ({linked}), count(*) filter ({linked} and said = true_id),
                       count(*) filter (not {linked} and not known) from judged""",
        )
        found[threshold] = _rates(right, links, right + alone, right + alone, rows)
    best = max(found, key=lambda threshold: found[threshold]["f1"])
    told = {f"splink_{name}": found[best][name] for name in ("precision", "f1")}
    return {**told, "splink_threshold": best, "splink_f1_fixed": found[FIXED]["f1"]}
