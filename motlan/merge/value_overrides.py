"""Values that people set aside: what one record says on one field is not to be believed.

A decision holds for the record (register and key), the field and the value, known by a keyed hash only: another register that
says the same is heard. It outlives every re-run, and the record's next versions while they repeat the value without a pause;
another value from the source is a new claim. Where the source said something else meanwhile, or nothing, the decision has lapsed:
the value is heard again, and people are asked about it again. Setting it aside, and taking that back, are rows of a ledger that
only grows: the newest about a record, field and value holds.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import duckdb
import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import distinct_on

from motlan.expressions import literal, quote
from motlan.lake.iceberg import read_parquet
from motlan.lake.newest import MOMENT
from motlan.store import Store, tables
from motlan.workspace import Workspace

SECRET = "excluded values"  # noqa: S105 - the secret's name
EXCLUDE, REINSTATE = "exclude", "reinstate"
"""What can be decided about a value."""


def digest(store: Store, value: str) -> str:
    """Return the keyed hash of a value: without the installation's secret nobody can guess it."""
    return hmac.new(store.secret(SECRET), value.encode(), hashlib.sha256).hexdigest()


def newest(connection: sa.Connection, entity: str) -> int:
    """Return the number of the newest decision of an entity, 0 where there is none."""
    table = tables.value_decisions.c
    return int(
        connection.execute(
            sa.select(sa.func.coalesce(sa.func.max(table.id), 0)).where(table.entity == entity)
        ).scalar_one()
    )


def newest_of_each(entity: str) -> sa.Select[tuple[object, ...]]:
    """Return the query of the newest decision about each record, field and value."""
    table = tables.value_decisions
    same = (table.c.dataset, table.c.key, table.c.field, table.c.digest)
    return sa.select(table).where(table.c.entity == entity).ext(distinct_on(*same)).order_by(*same, table.c.id.desc())


def holding(connection: sa.Connection, entity: str, until: int) -> pa.Table:
    """Return the decisions that hold after a number: `dataset`, `_key`, `field`, `digest`, `ref`, `decision` (its number)."""
    query = newest_of_each(entity).where(tables.value_decisions.c.id <= until)
    found = [row for row in connection.execute(query).mappings() if row["action"] == EXCLUDE]
    names = {"dataset": "dataset", "_key": "key", "field": "field", "digest": "digest", "ref": "ref"}
    told = {name: pa.array([row[column] for row in found], pa.string()) for name, column in names.items()}
    return pa.table({**told, "decision": pa.array([row["id"] for row in found], pa.int64())})


def without(decisions: pa.Table, lapsed: Collection[int]) -> pa.Table:
    """Return decisions without those of these numbers."""
    return decisions.filter(
        pa.array([number not in lapsed for number in decisions["decision"].to_pylist()], pa.bool_())
    )


@dataclass(frozen=True)
class Lapsed:
    """Decisions that do not hold any more.

    Attributes:
        numbers: Of all of them.
        said_again: Of those whose value the record says now.
    """

    numbers: list[int]
    said_again: list[int]


def lapsed(work: Workspace, entity: str, inputs: Mapping[str, Sequence[str]], decisions: pa.Table) -> Lapsed:
    """Find the decisions whose record said something else since, or nothing.

    Args:
        work: The open installation.
        entity: The entity's name.
        inputs: Dataset -> the sync runs to read.
        decisions: What `holding` returned.
    """
    over: set[int] = set()
    again: set[int] = set()
    by_field: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in decisions.to_pylist():
        by_field[row["dataset"], row["field"]].append(row)
    if by_field:
        with work.engine(f"looking for values of {entity} that are said again") as engine:
            for (dataset, field), rows in sorted(by_field.items()):
                for row, said in _said_since(work, engine, dataset, field, inputs, rows):
                    same = [value is not None and digest(work.store, value) == row["digest"] for value in said]
                    over |= set() if all(same) else {row["decision"]}
                    again |= {row["decision"]} if same[-1] and not all(same) else set()
    return Lapsed(sorted(over), sorted(again))


def _said_since(
    work: Workspace,
    engine: duckdb.DuckDBPyConnection,
    dataset: str,
    field: str,
    inputs: Mapping[str, Sequence[str]],
    rows: Sequence[dict[str, Any]],
) -> Iterator[tuple[dict[str, Any], list[str | None]]]:
    """Give each decision with what its record said on the field after the row that it was made on, in the dataset's order.

    A late delivery of older news says nothing after it, where the record's own moment counts (see `motlan.lake.newest`).
    """
    first = min(_place(row["ref"]) for row in rows)
    runs = [run for run in inputs.get(dataset, ()) if run >= first[0]]
    files = work.clean_files(dataset, {dataset: runs})
    declared = work.registry.datasets.get(dataset)
    if not files or declared is None or field not in declared.fields:
        return
    engine.register("asked", pa.table({"_key": pa.array(sorted({row["_key"] for row in rows}), pa.string())}))
    moment = MOMENT if declared.succession == "moment" else "null"
    query = f"select _key, _ref, {moment}, {quote(field)} from {read_parquet(files)} semi join asked using (_key)"
    said: dict[str, list[tuple[_Place, str | None]]] = defaultdict(list)
    moments: dict[str, str] = {}
    for key, ref, when, value in engine.execute(query).fetchall():
        moments[ref] = when or ""
        said[key].append(((moments[ref], *_place(ref)), value))
    engine.unregister("asked")
    for row in rows:
        own = (moments.get(row["ref"], ""), *_place(row["ref"]))
        after = [value for place, value in sorted(said[row["_key"]], key=itemgetter(0)) if place > own]
        if after:
            yield row, after


_Place = tuple[str, str, int, int]
"""Where a version of a record stands in its dataset's order: its moment, where that counts, and its place in arrival."""


def _place(ref: str) -> tuple[str, int, int]:
    """Return where a landed row stands among all, in the order of arrival: run, chunk, position."""
    run, chunk, position = ref.split("/")
    return run, int(chunk), int(position)


def apply(engine: duckdb.DuckDBPyConnection, store: Store, rows: str, decisions: pa.Table) -> None:
    """Take the values that are set aside out of a table of rows; keep them in the table `withheld`.

    Columns of `withheld`: `dataset`, `_key`, `field`, `entity_id`, `_ref`, `value`.

    Args:
        engine: Where the rows are.
        store: Whose secret the digests are made with.
        rows: A table with `dataset`, `_key`, `_ref`, `entity_id` and the fields.
        decisions: What `holding` returned.
    """
    columns = "dataset varchar, _key varchar, field varchar, entity_id varchar, _ref varchar, value varchar"
    engine.execute(f"create or replace temp table withheld ({columns})")
    fields = sorted(set(decisions["field"].to_pylist()))
    engine.register("excluded", decisions)
    for field in fields:
        mine = f"excluded where field = {literal(field)}"
        said = engine.execute(
            f"select distinct {quote(field)} from {rows} semi join (select dataset, _key from {mine}) using (dataset, _key) "
            f"where {quote(field)} is not null"
        ).fetchall()
        values = [row[0] for row in said]
        known = {"value": values, "digest": [digest(store, value) for value in values]}
        engine.register("known", pa.table({name: pa.array(column, pa.string()) for name, column in known.items()}))
        engine.execute(
            f"""insert into withheld select distinct r.dataset, r._key, {literal(field)}, r.entity_id, r._ref, r.{quote(field)}
                from {rows} as r join known on known.value = r.{quote(field)}
                join (from {mine}) as d on d.dataset = r.dataset and d._key = r._key and d.digest = known.digest"""
        )
        engine.execute(
            f"""update {rows} set {quote(field)} = null where _ref in
                (select _ref from withheld where field = {literal(field)})"""
        )
        engine.unregister("known")
    engine.unregister("excluded")
