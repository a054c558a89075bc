"""Values that people set aside: what one record says on one field is not to be believed.

A decision holds for the record (register and key), the field and the value, known by a keyed hash only. It outlives every
re-run, and the record's next versions while they repeat the value; another value from the source is a new claim. Setting it
aside, and taking that back, are rows of a ledger that only grows: the newest about a record and field holds.
"""

from __future__ import annotations

import hashlib
import hmac

import duckdb
import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import distinct_on

from motlan.engine import literal, quote
from motlan.store import Store, tables

SECRET = "set aside values"  # noqa: S105 - the secret's name
SET_ASIDE, BELIEVE_AGAIN = "set aside", "believe again"
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
    """Return the decisions that hold after a number: `dataset`, `_key`, `field`, `digest`."""
    query = newest_of_each(entity).where(tables.value_decisions.c.id <= until)
    found = [row for row in connection.execute(query).mappings() if row["action"] == SET_ASIDE]
    names = {"dataset": "dataset", "_key": "key", "field": "field", "digest": "digest"}
    return pa.table({name: pa.array([row[column] for row in found], pa.string()) for name, column in names.items()})


def apply(engine: duckdb.DuckDBPyConnection, store: Store, rows: str, decisions: pa.Table) -> None:
    """Take the values that are set aside out of a table of rows; keep them in the table `withheld`.

    Columns of `withheld`: `dataset`, `_key`, `field`, `person_id`, `_ref`, `value`.

    Args:
        engine: Where the rows are.
        store: Whose secret the digests are made with.
        rows: A table with `dataset`, `_key`, `_ref`, `person_id` and the fields.
        decisions: What `holding` returned.
    """
    columns = "dataset varchar, _key varchar, field varchar, person_id varchar, _ref varchar, value varchar"
    engine.execute(f"create or replace temp table withheld ({columns})")
    fields = sorted(set(decisions["field"].to_pylist()))
    engine.register("set_aside", decisions)
    for field in fields:
        mine = f"set_aside where field = {literal(field)}"
        said = engine.execute(
            f"select distinct {quote(field)} from {rows} semi join (select dataset, _key from {mine}) using (dataset, _key) "
            f"where {quote(field)} is not null"
        ).fetchall()
        values = [row[0] for row in said]
        known = {"value": values, "digest": [digest(store, value) for value in values]}
        engine.register("known", pa.table({name: pa.array(column, pa.string()) for name, column in known.items()}))
        engine.execute(
            f"""insert into withheld select distinct r.dataset, r._key, {literal(field)}, r.person_id, r._ref, r.{quote(field)}
                from {rows} as r join known on known.value = r.{quote(field)}
                join (from {mine}) as d on d.dataset = r.dataset and d._key = r._key and d.digest = known.digest"""
        )
        engine.execute(
            f"""update {rows} set {quote(field)} = null where _ref in
                (select _ref from withheld where field = {literal(field)})"""
        )
        engine.unregister("known")
    engine.unregister("set_aside")
