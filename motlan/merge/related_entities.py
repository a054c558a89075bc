"""Entities beside the main one: what rows of its registers say further, as rows of their own, linked to whom they are about.

A membership, a registration, an enrolment is one row of one register. A household or an organisation is what rows with one
code name together; of its fields the value of the most believed register stands, and of one register the newest.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator

import duckdb

from motlan import identifier_history, ids
from motlan.config.registry import RelatedEntity
from motlan.expressions import DUCKDB, literal, one, parse, quote
from motlan.lake.iceberg import read_parquet
from motlan.lake.tables import golden_table
from motlan.ledger import runs
from motlan.merge.field_survivorship import in_force
from motlan.merge.golden_rows import Compared, Stage
from motlan.partitioning import OWN, PersonRanges, make_buckets, range_number, write_partitions
from motlan.workspace import Workspace, run_once

KEY = "id"
"""The bus's own id of a thing: a keyed hash, the same on every run, of which nobody can guess what it was made from."""
COLUMNS = ("entity_id", "dataset", "_key", "_ref", "_moment")
"""Columns beside `id` and the fields: the person, and the record that it is, or was said by last: register, key, landed row and
its own moment (as of)."""
SECRET = "related ids"  # noqa: S105 - the secret's name


def compared(entity: RelatedEntity) -> Compared:
    """Return what is compared of an entity's rows."""
    columns = (*COLUMNS, *entity.fields)
    return Compared(golden_table(entity.name), f"related_{entity.name}", (KEY,), columns, ("entity_id", *entity.fields))


def count(engine: duckdb.DuckDBPyConnection, parts: PersonRanges, entity: RelatedEntity, part: int) -> int:
    """Return how many rows of a part say something of an entity."""
    found: int = one(engine, f"select count(*) from ({rows_of(entity, parts, part)})")[0]
    return found


def stage_part(stage: Stage, engine: duckdb.DuckDBPyConnection, entity: RelatedEntity, part: int, told: int) -> int:
    """Stage what single rows say of an entity where the persons' rows are; return how many rows that are.

    They are numbered in the order of the persons, then of their own ids.

    Args:
        stage: Where they go to.
        engine: A session.
        entity: What they say something of; it has no key of its own.
        part: The part of persons.
        told: How many such rows the parts before have.
    """
    what = compared(entity)
    single = _single(entity, rows_of(entity, stage.parts, part), _secret(stage.work))
    engine.execute(f"create or replace temp table single as {single}")
    placed = f"(from single join ({what.ordinals('single', told, 'entity_id')}) using ({KEY}))"
    rows = stage.write(engine, what, part, placed)
    engine.execute("drop table single")
    return rows


def leave(stage: Stage, engine: duckdb.DuckDBPyConnection, entity: RelatedEntity) -> int:
    """Leave an entity's rows in the run's scratch folder, in parts by `id`; return how many they are."""
    name, parts, secret = compared(entity).name, stage.parts, _secret(stage.work)

    def do() -> runs.Counts:
        if entity.declared.key:
            queries: Iterable[str] = (_grouped(entity, rows, secret, parts) for rows in _by_key(engine, entity, parts))
        else:
            queries = [_single(entity, rows_of(entity, parts), secret)]
        write_partitions(engine, queries, range_number(KEY, parts.count), parts.scratch / name)
        return {"rows": one(engine, f"select count(*) from {parts.read(name)}")[0] if parts.files(name) else 0}

    return int(run_once(parts.scratch / f"{name}.json", do)["rows"])


def _secret(work: Workspace) -> bytes:
    return work.store.secret(SECRET)


def rows_of(entity: RelatedEntity, parts: PersonRanges, part: int | None = None) -> str:
    """Return the SQL of the linked rows that say something of an entity, of a part or of all.

    A number that names a person is the one that stands, where the row has one that the person bore before. Where `_follows` says
    so, the key is the first number that the person bore, lest a thing be another one for a number's sake; `_shown` stands.
    """
    when = parse(entity.declared.when, where=f"authority.yaml, {entity.name}.when").sql(DUCKDB)
    beside = entity.name if entity.declared.key else None
    rows = f"select * from {parts.rows(entity.fields, part, entity.declared.authority, beside=beside)} where {when}"
    if not entity.numbers or not (files := _named(parts)):
        return rows
    made, joined = {name: f"said.{quote(name)}" for name in entity.fields}, ""
    for place, (name, told) in enumerate(entity.numbers.items()):
        kept = "first" if _follows(entity, parts) and name == entity.declared.key else "last"
        made[name] = f"coalesce(named_{place}.{kept}, said.{quote(name)}) as {quote(name)}"
        if kept == "first":
            made["_shown"] = f"coalesce(named_{place}.last, said.{quote(name)}) as _shown"
        joined += f""" left join (select value, first, last from {read_parquet(files)} where field = {literal(told)})
            as named_{place} on named_{place}.value = said.{quote(name)}"""
    own = ", ".join(f"said.{name}" for name in ("dataset", *OWN))
    return f"select {own}, {', '.join(made.values())} from ({rows}) as said{joined}"


def _named(parts: PersonRanges) -> list[str]:
    """Return the files of what linking left of the numbers that a thing may be named by; none where no number changed."""
    return sorted(map(str, (parts.scratch / identifier_history.NAMES).glob("*.parquet")))


def _follows(entity: RelatedEntity, parts: PersonRanges) -> bool:
    """Tell whether the rows of a thing have its key as it was first, and as it is shown (`_shown`)."""
    return entity.declared.key in entity.numbers and bool(_named(parts))


def _by_key(engine: duckdb.DuckDBPyConnection, entity: RelatedEntity, parts: PersonRanges) -> Iterator[str]:
    """Give the SQL of the linked rows that name a thing by its key, those of one thing together: of many rows, from files."""
    key, folder = quote(entity.declared.key or ""), parts.scratch / f"{compared(entity).name}_rows"
    rows = f"select * from ({rows_of(entity, parts)}) where {key} is not null"
    count = len(make_buckets(one(engine, f"select count(*) from ({rows})")[0]))
    if count == 1:
        yield rows
        return
    write_partitions(engine, [rows], f"abs(hash({key})) % {count}", folder)
    for part in range(count):
        if files := sorted(map(str, folder.glob(f"*/part={part}/*.parquet"))):
            yield f"select * from {read_parquet(files)}"
    shutil.rmtree(folder)


def golden_beside(entity: str) -> str:
    """Return the name, in the scratch folder, of golden persons whom an incremental run does not touch, and whose code a touched
    thing of an entity has.
    """
    return f"golden_beside/{entity}"


def _persons(parts: PersonRanges, entity: str, field: str) -> str:
    """Return the relation of golden persons by a field; of an incremental run, with those whose code a touched thing has."""
    persons = f"select entity_id, {field} from {parts.read('golden')}"
    if others := parts.files(golden_beside(entity)):
        persons += f" union all select entity_id, {field} from {read_parquet(others)}"
    return f"({persons})"


def thing_ids(entity: RelatedEntity, secret: bytes, keys: str) -> str:
    """Return the SQL of the ids of things by their keys.

    Args:
        entity: What they are.
        secret: What ids are drawn with.
        keys: Relation with `key`.
    """
    return f"select {ids.of_text(secret, entity.name, 'key')} as {KEY} from {keys}"


def _single(entity: RelatedEntity, rows: str, secret: bytes) -> str:
    columns = ", ".join(map(quote, (*COLUMNS, *entity.fields)))
    drawn = ids.of_record(secret, entity.name, entity.declared.authority)
    return f"select {drawn} as {KEY}, {columns} from ({rows})"


def _grouped(entity: RelatedEntity, rows: str, secret: bytes, parts: PersonRanges) -> str:
    """Return the SQL of the things that rows name by a key: the newest row of each, in force if one is; where it lacks a field,
    one that knows.

    A row's place in that order is a text: the greatest of them is found without moving rows.
    """
    related, key = entity.declared, quote(entity.declared.key or "")
    rank = " ".join(f"when {literal(name)} then '{place}'" for place, name in enumerate(reversed(related.authority)))
    holds = f"(case when {in_force(related.in_force)} then '1' else '0' end) || " if related.in_force else ""
    fields = [quote(field) for field in entity.fields if field not in (related.key, related.count)]
    told = ", ".join(f"arg_max({field}, place) filter (where {field} is not null) as {field}" for field in fields)
    lacking = " or ".join(f"{field} is null" for field in fields) or "false"
    shown = "_shown" if _follows(entity, parts) else key
    values = {key: f"things.{shown} as {key}"}
    values |= {name: f"coalesce(things.{name}, known.{name}) as {name}" for name in fields}
    if related.count:
        values[quote(related.count)] = f"newest.persons::varchar as {quote(related.count)}"
    person, join = "null::varchar", ""
    if related.person:
        named = quote(related.person)
        person = "named.entity_id"
        join = f"""left join (
            select {named} as code, min(entity_id) as entity_id from {_persons(parts, entity.name, named)}
            semi join (select {shown} as {named} from things) as keys using ({named})
            group by {named} having count(*) = 1) as named on named.code = things.{shown}"""
    placed = f"""(
        select *, {holds}(case dataset {rank} end) || ' ' || coalesce(_moment, '') || ' ' || _key as place
        from ({rows}))"""
    columns = [f"things.{name}" for name in COLUMNS[1:]]
    columns += [values.get(name, f"things.{name}") for name in map(quote, entity.fields)]
    return f"""
        with newest as materialized (
            select {key}, max(place) as place, count(distinct entity_id) as persons from {placed} group by {key}),
        things as materialized (select * from {placed} semi join newest using ({key}, place)),
        known as (
            select {", ".join(filter(None, (key, told)))} from {placed}
            semi join (select {key} from things where {lacking}) as lacking using ({key}) group by {key})
        select {ids.of_text(secret, entity.name, f"things.{key}")} as {KEY}, {person} as entity_id, {", ".join(columns)}
        from things join newest using ({key}) left join known using ({key}) {join}"""
