"""Rows for tests of the merge, what is declared of their fields, and both ways to golden rows."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import duckdb
import pyarrow as pa

from motlan.config.authority import Authority
from motlan.merge import value_ages
from motlan.merge.conflicts import losing_values_query
from motlan.merge.merge import merge_closely
from motlan.merge.plain_survivorship import plain_query
from motlan.merge.provenance import pointed
from motlan.merge.survivorship import merge_ways

Row = dict[str, Any]
REGISTERS = ("alpha", "beta", "gamma", "delta")
HISTORIES = int(os.environ.get("MOTLAN_HISTORIES", "200"))
"""Persons of a property test; `make soak` sets many."""
SEED = os.environ.get("MOTLAN_SEED", "1")


def entity_of(rules: Mapping[str, Any], *more: str) -> Any:
    fields = (*rules, *more)
    authority = {field: Authority.model_validate(rules.get(field, {"authority": []})) for field in fields}
    return SimpleNamespace(fields=fields, authority=authority)


def load(engine: duckdb.DuckDBPyConnection, entity: Any, rows: Sequence[Row]) -> None:
    """Show rows, each given by `dataset`, its fields, and perhaps `key`, `moment`, `person`, `since` and `said` (by field)."""
    columns = {
        "entity_id": [row.get("person", "p") for row in rows],
        "dataset": [row["dataset"] for row in rows],
        "_key": [row.get("key", row["dataset"]) for row in rows],
        "_ref": [f"run/0/{row['dataset']}{row.get('key', '')}{row.get('person', '')}" for row in rows],
        "_moment": [row.get("moment", "2020") for row in rows],
        **{field: [row.get(field) for row in rows] for field in entity.fields},
    }
    told = {"_ref": (columns["_ref"], pa.string())}
    for field in value_ages.believed(entity):
        told["_since_" + field] = ([row.get("since", {}).get(field) for row in rows], pa.string())
        told["_said_" + field] = ([row.get("said", {}).get(field) for row in rows], pa.int32())
    for name, table in (
        ("linked_rows", pa.table({column: pa.array(values, pa.string()) for column, values in columns.items()})),
        (value_ages.SINCE, pa.table({column: pa.array(values, kind) for column, (values, kind) in told.items()})),
    ):
        engine.register("given", table)
        engine.execute(f"create or replace temp table {name} as from given")
        engine.unregister("given")
    engine.execute(
        "create or replace temp table withheld as select dataset, _key, 'x' as field, entity_id, _ref, _key as value "
        "from linked_rows where false"
    )


def by_each_path(engine: duckdb.DuckDBPyConnection, entity: Any, rows: Sequence[Row]) -> list[dict[str, Row]]:
    """Merge rows; give the golden rows by person of the plain definition, of persons whose rows agree, and of all others.

    What lost against them is compared at once: it must be the same, whether all rows are read or the closely merged ones.
    """
    load(engine, entity, rows)
    won = value_ages.believed(entity)
    ways = merge_ways(entity, "linked_rows", won, close="close_rows", since=value_ages.SINCE)
    merge_closely(engine, ways)
    plain = plain_query(entity, "linked_rows", won, since=value_ages.SINCE)
    for name, query in (("plainly", plain), ("agreeing", ways.plain)):
        engine.execute(f"create or replace temp table {name} as {query}")
    lost = [
        sorted(engine.execute(f"from ({losing_values_query(entity, given, golden, 'withheld')})").fetchall())
        for given, golden in (("linked_rows", "plainly"), ("close_rows", "close_golden"))
    ]
    assert lost[0] == lost[1]
    return [
        {row["entity_id"]: row for row in engine.sql(f"from {pointed(name)}").to_arrow_table().to_pylist()}
        for name in ("plainly", "agreeing", "close_golden")
    ]
