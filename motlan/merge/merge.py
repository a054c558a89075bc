"""Merge: linked rows become golden rows, and the values that lost become conflicts with their evidence, part by part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import Any

import duckdb
import pyarrow as pa

from motlan.config.registry import Entity, RelatedEntity
from motlan.errors import InternalError
from motlan.expressions import constant, literal, make, one, quote
from motlan.lake.iceberg import SCRATCH
from motlan.ledger import runs, versions
from motlan.ledger.results import Begun, Linked, Merged
from motlan.merge import related_entities, value_ages, value_overrides
from motlan.merge.conflicts import conflicts_query, losing_values_query
from motlan.merge.field_survivorship import taken_from
from motlan.merge.golden_rows import Stage, compared
from motlan.merge.provenance import BETWEEN, DECIDED, disputes
from motlan.merge.survivorship import Ways, merge_query, merge_ways
from motlan.partitioning import write_ranges
from motlan.workspace import Workspace

COUNTS = ("persons", "fields", "disputed", "conflicts", "excluded")


DECIDES = {"authority", "ties", "precision", "agrees", "candidates", "follows", "together", "in_force"}
"""What of a field's `Authority` decides which value wins."""


def body(entity: Entity) -> Mapping[str, Any]:
    """Return what a version of the merge must pin: its query over the relations `linked_rows` and `value_ages.SINCE`.

    `parts` are what that query puts together: for few persons they are planned in a fraction of its time. `authority` is what was
    declared of each field, so that years later a decision can be explained, and not just made again.
    """
    ways = merge_ways(entity, "linked_rows", since=value_ages.SINCE)
    return {
        "query": merge_query(entity, "linked_rows", since=value_ages.SINCE),
        "parts": {"relations": list(ways.relations.items()), "plain": ways.plain, "close": list(ways.close)},
        "authority": {field: rule.model_dump(mode="json", include=DECIDES) for field, rule in entity.authority.items()},
    }


@dataclass(frozen=True)
class Decided:
    """What people decided about values, as a merge honours it.

    Attributes:
        until: The number of the newest decision.
        holding: The decisions that hold (see `value_overrides.holding`), those that have lapsed left out.
        lapsed: Those that have lapsed.
    """

    until: int
    holding: pa.Table
    lapsed: value_overrides.Lapsed


def merge(work: Workspace, run: runs.Run, inputs: dict[str, list[str]]) -> Merged:
    """Merge the linked rows of a reconcile run into golden rows and conflicts, left in its scratch folder."""
    with work.store.engine.connect() as connection:
        until = value_overrides.newest(connection, run.subject)
        holding = value_overrides.holding(connection, run.subject, until)
    lapsed = value_overrides.lapsed(work, run.subject, inputs, holding)
    return merge_rows(work, run, inputs, Decided(until, value_overrides.without(holding, lapsed.numbers), lapsed))


def merge_rows(
    work: Workspace, run: runs.Run, inputs: dict[str, list[str]], decided: Decided, *, stages: bool = True
) -> Merged:
    """Merge the rows that a run's scratch folder has links of.

    Args:
        work: The open installation.
        run: The run; its `Linked` tells how many persons these are.
        inputs: Dataset -> the sync runs to read.
        decided: What people decided about values.
        stages: Whether rows of which nothing is published are staged for the lake at once.
    """
    entity, where = work.registry.entity(run.subject), f"merging {run.subject}"
    version = versions.record(work.store, "merge", run.subject, {**body(entity), **work.engine_version()})
    published = set(run.result(Begun).published)
    new = [related for related in work.registry.related_to(run.subject) if stages and not related.declared.key]
    new = [related for related in new if not work.lake.files(related_entities.compared(related).table, published)]
    first = stages and not work.lake.files(compared(entity).table, published)
    with work.bulk_engine(where) as engine:
        stage = Stage(work, run, write_ranges(work, engine, run, inputs))
        value_ages.leave(stage, engine, entity, inputs)
    merging = _Merging(stage, entity, decided.holding, version, first, new)
    told = merging.places(where) if first or new else {}
    counts = list(stage.parts.side_by_side(work, where, "merge", partial(merging.part, told)))
    with work.bulk_engine(where) as engine:
        beside = {
            related.name: sum(count["related_entities"][related.name] for count in counts)
            if related in new
            else related_entities.leave(stage, engine, related)
            for related in work.registry.related_to(run.subject)
        }
    totals = {name: sum(count[name] for count in counts) for name in COUNTS}
    _require_one_each(run, totals["persons"], sum(count["doubled"] for count in counts))
    staged = [
        *([compared(entity).table] if first else []),
        *(related_entities.compared(related).table for related in new),
    ]
    return Merged(
        **totals,
        related_entities=beside,
        decided_until=decided.until,
        lapsed=decided.lapsed.numbers,
        heard_again=decided.lapsed.said_again,
        version=version,
        staged=staged,
    )


def _require_one_each(run: runs.Run, golden: int, doubled: int) -> None:
    """Stop a run whose persons have not one golden row each.

    Raises:
        InternalError: Some have none, or several.
    """
    persons = run.result(Linked).persons
    if doubled or golden != persons:
        raise InternalError(
            f"{persons:,} of {run.subject} have {golden:,} golden rows, {doubled:,} of them doubled, not one each",
            where=run.id,
            next_step="report this: nothing of the run is published.",
        )


@dataclass(frozen=True)
class _Merging:
    """The step's work.

    Attributes:
        first: Whether no golden row is published: they are staged for the lake at once.
        new: Entities beside, of which likewise no row is.
    """

    stage: Stage
    entity: Entity
    decisions: pa.Table
    version: str
    first: bool
    new: Sequence[RelatedEntity]

    def places(self, where: str) -> dict[str, list[int]]:
        """Return how many persons, and rows beside them, the parts before each part have, by the name of what they are."""
        parts = self.stage.parts
        counts = list(parts.side_by_side(self.stage.work, where, "count", self._count, range(parts.count - 1)))
        names = [compared(self.entity).name, *(related_entities.compared(related).name for related in self.new)]
        return {name: [0, *accumulate(count[name] for count in counts)] for name in names}

    def _count(self, engine: duckdb.DuckDBPyConnection, part: int) -> runs.Counts:
        parts = self.stage.parts
        persons = f"select count(distinct entity_id) from {parts.rows([], part)}"
        beside = {
            related_entities.compared(related).name: related_entities.count(engine, parts, related, part)
            for related in self.new
        }
        return {compared(self.entity).name: one(engine, persons)[0] if self.first else 0, **beside}

    def part(self, told: Mapping[str, Sequence[int]], engine: duckdb.DuckDBPyConnection, part: int) -> runs.Counts:
        """Merge the persons of one part, and stage what their rows say beside, if nothing of it is published.

        Args:
            told: What `places` returned: rows are numbered in the order of the persons' ids.
            engine: A session.
            part: The part.
        """
        parts, entity = self.stage.parts, self.entity
        kind = "table" if self.decisions.num_rows else "view"
        engine.execute(f"create or replace temp {kind} linked_rows as from {parts.rows(entity.fields, part)}")
        value_overrides.apply(engine, self.stage.work.store, "linked_rows", self.decisions)
        if self.first:
            before = told[compared(entity).name][part]
            ids = compared(entity).ordinals("(select distinct entity_id from linked_rows)", before)
            engine.execute(f"create or replace temp table placed as {ids}")
        since = (
            parts.read(value_ages.SINCE, part) if parts.files(value_ages.SINCE, part) else value_ages.nothing(entity)
        )
        kept = ", ".join(("_ref", *value_ages.columns(entity)))
        engine.execute(f"create or replace temp view {value_ages.SINCE} as select {kept} from {since}")
        placed, taken = "placed" if self.first else None, self.stage.work.registry.rules_of(entity.name).agreed_fields
        ways = merge_ways(entity, "linked_rows", taken, close="close_rows", placed=placed, since=value_ages.SINCE)
        merge_closely(engine, ways)
        close = "close_golden join placed using (entity_id)" if placed else "close_golden"
        rows = f"({ways.plain} union all by name from {close})"
        self._write(engine, part, f"select *, {constant(self.version)} as _merge_version from {rows}")
        columns = ", ".join(["entity_id", *(quote(taken_from(field)) for field in taken)])
        engine.execute(f"copy (select {columns} from close_golden) to {parts.target('taken', part)} ({SCRATCH})")
        engine.execute(f"create or replace temp view golden as from {parts.read('golden', part)}")
        lost = losing_values_query(entity, "close_rows", "close_golden", "withheld", "golden")
        engine.execute(f"create or replace temp table lost as {lost}")
        conflicts = conflicts_query(entity, "close_rows", "lost")
        engine.execute(f"copy ({conflicts}) to {parts.target('conflicts', part)} ({SCRATCH})")
        for table in ("close_rows", "close_golden", "lost"):  # or the next part's would be made beside them
            engine.execute(f"drop table {table}")
        beside = {
            related.name: related_entities.stage_part(
                self.stage, engine, related, part, told[related_entities.compared(related).name][part]
            )
            for related in self.new
        }
        return {**self._counts(engine, part), "related_entities": beside}

    def _write(self, engine: duckdb.DuckDBPyConnection, part: int, rows: str) -> None:
        """Write golden rows of a part: where nothing is published, for the lake at once."""
        what = compared(self.entity)
        if self.first:
            self.stage.write(engine, what, part, f"({rows})")
            return
        kept = ", ".join(map(quote, (*what.key, *what.columns)))
        target = self.stage.parts.target(what.name, part)
        engine.execute(f"copy (select {kept} from ({rows})) to {target} ({SCRATCH})")

    def _counts(self, engine: duckdb.DuckDBPyConnection, part: int) -> runs.Counts:
        between = f"(length({DECIDED}) - length(replace({DECIDED}, {literal(BETWEEN)}, ''))) // {len(BETWEEN)}"
        filled = f"count(*) filter ({DECIDED} != '') + coalesce(sum({between}), 0)::bigint"
        told = one(engine, f"select count(*), {filled}, {disputes()} from golden")
        doubled = one(engine, "select count(*) - count(distinct entity_id) from golden")[0]
        conflicts = f"select count(*) from {self.stage.parts.read('conflicts', part)}"
        kept = one(engine, f"select ({conflicts}), (select count(*) from withheld)")
        return {**dict(zip(COUNTS, (*told, *kept), strict=True)), "doubled": doubled}


def merge_closely(engine: duckdb.DuckDBPyConnection, ways: Ways) -> None:
    """Make `close_golden`, the golden rows of all persons whose rows do not plainly say the same, and the ways' relations.

    `close_rows` has their rows, and those of persons of whom a value was set aside: whoever lost something is among them.

    Args:
        engine: A session with `linked_rows` and `withheld`.
        ways: Those of `merge_ways` of `linked_rows`, with `close_rows` as their close relation.
    """
    for name, query in ways.relations.items():
        engine.execute(f"create or replace temp table {name} as {query}")
    persons = " union all ".join([*(f"select id from {name}" for name in ways.apart), "select entity_id from withheld"])
    engine.execute(
        f"create or replace temp table close_rows as "
        f"from linked_rows semi join (select id as entity_id from ({persons})) using (entity_id)"
    )
    # The last query is of persons with several rows of a register, and costs more to plan than all else of a small country.
    crowded = one(engine, "select count(*) from crowded")[0]
    make(engine, "close_golden", ways.close if crowded else ways.close[:-1])
