"""The steps after linking where what changed alone was linked: the touched persons as they were are replaced by what they are.

Each does what the step of a full run does, on the touched persons: before and now where totals are kept, for these are the
totals of the previous run, without what the touched persons came to, and with what they come to.
"""

from __future__ import annotations

from collections.abc import Mapping

import duckdb
import pyarrow as pa

from motlan.expressions import literal
from motlan.incremental.sides import Sides, open_sides
from motlan.lake.iceberg import read_parquet
from motlan.ledger import results, runs
from motlan.ledger.results import Begun, CrossChecked, Linked, Merged
from motlan.merge import merge as merging
from motlan.merge import value_overrides
from motlan.publication import diff as comparing
from motlan.quality import changed_check, check_state
from motlan.workspace import Workspace


def why_full(work: Workspace, run: runs.Run) -> str:
    """Tell what of the previous run is missing that an incremental one starts from; an empty text where nothing is."""
    previous = run.result(Begun).previous
    if previous is None:
        return ""
    before = runs.get(work.store, previous)
    if before.find_result(Merged) is None or check_state.read(work, run.subject, previous) is None:
        return "the previous run left nothing to start from"
    return ""


def is_changed(run: runs.Run) -> bool:
    """Return whether a run linked what changed alone."""
    return run.result(Linked).scope == "changed"


def merge(work: Workspace, run: runs.Run) -> Merged:
    """Merge the touched persons, before and now; return the totals of all persons."""
    sides = open_sides(work, run)
    previous = sides.previous.result(Merged)
    if not sides.touched:
        return previous
    old, new = _decided(sides)
    before = merging.merge_rows(sides.before.work, sides.before.run, sides.before.inputs, old, stages=False)
    now = merging.merge_rows(sides.now.work, sides.now.run, sides.now.inputs, new)
    totals = {name: getattr(previous, name) - getattr(before, name) + getattr(now, name) for name in merging.COUNTS}
    beside = _adjusted(previous.related_entities, before.related_entities, now.related_entities)
    return Merged(
        **totals,
        related_entities=beside,
        decided_until=now.decided_until,
        lapsed=now.lapsed,
        heard_again=now.heard_again,
        version=now.version,
        staged=now.staged,
    )


def _adjusted(totals: Mapping[str, int], before: Mapping[str, int], now: Mapping[str, int]) -> dict[str, int]:
    names = dict.fromkeys((*totals, *now))
    return {name: totals.get(name, 0) - before.get(name, 0) + now.get(name, 0) for name in names}


def _decided(sides: Sides) -> tuple[merging.Decided, merging.Decided]:
    """Return what people decided about values, as the previous run honoured it and as this one does."""
    work, entity, previous = sides.now.work, sides.now.run.subject, sides.previous.result(Merged)
    with work.store.engine.connect() as connection:
        until = value_overrides.newest(connection, entity)
        held = value_overrides.holding(connection, entity, previous.decided_until)
        holding = value_overrides.holding(connection, entity, until)
    was = value_overrides.Lapsed(previous.lapsed, previous.heard_again)
    old = merging.Decided(previous.decided_until, value_overrides.without(held, was.numbers), was)
    lapsed = _lapsed(sides, holding, was)
    return old, merging.Decided(until, value_overrides.without(holding, lapsed.numbers), lapsed)


def _lapsed(sides: Sides, holding: pa.Table, before: value_overrides.Lapsed) -> value_overrides.Lapsed:
    """Return the decisions that have lapsed: of records that are not touched as before."""
    standing = set(holding["decision"].to_pylist())
    if not standing:
        return value_overrides.Lapsed([], [])
    touched = _touched_decisions(sides, holding)
    found = value_overrides.lapsed(sides.now.work, sides.now.run.subject, sides.now.inputs, holding)
    kept = standing - touched
    return value_overrides.Lapsed(
        sorted((set(before.numbers) & kept) | (set(found.numbers) & touched)),
        sorted((set(before.said_again) & kept) | (set(found.said_again) & touched)),
    )


def _touched_decisions(sides: Sides, holding: pa.Table) -> set[int]:
    """Return the decisions about records of touched persons."""
    work, side = sides.now.work, sides.now
    records = [
        f"select {literal(dataset.name)} as dataset, _key from {read_parquet(files)}"
        for dataset in work.registry.datasets_of(side.run.subject)
        if (files := work.clean_files(dataset.name, side.inputs))
    ]
    if not records:
        return set()
    with work.engine(f"finding decisions on {side.run.subject}") as engine:
        engine.register("holding", holding)
        query = f"select decision from holding semi join ({' union all '.join(records)}) as mine using (dataset, _key)"
        return {number for (number,) in _fetch(engine, query)}


def _fetch(engine: duckdb.DuckDBPyConnection, query: str) -> list[tuple[int]]:
    return engine.execute(query).fetchall()


def cross_check(work: Workspace, run: runs.Run) -> CrossChecked:
    """Check the touched persons across registers, before and now; return what all persons come to."""
    sides = open_sides(work, run)
    return changed_check.check(work, run, sides.before, sides.now, sides.state, sides.keys)


def diff(work: Workspace, run: runs.Run) -> results.Compared:
    """Stage what turns what is published of the touched persons into this run's."""
    sides = open_sides(work, run)
    if not sides.touched:
        names = [related.name for related in work.registry.related_to(run.subject)]
        return results.Compared.nothing(names)
    return comparing.diff(work, run, run.result(Begun).published, sides.now)
