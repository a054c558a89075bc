"""Entities beside the main one: what rows of its registers say further, as rows of their own, linked to whom they are about.

A membership, a registration, an enrolment is one row of one register. A household or an organisation is what rows with one
code name together; of its fields the value of the most believed register stands, and of one register the newest.
"""

from __future__ import annotations

import duckdb

from motlan.engine import DUCKDB, literal, one, parse, quote
from motlan.ledger import runs
from motlan.parts import Parts, spread
from motlan.registry import FacetEntity
from motlan.slices import number, slices
from motlan.workspace import Workspace, sealed

KEY = "id"
"""The bus's own id of a thing: a keyed hash, the same on every run, of which nobody can guess what it was made from."""
COLUMNS = ("person_id", "dataset", "_key", "_ref", "_moment")
"""Columns beside `id` and the fields: the person, and the record that it is, or was said by last: register, key, landed row and
its own moment (as of)."""
SECRET = "facet ids"  # noqa: S105 - the secret's name


def file(name: str) -> str:
    """Return the name under which an entity's rows lie in a run's scratch folder."""
    return f"facet_{name}"


def make(work: Workspace, engine: duckdb.DuckDBPyConnection, run: runs.Run, parts: Parts) -> runs.Counts:
    """Make every entity beside a run's, where its golden rows were made; leave them in its scratch folder, in parts by `id`.

    Returns:
        Name of the entity -> number of its rows.
    """
    secret = work.store.secret(SECRET).hex()

    def do(entity: FacetEntity) -> runs.Counts:
        rows = _rows(entity, parts)
        if entity.facet.key:
            count, key = one(engine, f"select count(*) from ({rows})")[0], number(quote(entity.facet.key))
            some = (f"select * from ({rows}) where {part(key)}" for part in slices(count))
            queries = [_grouped(entity, rows_of_slice, secret, parts) for rows_of_slice in some]
        else:
            queries = [_single(entity, rows, secret)]
        spread(engine, queries, KEY, parts.scratch / file(entity.name), parts.count)
        made = parts.files(file(entity.name))
        return {"rows": one(engine, f"select count(*) from {parts.read(file(entity.name))}")[0] if made else 0}

    return {
        entity.name: sealed(parts.scratch / f"{file(entity.name)}.json", lambda entity=entity: do(entity))["rows"]  # type: ignore[misc]
        for entity in work.registry.facets_of(run.subject)
    }


def _rows(entity: FacetEntity, parts: Parts) -> str:
    """Return the SQL of the linked rows that say something of an entity."""
    when = parse(entity.facet.when, where=f"authority.yaml, {entity.name}.when").sql(DUCKDB)
    return f"select * from {parts.rows(entity.fields, datasets=entity.facet.authority)} where {when}"


def _id(entity: FacetEntity, secret: str, what: str) -> str:
    return f"substr(sha256({literal(f'{secret}/{entity.name}/')} || {what}), 1, 32)::uuid::varchar as {KEY}"


def _single(entity: FacetEntity, rows: str, secret: str) -> str:
    columns = ", ".join(map(quote, (*COLUMNS, *entity.fields)))
    return f"select {_id(entity, secret, '''dataset || '/' || _key''')}, {columns} from ({rows})"


def _grouped(entity: FacetEntity, rows: str, secret: str, parts: Parts) -> str:
    """Return the SQL of the things that rows name by a key: the newest row of each; where it lacks a field, one that knows.

    A row's place in that order is a text: the greatest of them is found without moving rows.
    """
    facet, key = entity.facet, quote(entity.facet.key or "")
    rank = " ".join(f"when {literal(name)} then '{place}'" for place, name in enumerate(reversed(facet.authority)))
    fields = [quote(field) for field in entity.fields if field not in (facet.key, facet.count)]
    told = ", ".join(f"arg_max({field}, place) filter (where {field} is not null) as {field}" for field in fields)
    lacking = " or ".join(f"{field} is null" for field in fields) or "false"
    values = {name: f"coalesce(things.{name}, known.{name}) as {name}" for name in fields}
    if facet.count:
        values[quote(facet.count)] = f"newest.persons::varchar as {quote(facet.count)}"
    person, join = "null::varchar", ""
    if facet.person:
        named = quote(facet.person)
        person = "named.person_id"
        join = f"""left join (
            select {named} as code, min(person_id) as person_id from {parts.read("golden")}
            semi join (select {key} as {named} from newest) as keys using ({named})
            group by {named} having count(*) = 1) as named on named.code = things.{key}"""
    placed = f"""(
        select *, (case dataset {rank} end) || ' ' || coalesce(_moment, '') || ' ' || _key as place
        from ({rows}) where {key} is not null)"""
    columns = [f"things.{name}" for name in COLUMNS[1:]]
    columns += [values.get(name, f"things.{name}") for name in map(quote, entity.fields)]
    return f"""
        with newest as materialized (
            select {key}, max(place) as place, count(distinct person_id) as persons from {placed} group by {key}),
        things as materialized (select * from {placed} semi join newest using ({key}, place)),
        known as (
            select {", ".join(filter(None, (key, told)))} from {placed}
            semi join (select {key} from things where {lacking}) as lacking using ({key}) group by {key})
        select {_id(entity, secret, f"things.{key}")}, {person} as person_id, {", ".join(columns)}
        from things join newest using ({key}) left join known using ({key}) {join}"""
