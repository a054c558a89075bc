"""Whom the feeds have told: which agencies received which changes and pages, as the ledger of accesses has it.

An agency asks for the changes after a number, or for a page of what is published. From where it asked is known; up to where it
received is reckoned: as many changes as it asked for, all that its own next question passes over, and never more than was
published then. So nobody who received a change is left out; somebody whose line broke may be named all the same.
"""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa
import sqlalchemy as sa

from motlan.config.registry import Registry
from motlan.expressions import literal
from motlan.store import Store, bulk, tables

FEED, SNAPSHOT = "feed.read", "feed.snapshot"
"""What agencies do: read changes, read a page of what is published."""
NO_PERSON = "00000000-0000-0000-0000-000000000000"
LAST_PERSON = "ffffffff-ffff-ffff-ffff-ffffffffffff"


def load_grants(engine: duckdb.DuckDBPyConnection, registry: Registry, entity: str) -> None:
    """Make the table `grants` (`agency`, `field`) of what agencies may read of an entity today."""
    served = registry.served(entity)
    pairs = [(agency, field) for agency, grant in served.grants.items() for field in grant.fields]
    columns = {name: pa.array([pair[place] for pair in pairs], pa.string()) for place, name in enumerate(_GRANT)}
    engine.register("granted", pa.table(columns))
    engine.execute("create or replace temp table grants as from granted")
    engine.unregister("granted")


_GRANT = ("agency", "field")


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
    """Make the tables `reads` and `pages` (`agency`, `moment`, `after`, `until`) of what agencies asked for of an entity.

    `after` and `until` are numbers of the feed, or ids of persons.

    Args:
        engine: A session with `publications`.
        store: The open store.
        entity: The entity.
        folder: A folder for what is copied out of the store.
    """
    table, target = tables.accesses.c, folder / "accesses.csv"
    after, most = (sa.func.split_part(table.subject, " ", place) for place in (3, 5))  # `person after 20 limit 1000`
    query = sa.select(table.id, table.principal, table.action, after, most, table.recorded_at)
    query = query.where(table.action.in_((FEED, SNAPSHOT)), table.subject.startswith(f"{entity} after "))
    with store.engine.connect() as connection:
        bulk.copy_out(connection, query, target)
    columns = {"id": "bigint", "agency": "varchar", "action": "varchar", "after": "varchar", "most": "bigint"}
    kinds = ", ".join(f"'{name}': '{kind}'" for name, kind in (columns | {"moment": "timestamptz"}).items())
    looks = f"read_csv({literal(str(target))}, header = false, delim = ',', columns = {{{kinds}}})"
    null = ", ".join(f"null::{kind} as {name}" for name, kind in (columns | {"moment": "timestamptz"}).items())
    nothing = f"select {null} where false"
    relation = f"(from {looks})" if target.stat().st_size else f"({nothing})"
    engine.execute(
        f"""create or replace temp table reads as
            with asked as (
                select agency, r.moment, after::bigint as after, most, last_seq as published,
                       lead(after::bigint) over (partition by agency order by id) as next
                from {relation} as r asof left join publications as p on p.moment <= r.moment where action = {literal(FEED)})
            select agency, moment, after, least(greatest(after + most, coalesce(next, 0)), published) as until
            from asked where published > after"""
    )
    engine.execute(
        f"""create or replace temp table pages as
            select agency, moment, coalesce(try_cast(after as uuid), {literal(NO_PERSON)}::uuid) as after,
                   coalesce(lead(try_cast(after as uuid)) over (partition by agency order by id),
                            {literal(LAST_PERSON)}::uuid) as until
            from {relation} where action = {literal(SNAPSHOT)}"""
    )


RECEIVED = """
    with islands as (
        select *, sum(begins) over (partition by agency order by after, until) as island from (
            select *, (after > max(until) over (partition by agency order by after, until
                       rows between unbounded preceding and 1 preceding)) is not false as begins from reads)),
    spans as (select agency, min(after) as after, max(until) as until, min(moment) as first_at, max(moment) as last_at
              from (select * replace (begins::integer as begins) from islands) group by agency, island),
    by_feed as (
        select d.entity_id, d.field, s.agency, greatest(s.first_at, d.since) as first_at,
               greatest(s.last_at, d.since) as last_at
        from disclosed as d join grants using (field)
        join spans as s on s.agency = grants.agency and d.seq > s.after and d.seq <= s.until
        where d.seq is not null
          and (d.event != 'updated' or exists (
              from grants as g where g.agency = s.agency and list_contains(d.changed, g.field)))),
    by_page as (
        select d.entity_id, d.field, p.agency, p.moment as first_at, p.moment as last_at
        from disclosed as d join grants using (field) join pages as p
          on p.agency = grants.agency and d.entity_id::uuid > p.after and d.entity_id::uuid <= p.until
         and p.moment >= d.since and (d.until is null or p.moment < d.until))
    select agency, entity_id, field, min(first_at) as first_at, max(last_at) as last_at
    from (from by_feed union all from by_page) group by all"""
"""SQL of who received what: `agency`, `entity_id`, `field`, `first_at`, `last_at`.

It reads `grants`, `reads`, `pages`, and `disclosed`: values that were published (`entity_id`, `field`, `since` and `until` when,
`seq` in the feed, `event`, `changed`). The moments are those of the questions that passed over them.
"""
