"""Since when each record says each of its values: since then without a pause, whatever else changed in it.

Freshness between equals is that of the word, not of the record: who touches some other field has said nothing new on this one. It
is told from the accepted versions of the record in the runs that are read, in the order in which they succeeded each other (see
`motlan.lake.newest`). Most records have one version: they are left out, and so are values that began with the newest version.
Only records of which a later run than the first brought rows are looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import duckdb

from motlan.config.registry import Dataset, Entity
from motlan.expressions import one, quote
from motlan.lake.iceberg import RUN_OF_PATH, read_parquet
from motlan.lake.newest import MOMENT, newest_first
from motlan.ledger import runs
from motlan.merge.field_survivorship import said_at, since_column
from motlan.merge.golden_rows import Stage
from motlan.partitioning import range_number, write_partitions
from motlan.workspace import run_once

SINCE = "since_rows"
"""Relation that the merge reads: `_ref`, and of the believed fields `_since_<field>` and `_said_<field>`."""


def believed(entity: Entity) -> list[str]:
    """Return the fields on which somebody is believed, and those of which it matters for that when they changed."""
    entries = [entry for rule in entity.authority.values() for rank in rule.ranks for entry in rank]
    asked = {name for entry in entries if entry.after for name in (*entry.changed, entry.after)}
    return [field for field, rule in entity.authority.items() if rule.datasets or field in asked]


def columns(entity: Entity) -> list[str]:
    """Return the columns that tell since when, quoted."""
    return [column for field in believed(entity) for column in (since_column(field), said_at(field))]


def nothing(entity: Entity) -> str:
    """Return the SQL of the relation with no rows."""
    nulls = (f"null::varchar as {since_column(field)}, null::integer as {said_at(field)}" for field in believed(entity))
    return f"(select null::varchar as _ref, {', '.join(nulls)} where false)"


def since_query(entity: Entity, dataset: Dataset, files: Sequence[str], known: Sequence[str], of: str) -> str:
    """Return the SQL of since when records say what they say: the columns of `SINCE`.

    `_since_<field>` is the moment of the version with which the value began, null where that is the row's own; `_said_<field>` is
    that version's number, counted from 1, and 0 of the first.

    Args:
        entity: The entity.
        dataset: Whose records they are.
        files: Their accepted versions.
        known: Columns of these files.
        of: Relation of the rows (`_key`, `_ref`) that stand.
    """
    fields = [field for field in believed(entity) if field in dataset.fields and field in known]
    kept = "".join(f", {quote(field)}" for field in fields)
    began = ", ".join(
        f"(older._key is null or newer.{quote(field)} is distinct from older.{quote(field)}) as began_{n}"
        for n, field in enumerate(fields)
    )
    told = []
    for field in believed(entity):
        if field not in fields:
            told += [f"null::varchar as {since_column(field)}", f"null::integer as {said_at(field)}"]
            continue
        began_here = f"filter (where began_{fields.index(field)})"
        told += [
            f"nullif(arg_min(_moment, place) {began_here}, arg_min(_moment, place)) as {since_column(field)}",
            f"(max(place) - min(place) {began_here})::integer as {said_at(field)}",
        ]
    return f"""
        with versions as materialized (
            select _key, _ref, {MOMENT} as _moment{kept},
                   row_number() over (partition by _key order by {newest_first(dataset)}) as place
            from {read_parquet(files)} semi join {of} as standing using (_key)),
        stands as (select _key as key, place as stood from versions semi join {of} as standing using (_ref)),
        told as (select newer._key, newer._ref, newer._moment, newer.place{", " if began else ""}{began}
                 from versions as newer left join versions as older
                 on older._key = newer._key and older.place = newer.place + 1)
        select arg_min(_ref, place) as _ref, {", ".join(told)}
        from told join stands on stands.key = told._key and place >= stood group by _key having count(*) > 1"""


def leave(stage: Stage, engine: duckdb.DuckDBPyConnection, entity: Entity, inputs: dict[str, list[str]]) -> runs.Counts:
    """Leave `SINCE` in the run's scratch folder, in parts by person; return how many rows it has."""
    parts, work = stage.parts, stage.work

    def queries() -> Iterator[str]:
        for dataset in work.registry.datasets_of(entity.name):
            files = work.clean_files(dataset.name, inputs)
            if later := later_files(files):
                known = [row[0] for row in engine.execute(f"describe from {read_parquet(files)}").fetchall()]
                again = f"(select _key from {read_parquet(later)})"
                links = work.kept(stage.run.id, "links")
                of = f"(select _key, _ref from {links} where dataset = '{dataset.name}' and _key in {again})"
                query = since_query(entity, dataset, files, known, of)
                yield f"select entity_id, told.* from ({query}) as told join {links} as links using (_ref)"

    def do() -> runs.Counts:
        write_partitions(engine, queries(), range_number("entity_id", parts.count), parts.scratch / SINCE)
        found = parts.files(SINCE)
        return {"rows": one(engine, f"select count(*) from {read_parquet(found)}")[0] if found else 0}

    return run_once(parts.scratch / f"{SINCE}.json", do)


def later_files(files: Sequence[str]) -> list[str]:
    """Return the files of all runs but the first."""
    by_run = {path: found.group(1) for path in files if (found := RUN_OF_PATH.search(path))}
    return [path for path, run in by_run.items() if run != min(by_run.values())]
