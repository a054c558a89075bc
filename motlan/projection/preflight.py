"""Publication and projection are one promise: what the store would not take is found before a publication is numbered.

What changed is asked column by column, in the engine, what PostgreSQL will ask of it: text without U+0000, an entry that fits an
index, a value where there must be one, an id that is a UUID, evidence that is JSON. Cleaning and the rules of every row leave
nothing to find; what an earlier version published is mended by dropping what cannot be stored (see `mended`).
"""

from __future__ import annotations

from dataclasses import dataclass

import duckdb

from motlan.config.registry import Entity
from motlan.errors import InternalError
from motlan.expressions import one, quote
from motlan.lake.iceberg import read_parquet
from motlan.lake.tables import corrections_table, golden_table
from motlan.projection.tables import Mirror, mirror_of
from motlan.workspace import Workspace

INDEX_BYTES = 2_600
"""Bytes of the texts of an index entry at the most: a B-tree of PostgreSQL takes 2,704 of the whole entry."""
_SOURCE = {"dataset": "dataset", "key": "_key", "ref": "_ref", "as_of": "_moment"}
"""Column of the store -> the lake's, of texts beside the fields."""
_CORRECTION = ("dataset", "_key", "field")
_ESCAPED_NUL = r"(^|[^\\])(\\\\)*\\u0000"

Found = dict[str, int]
"""Table and column -> rows that the store would not take."""


@dataclass(frozen=True)
class Asked:
    """What the store asks of a table's rows.

    Attributes:
        table: The store's table.
        files: The lake's files of what changed.
        texts: Columns of text, as the lake calls them.
        required: Those that must have a value.
        indexed: Those that an index has an entry of.
        together: Those that are one entry of an index, whose rows are set aside where it cannot be made.
        ids: Columns that are UUIDs.
        json: Columns that are JSON.
    """

    table: str
    files: list[str]
    texts: tuple[str, ...]
    required: tuple[str, ...] = ()
    indexed: tuple[str, ...] = ()
    together: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    json: tuple[str, ...] = ()

    def relation(self) -> str:
        """Return the SQL of the rows; what an older file has no column for is null."""
        columns = (*self.texts, *self.ids, *self.json)
        nulls = ", ".join(f"null::varchar as {quote(name)}" for name in dict.fromkeys(columns))
        return f"(from {read_parquet(self.files)} union all by name select {nulls} where false)"

    def refusals(self) -> dict[str, str]:
        """Return, by what to tell of it, the SQL of whether the store would not take a row."""
        found = {}
        for name in self.texts:
            bad = [f"contains({quote(name)}, chr(0))"]
            bad += [f"strlen({quote(name)}) > {INDEX_BYTES}"] if name in self.indexed else []
            found[name] = " or ".join(bad)
        for name in self.required:
            found[name] = f"{found.get(name, 'false')} or {quote(name)} is null"
        for name in self.ids:
            found[name] = f"{quote(name)} is null or try_cast({quote(name)} as uuid) is null"
        for name in self.json:
            found[name] = f"not json_valid({quote(name)}) or regexp_matches({quote(name)}, '{_ESCAPED_NUL}')"
        if self.together:
            length = " + ".join(f"coalesce(strlen({quote(name)}), 0)" for name in self.together)
            found[self.together[1]] += f" or {length} > {INDEX_BYTES}"
        return found


def asked(work: Workspace, entity: Entity, run: str) -> list[Asked]:
    """Return what the store will ask of a run's changes: of its golden rows, its corrections, and the entities beside it."""
    mirrors = [mirror_of(entity), *map(mirror_of, work.registry.related_to(entity.name))]
    found = [
        _of_mirror(mirror, files) for mirror in mirrors if (files := work.lake.files(golden_table(mirror.name), {run}))
    ]
    if files := work.lake.files(corrections_table(entity.name), {run}):
        texts = (*_CORRECTION, "_ref", "value", "golden_value", "authority", "severity")
        table = f"corrections_{entity.name}"
        found.append(
            Asked(
                table,
                files,
                texts,
                (*_CORRECTION, "_ref"),
                together=_CORRECTION,
                ids=("entity_id",),
                json=("evidence",),
            )
        )
    return found


def _of_mirror(mirror: Mirror, files: list[str]) -> Asked:
    texts = {_SOURCE[name]: kind for name, kind in mirror.golden.items() if name in _SOURCE}
    required = tuple(name for name, kind in texts.items() if "not null" in kind)
    return Asked(
        mirror.golden_table,
        files,
        (*texts, *mirror.fields),
        required,
        indexed=tuple(name for name in mirror.indexed if name in mirror.fields),
        ids=("id" if mirror.key == "id" else "entity_id",),
    )


def refused(engine: duckdb.DuckDBPyConnection, questions: list[Asked]) -> Found:
    """Count the rows that the store would not take, by table and column; empty where it takes all."""
    found: Found = {}
    for question in questions:
        refusals = question.refusals()
        counts = ", ".join(f"count(*) filter ({bad})" for bad in refusals.values())
        told = one(engine, f"select {counts} from {question.relation()}")
        found |= {f"{question.table}.{name.removeprefix('_')}": n for name, n in zip(refusals, told, strict=True) if n}
    return found


def prove(work: Workspace, entity_name: str, run: str) -> None:
    """Stop a run whose changes the store would not take, before it is numbered.

    Raises:
        InternalError: There are such rows; columns and counts are told.
    """
    entity = work.registry.entity(entity_name)
    with work.engine(f"proving the projection of {entity_name}") as engine:
        found = refused(engine, asked(work, entity, run))
    if found:
        raise InternalError(
            f"the store would not take what this publication changes ({told(found)}): it is not numbered",
            where=run,
            next_step="report this; `motlan publish --mend` publishes without what cannot be stored.",
        )


def told(found: Found) -> str:
    """Return what was found in words: columns and numbers of rows, never a value."""
    return ", ".join(f"{name}: {count:,} rows" for name, count in sorted(found.items()))


def mended(question: Asked, relation: str) -> str:
    """Return the SQL of rows without what the store would not take.

    U+0000 is dropped from texts. A value that fits no index is left out; a row whose key fits none, or that has none, is set
    aside. A text that must be there is empty where it is not.

    Args:
        question: What the store asks of them.
        relation: The rows, with the lake's columns.
    """
    changed = []
    for name in question.texts:
        column = quote(name)
        plain = f"replace({column}, chr(0), '')"
        made = f"coalesce({plain}, '')" if name in question.required else f"nullif({plain}, '')"
        if name in question.indexed:
            made = f"case when strlen({column}) <= {INDEX_BYTES} then {made} end"
        odd = question.refusals()[name]
        changed.append(f"case when {odd} then {made} else {column} end as {column}")
    bad_json = (f"({question.refusals()[name]})" for name in question.json)
    changed += [
        f"case when {bad} then null else {quote(name)} end as {quote(name)}"
        for name, bad in zip(question.json, bad_json, strict=True)
    ]
    kept = " or ".join(f"({question.refusals()[name]})" for name in (*question.together, *question.ids)) or "false"
    aside = f" where not coalesce({kept}, false)" if question.together else ""
    return f"(select * replace ({', '.join(changed)}) from {relation}{aside})"
