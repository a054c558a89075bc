"""The check of the projection: every row of golden tables, feeds and corrections against the lake.

Both sides give a row's key and its text (see `motlan.projection.digests`), of which the engine keeps a digest and joins both; it
spills what its memory does not hold. What the log says of the lake's own files is checked elsewhere (`motlan.proof`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import adbc_driver_postgresql.dbapi as adbc
import duckdb
import pyarrow as pa
import sqlalchemy as sa

from motlan.config.registry import Entity
from motlan.expressions import literal, quote
from motlan.lake.iceberg import read_parquet
from motlan.lake.tables import corrections_table, golden_table
from motlan.projection import digests, preflight
from motlan.projection.digests import DIGEST
from motlan.projection.load import MEND
from motlan.projection.rows import Orders, columns_query, read_orders, sources_of, with_late_columns
from motlan.projection.tables import ENDED, Mirror, mirror_of
from motlan.store import tables
from motlan.workspace import Workspace

Watch = Callable[[str, int, int], None]
"""Is given the table that is compared, how many of its rows are read, and how many the lake says that there are."""
_EVIDENCE = ("ref", "as_of", "rule", "for", "against")
_CORRECTION = {"key": "_key", "ref": "_ref"}
"""Column of the store's corrections -> the lake's, where they are called otherwise."""
_TEXTS = ("entity_id", "id", "_op", "dataset", "_key", "_ref", "_moment", "_merge_version")
"""Columns of the lake that are asked for, also where it has no file yet."""


@dataclass(frozen=True)
class Mismatch:
    """A row of the projection that is not what the lake says.

    Attributes:
        table: The store's table.
        key: The row's key: an id of the bus's own, a number of a feed, or register, record and field of a correction.
        publication: The publication that gave the row; None where the lake has no such row, or never had one.
        day: The day (UTC, ISO 8601) of this publication; empty where there is none.
        what: `altered`, `removed` or `added`; `digest` where the row is right and its digest is not: it cannot be served.
    """

    table: str
    key: str
    publication: int | None
    day: str
    what: str


@dataclass(frozen=True)
class _Publication:
    """A publication that the projection holds: its number, its run, the day (UTC), and whether it was projected with `--mend`."""

    number: int
    run: str
    day: str
    mended: bool


@dataclass(frozen=True)
class _Compared:
    """One table of the store.

    Attributes:
        table: Its name.
        lake: The engine's SQL of the rows that it must have: `key`, `publication`, `text` and `given`.
        store: PostgreSQL's SQL of the rows that it has: `key`, `text`, `given` and `digest` (null where the table has none).
        keeps: Whether its rows have digests.
    """

    table: str
    lake: str
    store: str
    keeps: bool = True


def mismatches(
    work: Workspace, entity_name: str, limit: int = 1_000, watch: Watch = lambda _, __, ___: None
) -> Iterator[Mismatch]:
    """Compare what the store mirrors of an entity, and of those beside it, with the lake; give each row that differs.

    Publications that are not projected yet are left out on both sides.

    Args:
        work: The open installation.
        entity_name: The main entity.
        limit: Rows of one table that are given at the most.
        watch: Is given how far it is.
    """
    entity = work.registry.entity(entity_name)
    publications = _publications(work, entity)
    days = {one.number: one.day for one in publications}
    with (
        work.engine(f"comparing the projection of {entity_name} with the lake") as engine,
        adbc.connect(work.store.url) as source,
        source.cursor() as cursor,
    ):
        cursor.execute("set transaction isolation level repeatable read read only")
        digests.set_key(engine, digests.key_of(work.settings))
        mirrors = [mirror_of(entity), *map(mirror_of, work.registry.related_to(entity_name))]
        orders = read_orders(lambda query: _ask(cursor, query), mirrors)
        for one in _tables(work, entity, publications, mirrors, orders):
            if _ask(cursor, columns_query(one.table)):
                _read(engine, cursor, one, watch)
                yield from _differing(engine, one, days, limit)


def _ask(cursor: adbc.Cursor, query: str) -> list[tuple[Any, ...]]:
    cursor.execute(query)
    rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


def _publications(work: Workspace, entity: Entity) -> list[_Publication]:
    table, entry = tables.publications.c, tables.log_entries.c
    query = sa.select(table.number, table.run, table.recorded_at).where(
        table.entity == entity.name, table.projected_at.is_not(None)
    )
    with work.store.engine.connect() as connection:
        mended = set(connection.scalars(sa.select(entry.body["publication"].as_integer()).where(entry.kind == MEND)))
        return [
            _Publication(row.number, row.run, str(row.recorded_at.date()), row.number in mended)
            for row in connection.execute(query.order_by(table.number))
        ]


def _first_seqs(work: Workspace) -> dict[str, dict[int, int]]:
    """Return entity -> publication -> the first number that it has in the entity's feed."""
    table, related = tables.publications.c, tables.related_publications.c
    found: dict[str, dict[int, int]] = {}
    with work.store.engine.connect() as connection:
        for query in (
            sa.select(table.entity, table.number, table.first_seq),
            sa.select(related.entity, related.publication, related.first_seq),
        ):
            for name, number, seq in connection.execute(query):
                found.setdefault(name, {})[number] = seq
    return found


def _tables(
    work: Workspace, entity: Entity, publications: Sequence[_Publication], mirrors: Sequence[Mirror], orders: Orders
) -> Iterator[_Compared]:
    """Give the tables of an entity and of those beside it, with what both sides say of them."""
    seqs = _first_seqs(work)
    for mirror in mirrors:
        if not orders[mirror.golden_table]:
            continue
        first = seqs.get(mirror.name, {})
        held = [publication for publication in publications if publication.number in first]

        def relation(of: Sequence[_Publication], mirror: Mirror = mirror, first: dict[int, int] = first) -> str:
            rows = _rows(work, entity, golden_table(mirror.name), mirror.golden_table, of, first)
            return with_late_columns(mirror, rows)

        sources = sources_of(mirror, "_number", "_first_seq")
        golden_lake, golden_store = _sides(orders[mirror.golden_table], sources, mirror.golden_kinds)
        feed_lake, feed_store = _sides(orders[mirror.feed_table], sources, mirror.feed_kinds)
        key = sources[mirror.key]
        newest = f"from {relation(held)}"
        if held[1:]:
            newest += (
                f" left join (select {key}, max(_number) as _newest from {relation(held[1:])} group by 1) using ({key}) "
                "where coalesce(_number = _newest, true)"
            )
        golden = f"select {key} as key, _number as publication, {sources['event']} as event, {golden_lake} {newest}"
        yield _Compared(
            mirror.golden_table,
            f"select * from ({golden}) where event not in {ENDED}",
            f"select {mirror.key}::text as key, {golden_store}, {DIGEST} as digest from {mirror.golden_table}",
        )
        yield _Compared(
            mirror.feed_table,
            f"select ({sources['seq']})::varchar as key, _number as publication, {feed_lake} "
            f"from {relation(held)} where _ordinal is not null",
            f"select seq::text as key, {feed_store}, {DIGEST} as digest from {mirror.feed_table}",
        )
    yield _corrections(work, entity, publications)


def _sides(order: Sequence[str], lake: Mapping[str, str], kinds: Mapping[str, str]) -> tuple[str, str]:
    """Return the columns `text` and `given` of a table's rows, as the engine and as PostgreSQL compute them."""
    values, store = {name: lake[name] for name in order}, {name: kinds[name] for name in order}
    engine = f"{digests.engine_text(values, kinds)} as text, {digests.engine_given(values, kinds)} as given"
    return engine, f"{digests.store_text(store)} as text, {digests.store_given(store)} as given"


def _rows(
    work: Workspace,
    entity: Entity,
    table: str,
    store_table: str,
    publications: Sequence[_Publication],
    first: dict[int, int],
) -> str:
    """Return the SQL of what publications added to a table of the lake, as they were projected, with `_number`, `_first_seq`."""
    plain = [one for one in publications if not one.mended]
    found: list[tuple[list[str], list[_Publication], preflight.Asked | None]] = []
    if plain:
        found.append((work.lake.files(table, {one.run for one in plain}), plain, None))
    for one in publications:
        if one.mended:
            asked = {question.table: question for question in preflight.asked(work, entity, one.run)}
            found.append((work.lake.files(table, {one.run}), [one], asked.get(store_table)))
    parts = []
    for files, of, question in found:
        if files:
            rows = f"(from {read_parquet(files)})"
            rows = preflight.mended(question, question.relation()) if question else rows
            named = ", ".join(f"({literal(one.run)}, {one.number}, {first.get(one.number, 0)})" for one in of)
            parts.append(f"from {rows} join (values {named}) as named(_run, _number, _first_seq) using (_run)")
    texts = ", ".join(f"null::varchar as {name}" for name in _TEXTS)
    numbers = ", ".join(f"null::bigint as {name}" for name in ("_ordinal", "_number", "_first_seq"))
    empty = f"select {texts}, null::varchar[] as _changed, {numbers} where false"
    return f"({' union all by name '.join([*parts, empty])})"


def _corrections(work: Workspace, entity: Entity, publications: Sequence[_Publication]) -> _Compared:
    """Return both sides of the corrections. One is as old as the publication that opened it after it was closed last."""
    table, own = f"corrections_{entity.name}", entity.id_column
    names = ("dataset", "key", "field", "ref", "value", "golden_value", "authority", "opened", "refreshed", "severity")
    late = ", ".join(
        f"null::varchar as {_CORRECTION.get(name, name)}" for name in names if name not in ("opened", "refreshed")
    )
    rows = _rows(work, entity, corrections_table(entity.name), table, publications, {})
    rows = f"(from {rows} union all by name select {late}, null::varchar as evidence where false)"
    mine = "over (partition by dataset, _key, field)"
    closed = f"(select *, coalesce(max(case when _op = 'removed' then _number end) {mine}, 0) as _closed from {rows})"
    stood = (
        f"(select *, min(case when _number > _closed then _number end) {mine} as opened, max(_number) {mine} as refreshed "
        f"from {closed})"
    )
    lake = {name: quote(_CORRECTION.get(name, name)) for name in names} | {own: "entity_id"}
    store = {name: f"{name}::text" for name in lake}
    for name in _EVIDENCE:
        lake[f"evidence.{name}"] = f"evidence ->> {literal(name)}"
        store[f"evidence.{name}"] = f"(evidence ->> {literal(name)})"
    lake["evidence"] = "coalesce(len(json_keys(evidence)), 0)"
    store["evidence"] = (
        "(case jsonb_typeof(evidence) when 'object' then (select count(*) from jsonb_object_keys(evidence)) "
        "else case when evidence is null then 0 else -1 end end)::text"
    )
    kinds = dict.fromkeys(lake, "text") | dict.fromkeys(("opened", "refreshed", "evidence"), "bigint")
    there = dict.fromkeys(store.values(), "text")
    key = ("dataset", "key", "field")
    return _Compared(
        table,
        f"select concat_ws(' ', {', '.join(lake[name] for name in key)}) as key, _number as publication, "
        f"{digests.engine_text(lake, kinds)} as text, {digests.engine_given(lake, kinds)} as given from {stood} "
        "where _number = refreshed and _op != 'removed'",
        f"select concat_ws(' ', {', '.join(key)}) as key, {digests.store_text(there)} as text, "
        f"{digests.store_given(there)} as given, "
        f"null::bytea as digest from {table}",
        keeps=False,
    )


def _read(engine: duckdb.DuckDBPyConnection, cursor: adbc.Cursor, one: _Compared, watch: Watch) -> None:
    """Keep of both sides of a table the keys and the digests of the rows' texts."""
    made = digests.engine_digest("text")
    engine.execute(
        f"create or replace temp table expected as select key, publication, {made} as made, given from ({one.lake})"
    )
    (total,) = engine.sql("select count(*) from expected").fetchall()[0]
    cursor.execute(one.store)
    stream = cursor.fetch_record_batch()

    def watched() -> Iterator[pa.RecordBatch]:
        done = 0
        for batch in stream:
            done += batch.num_rows
            watch(one.table, done, total)
            yield batch

    engine.register("stored", pa.RecordBatchReader.from_batches(stream.schema, watched()))
    engine.execute(f"create or replace temp table found as select key, {made} as made, given, digest from stored")
    engine.unregister("stored")


def _differing(
    engine: duckdb.DuckDBPyConnection, one: _Compared, days: dict[int, str], limit: int
) -> Iterator[Mismatch]:
    """Give the rows of a table that differ; a key that stands in it several times is given once, as added."""
    kept = "when digest is distinct from found.made then 'digest'" if one.keeps else ""
    query = f"""
        select coalesce(expected.key, found.key) as key, publication,
               case when found.key is null then 'removed' when expected.key is null then 'added'
                    when (expected.made, expected.given) != (found.made, found.given) then 'altered' {kept} end as what
        from expected full join found on expected.key = found.key where what is not null
        union all select key, null, 'added' from found group by key having count(*) > 1
        order by all limit {limit}"""
    for key, publication, what in engine.execute(query).fetchall():
        yield Mismatch(one.table, key, publication, days.get(publication, ""), what)
