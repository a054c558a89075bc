"""Everything that golden values rest on, gathered from the lake, the payloads and the ledger.

Evidence is what a replay looks at, and nothing else: so a test can alter a copy of it and see the replay notice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import duckdb
import pyarrow as pa
import sqlalchemy as sa

from motlan.expressions import literal
from motlan.ingest import payloads
from motlan.ingest.raw_columns import of_file
from motlan.lake.iceberg import read_parquet
from motlan.lake.newest import pull_moment
from motlan.lake.tables import clean_table, golden_table, links_table, raw_table
from motlan.ledger import versions
from motlan.ledger.results import Merged
from motlan.linking import stored_models as kept
from motlan.linking.model import Model
from motlan.linking.scope import load_frequencies
from motlan.merge import value_ages, value_overrides
from motlan.merge.provenance import DECIDED, SOURCES, pointed
from motlan.store import tables
from motlan.workspace import Workspace

Version = tuple[str, str, dict[str, object]]
"""Kind, subject and body of a version."""


@dataclass
class Evidence:
    """What golden values rest on.

    Attributes:
        entity: The entity's name.
        golden: Golden rows: `entity_id`, the fields, `_pointers`, `_merge_version`.
        links: Links of these persons: `dataset`, `_key`, `_ref`, `entity_id`, `founder`, `compared`, `compared_ref`,
            `rule`, `_link_version`.
        raw: Dataset -> landed rows, as text, with landing's own columns.
        cleaned_by: Landed row's `_ref` -> version that cleaned it.
        versions: Version id -> what it says.
        chunks: (run, chunk) -> the root over its rows' commitments that the log holds.
        commitments: (run, chunk) -> the commitments of all its rows, in order.
        moments: Sync run -> what a moment that is not known counts as in it (see `motlan.lake.newest`).
        columns: (run, chunk) -> the raw columns that it was landed with: stored name -> the source's.
        frequencies: Link version -> `comparison`, `value`, `share`: how frequent the values of these rows are.
        excluded: Decisions about values that the newest publication honours (see `motlan.merge.value_overrides`).
        since: Since when these rows say each value (see `motlan.merge.value_ages`).
        payload: Reads a payload by name; raises where it was altered.
    """

    entity: str
    golden: pa.Table
    links: pa.Table
    raw: dict[str, pa.Table]
    cleaned_by: dict[str, str]
    versions: dict[str, Version]
    chunks: dict[tuple[str, int], str]
    commitments: dict[tuple[str, int], list[str]]
    moments: dict[str, str]
    columns: dict[tuple[str, int], dict[str, str]]
    frequencies: dict[str, pa.Table]
    excluded: pa.Table
    since: pa.Table
    payload: Callable[[str], bytes]


def run_of(ref: str) -> str:
    """Return the sync run that landed a row."""
    return ref.split("/", 1)[0]


def chunk_of(ref: str) -> tuple[str, int]:
    """Return the run and the chunk of a landed row."""
    run, chunk, _ = ref.split("/")
    return run, int(chunk)


def golden_rows(work: Workspace, entity: str) -> str:
    """Return the SQL of the published golden rows."""
    golden = work.published_rows(entity, golden_table(entity))
    if golden is None:
        return "(select null as entity_id where false)"
    columns = ", ".join(["entity_id", *work.registry.entity(entity).fields, SOURCES, DECIDED, "_merge_version"])
    return pointed(f"(select {columns} from {golden})")


def gather(work: Workspace, entity: str, persons: Sequence[str]) -> Evidence:
    """Gather what the golden rows of some persons rest on.

    Args:
        work: The open installation.
        entity: The entity's name.
        persons: The bus's own person ids.
    """
    with work.engine(f"gathering evidence of {entity}") as engine:
        engine.register("asked", pa.table({"entity_id": list(persons)}))
        golden = _table(engine, f"select * from {golden_rows(work, entity)} semi join asked using (entity_id)")
        published = work.published_rows(entity, links_table(entity))
        links = _table(engine, f"select * from {published} semi join asked using (entity_id)")
        refs: dict[str, set[str]] = {}
        for row in links.select(["dataset", "_ref", "compared", "compared_ref"]).to_pylist():
            refs.setdefault(row["dataset"], set()).add(row["_ref"])
            refs.setdefault(row["compared"].split("/", 1)[0], set()).add(row["compared_ref"])
        raw = {dataset: _landed(work, engine, raw_table(dataset), wanted) for dataset, wanted in sorted(refs.items())}
        cleaned_by: dict[str, str] = {}
        for dataset, wanted in refs.items():
            cleaned = _landed(work, engine, clean_table(dataset), wanted, "_ref, _version")
            cleaned_by.update(zip(cleaned["_ref"].to_pylist(), cleaned["_version"].to_pylist(), strict=True))
        since = _since(work, engine, entity, links)
        chunks = {chunk_of(ref) for wanted in refs.values() for ref in wanted}
        landed = {
            chunk: path
            for dataset, wanted in refs.items()
            for chunk, path in _chunk_files(work, dataset, {chunk_of(ref) for ref in wanted}).items()
        }
        commitments = {chunk: _commitments(engine, path) for chunk, path in landed.items()}
    linked_by = sorted(set(links["_link_version"].to_pylist()))
    used = {*cleaned_by.values(), *golden["_merge_version"].to_pylist(), *linked_by}
    return Evidence(
        entity=entity,
        golden=golden,
        links=links,
        raw=raw,
        cleaned_by=cleaned_by,
        versions={version: versions.read(work.store, version) for version in used},
        chunks=_logged_chunks(work, {run for run, _ in chunks}),
        commitments=commitments,
        moments=_moments(work, {run for run, _ in chunks}),
        columns={chunk: of_file(path) for chunk, path in landed.items()},
        frequencies={version: _frequencies(work, entity, version) for version in linked_by},
        excluded=_excluded(work, entity),
        since=since,
        payload=lambda name: payloads.read(work.settings.payloads, name),
    )


def _frequencies(work: Workspace, entity: str, version: str) -> pa.Table:
    """Read the frequencies that a link version weighed by: those of its model."""
    model = kept.record(work.store, entity, Model.model_validate(versions.read(work.store, version)[2]["model"]))
    with work.engine(f"reading frequencies of {entity}") as engine:
        load_frequencies(work, engine, entity, model)
        return _table(engine, "from frequencies")


def _excluded(work: Workspace, entity: str) -> pa.Table:
    table = tables.runs.c
    published = sa.select(table.steps["merge"]).where(
        table.kind == "reconcile", table.subject == entity, table.state == "published"
    )
    with work.store.engine.connect() as connection:
        found = connection.execute(published.order_by(table.id.desc()).limit(1)).scalar_one_or_none()
        merged = Merged.read(found) if found else None
        holding = value_overrides.holding(connection, entity, merged.decided_until if merged else 0)
    return value_overrides.without(holding, merged.lapsed if merged else ())


def _since(work: Workspace, engine: duckdb.DuckDBPyConnection, name: str, links: pa.Table) -> pa.Table:
    """Tell of linked rows since when they say what they say, from the runs that the newest publication read."""
    table, entity = tables.runs.c, work.registry.entity(name)
    query = sa.select(table.steps["begin"]["inputs"]).where(
        table.kind == "reconcile", table.subject == name, table.state == "published"
    )
    with work.store.engine.connect() as connection:
        inputs = connection.execute(query.order_by(table.id.desc()).limit(1)).scalar_one_or_none() or {}
    engine.register("linked_now", links)
    found = [value_ages.nothing(entity)]
    for dataset in work.registry.datasets_of(name):
        if files := work.clean_files(dataset.name, inputs):
            known = [row[0] for row in engine.execute(f"describe from {read_parquet(files)}").fetchall()]
            of = f"(select _key, _ref from linked_now where dataset = {literal(dataset.name)})"
            found.append(value_ages.since_query(entity, dataset, files, known, of))
    return _table(engine, " union all by name ".join(f"(from ({query}))" for query in found))


def _table(engine: duckdb.DuckDBPyConnection, query: str) -> pa.Table:
    return engine.sql(query).to_arrow_table()


def _landed(
    work: Workspace, engine: duckdb.DuckDBPyConnection, table: str, refs: set[str], columns: str = "*"
) -> pa.Table:
    files = work.lake.files(table, {run_of(ref) for ref in refs})
    engine.register("wanted", pa.table({"_ref": sorted(refs)}))
    return _table(engine, f"select {columns} from {read_parquet(files)} semi join wanted using (_ref)")


def _chunk_files(work: Workspace, dataset: str, chunks: set[tuple[str, int]]) -> dict[tuple[str, int], str]:
    wanted = {f"/run={run}/{chunk:06d}.parquet": (run, chunk) for run, chunk in chunks}
    paths = work.lake.files(raw_table(dataset), {run for run, _ in chunks})
    return {chunk: path for path in paths for ending, chunk in wanted.items() if path.endswith(ending)}


def _commitments(engine: duckdb.DuckDBPyConnection, path: str) -> list[str]:
    rows = engine.execute(f"select _commitment from {read_parquet([path])}").fetchall()
    return [row[0] for row in rows]


def _moments(work: Workspace, wanted: set[str]) -> dict[str, str]:
    table = tables.runs.c
    query = sa.select(table.id, table.steps["land"]["source_as_of"].astext).where(table.id.in_(wanted))
    with work.store.engine.connect() as connection:
        return {run: pull_moment(run, as_of) for run, as_of in connection.execute(query)}


def _logged_chunks(work: Workspace, wanted: set[str]) -> dict[tuple[str, int], str]:
    table = tables.log_entries.c
    query = sa.select(table.body).where(table.kind == "landing", table.body["run"].astext.in_(wanted))
    with work.store.engine.connect() as connection:
        bodies = connection.scalars(query).all()
    return {(body["run"], chunk): digest for body in bodies for chunk, digest in enumerate(body["chunks"])}
