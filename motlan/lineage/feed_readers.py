"""Whom the feeds have told: which agencies received which changes and pages, as the ledger of accesses has it.

The ledger says of each answer which numbers of the feed, or which persons of a snapshot, it began and ended with, and which
fields it gave on which legal basis. An answer is written down before it is sent: somebody whose line broke is named all the same.
"""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa
import sqlalchemy as sa

from motlan.expressions import literal
from motlan.store import Store, bulk, tables

FEED, SNAPSHOT = "feed.read", "feed.snapshot"
"""What agencies do: read changes, read a page of what is published."""
_READS = {
    "agency": "varchar",
    "action": "varchar",
    "first_seq": "bigint",
    "last_seq": "bigint",
    "first_key": "uuid",
    "last_key": "uuid",
    "fields": "varchar",
    "legal_basis": "varchar",
    "moment": "timestamptz",
}


def load_publications(engine: duckdb.DuckDBPyConnection, store: Store, entity: str) -> None:
    """Make the table `publications` of a linked entity: `number`, `run`, `first_seq`, `last_seq`, `moment` (UTC)."""
    table = tables.publications.c
    query = sa.select(table.number, table.run, table.first_seq, table.changes, table.recorded_at)
    with store.engine.connect() as connection:
        rows = connection.execute(query.where(table.entity == entity).order_by(table.number)).all()
    found = {
        "number": pa.array([row.number for row in rows], pa.int64()),
        "run": pa.array([row.run for row in rows], pa.string()),
        "first_seq": pa.array([row.first_seq for row in rows], pa.int64()),
        "last_seq": pa.array([row.first_seq + row.changes - 1 for row in rows], pa.int64()),
        "moment": pa.array([row.recorded_at for row in rows], pa.timestamp("us", "UTC")),
    }
    engine.register("numbered", pa.table(found))
    engine.execute("create or replace temp table publications as from numbered")
    engine.unregister("numbered")


def load_reads(engine: duckdb.DuckDBPyConnection, store: Store, entity: str, folder: Path) -> None:
    """Make the table `reads` of what agencies were given of an entity: the columns of `_READS`, `fields` as a list.

    Args:
        engine: A session.
        store: The open store.
        entity: The entity.
        folder: A folder for what is copied out of the store.
    """
    table, target = tables.accesses.c, folder / "accesses.csv"
    places = (table.first_seq, table.last_seq, table.first_key, table.last_key)
    fields = sa.func.array_to_string(table.fields, ",")
    query = sa.select(table.principal, table.action, *places, fields, table.legal_basis, table.recorded_at)
    query = query.where(table.action.in_((FEED, SNAPSHOT)), table.entity == entity)
    with store.engine.connect() as connection:
        bulk.copy_out(connection, query, target)
    kinds = ", ".join(f"'{name}': '{kind}'" for name, kind in _READS.items())
    looks = f"from read_csv({literal(str(target))}, header = false, delim = ',', columns = {{{kinds}}})"
    if not target.stat().st_size:
        looks = f"select {', '.join(f'null::{kind} as {name}' for name, kind in _READS.items())} where false"
    engine.execute(
        f"create or replace temp table reads as select * replace (string_split(fields, ',') as fields) from ({looks})"
    )


RECEIVED = f"""
    with pages as (from reads where action = {literal(SNAPSHOT)} and first_key is not null),
    changes as (from reads where action = {literal(FEED)} and first_seq is not null),
    islands as (
        select *, sum(begins) over (partition by agency, fields, legal_basis order by first_seq, last_seq) as island from (
            select *, (first_seq > 1 + max(last_seq) over (
                       partition by agency, fields, legal_basis order by first_seq, last_seq
                       rows between unbounded preceding and 1 preceding)) is not false as begins from changes)),
    spans as (
        select agency, fields, legal_basis, min(first_seq) as first_seq, max(last_seq) as last_seq,
               min(moment) as first_at, max(moment) as last_at
        from (select * replace (begins::integer as begins) from islands) group by agency, fields, legal_basis, island),
    by_feed as (
        select d.entity_id, d.field, s.agency, s.legal_basis, greatest(s.first_at, d.since) as first_at,
               greatest(s.last_at, d.since) as last_at
        from disclosed as d join spans as s on d.seq >= s.first_seq and d.seq <= s.last_seq
        where list_contains(s.fields, d.field) and (d.event != 'updated' or list_has_any(d.changed, s.fields))),
    by_page as (
        select d.entity_id, d.field, p.agency, p.legal_basis, p.moment as first_at, p.moment as last_at
        from disclosed as d join pages as p on d.entity_id::uuid >= p.first_key and d.entity_id::uuid <= p.last_key
        where list_contains(p.fields, d.field) and p.moment >= d.since and (d.until is null or p.moment < d.until))
    select agency, entity_id, field, legal_basis, min(first_at) as first_at, max(last_at) as last_at
    from (from by_feed union all from by_page) group by all"""
"""SQL of who received what: `agency`, `entity_id`, `field`, `legal_basis`, `first_at`, `last_at`.

It reads `reads`, and `disclosed`: values that were published (`entity_id`, `field`, `since` and `until` when, `seq` in the feed,
`event`, `changed`). The moments are the first and the last of the answers that, one after another, covered the change.
"""
