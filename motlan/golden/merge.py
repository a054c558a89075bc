"""Merge: linked rows become golden rows, and the values that lost become conflicts with their evidence, part by part."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from motlan.engine import literal, one, quote
from motlan.golden import aside, facets
from motlan.golden.conflicts import conflicts_query, lost_query
from motlan.golden.diff import compared
from motlan.golden.pointers import BETWEEN, DECIDED, disputes
from motlan.golden.survivorship import Ways, merge_ways, taken_from
from motlan.golden.survivorship import merge_query as merge_query
from motlan.lake import PARQUET, SCRATCH
from motlan.ledger import runs, versions
from motlan.parts import Parts, cut
from motlan.registry import Entity
from motlan.workspace import Workspace

COUNTS = ("persons", "fields", "disputed", "conflicts", "set_aside")


def body(entity: Entity) -> Mapping[str, str]:
    """Return what a version of the merge must pin: its query over a relation called `linked_rows`."""
    return {"query": merge_query(entity, "linked_rows")}


def merge(work: Workspace, run: runs.Run, inputs: dict[str, list[str]]) -> runs.Counts:
    """Merge the linked rows of a reconcile run into golden rows and conflicts, left in its scratch folder.

    Returns:
        Counts: `persons`, `fields` (filled golden fields), `disputed`, `conflicts`, `set_aside` (values), `decided_until`
        (the newest decision about a value that it honours), `facets` (rows of each entity beside it), `version`, `staged`
        (whether golden rows are staged for the lake, because none is published).
    """
    entity = work.registry.entity(run.subject)
    version = versions.record(work.store, "merge", run.subject, {**body(entity), **work.engine_version()})
    with work.store.engine.connect() as connection:
        until = aside.newest(connection, entity.name)
        decisions = aside.holding(connection, entity.name, until)
    staged = not work.lake.files(compared(entity).table, set(run.steps["begin"]["published"]))
    with work.bulk_engine(f"merging {run.subject}") as engine:
        parts = cut(work, engine, run, inputs)
        merging = _Merging(work, engine, run, entity, parts, decisions, version, staged)
        counts = list(merging.all())
        beside = facets.make(work, engine, run, parts)
    totals = {name: sum(count[name] for count in counts) for name in COUNTS}
    return {**totals, "facets": beside, "decided_until": until, "version": version, "staged": staged}


@dataclass(frozen=True)
class _Merging:
    """The step's work on one engine session."""

    work: Workspace
    engine: duckdb.DuckDBPyConnection
    run: runs.Run
    entity: Entity
    parts: Parts
    decisions: pa.Table
    version: str
    staged: bool

    def all(self) -> Iterator[runs.Counts]:
        """Merge part by part; number persons in the order of their ids, from part to part."""
        told = 0

        def do(part: int) -> runs.Counts:
            return self.part(part, told)

        for counts in self.parts.each("merge", do):
            told += counts["persons"]
            yield counts

    def part(self, part: int, told: int) -> runs.Counts:
        """Merge the persons of one part, before which so many were told of."""
        engine, entity = self.engine, self.entity
        kind = "table" if self.decisions.num_rows else "view"
        engine.execute(f"create or replace temp {kind} linked_rows as from {self.parts.rows(entity.fields, part)}")
        aside.apply(engine, self.work.store, "linked_rows", self.decisions)
        if self.staged:
            ids = compared(entity).ordinals("(select distinct person_id from linked_rows)", told)
            engine.execute(f"create or replace temp table placed as {ids}")
        placed, taken = "placed" if self.staged else None, self.work.registry.rules.agreed_fields
        ways = merge_ways(entity, "linked_rows", taken, close="close_rows", placed=placed)
        self._look_closely(ways)
        close = "close_golden join placed using (person_id)" if placed else "close_golden"
        for way, query in enumerate((f"({ways.plain})", close)):
            self._write(part, way, f"select *, {literal(self.version)} as _merge_version from {query}")
        columns = ", ".join(["person_id", *(quote(taken_from(field)) for field in taken)])
        engine.execute(f"copy (select {columns} from close_golden) to {self.parts.target('taken', part)} ({SCRATCH})")
        engine.execute(f"create or replace temp view golden as from {self.parts.read('golden', part)}")
        lost = lost_query(entity, "close_rows", "close_golden", "withheld", "golden")
        engine.execute(f"create or replace temp table lost as {lost}")
        conflicts = conflicts_query(entity, "close_rows", "lost")
        engine.execute(f"copy ({conflicts}) to {self.parts.target('conflicts', part)} ({SCRATCH})")
        for table in ("close_rows", "close_golden", "lost"):  # or the next part's would be made beside them
            engine.execute(f"drop table {table}")
        return self._counts(part)

    def _look_closely(self, ways: Ways) -> None:
        """Make `close_golden`, the golden rows of all persons whose rows do not plainly say the same.

        `close_rows` has their rows, and those of persons of whom a value was set aside: whoever lost something is among them.
        """
        for name, query in ways.apart.items():
            self.engine.execute(f"create or replace temp table {name} as {query}")
        persons = " union all ".join(
            [*(f"select id from {name}" for name in ways.apart), "select person_id from withheld"]
        )
        self.engine.execute(
            f"create or replace temp table close_rows as "
            f"from linked_rows semi join (select id as person_id from ({persons})) using (person_id)"
        )
        first, *others = ways.close
        self.engine.execute(f"create or replace temp table close_golden as {first}")
        for query in others:
            self.engine.execute(f"insert into close_golden {query}")

    def _write(self, part: int, way: int, rows: str) -> None:
        """Write golden rows of a part. Where nothing is published they are staged for the lake at once, and shown here too."""
        what, target = compared(self.entity), self.parts.path("golden", part, way)
        target.unlink(missing_ok=True)
        if not self.staged:
            kept = ", ".join(map(quote, (*what.key, *what.columns)))
            self.engine.execute(f"copy (select {kept} from ({rows})) to {literal(str(target))} ({SCRATCH})")
            return
        created = f"select *, {literal(self.run.id)} as _run from ({what.created(f'({rows})')})"
        lasting = self.work.lake.folder(what.table, self.run.id) / f"{part:06d}-{way}.parquet"
        self.engine.execute(f"copy ({created}) to {literal(str(lasting))} ({PARQUET})")
        if pq.read_metadata(lasting).num_rows:
            target.symlink_to(lasting)
        else:
            shutil.move(lasting, target)

    def _counts(self, part: int) -> runs.Counts:
        between = f"(length({DECIDED}) - length(replace({DECIDED}, {literal(BETWEEN)}, ''))) // {len(BETWEEN)}"
        filled = f"count(*) filter ({DECIDED} != '') + coalesce(sum({between}), 0)::bigint"
        told = one(self.engine, f"select count(*), {filled}, {disputes()} from golden")
        conflicts = f"select count(*) from {self.parts.read('conflicts', part)}"
        kept = one(self.engine, f"select ({conflicts}), (select count(*) from withheld)")
        return dict(zip(COUNTS, (*told, *kept), strict=True))
