"""The projection: PostgreSQL's golden tables, feed and corrections mirror the lake, typed, and rebuildable from it.

Loaded publication by publication, each in a transaction of its own, so that a kill leaves whole publications only.
"""

from __future__ import annotations

import re

import adbc_driver_postgresql.dbapi as adbc
import duckdb
import sqlalchemy as sa

from motlan.engine import quote
from motlan.errors import ConfigurationError
from motlan.golden.diff import corrections_table, golden_table
from motlan.lake import read_parquet
from motlan.registry import Entity, FacetEntity
from motlan.store import tables
from motlan.workspace import Workspace

COLUMN = re.compile(r"[a-z][a-z0-9_]*")
_EVENT = "case when len(_others) > 0 then case _op when 'removed' then 'merged' else 'split' end else _op end"
"""What the feed calls a change: a removed person whose rows are others' now is merged, a created one with others' rows split."""


def ensure_tables(connection: sa.Connection, entity: Entity) -> None:
    """Make an entity's tables from the canonical schema; a field that is new becomes a nullable column by itself."""
    name = entity.name
    _check_names(entity)
    statements = [
        f"create table if not exists golden_{name} (person_id uuid primary key, publication bigint not null)",
        f"create table if not exists feed_{name} (seq bigint primary key, publication bigint not null, "
        "person_id uuid not null, event text not null, changed text[] not null)",
        f"create table if not exists corrections_{name} (dataset text, key text, field text, person_id uuid not null, "
        "ref text not null, value text, golden_value text, authority text, opened bigint not null, "
        "refreshed bigint not null, primary key (dataset, key, field))",
        f"alter table feed_{name} add column if not exists others uuid[]",
        f"alter table corrections_{name} add column if not exists severity text",
        f"alter table corrections_{name} add column if not exists evidence jsonb",
    ]
    for table in ("golden", "feed"):
        statements += [f"alter table {table}_{name} add column if not exists {field} text" for field in entity.fields]
    for field in entity.matching.identifiers:
        statements.append(f"create index if not exists golden_{name}_{field} on golden_{name} ({field})")
    for statement in statements:
        connection.execute(sa.text(statement))


def ensure_facet_tables(connection: sa.Connection, entity: FacetEntity) -> None:
    """Make the tables of an entity beside the main one: what it is now, and its feed."""
    name = entity.name
    _check_names(entity)
    statements = [
        f"create table if not exists golden_{name} (id uuid primary key, person_id uuid, dataset text not null, "
        "key text not null, ref text not null, as_of text, publication bigint not null)",
        f"create table if not exists feed_{name} (seq bigint primary key, publication bigint not null, id uuid not null, "
        "person_id uuid, event text not null, changed text[] not null)",
        f"create index if not exists golden_{name}_person on golden_{name} (person_id)",
    ]
    for table in ("golden", "feed"):
        statements += [f"alter table {table}_{name} add column if not exists {field} text" for field in entity.fields]
    if entity.facet.key:
        statements.append(f"create index if not exists golden_{name}_key on golden_{name} ({entity.facet.key})")
    for statement in statements:
        connection.execute(sa.text(statement))


def _check_names(entity: Entity | FacetEntity) -> None:
    if wrong := [field for field in (entity.name, *entity.fields) if not COLUMN.fullmatch(field)]:
        raise ConfigurationError(f"{wrong[0]} cannot name a column", where="schemas", next_step="use snake_case.")


def project(work: Workspace, entity_name: str) -> int:
    """Load every publication that the projection does not hold yet; return how many.

    Done twice, the second time changes nothing.
    """
    entity = work.registry.entity(entity_name)
    table = tables.publications
    with work.store.publishing() as connection:
        ensure_tables(connection, entity)
        for facet in work.registry.facets_of(entity_name):
            ensure_facet_tables(connection, facet)
        pending = connection.execute(
            sa.select(table)
            .where(table.c.entity == entity_name, table.c.projected_at.is_(None))
            .order_by(table.c.number)
        ).all()
    for publication in pending:
        _load(work, entity, publication.number, publication.run, publication.first_seq)
    return len(pending)


def _load(work: Workspace, entity: Entity, number: int, run: str, first_seq: int) -> None:
    """Load one publication by COPY into staging tables and from there, in one transaction."""
    golden = work.lake.files(golden_table(entity.name), {run})
    corrections = work.lake.files(corrections_table(entity.name), {run})
    with work.engine(f"projecting {entity.name}") as engine, adbc.connect(work.store.url) as target:
        with target.cursor() as cursor:
            if golden:
                columns = ", ".join(map(quote, entity.fields))
                # Publications from before merges and splits were told have no column of the others.
                none = "select null::varchar[] as _others where false"
                rows = f"""select person_id, {_EVENT} as event, array_to_string(_changed, ',') as changed,
                           array_to_string(_others, ',') as others, _ordinal::bigint as ordinal, {columns}
                    from (from {read_parquet(golden)} union all by name {none}) order by _ordinal"""
                _ingest(engine, cursor, "staged_golden", rows)
                for statement in _golden_statements(entity, number, first_seq):
                    cursor.execute(statement)
            if corrections:
                rows = f"select * exclude (_changed, _run) from {read_parquet(corrections)}"
                _ingest(engine, cursor, "staged_corrections", rows)
                for statement in _correction_statements(entity, number):
                    cursor.execute(statement)
            for facet in work.registry.facets_of(entity.name):
                if files := work.lake.files(golden_table(facet.name), {run}):
                    _load_facet(engine, cursor, facet, number, files)
            cursor.execute(f"update publications set projected_at = now() where number = {number}")
        target.commit()


def _load_facet(
    engine: duckdb.DuckDBPyConnection, cursor: adbc.Cursor, entity: FacetEntity, number: int, files: list[str]
) -> None:
    columns = ", ".join(map(quote, entity.fields))
    rows = f"""select id, person_id, dataset, _key as key, _ref as ref, _moment as as_of, _op as event,
               array_to_string(_changed, ',') as changed, _ordinal::bigint as ordinal, {columns} from {read_parquet(files)}"""
    _ingest(engine, cursor, "staged_facet", rows)
    for statement in _facet_statements(entity, number):
        cursor.execute(statement)


def _ingest(engine: duckdb.DuckDBPyConnection, cursor: adbc.Cursor, table: str, query: str) -> None:
    reader = engine.sql(query).to_arrow_reader(100_000)
    cursor.adbc_ingest(table, reader, mode="create", temporary=True)


def _golden_statements(entity: Entity, number: int, first_seq: int) -> list[str]:
    name, fields = entity.name, ", ".join(entity.fields)
    updates = ", ".join(f"{field} = excluded.{field}" for field in ("publication", *entity.fields))
    return [
        f"delete from golden_{name} using staged_golden s where golden_{name}.person_id = s.person_id::uuid "
        "and s.event in ('removed', 'merged')",
        f"insert into golden_{name} (person_id, publication, {fields}) select person_id::uuid, {number}, {fields} "
        f"from staged_golden where event not in ('removed', 'merged') on conflict (person_id) do update set {updates}",
        f"insert into feed_{name} (seq, publication, person_id, event, changed, others, {fields}) "
        f"select {first_seq} + ordinal - 1, {number}, person_id::uuid, event, string_to_array(changed, ','), "
        f"string_to_array(others, ',')::uuid[], {fields} "
        "from staged_golden where ordinal is not null on conflict (seq) do nothing",
        "drop table staged_golden",
    ]


def _facet_statements(entity: FacetEntity, number: int) -> list[str]:
    name, fields = entity.name, ", ".join(entity.fields)
    written = ("person_id", "dataset", "key", "ref", "as_of", "publication", *entity.fields)
    updates = ", ".join(f"{field} = excluded.{field}" for field in written)
    first = f"(select first_seq from facet_publications where publication = {number} and entity = '{name}')"
    return [
        f"delete from golden_{name} g using staged_facet s where g.id = s.id::uuid and s.event = 'removed'",
        f"insert into golden_{name} (id, {', '.join(written)}) select id::uuid, person_id::uuid, dataset, key, ref, as_of, "
        f"{number}, {fields} from staged_facet where event != 'removed' on conflict (id) do update set {updates}",
        f"insert into feed_{name} (seq, publication, id, person_id, event, changed, {fields}) "
        f"select {first} + ordinal - 1, {number}, id::uuid, person_id::uuid, event, string_to_array(changed, ','), {fields} "
        "from staged_facet where ordinal is not null on conflict (seq) do nothing",
        "drop table staged_facet",
    ]


def _correction_statements(entity: Entity, number: int) -> list[str]:
    name = entity.name
    return [
        f"delete from corrections_{name} c using staged_corrections s "
        "where (c.dataset, c.key, c.field) = (s.dataset, s._key, s.field) and s._op = 'removed'",
        f"insert into corrections_{name} (dataset, key, field, person_id, ref, value, golden_value, authority, opened, "
        "refreshed, severity, evidence) select dataset, _key, field, person_id::uuid, _ref, value, golden_value, "
        f"authority, {number}, {number}, severity, evidence::jsonb from staged_corrections where _op != 'removed' "
        "on conflict (dataset, key, field) do update set person_id = excluded.person_id, ref = excluded.ref, "
        "value = excluded.value, golden_value = excluded.golden_value, authority = excluded.authority, "
        "severity = excluded.severity, evidence = excluded.evidence, refreshed = excluded.refreshed",
        "drop table staged_corrections",
    ]
