"""Scores the bus against the truth of a synthetic world. Only the demo, the benchmarks and the tests read the truth.

Linking is scored over pairs (landed agency row, person), rows of the spine left out: they found their persons, so they
would flatter. A person of the truth is represented by the bus's person that has its spine row, or else most of its rows;
a row is right when it belongs to that one. Quarantined rows count as missed.
"""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from motlan.expressions import literal, one, quote
from motlan.lake.iceberg import current, read_parquet
from motlan.lake.tables import links_table, raw_table
from motlan.ledger import runs
from motlan.lineage.evidence import golden_rows
from motlan.linking.persist import KEY
from motlan.workspace import Workspace

# Columns of the truth for the golden fields that identify.
IDENTITY = {"personal_id": "personal_id", "full_name": "full_name", "birth_date": "birth_date::varchar", "sex": "sex"}


def score(work: Workspace, world: Path, day: int, entity: str = "person") -> dict[str, dict[str, float]]:
    """Return `linking` (precision, recall, f1, rows) and `golden` (persons, fields, accuracy, one share a field).

    Args:
        work: The bus.
        world: The world's folder.
        day: The day that the agencies have reached.
        entity: The canonical entity.
    """
    spine = ", ".join(map(literal, work.registry.entity(entity).matching.spine))
    with work.store.engine.connect() as connection:
        published = set(runs.visible(connection, "reconcile", entity))
        landed = [
            f"select {literal(name)} as dataset, _key from {read_parquet(files)}"
            for name in work.registry.datasets
            if (files := work.lake.files(raw_table(name), set(runs.visible(connection, "sync", name))))
        ]
    with work.engine("scoring") as engine:
        # The bus's engine cannot open the truth's files, on purpose: they are handed in.
        engine.register("true_persons", pq.read_table(world / "truth" / "persons.parquet"))
        engine.register("true_rows", pq.read_table(world / "truth" / "rows.parquet"))
        engine.execute(
            f"""create temp table truth as select * from true_persons where valid_from_day <= {day}
                qualify row_number() over (partition by true_id order by valid_from_day desc) = 1"""
        )
        engine.execute(
            f"""create temp table pairs as
                with landed as (select distinct * from ({" union all ".join(landed)})),
                truths as (select dataset, key as _key, true_id from true_rows where valid_from_day <= {day}
                           qualify row_number() over (partition by dataset, key order by valid_from_day desc) = 1),
                links as (from {current(work.lake.files(links_table(entity), published), KEY)})
                select landed.dataset, landed.dataset in ({spine}) as is_spine, true_id, entity_id, rule,
                       landed.dataset || '/' || landed._key = founder as is_founder
                from landed join truths using (dataset, _key) left join links using (dataset, _key)"""
        )
        engine.execute(
            """create temp table represents as
               with shares as (
                   select true_id, entity_id, count_if(is_spine and is_founder) as spine_rows, count(*) as rows
                   from pairs where entity_id is not null group by all),
               best as (select *, row_number() over (partition by true_id order by spine_rows desc, rows desc, entity_id) as t,
                               row_number() over (partition by entity_id order by spine_rows desc, rows desc, true_id) as p
                        from shares)
               select true_id, entity_id from best where t = 1 and p = 1"""
        )
        rows, correct, asserted, asserted_correct = one(
            engine,
            """select count(*) as rows, count(r.entity_id) as correct,
                      count(*) filter (pairs.rule is not null and pairs.rule != 'provisional founder') as asserted,
                      count(r.entity_id) filter (pairs.rule != 'provisional founder') as asserted_correct
               from pairs left join represents r using (true_id, entity_id) where not is_spine""",
        )
        golden = _golden(engine, golden_rows(work, entity))
    precision, recall = asserted_correct / max(asserted, 1), correct / max(rows, 1)
    f1 = 2 * precision * recall / max(precision + recall, 1e-9)
    linking = {"precision": precision, "recall": recall, "f1": f1, "rows": rows}
    return {"linking": _rounded(linking), "golden": _rounded(golden)}


def _golden(engine: duckdb.DuckDBPyConnection, golden: str) -> dict[str, float]:
    known = ", ".join(f"count(truth.{field}), count(*) filter (g.{quote(field)} = truth.{field})" for field in IDENTITY)
    columns = ", ".join(f"{column} as {field}" for field, column in IDENTITY.items())
    persons, *counts = one(
        engine,
        f"""select count(*), {known}
            from {golden} g left join represents using (entity_id)
            left join (select true_id, {columns} from truth) truth using (true_id)""",
    )
    shares = {field: counts[2 * i + 1] / max(counts[2 * i], 1) for i, field in enumerate(IDENTITY)}
    accuracy = sum(counts[1::2]) / max(sum(counts[0::2]), 1)
    return {"persons": persons, "accuracy": accuracy, **{f"accuracy_{field}": share for field, share in shares.items()}}


def _rounded(figures: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 6) if isinstance(value, float) else value for name, value in figures.items()}
