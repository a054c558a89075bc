"""The projection: PostgreSQL's golden tables, feed and corrections mirror the lake, typed, and rebuildable from it.

Loaded publication by publication, each in a transaction of its own, so that a kill leaves whole publications only. Where
nothing is loaded yet, or by an earlier version into tables without partitions, all publications are loaded aside, in one
transaction, which puts the tables in place at its end: readers see the old state or the new one, and wait for no load. To have
the projection built anew, drop the entity's golden table.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import adbc_driver_postgresql.dbapi as adbc
import duckdb
import sqlalchemy as sa

from motlan.config.registry import Entity, RelatedEntity
from motlan.errors import ConfigurationError, InternalError
from motlan.expressions import one, quote
from motlan.lake.iceberg import read_parquet
from motlan.lake.tables import corrections_table, golden_table
from motlan.ledger import log
from motlan.ledger.erasures import EVENT
from motlan.projection import digests, preflight
from motlan.projection.digests import DIGEST
from motlan.projection.rows import Orders, columns_query, read_orders, sent, sources_of, with_late_columns
from motlan.projection.tables import STAGED, Mirror, mirror_of
from motlan.store import tables
from motlan.store.session import PUBLISHER_LOCK, grant_feeds
from motlan.workspace import Workspace

COLUMN = re.compile(r"[a-z][a-z0-9_]*")
PROJECTOR_LOCK = PUBLISHER_LOCK + 2
ASIDE = "motlan_aside"
"""The schema in which tables are built that nobody reads yet. It lives no longer than the transaction."""
BUILD_MEMORY = "512MB"
"""The server's memory for the sort of one index: enough for a partition's."""
MEND = "projection mended"
"""Kind of the log's entry of what a projection left out."""
BATCH = 100_000
"""Rows sent to the store at a time."""
Watch = Callable[[str], None]
"""Told what is begun."""


def _unwatched(_: str) -> None:
    """Watch nothing."""


def ensure_tables(connection: sa.Connection, entity: Entity) -> None:
    """Make an entity's tables from the canonical schema; a field that is new becomes a nullable column by itself."""
    _ensure(connection, entity)
    connection.execute(sa.text(_corrections(entity)))


def ensure_related_tables(connection: sa.Connection, entity: RelatedEntity) -> None:
    """Make the tables of an entity beside the main one: what it is now, and its feed."""
    _ensure(connection, entity)


def _ensure(connection: sa.Connection, entity: Entity | RelatedEntity) -> None:
    if wrong := [field for field in (entity.name, *entity.fields) if not COLUMN.fullmatch(field)]:
        raise ConfigurationError(f"{wrong[0]} cannot name a column", where="schemas", next_step="use snake_case.")
    mirror = mirror_of(entity)
    if taken := sorted((mirror.golden.keys() | mirror.feed.keys() | {DIGEST}) & set(entity.fields)):
        raise ConfigurationError(
            f"{taken[0]} is a column of the bus's own", where="schemas", next_step="name it otherwise."
        )
    for statement in mirror.parents():
        connection.execute(sa.text(statement))
    grant_feeds(connection, [mirror.feed_table, mirror.golden_table])
    if connection.execute(sa.text(_has_parts(mirror))).scalar_one():
        for statement in mirror.indexes():
            connection.execute(sa.text(statement))


def _corrections(entity: Entity) -> str:
    return (
        f"create table if not exists corrections_{entity.name} (dataset text, key text, field text, "
        f"{entity.id_column} uuid not null, ref text not null, value text, golden_value text, authority text, "
        "opened bigint not null, refreshed bigint not null, severity text, evidence jsonb, primary key (dataset, key, field))"
    )


def _has_parts(mirror: Mirror) -> str:
    return f"select exists (select from pg_inherits where inhparent = to_regclass('{mirror.golden_table}'))"


def project(work: Workspace, entity_name: str, watch: Watch = _unwatched, *, mend: bool = False) -> int:
    """Load every publication that the projection does not hold yet; return how many.

    Done twice, the second time changes nothing.

    Args:
        work: The installation.
        entity_name: The main entity; those beside it come with it.
        watch: Told what is begun, such as `copy feed_person`.
        mend: Whether what the store would not take is left out (`motlan.projection.preflight`); the log tells how much of what.

    Raises:
        InternalError: A publication has something that the store does not take; columns and counts are told.
    """
    entity = work.registry.entity(entity_name)
    anew = ensure(work, entity)
    total = _load(work, entity, watch, anew=True, mend=mend) if anew else 0
    if anew:  # The tables that took the old ones' place are new ones.
        mirrors = _mirrors(work, entity)
        with work.store.publishing() as connection:
            grant_feeds(connection, [name for mirror in mirrors for name in (mirror.feed_table, mirror.golden_table)])
    while loaded := _load(work, entity, watch, anew=False, mend=mend):
        total += loaded
    return total


def ensure(work: Workspace, entity: Entity) -> bool:
    """Make the tables of an entity and of those beside it; tell whether nothing is loaded yet.

    Raises:
        ConfigurationError: The store cannot have a column that a canonical schema names.
    """
    try:
        with work.store.publishing() as connection:
            ensure_tables(connection, entity)
            for related in work.registry.related_to(entity.name):
                ensure_related_tables(connection, related)
            filled = connection.execute(sa.text(_has_parts(mirror_of(entity)))).scalar_one()
            marked = sa.text(f"select obj_description('{mirror_of(entity).golden_table}'::regclass, 'pg_class')")
            left = _undeclared(work, entity, connection)
            return not filled or connection.execute(marked).scalar_one() != _mark(work, left)
    except sa.exc.ProgrammingError:
        raise ConfigurationError(
            f"the store cannot have the columns of {entity.name} and what is beside it",
            where="schemas",
            next_step="look for a field that is a word of SQL, and name it otherwise.",
        ) from None


def _mirrors(work: Workspace, entity: Entity) -> list[Mirror]:
    return [mirror_of(entity), *map(mirror_of, work.registry.related_to(entity.name))]


def _mark(work: Workspace, left: Iterable[str] = ()) -> str:
    """Return what the golden table is marked with: where it is marked otherwise, all is built anew from the lake."""
    return digests.mark_of(digests.key_of(work.settings), left)


def _undeclared(work: Workspace, entity: Entity, connection: sa.Connection) -> list[str]:
    """Return columns of the tables that are not declared any more."""
    found = []
    for mirror in _mirrors(work, entity):
        for table, kinds in ((mirror.golden_table, mirror.golden_kinds), (mirror.feed_table, mirror.feed_kinds)):
            there = connection.execute(sa.text(columns_query(table))).all()
            found += [f"{table}.{name}" for name, _ in there if name not in kinds and name != DIGEST]
    return found


def _load(work: Workspace, entity: Entity, watch: Watch, *, anew: bool, mend: bool) -> int:
    """Load the next publication, or, to build anew, all of them aside, in one transaction; return how many."""
    which = _pending(work, entity, anew=anew)
    questions = {number: preflight.asked(work, entity, run) for number, run in which}
    if mend:
        _record_mends(work, entity, questions, dict(which))
    try:
        return _load_pending(work, entity, watch, anew=anew, mend=mend)
    except adbc.Error:
        with work.engine(f"asking why {entity.name} cannot be projected") as engine:
            for number, asked in questions.items():
                if not mend and (found := preflight.refused(engine, asked)):
                    raise InternalError(
                        f"publication {number} cannot be projected: the store does not take {preflight.told(found)}",
                        where=entity.name,
                        next_step="run `motlan project --mend`: it leaves out what cannot be stored, and the log tells of it.",
                    ) from None
        raise


def _pending(work: Workspace, entity: Entity, *, anew: bool) -> list[tuple[int, str]]:
    table = tables.publications.c
    query = sa.select(table.number, table.run).where(table.entity == entity.name).order_by(table.number)
    if not anew:
        query = query.where(table.projected_at.is_(None)).limit(1)
    with work.store.engine.connect() as connection:
        return [(row.number, row.run) for row in connection.execute(query)]


def _record_mends(
    work: Workspace, entity: Entity, questions: Mapping[int, list[preflight.Asked]], runs: Mapping[int, str]
) -> None:
    """Append to the log what of each publication is left out, once."""
    table = tables.log_entries.c
    with work.engine(f"mending {entity.name}") as engine:
        found = {number: told for number, asked in questions.items() if (told := preflight.refused(engine, asked))}
    for number, told in found.items():
        with work.store.publishing() as connection:
            same = sa.and_(table.kind == MEND, table.body["publication"].as_integer() == number)
            if connection.execute(sa.select(table.index).where(same).limit(1)).first() is None:
                body = {"publication": number, "run": runs[number], "entity": entity.name, "left_out": told}
                log.append(connection, MEND, body)


def _load_pending(work: Workspace, entity: Entity, watch: Watch, *, anew: bool, mend: bool) -> int:
    with (
        work.engine(f"projecting {entity.name}") as engine,
        adbc.connect(work.store.url) as target,
        target.cursor() as cursor,
    ):
        digests.set_key(engine, digests.key_of(work.settings))
        _ask(cursor, f"select 1 from pg_advisory_xact_lock({PROJECTOR_LOCK})")
        which = "order by number" if anew else "and projected_at is null order by number limit 1"
        pending = _ask(
            cursor, f"select number, run, first_seq from publications where entity = '{entity.name}' {which}"
        )
        if not pending:
            return 0
        home = _step_aside(cursor, work, entity) if anew else ""
        orders = read_orders(lambda query: _ask(cursor, query), _mirrors(work, entity))
        for number, run, first_seq in pending:
            _Publication(work, engine, cursor, watch, number, run, entity, mend, orders).load(first_seq)
        watch("commit")
        if anew:
            _take_place(cursor, home)
        target.commit()
    return len(pending)


def _ask(cursor: adbc.Cursor, query: str) -> list[tuple[Any, ...]]:
    cursor.execute(query)
    rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


def _step_aside(cursor: adbc.Cursor, work: Workspace, entity: Entity) -> str:
    """Let this transaction work on empty tables in a schema of its own; return the name of the one that readers use."""
    home = quote(_ask(cursor, "select current_schema()::text")[0][0])
    mirrors = _mirrors(work, entity)
    made = [_corrections(entity), *(statement for mirror in mirrors for statement in mirror.parents())]
    made += [f"comment on table {mirrors[0].golden_table} is '{_mark(work)}'"]
    for statement in (f"create schema {ASIDE}", f"set local search_path = {ASIDE}, {home}", *made):
        cursor.execute(statement)
    return home


def _take_place(cursor: adbc.Cursor, home: str) -> None:
    """Put the tables made aside in the place of those of their names."""
    tables = _ask(
        cursor,
        f"select relname::text from pg_class where relnamespace = '{ASIDE}'::regnamespace and relkind in ('r', 'p') "
        "order by relispartition",
    )
    for change in ("drop table if exists {home}.{table}", "alter table {aside}.{table} set schema {home}"):
        for (table,) in tables:
            cursor.execute(change.format(home=home, aside=ASIDE, table=table))
    cursor.execute(f"drop schema {ASIDE}")


@dataclass(frozen=True)
class _Publication:
    """One publication on its way from the lake into the store's tables."""

    work: Workspace
    engine: duckdb.DuckDBPyConnection
    cursor: adbc.Cursor
    watch: Watch
    number: int
    run: str
    entity: Entity
    mend: bool
    orders: Orders

    def load(self, first_seq: int) -> None:
        """Load what it changed of the entity, of its corrections, and of the entities beside it."""
        entity = self.entity
        self._load_mirror(mirror_of(entity), first_seq)
        if files := self.work.lake.files(corrections_table(entity.name), {self.run}):
            self._load_corrections(entity, files)
        numbered = f"select entity, first_seq from related_publications where publication = {self.number}"
        first_seqs = dict(_ask(self.cursor, numbered))
        for related in self.work.registry.related_to(entity.name):
            if related.name in first_seqs:
                self._load_mirror(mirror_of(related), first_seqs[related.name])
        self.cursor.execute(f"update publications set projected_at = now() where number = {self.number}")

    def _load_mirror(self, mirror: Mirror, first_seq: int) -> None:
        files = self.work.lake.files(golden_table(mirror.name), {self.run})
        if not files:
            return
        rows, last = one(self.engine, f"select count(*), max(_ordinal)::bigint from {read_parquet(files)}")
        parts = mirror.feed_parts(first_seq, first_seq - 1 + last) if last else []
        if _ask(self.cursor, _has_parts(mirror))[0][0]:
            self._change(mirror, self._rows(mirror, files, first_seq), parts)
        else:
            self._fill(mirror, self._rows(mirror, files, first_seq), [*mirror.golden_parts(rows), *parts])

    def _rows(self, mirror: Mirror, files: list[str], first_seq: int) -> str:
        """Return the engine's SQL of what changed: every column of both tables. `seq` is null where the feed tells nothing."""
        relation = with_late_columns(mirror, read_parquet(files))
        columns = sent(sources_of(mirror, str(self.number), str(first_seq)), mirror, self.orders)
        return f"select {columns} from {self._mended(mirror.golden_table, relation)}"

    def _mended(self, table: str, relation: str) -> str:
        """Return a table's rows as the lake has them, or, where that is asked for, without what the store does not take."""
        if not self.mend:
            return relation
        questions = preflight.asked(self.work, self.entity, self.run)
        return preflight.mended(next(question for question in questions if question.table == table), relation)

    def _copy(self, table: str, query: str, *, temporary: bool = False) -> None:
        reader = self.engine.sql(query).to_arrow_reader(BATCH)
        self.cursor.adbc_ingest(table, reader, mode="append", temporary=temporary)

    def _fill(self, mirror: Mirror, rows: str, parts: list[str]) -> None:
        """Fill empty tables: copy straight into their partitions; make keys and indexes when all rows are there."""
        for statement in (*parts, f"set local maintenance_work_mem = '{BUILD_MEMORY}'"):
            self.cursor.execute(statement)
        for table, kinds in (("feed", mirror.feed_kinds), ("golden", mirror.golden_kinds)):
            self.watch(f"copy {table}_{mirror.name}")
            which = f" where event <> '{EVENT}'" if table == "golden" else ""
            told = f"select {', '.join(kinds)}, {table}_digest as {DIGEST} from ({rows}){which}"
            self._copy(f"{table}_{mirror.name}", told)
        self.watch(f"index {mirror.name}")
        for statement in (*mirror.keys(), *mirror.indexes(), mirror.statistics()):
            self.cursor.execute(statement)

    def _change(self, mirror: Mirror, rows: str, parts: list[str]) -> None:
        """Change filled tables by way of a staging table."""
        self.watch(f"change {mirror.name}")
        self.cursor.execute(mirror.staging())
        self._copy(STAGED, rows, temporary=True)
        # A table that is new has no statistics, and the plan would read the whole golden table.
        for statement in (f"analyze {STAGED}", *parts, *mirror.changes(), f"drop table {STAGED}"):
            self.cursor.execute(statement)

    def _load_corrections(self, entity: Entity, files: list[str]) -> None:
        name, own = f"corrections_{entity.name}", entity.id_column
        self.watch(f"change {name}")
        rows = f"select * exclude (_changed, _run) from {self._mended(name, read_parquet(files))}"
        reader = self.engine.sql(rows).to_arrow_reader(BATCH)
        self.cursor.adbc_ingest(STAGED, reader, mode="create", temporary=True)
        statements = [
            f"analyze {STAGED}",
            f"delete from {name} c using {STAGED} s "
            "where (c.dataset, c.key, c.field) = (s.dataset, s._key, s.field) and s._op = 'removed'",
            f"insert into {name} (dataset, key, field, {own}, ref, value, golden_value, authority, opened, "
            "refreshed, severity, evidence) select dataset, _key, field, entity_id::uuid, _ref, value, golden_value, "
            f"authority, {self.number}, {self.number}, severity, evidence::jsonb from {STAGED} where _op != 'removed' "
            f"on conflict (dataset, key, field) do update set {own} = excluded.{own}, ref = excluded.ref, "
            "value = excluded.value, golden_value = excluded.golden_value, authority = excluded.authority, "
            "severity = excluded.severity, evidence = excluded.evidence, refreshed = excluded.refreshed",
            f"drop table {STAGED}",
        ]
        for statement in statements:
            self.cursor.execute(statement)
