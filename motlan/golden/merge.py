"""Merge: linked rows become golden rows, and the values that lost become conflicts with their evidence, part by part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import duckdb
import pyarrow as pa

from motlan.engine import literal, one
from motlan.golden import aside, facets
from motlan.golden.conflicts import conflicts_query, lost_query
from motlan.golden.pointers import BETWEEN, DECIDED, disputes
from motlan.golden.survivorship import merge_query as merge_query
from motlan.golden.survivorship import merge_ways
from motlan.lake import SCRATCH
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
        (the newest decision about a value that it honours), `facets` (rows of each entity beside it), `version`.
    """
    entity = work.registry.entity(run.subject)
    version = versions.record(work.store, "merge", run.subject, {**body(entity), **work.engine_version()})
    with work.store.engine.connect() as connection:
        until = aside.newest(connection, entity.name)
        decisions = aside.holding(connection, entity.name, until)
    with work.bulk_engine(f"merging {run.subject}") as engine:
        parts = cut(work, engine, run, inputs)
        merging = _Merging(work, engine, entity, parts, decisions, version)
        counts = list(parts.each("merge", merging.part))
        beside = facets.make(work, engine, run, parts)
    totals = {name: sum(count[name] for count in counts) for name in COUNTS}
    return {**totals, "facets": beside, "decided_until": until, "version": version}


@dataclass(frozen=True)
class _Merging:
    """The step's work on one engine session."""

    work: Workspace
    engine: duckdb.DuckDBPyConnection
    entity: Entity
    parts: Parts
    decisions: pa.Table
    version: str

    def part(self, part: int) -> runs.Counts:
        """Merge the persons of one part."""
        engine, entity = self.engine, self.entity
        kind = "table" if self.decisions.num_rows else "view"
        engine.execute(f"create or replace temp {kind} linked_rows as from {self.parts.rows(entity.fields, part)}")
        aside.apply(engine, self.work.store, "linked_rows", self.decisions)
        ways = merge_ways(entity, "linked_rows", self.work.registry.rules.agreed_fields)
        for name, query in ways.apart.items():
            engine.execute(f"create or replace temp table {name} as {query}")
        for way, query in enumerate(ways.golden):
            engine.execute(
                f"copy (select *, {literal(self.version)} as _merge_version from ({query})) "
                f"to {self.parts.target('golden', part, way)} ({SCRATCH})"
            )
        engine.execute(f"create or replace temp view golden as from {self.parts.read('golden', part)}")
        engine.execute(
            f"create or replace temp table lost as {lost_query(entity, 'linked_rows', 'golden', 'withheld')}"
        )
        conflicts = conflicts_query(entity, "linked_rows", "lost")
        engine.execute(f"copy ({conflicts}) to {self.parts.target('conflicts', part)} ({SCRATCH})")
        return self._counts(part)

    def _counts(self, part: int) -> runs.Counts:
        between = f"(length({DECIDED}) - length(replace({DECIDED}, {literal(BETWEEN)}, ''))) // {len(BETWEEN)}"
        filled = f"count(*) filter ({DECIDED} != '') + coalesce(sum({between}), 0)::bigint"
        told = one(self.engine, f"select count(*), {filled}, {disputes()} from golden")
        conflicts = f"select count(*) from {self.parts.read('conflicts', part)}"
        kept = one(self.engine, f"select ({conflicts}), (select count(*) from withheld)")
        return dict(zip(COUNTS, (*told, *kept), strict=True))
