"""Everything that came from one landed row, one run or one payload: forward, where lineage goes back.

Golden records are read in all their published versions, so that what was said once and is not said any more is found too. All of
it is columnar: a run may have landed a whole register. Ids, names of fields and references alone are told, never a value.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from motlan.adapter import tellable
from motlan.config.registry import Dataset
from motlan.errors import ConfigurationError, DataError
from motlan.expressions import literal, one
from motlan.lake.iceberg import current, read_parquet
from motlan.lake.tables import (
    clean_table,
    corrections_table,
    findings_table,
    golden_table,
    key_of,
    quarantine_table,
    raw_table,
)
from motlan.ledger import accesses, runs
from motlan.lineage import feed_readers
from motlan.lineage.evidence import run_of
from motlan.merge.provenance import DECIDED, SOURCES, pointed
from motlan.workspace import Workspace

RUN = re.compile(r"\d{8}T\d{12}-[0-9a-f]{4}")
ROW = re.compile(rf"{RUN.pattern}/\d+/\d+")
PAYLOAD = re.compile(r"[0-9a-f]{64}")
Found = dict[str, Any]


@dataclass(frozen=True)
class Origin:
    """What an impact is asked of: `kind` is `row`, `run` or `payload`, `id` its reference, run or SHA-256."""

    dataset: Dataset
    kind: str
    id: str

    @property
    def where(self) -> str:
        """The SQL of whether a landed row is of it."""
        column = {"row": "_ref", "run": "_run", "payload": "_payload"}[self.kind]
        return f"{column} = {literal(self.id)}"


def parse_origin(work: Workspace, dataset: str, text: str) -> Origin:
    """Read what somebody asks of: a landed row (`run/chunk/position`), a sync run, or the SHA-256 of a payload.

    Raises:
        ConfigurationError: It is none of them, or there is no such dataset.
    """
    declared = work.registry.dataset(dataset)
    for kind, form in (("row", ROW), ("run", RUN), ("payload", PAYLOAD)):
        if form.fullmatch(text):
            return Origin(declared, kind, text)
    raise ConfigurationError(
        f"{tellable(text)} is no landed row, no run and no payload",
        where=dataset,
        next_step="give a row as `motlan lineage` shows it (run/chunk/position), a run (`motlan runs list --kind sync`), or a "
        "payload's SHA-256.",
    )


def find_impact(work: Workspace, origin: Origin, principal: str, *, limit: int = 20, to: Path | None = None) -> Found:
    """Find everything that came from landed rows. The look is written into the ledger first.

    Args:
        work: The open installation.
        origin: Which rows.
        principal: Who looks.
        limit: How many golden fields are listed at the most.
        to: Where all of them are written as CSV; replaced where it is.

    Returns:
        `landed` (`rows`, `records`, `accepted`, `quarantined`, `runs`, `state` of these), `persons`, `fields` and `by_field`
        (each `now` and `ever`), `beside` (entity beside the main one -> rows now), `corrections` (`asked_of_these_rows`,
        `because_of_these_values`), `findings`, `publications`, `feed` (`changes`, `first_seq`, `last_seq`), `recipients` and
        `sample`.

    Raises:
        DataError: Nothing was landed of it.
    """
    accesses.record(work.store, principal, "impact.read", f"{origin.dataset.name} {origin.kind} {origin.id}")
    with work.own_folder() as folder, work.engine(f"following rows of {origin.dataset.name}") as engine:
        found = _Impact(work, engine, origin, folder).find(limit)
        if to is not None:
            target = folder / "impact.csv"
            engine.execute(f"copy ({_LISTED}) to {literal(str(target))} (format csv, header true, force_quote *)")
            shutil.copyfile(target, to)
    return found


_LISTED = """select entity_id as person, field, dataset, ref as "row", number as publication, seq, stands
    from said join publications using (run) order by all"""


class _Impact:
    """The work on one engine session."""

    def __init__(self, work: Workspace, engine: duckdb.DuckDBPyConnection, origin: Origin, folder: Path) -> None:
        self.work, self.engine, self.origin, self.folder = work, engine, origin, folder
        self.entity = work.registry.linked(origin.dataset.entity).name

    def find(self, limit: int) -> Found:
        landed = self._find_landed()
        with self.work.store.engine.connect() as connection:
            self.published = runs.visible(connection, "reconcile", self.entity)
        feed_readers.load_publications(self.engine, self.work.store, self.entity)
        find_said(self.work, self.engine, self.entity, self.published, "landed")
        feed_readers.load_reads(self.engine, self.work.store, self.entity, self.folder)
        self.engine.execute(f"create temp table received as select * from ({DISCLOSED})")
        return {
            "dataset": self.origin.dataset.name,
            "of": self.origin.kind,
            "id": self.origin.id,
            "entity": self.entity,
            "landed": landed,
            **self._count_golden(),
            "beside": self._count_beside(),
            "corrections": self._count_corrections(),
            "findings": self._count_keyed(findings_table(self.entity), "_ref in (select ref from landed)"),
            **self._count_published(),
            "recipients": recipients(self.engine),
            "sample": rows_as_dicts(self.engine, f"{_LISTED} limit {int(limit)}"),
        }

    def _fetch(self, query: str) -> tuple[Any, ...]:
        return tuple(one(self.engine, query))

    def _find_landed(self) -> Found:
        """Make `landed` (`ref`, `key`): the rows; return their counts."""
        name, origin = self.origin.dataset.name, self.origin
        added = {one_.run for one_ in self.work.lake.added(raw_table(name)) if one_.run}
        wanted = added if origin.kind == "payload" else added & {run_of(origin.id)}
        files = self.work.lake.files(raw_table(name), wanted)
        rows = f"select _ref as ref, _key as key from {read_parquet(files)} where {origin.where}" if files else ""
        none = "select null::varchar as ref, null::varchar as key where false"
        self.engine.execute(f"create temp table landed as {rows or none}")
        count, records = self._fetch("select count(*), count(distinct key) from landed")
        if not count:
            raise DataError(
                f"nothing was landed of this {origin.kind}", where=name, next_step="see `motlan runs list --kind sync`."
            )
        came = {row[0] for row in self.engine.execute("select distinct split_part(ref, '/', 1) from landed").fetchall()}
        kept = {}
        for word, table in (("accepted", clean_table(name)), ("quarantined", quarantine_table(name))):
            files = self.work.lake.files(table, came)
            query = (
                f"select count(*) from {read_parquet(files)} semi join landed on ref = _ref" if files else "select 0"
            )
            (kept[word],) = self._fetch(query)
        states = {run: runs.get(self.work.store, run).state for run in sorted(came)}
        return {"rows": count, "records": records, **kept, "runs": states}

    def _count_golden(self) -> Found:
        columns = "count(distinct entity_id) filter (where {0}), count(distinct (entity_id, field)) filter (where {0})"
        now, ever = (self._fetch(f"select {columns.format(where)} from said") for where in ("stands", "true"))
        by_field = self.engine.execute(
            """select field, count(distinct entity_id) filter (where stands), count(distinct entity_id) from said
               group by field order by field"""
        ).fetchall()
        return {
            "persons": {"now": now[0], "ever": ever[0]},
            "fields": {"now": now[1], "ever": ever[1]},
            "by_field": {field: {"now": stands, "ever": all_} for field, stands, all_ in by_field},
        }

    def _count_beside(self) -> dict[str, int]:
        """Count the rows beside persons, of households and the like, that are said by these rows now."""
        found = {}
        for related in self.work.registry.related_to(self.entity):
            files = self.work.lake.base_and_deltas(golden_table(related.name), set(self.published))
            if files:
                rows = current(files, ("id",))
                query = f"select count(*) from {rows} as g semi join landed on ref = g._ref"
                (found[related.name],) = self._fetch(query)
        return found

    def _count_keyed(self, table: str, where: str) -> int:
        """Count the published rows of a table."""
        files = self.work.lake.base_and_deltas(table, set(self.published))
        if not files:
            return 0
        rows = current(files, key_of(table))
        (count,) = self._fetch(f"select count(*) from {rows} where {where}")
        return int(count)

    def _count_corrections(self) -> dict[str, int]:
        table = corrections_table(self.entity)
        values = "(entity_id, field) in (select (entity_id, field) from said where stands)"
        return {
            "asked_of_these_rows": self._count_keyed(table, "_ref in (select ref from landed)"),
            "because_of_these_values": self._count_keyed(table, values),
        }

    def _count_published(self) -> Found:
        numbers = self.engine.execute(
            "select distinct number from said join publications using (run) order by number"
        ).fetchall()
        changes, first, last = self._fetch("select count(distinct seq), min(seq), max(seq) from said")
        return {
            "publications": [number for (number,) in numbers],
            "feed": {"changes": changes, "first_seq": first, "last_seq": last},
        }


DISCLOSED = f"with disclosed as (from said), {feed_readers.RECEIVED.strip().removeprefix('with ')}"
"""SQL of who received what of `said` (see `motlan.lineage.feed_readers.RECEIVED`)."""


def find_said(
    work: Workspace, engine: duckdb.DuckDBPyConnection, entity: str, published: Sequence[str], landed: str
) -> None:
    """Make the table `said`: golden fields of every published version whose value was taken from some landed rows.

    Columns: `entity_id`, `field`, `dataset`, `ref`, `run` (the reconcile run), `since` and `until` (when the version was
    published, and the one after it; null of the newest), `stands`, and of the feed's change `seq` (null where none tells of the
    version), `event`, `changed`.

    Args:
        work: The open installation.
        engine: A session with `publications`.
        entity: The linked entity.
        published: Its published runs.
        landed: Relation with `ref`.
    """
    find_versions(work, engine, entity, published, f"source.ref in (select ref from {landed})")
    engine.execute(
        f"""create or replace temp table said as
            select entity_id, pointer.field, pointer.dataset, pointer.ref, run, since, until, stands, seq, event, changed
            from (select *, unnest(_pointers) as pointer from versions where op != 'removed') as v
            semi join {landed} as landed on landed.ref = v.pointer.ref"""
    )


_SOURCE = "dataset varchar, key varchar, ref varchar, as_of varchar"
_VERSIONS = {
    "entity_id": "varchar",
    "run": "varchar",
    "op": "varchar",
    "changed": "varchar[]",
    "event": "varchar",
    "_pointers": f"struct(field varchar, {_SOURCE}, rule varchar, disputed boolean)[]",
    "sources": f"struct({_SOURCE})[]",
    "since": "timestamptz",
    "until": "timestamptz",
    "stands": "boolean",
    "seq": "bigint",
}
"""Columns of the table that `find_versions` makes."""


def find_versions(
    work: Workspace, engine: duckdb.DuckDBPyConnection, entity: str, published: Sequence[str], counts: str
) -> None:
    """Make the table `versions`: every published version of the golden records of which one has a source that counts.

    Columns: `entity_id`, `run`, `op`, `_pointers`, `sources`, `since`, `until`, `stands`, `seq`, `event`, `changed`.

    Args:
        work: The open installation.
        engine: A session with `publications`.
        entity: The linked entity.
        published: Its published runs.
        counts: SQL of whether a `source` (`dataset`, `key`, `ref`, `as_of`) does.
    """
    files = work.lake.files(golden_table(entity), set(published))
    if not files:  # what was landed and is not published yet has reached nobody
        none = ", ".join(f"null::{kind} as {name}" for name, kind in _VERSIONS.items())
        engine.execute(f"create or replace temp table versions as select {none} where false")
        return
    known = {row[0] for row in engine.execute(f"describe from {read_parquet(files)}").fetchall()}
    event = "coalesce(_event, _op)" if "_event" in known else "_op"
    columns = f"entity_id, _run as run, _op as op, _changed as changed, _ordinal, {event} as event"
    engine.execute(
        f"""create or replace temp table named as
            select distinct entity_id from (select entity_id, unnest({SOURCES}) as source from {read_parquet(files)})
            where {counts}"""
    )
    sources = f"{SOURCES}, {SOURCES} as sources, {DECIDED}"
    rows = f"(select {columns}, {sources} from {read_parquet(files)} semi join named using (entity_id))"
    engine.execute(
        f"""create or replace temp table versions as
            select v.* exclude (_ordinal), p.moment as since,
                   lead(p.moment) over (partition by entity_id order by p.number) as until,
                   until is null and op != 'removed' as stands,
                   case when _ordinal is not null then p.first_seq - 1 + _ordinal::bigint end as seq
            from {pointed(rows)} as v join publications as p using (run)"""
    )


def recipients(engine: duckdb.DuckDBPyConnection) -> list[Found]:
    """Return the agencies of `received`: `agency`, `persons`, `fields` (names), `legal_basis`, `first_at`, `last_at`."""
    return rows_as_dicts(
        engine,
        """select agency, count(distinct entity_id) as persons, list(distinct field order by field) as fields,
                  string_agg(distinct legal_basis, '; ' order by legal_basis) as legal_basis,
                  min(first_at)::varchar as first_at, max(last_at)::varchar as last_at
           from received group by agency order by agency""",
    )


def rows_as_dicts(engine: duckdb.DuckDBPyConnection, query: str) -> list[Found]:
    """Return a query's rows, each by its columns' names."""
    found = engine.execute(query)
    names = [column[0] for column in found.description or ()]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]
