"""Merge: linked rows become golden rows, and the values that lost become conflicts with their evidence."""

from __future__ import annotations

from collections.abc import Mapping

import duckdb

from motlan.engine import literal, one
from motlan.golden import aside, facets
from motlan.golden.conflicts import conflicts_query, lost_query
from motlan.golden.survivorship import POINTER as POINTER
from motlan.golden.survivorship import merge_query as merge_query
from motlan.ledger import runs, versions
from motlan.registry import Entity
from motlan.workspace import Workspace


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
        links = literal(str(work.scratch(run.id) / "links.parquet"))
        engine.execute(
            f"""create temp table linked_rows as
                select person_id, facts.* from {work.facts(run.subject, inputs)} as facts
                join read_parquet({links}) using (dataset, _key)"""
        )
        aside.apply(engine, work.store, "linked_rows", decisions)
        query = merge_query(entity, "linked_rows")
        engine.execute(f"create temp table golden as select *, {literal(version)} as _merge_version from ({query})")
        engine.execute(f"create temp table lost as {lost_query(entity, 'linked_rows', 'golden', 'withheld')}")
        engine.execute(f"create temp table conflicts as {conflicts_query(entity, 'linked_rows', 'lost')}")
        counts = _counts(engine)
        beside = facets.make(work, engine, run, inputs)
        for name in ("golden", "conflicts"):
            engine.execute(f"copy {name} to {literal(str(work.scratch(run.id) / f'{name}.parquet'))} (format parquet)")
    return {**counts, "facets": beside, "decided_until": until, "version": version}


def _counts(engine: duckdb.DuckDBPyConnection) -> runs.Counts:
    persons, fields, disputed = one(
        engine,
        f"""select count(*), coalesce(sum(len({POINTER})), 0)::bigint,
                   coalesce(sum(len(list_filter({POINTER}, lambda pointer: pointer.disputed))), 0)::bigint from golden""",
    )
    lost, withheld = one(engine, "select (select count(*) from conflicts), (select count(*) from withheld)")
    return {"persons": persons, "fields": fields, "disputed": disputed, "conflicts": lost, "set_aside": withheld}
