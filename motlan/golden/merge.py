"""Merge: linked rows become golden rows, and the values that lost become conflicts with their evidence, part by part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from motlan.engine import literal, make, one, quote
from motlan.golden import aside, facets
from motlan.golden.compared import Stage, compared
from motlan.golden.conflicts import conflicts_query, lost_query
from motlan.golden.pointers import BETWEEN, DECIDED, disputes
from motlan.golden.survivor import taken_from
from motlan.golden.survivorship import Ways, merge_ways
from motlan.golden.survivorship import merge_query as merge_query
from motlan.lake import SCRATCH
from motlan.ledger import runs, versions
from motlan.parts import cut
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
        (tables whose rows are staged for the lake already, because none is published).
    """
    entity = work.registry.entity(run.subject)
    version = versions.record(work.store, "merge", run.subject, {**body(entity), **work.engine_version()})
    with work.store.engine.connect() as connection:
        until = aside.newest(connection, entity.name)
        decisions = aside.holding(connection, entity.name, until)
    beside = [facets.compared(facet) for facet in work.registry.facets_of(run.subject) if not facet.facet.key]
    published = set(run.steps["begin"]["published"])
    staged = [what.table for what in (compared(entity), *beside) if not work.lake.files(what.table, published)]
    with work.bulk_engine(f"merging {run.subject}") as engine:
        stage = Stage(work, engine, run, cut(work, engine, run, inputs))
        merging = _Merging(stage, entity, decisions, version, staged=compared(entity).table in staged)
        counts = list(stage.parts.each("merge", merging.part, ["persons"]))
        rows = facets.make(stage, staged)
    totals = {name: sum(count[name] for count in counts) for name in COUNTS}
    return {**totals, "facets": rows, "decided_until": until, "version": version, "staged": staged}


@dataclass(frozen=True)
class _Merging:
    """The step's work on one engine session."""

    stage: Stage
    entity: Entity
    decisions: pa.Table
    version: str
    staged: bool

    def part(self, part: int, told: int) -> runs.Counts:
        """Merge the persons of one part, before which so many were told of; number them in the order of their ids."""
        engine, parts, entity = self.stage.engine, self.stage.parts, self.entity
        kind = "table" if self.decisions.num_rows else "view"
        engine.execute(f"create or replace temp {kind} linked_rows as from {parts.rows(entity.fields, part)}")
        aside.apply(engine, self.stage.work.store, "linked_rows", self.decisions)
        if self.staged:
            ids = compared(entity).ordinals("(select distinct person_id from linked_rows)", told)
            engine.execute(f"create or replace temp table placed as {ids}")
        placed, taken = "placed" if self.staged else None, self.stage.work.registry.rules.agreed_fields
        ways = merge_ways(entity, "linked_rows", taken, close="close_rows", placed=placed)
        self._look_closely(ways)
        close = "close_golden join placed using (person_id)" if placed else "close_golden"
        rows = f"({ways.plain} union all by name from {close})"
        self._write(part, f"select *, {literal(self.version)} as _merge_version from {rows}")
        columns = ", ".join(["person_id", *(quote(taken_from(field)) for field in taken)])
        engine.execute(f"copy (select {columns} from close_golden) to {parts.target('taken', part)} ({SCRATCH})")
        engine.execute(f"create or replace temp view golden as from {parts.read('golden', part)}")
        lost = lost_query(entity, "close_rows", "close_golden", "withheld", "golden")
        engine.execute(f"create or replace temp table lost as {lost}")
        conflicts = conflicts_query(entity, "close_rows", "lost")
        engine.execute(f"copy ({conflicts}) to {parts.target('conflicts', part)} ({SCRATCH})")
        for table in ("close_rows", "close_golden", "lost"):  # or the next part's would be made beside them
            engine.execute(f"drop table {table}")
        return self._counts(part)

    def _look_closely(self, ways: Ways) -> None:
        """Make `close_golden`, the golden rows of all persons whose rows do not plainly say the same.

        `close_rows` has their rows, and those of persons of whom a value was set aside: whoever lost something is among them.
        """
        for name, query in ways.relations.items():
            self.stage.engine.execute(f"create or replace temp table {name} as {query}")
        persons = " union all ".join(
            [*(f"select id from {name}" for name in ways.apart), "select person_id from withheld"]
        )
        self.stage.engine.execute(
            f"create or replace temp table close_rows as "
            f"from linked_rows semi join (select id as person_id from ({persons})) using (person_id)"
        )
        make(self.stage.engine, "close_golden", ways.close)

    def _write(self, part: int, rows: str) -> None:
        """Write golden rows of a part: where nothing is published, for the lake at once."""
        what = compared(self.entity)
        if self.staged:
            self.stage.write(what, part, f"({rows})")
            return
        kept = ", ".join(map(quote, (*what.key, *what.columns)))
        target = self.stage.parts.target(what.name, part)
        self.stage.engine.execute(f"copy (select {kept} from ({rows})) to {target} ({SCRATCH})")

    def _counts(self, part: int) -> runs.Counts:
        between = f"(length({DECIDED}) - length(replace({DECIDED}, {literal(BETWEEN)}, ''))) // {len(BETWEEN)}"
        filled = f"count(*) filter ({DECIDED} != '') + coalesce(sum({between}), 0)::bigint"
        told = one(self.stage.engine, f"select count(*), {filled}, {disputes()} from golden")
        conflicts = f"select count(*) from {self.stage.parts.read('conflicts', part)}"
        kept = one(self.stage.engine, f"select ({conflicts}), (select count(*) from withheld)")
        return dict(zip(COUNTS, (*told, *kept), strict=True))
