"""`motlan bench linking`: link and merge a dense simulated country, score it against its truth, time it against Splink.

The world is dense: whatever its size, as many people share a birth date as among 100 million. Its registers are cleaned and
checked as the bus does; quarantined rows count as missed. Each tool then links the same cleaned Parquet files in a process of
its own, by turns, under one memory limit: from opening the files to having written its links.

Words used here:

- A *link* says that a row is about the person of another row. It is *right* when the truth says so.
- *precision* is the share of right links among all that the machine made; *recall* the share of landed agency rows that are in
  the group that stands for their person: the one with its row of the spine, or else most of its rows.
- `golden_ceiling` is the share of golden values that some row of the person has as they are: what a merge that knows the truth
  could reach. `incremental_pairs_share` is what part of the pairs is weighed again after one row in a thousand changed.
- Splink links rows to the spine alone, so both are compared in that: a row is right when it is linked to its person's row of the
  spine, or, where there is none, to no row of the spine. `f1` and `splink_f1` are the harmonic means of that share of rows and
  of the precision; `splink_f1` is the best over its thresholds, `splink_f1_fixed` the one at probability 0.95.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb

from bench import world
from bench.progress import Memory, Tell
from motlan import settings as environment
from motlan.config import registry as declared
from motlan.config.registry import Dataset, Registry
from motlan.expressions import connect, literal, load_code_lists, one, quote
from motlan.ingest.clean import select_canonical
from motlan.ingest.raw_columns import stored
from motlan.lake.iceberg import read_parquet
from motlan.linking.linking_rows import ROW
from motlan.merge.survivorship import merge_query
from motlan.quality import row_rules

ENTITY = "person"
IDENTITY = (
    "personal_id",
    "old_identity_number",
    "full_name",
    "birth_date",
    "sex",
    "residence_commune",
    "residence_province",
)
FIXED = 0.95
"""Splink's own threshold."""
THRESHOLDS = (0.05, 0.2, 0.5, 0.8, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9995, 0.9999, 0.99999)
GOLDEN = {"personal_id": "personal_id", "full_name": "full_name", "birth_date": "birth_date::varchar", "sex": "sex"}
"""Golden fields that identify, and where the truth has them."""


def limit_for(people: int) -> str:
    """Return the memory limit for a size: Splink needs some 2 GB a million people to run well."""
    return f"{max(1000, people // 1000 * 2)}MB"


def run(
    *,
    people: int,
    seed: int,
    dirt: str,
    rounds: int,
    peer: bool,
    memory_limit: str,
    threads: int,
    folder: Path | None,
    tell: Tell,
) -> dict[str, Any]:
    """Run the benchmark.

    Args:
        people: Size of the simulated country.
        seed: Its seed.
        dirt: A profile of `dirt.yaml`.
        rounds: Pairs of runs, ours and Splink's by turns; medians are told.
        peer: Whether Splink runs too.
        memory_limit: The engine's limit, of both.
        threads: The engine's threads, of both.
        folder: Where to work; None for a folder that is removed afterwards.
        tell: Told how far it is.

    Returns:
        `figures` (name -> number), `model` (each comparison's levels with their weights), `calibration` (of review pairs: by
        probability, how many are the same) and `splink` (by threshold).
    """
    settings = environment.load()
    with world.work_folder(settings, folder, "linking") as work:
        tell("making the world", 0, 0)
        world.apart("making the world", world.make_in_ranges, work / "world", people, seed, dirt, True)
        tell("cleaning and checking", 0, 0)
        world.apart("cleaning", clean, work)
        timed: dict[str, list[tuple[float, float]]] = {"ours": [], "splink": []}
        for number in range(rounds):
            for name, call in (("ours", link_ours), ("splink", link_with_splink)):
                if name == "ours" or peer:
                    tell(f"linking: {name}", number, rounds)
                    timed[name].append(_timed(name, call, work, memory_limit, threads))
        tell("linking again after changes", 0, 0)
        world.apart("linking again", link_again, work, memory_limit, threads)
        tell("merging", 0, 0)
        world.apart("merging", merge, work, memory_limit, threads)
        tell("scoring", 0, 0)
        return _result(work, timed, peer)


def _timed(name: str, call: Any, work: Path, memory_limit: str, threads: int) -> tuple[float, float]:
    """Run a tool in a process of its own; return its seconds and its peak memory in MiB."""
    memory = Memory()
    before = Memory()
    with before.watched():
        time.sleep(0.1)
    with memory.watched():
        world.apart(f"linking by {name}", call, work, memory_limit, threads)
    seconds = json.loads((work / f"{name}.json").read_text(encoding="utf-8"))["seconds"]
    return seconds, memory.peak_mb - before.peak_mb


def clean(work: Path) -> None:
    """Clean and check every register; write `facts/<dataset>-<range>.parquet` with what was accepted."""
    registry, settings = declared.load(), environment.load()
    (work / "facts").mkdir()
    with connect(temp_dir=work / "spill", allowed=[work, registry.code_lists], **settings.share()) as engine:
        load_code_lists(engine, registry.code_lists)
        for dataset in registry.datasets.values():
            asked = [rule for rule in registry.row_rules_of(dataset) if rule.severity == "blocking"]
            query = row_rules.tag(asked, select_canonical(dataset))
            fields = ", ".join(
                quote(field) if field in dataset.fields else f"null::varchar as {quote(field)}"
                for field in registry.entity(ENTITY).fields
            )
            for source in sorted((work / "world" / "landed" / dataset.name).glob("*.parquet")):
                engine.execute(f"create or replace temp view raw_rows as {_raw(engine, dataset, source)}")
                target = work / "facts" / f"{dataset.name}-{source.name}"
                engine.execute(
                    f"copy (select {literal(dataset.name)} as dataset, _key, _ref, _moment, {fields} "
                    f"from ({query}) where _accepted) to {literal(str(target))} (format parquet, compression zstd)"
                )


def _raw(engine: duckdb.DuckDBPyConnection, dataset: Dataset, path: Path) -> str:
    source = read_parquet([str(path)])
    sent = {row[0] for row in engine.execute(f"describe from {source}").fetchall()}
    named = {dataset.key: "_key", dataset.moment: "_moment"}
    columns = ", ".join(
        f"{quote(name) if name in sent else named.get(name, 'null::varchar')} as {quote(stored(name))}"
        for name in dataset.columns
    )
    ref = f"{literal(f'bench/{dataset.name}-{path.stem}/')} || _pos"
    return f"select {ref} as _ref, 'bench' as _run, _key, _moment, '' as _locator, {columns} from {source}"


def _facts(work: Path) -> str:
    return read_parquet([str(path) for path in sorted((work / "facts").glob("*.parquet"))])


def link_ours(work: Path, memory_limit: str, threads: int) -> None:
    """Link by the bus's own stages; write links, reviews and the model."""
    from motlan.linking.link_rows import link_all

    matching = declared.load().entity(ENTITY).matching
    began = time.perf_counter()
    with connect(temp_dir=work / "spill", allowed=[work], memory_limit=memory_limit, threads=threads) as engine:
        linking = link_all(engine, matching, _facts(work))
        spine = ", ".join(map(literal, matching.spine))
        engine.execute(
            """create temp view told as
                select n, person, compared, rule, match_weight, probability from row_links
                union all select n, person, person, 'duplicate', match_weight, probability from duplicates"""
        )
        _write(
            engine,
            work / "ours.parquet",
            f"""select f.dataset, f._key, coalesce(told.person, {ROW}) as person, told.rule, compared, match_weight, probability,
                       {ROW} as n, f.dataset in ({spine}) as is_spine
                from {_facts(work)} as f left join told on told.n = {ROW}""",
        )
        _write(engine, work / "reviews.parquet", "from review_pairs")
        pairs = one(engine, "select count(*) from scored_pairs")[0]
    seconds = time.perf_counter() - began
    levels = {
        name: {
            level.is_: weight
            for level, weight in zip(comparison.levels, linking.model.weights(name), strict=True)
            if not level.missing
        }
        for name, comparison in matching.comparisons.items()
    }
    told = {"seconds": seconds, "pairs": pairs, "levels": levels, "linked": linking.model.link_threshold}
    (work / "ours.json").write_text(json.dumps(told), encoding="utf-8")


def _write(engine: duckdb.DuckDBPyConnection, target: Path, query: str) -> None:
    engine.execute(f"copy ({query}) to {literal(str(target))} (format parquet, compression zstd)")


def link_again(work: Path, memory_limit: str, threads: int) -> None:
    """Link, change one row in a thousand, link again with what is remembered, and count the pairs weighed."""
    from motlan.linking.link_rows import link_all

    matching = declared.load().entity(ENTITY).matching
    changed = f"hash({ROW}) % 1000 = 0"
    with connect(temp_dir=work / "spill", allowed=[work], memory_limit=memory_limit, threads=threads) as engine:
        first = link_all(engine, matching, _facts(work))
        whole = one(engine, "select count(*) from scored_pairs")[0]
        engine.execute(
            f"""create temp table changes as select {ROW} as n from {_facts(work)} where {changed};
                create temp table remembered as
                select * from scored_pairs anti join changes using (n) anti join (select n as other from changes) using (other)"""
        )
        model = first.model
        first.close()
        moved = f"(select * replace (if({changed}, null, residence_commune) as residence_commune) from {_facts(work)})"
        link_all(engine, matching, moved, model, remembered=True)
        part = one(engine, "select count(*) from scored_pairs")[0]
    (work / "again.json").write_text(json.dumps({"incremental_pairs_share": part / whole}), encoding="utf-8")


def link_with_splink(work: Path, memory_limit: str, threads: int) -> None:
    """Link by Splink alone."""
    from bench.peers import splink_linking
    from motlan.expressions import DUCKDB

    matching = declared.load().entity(ENTITY).matching
    spine = ", ".join(map(literal, matching.spine))
    fields = ", ".join(IDENTITY)
    name = DUCKDB.call("name_key", ["full_name"])
    row = f"select dataset || '/' || _key as id, {name} as name, {fields} from {_facts(work)}"
    relation = f"({row} where dataset {{}}in ({spine}))"
    began = time.perf_counter()
    splink_linking.link(
        relation.format("not "), relation.format(""), work / "spill", memory_limit, threads, work / "splink.parquet"
    )
    (work / "splink.json").write_text(json.dumps({"seconds": time.perf_counter() - began}), encoding="utf-8")


def merge(work: Path, memory_limit: str, threads: int) -> None:
    """Merge what ours linked; write the golden identity fields."""
    entity = declared.load().entity(ENTITY)
    began = time.perf_counter()
    with connect(temp_dir=work / "spill", allowed=[work], memory_limit=memory_limit, threads=threads) as engine:
        links = read_parquet([str(work / "ours.parquet")])
        engine.execute(
            f"""create temp table linked_rows as
                select links.person::varchar as entity_id, f.* from {_facts(work)} as f
                join (select dataset, _key, person from {links}) as links using (dataset, _key)"""
        )
        fields = ", ".join(map(quote, GOLDEN))
        _write(
            engine, work / "golden.parquet", f"select entity_id, {fields} from ({merge_query(entity, 'linked_rows')})"
        )
    (work / "merge.json").write_text(json.dumps({"seconds": time.perf_counter() - began}), encoding="utf-8")


def _result(work: Path, timed: dict[str, list[tuple[float, float]]], peer: bool) -> dict[str, Any]:
    ours = json.loads((work / "ours.json").read_text(encoding="utf-8"))
    with duckdb.connect() as con:
        con.execute("set enable_progress_bar = false")
        _truth(con, work, declared.load())
        figures = _score(con, work)
        bands = con.execute(
            f"""select round(probability, 1) as probability, count(*) as pairs, avg((l.true_id = r.true_id)::integer) as same
                from {read_parquet([str(work / "reviews.parquet")])} as p
                join ours as l on l.n = p.n join ours as r on r.n = p.other group by all order by all"""
        ).fetchall()
        splink = _score_splink(con, work) if peer else []
    figures |= json.loads((work / "again.json").read_text(encoding="utf-8"))
    figures |= _medians(timed["ours"], "") | {
        "pairs": ours["pairs"],
        "threshold": ours["linked"],
        "merge_seconds": json.loads((work / "merge.json").read_text(encoding="utf-8"))["seconds"],
    }
    if peer:
        best = max(splink, key=lambda row: row["f1"])
        fixed = next(row for row in splink if row["threshold"] == FIXED)
        figures |= {f"splink_{name}": best[name] for name in ("precision", "recall", "f1", "threshold")}
        figures |= {"splink_f1_fixed": fixed["f1"], **_medians(timed["splink"], "splink_")}
        pairs = list(zip(timed["ours"], timed["splink"], strict=True))
        figures["time_ratio"] = statistics.median(mine[0] / theirs[0] for mine, theirs in pairs)
        figures["memory_ratio"] = statistics.median(mine[1] / theirs[1] for mine, theirs in pairs)
    bands_named = [dict(zip(("probability", "pairs", "same"), band, strict=True)) for band in bands]
    return {"figures": figures, "model": ours["levels"], "calibration": bands_named, "splink": splink}


def _medians(timed: Sequence[tuple[float, float]], prefix: str) -> dict[str, float]:
    seconds, memory = zip(*timed, strict=True)
    return {f"{prefix}seconds": statistics.median(seconds), f"{prefix}peak_rss_mb": round(statistics.median(memory), 1)}


def _told(work: Path, table: str) -> str:
    return read_parquet([str(path) for path in sorted((work / "world" / "truth" / table).glob("*.parquet"))])


def _truth(con: duckdb.DuckDBPyConnection, work: Path, registry: Registry) -> None:
    """Make `ours`: every landed row that has a true person, and what became of it."""
    spine = ", ".join(map(literal, registry.entity(ENTITY).matching.spine))
    truth = _told(work, "rows")
    con.execute(
        f"""create table ours as
            select t.dataset, t.key as _key, t.true_id, t.dataset in ({spine}) as is_spine, l.n, l.person, l.rule, l.compared
            from {truth} as t
            left join {read_parquet([str(work / "ours.parquet")])} as l on l.dataset = t.dataset and l._key = t.key
            where t.true_id is not null"""
    )
    con.execute("create table known as select distinct true_id from ours where is_spine")
    con.execute(
        """create table represents as
           with shares as (
               select true_id, person, count(*) filter (is_spine and rule is null) as spine_rows, count(*) as rows
               from ours where person is not null group by all),
           best as (select *, row_number() over (partition by true_id order by spine_rows desc, rows desc, person) as t,
                           row_number() over (partition by person order by spine_rows desc, rows desc, true_id) as p from shares)
           select true_id, person from best where t = 1 and p = 1"""
    )


def _score(con: duckdb.DuckDBPyConnection, work: Path) -> dict[str, Any]:
    rows_, recalled, links, right = one(
        con,
        """select count(*), count(r.person), count(mine.rule),
                  count(*) filter (mine.rule is not null and theirs.true_id = mine.true_id)
           from ours as mine left join represents as r on r.true_id = mine.true_id and r.person = mine.person
           left join ours as theirs on theirs.n = mine.compared where not mine.is_spine""",
    )
    reviews = one(con, f"select count(distinct n) from {read_parquet([str(work / 'reviews.parquet')])}")[0]
    columns = ", ".join(f"{column} as {name}" for name, column in GOLDEN.items())
    known = ", ".join(f"count(t.true_{name}), count(*) filter (g.{name} = t.true_{name})" for name in GOLDEN)
    persons = _told(work, "persons")
    newest = "qualify row_number() over (partition by true_id order by valid_from_day desc) = 1"
    con.execute(
        f"""create table compared as
            select g.entity_id, {", ".join(f"g.{name} as {name}, t.{name} as true_{name}" for name in GOLDEN)}
            from {read_parquet([str(work / "golden.parquet")])} as g
            join represents on represents.person::varchar = g.entity_id
            join (select true_id, {columns} from {persons} {newest}) as t using (true_id)"""
    )
    counts = one(con, f"select {known} from compared as g join compared as t using (entity_id)")
    said = ", ".join(f"bool_or(f.{name} = c.true_{name}) as {name}" for name in GOLDEN)
    most = one(
        con,
        f"""select {", ".join(f"count(*) filter ({name})" for name in GOLDEN)} from (
                select c.entity_id, {said} from compared as c join ours on ours.person::varchar = c.entity_id
                join {_facts(work)} as f using (dataset, _key) group by c.entity_id)""",
    )
    known_values = sum(counts[0::2])
    shares = {f"golden_accuracy_{name}": counts[2 * i + 1] / counts[2 * i] for i, name in enumerate(GOLDEN)}
    placed = one(
        con,
        """select count(*) filter (if(theirs.is_spine, theirs.true_id = mine.true_id,
                                      mine.true_id not in (select true_id from known)))
           from ours as mine left join ours as theirs on theirs.n = mine.person where not mine.is_spine""",
    )[0]
    return {
        **_rates(right, links, recalled, placed, rows_),
        "review_share": reviews / rows_,
        "golden_accuracy": sum(counts[1::2]) / known_values,
        "golden_ceiling": sum(most) / known_values,
        **shares,
        "rows": rows_,
        "links": links,
        "wrong_links": links - right,
        "reviews": reviews,
    }


def _rates(right: int, links: int, recalled: int, placed: int, rows_: int) -> dict[str, float]:
    precision, recall, share = right / max(links, 1), recalled / max(rows_, 1), placed / max(rows_, 1)
    return {"precision": precision, "recall": recall, "f1": 2 * precision * share / max(precision + share, 1e-9)}


def _score_splink(con: duckdb.DuckDBPyConnection, work: Path) -> list[dict[str, Any]]:
    """Score Splink at each threshold: a row's most probable person."""
    con.execute(
        f"""create table theirs as
            select split_part(r, '/', 1) as dataset, substr(r, length(split_part(r, '/', 1)) + 2) as _key,
                   arg_max(l, (weight, l)) as l, max(probability) as probability
            from {read_parquet([str(work / "splink.parquet")])} group by all"""
    )
    con.execute(
        """create table judged as
           select mine.true_id, probability, spine.true_id as said, mine.true_id in (select true_id from known) as known
           from ours as mine left join theirs using (dataset, _key)
           left join (select dataset || '/' || _key as l, true_id from ours where is_spine) as spine using (l)
           where not mine.is_spine"""
    )
    found = []
    for threshold in THRESHOLDS:
        linked = f"coalesce(probability >= {threshold}, false)"
        rows_, links, right, alone = one(
            con,
            f"""select count(*), count(*) filter ({linked}), count(*) filter ({linked} and said = true_id),
                       count(*) filter (not {linked} and not known) from judged""",
        )
        found.append({"threshold": threshold, **_rates(right, links, right + alone, right + alone, rows_)})
    return found
