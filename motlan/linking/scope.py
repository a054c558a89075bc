"""Whether a run links all rows of an entity, or what changed since the previous run and whom that can affect."""

from __future__ import annotations

import json

import duckdb

from motlan.expressions import one
from motlan.expressions.duckdb.named import named_calls
from motlan.lake.iceberg import read_parquet
from motlan.lake.tables import frequencies_table
from motlan.ledger import runs, versions
from motlan.ledger.results import Begun, Linked
from motlan.linking import model as models
from motlan.linking import stored_models as kept
from motlan.linking.model import Model
from motlan.partitioning import hash_number
from motlan.workspace import Workspace

FREQUENCY = "comparison || '/' || value || '/' || floor(share * 1e15)::bigint"
"""A frequency as a text that is the same on every engine."""


def load_frequencies(work: Workspace, engine: duckdb.DuckDBPyConnection, entity: str, model: str) -> None:
    """Make the table `frequencies` that a model (by its id) was learned with; empty where it is as declared."""
    files = work.lake.files(frequencies_table(entity), {kept.run_of(work.store, model) or ""})
    relation = read_parquet(files) if files else "(select '' as comparison, '' as value, 0.0 as share where false)"
    engine.execute(f"create temp table frequencies as select comparison, value, share from {relation}")


def record_version(work: Workspace, engine: duckdb.DuckDBPyConnection, entity: str, model: Model) -> str:
    """Keep what decides links as a version where it is new; return its id. The session has the table `frequencies`."""
    digest = one(engine, f"select coalesce(sum({hash_number(FREQUENCY)}::decimal(38, 0)), 0)::varchar from frequencies")
    with named_calls(False):
        weighing = models.body(work.registry.entity(entity).matching, model)
    body = {**weighing, "frequencies": digest[0], **work.engine_version()}
    return versions.record(work.store, "link", entity, json.loads(json.dumps(body)))


def why_full(work: Workspace, run: runs.Run, previous: runs.Run | None) -> str:
    """Tell why a run has to link, merge and check everything; an empty text where what changed is enough.

    Args:
        work: The open installation.
        run: The run, begun.
        previous: The newest run before that was published, or found nothing to publish.
    """
    began = run.result(Begun)
    if began.full:
        return "it was asked for"
    if previous is None:
        return "it is the first run"
    if work.settings.engine != "duckdb":
        return "only DuckDB takes what changed out of the lake"
    linked, before = previous.find_result(Linked), previous.find_result(Begun)
    if linked is None or before is None or not linked.base:
        return "the previous run left no rows to start from"
    if changed := sorted(name for name, digest in began.versions.items() if before.versions.get(name) != digest):
        return f"{' and '.join(changed)} changed"
    with work.store.engine.connect() as connection:
        taken = runs.retracted(connection, list(before.inputs))
    left = {name: {*read} - {*began.inputs.get(name, ()), *taken.get(name, ())} for name, read in before.inputs.items()}
    if gone := sorted(name for name, read in left.items() if read):
        return f"sync runs of {', '.join(gone)} that were read are not visible any more"
    found = kept.standing(work.store, run.subject)
    if found is None or found[0] != linked.model:
        return "another model of linking was released"
    with work.bulk_engine(f"linking {run.subject}") as engine:
        load_frequencies(work, engine, run.subject, found[0])
        version = record_version(work, engine, run.subject, found[1])
    return "" if version == linked.version else "how rows are linked changed"
