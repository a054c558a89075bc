"""Everything that golden values rest on, gathered from the lake, the payloads and the ledger.

Evidence is what a replay looks at, and nothing else: so a test can alter a copy of it and see the replay notice.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa

from motlan.expressions import literal, quote
from motlan.ingest import payloads
from motlan.ingest.raw_columns import of_file
from motlan.lake.iceberg import read_parquet
from motlan.lake.newest import pull_moment
from motlan.lake.tables import frequencies_table, golden_table, links_table, published, raw_table
from motlan.ledger import erasures, runs, versions
from motlan.ledger.results import Merged
from motlan.linking import stored_models as kept
from motlan.linking.model import Model
from motlan.linking.persist import COLUMNS as LINK_COLUMNS
from motlan.merge import value_ages, value_overrides
from motlan.merge.provenance import DECIDED, SOURCES, pointed
from motlan.store import tables
from motlan.workspace import Workspace

FEW = 200
"""Persons up to which files are asked for their rows by value, so that whole parts of them are passed over."""
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
        read_by: Run -> what read its source (see `motlan.ingest.adapter_version`), where that is known.
        moments: Sync run -> what a moment that is not known counts as in it (see `motlan.lake.newest`).
        columns: (run, chunk) -> the raw columns that it was landed with: stored name -> the source's.
        frequencies: Link version -> SQL of the relation `comparison`, `value`, `share` that it weighed by.
        excluded: Decisions about values that the publication in force honours (see `motlan.merge.value_overrides`).
        since: Since when these rows say each value (see `motlan.merge.value_ages`).
        payload: Reads a payload by name; raises where it was altered.
        erased: Payloads that were destroyed by an erasure of another record -> the day.
    """

    entity: str
    golden: pa.Table
    links: pa.Table
    raw: dict[str, pa.Table]
    cleaned_by: dict[str, str]
    versions: dict[str, Version]
    chunks: dict[tuple[str, int], str]
    commitments: dict[tuple[str, int], pa.StringArray]
    read_by: dict[str, dict[str, str]]
    moments: dict[str, str]
    columns: dict[tuple[str, int], dict[str, str]]
    frequencies: dict[str, str]
    excluded: pa.Table
    since: pa.Table
    payload: Callable[[str], bytes]
    published: pa.Table | None = None
    """The golden rows as each publication left them, where they had to be read anyway."""
    erased: Mapping[str, str] = field(default_factory=dict)


def run_of(ref: str) -> str:
    """Return the sync run that landed a row."""
    return ref.split("/", 1)[0]


def chunk_of(ref: str) -> tuple[str, int]:
    """Return the run and the chunk of a landed row."""
    run, chunk, _ = ref.split("/")
    return run, int(chunk)


@dataclass(frozen=True)
class InForce:
    """The publications of an entity that were in force at a moment.

    Attributes:
        runs: Their reconcile runs, oldest first.
        moment: The moment; None for now.
    """

    runs: tuple[str, ...]
    moment: datetime | None = None

    @property
    def newest(self) -> str:
        """The run of the newest of them; empty where there is none."""
        return self.runs[-1] if self.runs else ""


def in_force(work: Workspace, entity: str, moment: datetime | None = None) -> InForce:
    """Return the publications of an entity that were in force at a moment: those recorded until then; now where None."""
    with work.store.engine.connect() as connection:
        if moment is None:
            return InForce(tuple(runs.visible(connection, "reconcile", entity)))
        table = tables.publications.c
        query = sa.select(table.run).where(table.entity == entity, table.recorded_at <= moment).order_by(table.number)
        return InForce(tuple(connection.scalars(query)), moment)


def golden_rows(work: Workspace, entity: str, at: InForce | None = None, where: str = "true") -> str:
    """Return the SQL of published golden rows.

    Args:
        work: The open installation.
        entity: The entity's name.
        at: The publications in force; by default those of now.
        where: A condition on `entity_id`.
    """
    return pointed(f"({_golden(work, entity, at or in_force(work, entity), where)})")


def _golden(work: Workspace, entity: str, at: InForce, where: str) -> str:
    golden = published(work.lake, golden_table(entity), at.runs, where)
    fields = work.registry.entity(entity).fields
    if golden is None:
        nulls = "".join(f", null::varchar as {quote(name)}" for name in fields)
        source = 'null::struct(dataset varchar, "key" varchar, ref varchar, as_of varchar)[]'
        return (
            f"select null::varchar as entity_id{nulls}, {source} as {SOURCES}, null::varchar as {DECIDED}, "
            "null::varchar as _merge_version where false"
        )
    return f"select {_columns(work, entity)} from {golden}"


def gather(work: Workspace, entity: str, persons: Sequence[str], at: InForce | None = None) -> Evidence:
    """Gather what the golden rows of some persons rest on.

    Args:
        work: The open installation.
        entity: The entity's name.
        persons: The bus's own person ids.
        at: The publications in force; by default those of now.
    """
    with work.engine(f"gathering evidence of {entity}") as engine:
        return gather_in(engine, work, entity, persons, at or in_force(work, entity))


def gather_in(
    engine: duckdb.DuckDBPyConnection, work: Workspace, entity: str, persons: Sequence[str], at: InForce
) -> Evidence:
    """Gather it in a session that is open already; see `gather`."""
    golden, links, versions_of_rows = _persons(engine, work, entity, persons, at)
    refs: dict[str, set[str]] = {}
    for row in links.select(["dataset", "_ref", "compared", "compared_ref"]).to_pylist():
        refs.setdefault(row["dataset"], set()).add(row["_ref"])
        refs.setdefault(row["compared"].split("/", 1)[0], set()).add(row["compared_ref"])
    chunks = {dataset: {chunk_of(ref) for ref in wanted} for dataset, wanted in refs.items()}
    files = {chunk: path for dataset, wanted in chunks.items() for chunk, path in _files(work, dataset, wanted).items()}
    raw = {
        dataset: _landed(engine, [files[chunk] for chunk in sorted(chunks[dataset]) if chunk in files], wanted)
        for dataset, wanted in sorted(refs.items())
    }
    landings = _landings(work, {run for wanted in chunks.values() for run, _ in wanted})
    cleaned_by = {
        ref: str(landings[run_of(ref)]["version"])
        for wanted in refs.values()
        for ref in wanted
        if run_of(ref) in landings
    }
    linked_by = sorted(set(links["_link_version"].to_pylist()))
    used = {*cleaned_by.values(), *golden["_merge_version"].to_pylist(), *linked_by}
    moments, read_by = pulls_of(work, {run for wanted in chunks.values() for run, _ in wanted})
    return Evidence(
        entity=entity,
        golden=golden,
        links=links,
        raw=raw,
        cleaned_by=cleaned_by,
        versions={version: versions.read(work.store, version) for version in used},
        chunks={
            (run, chunk): digest for run, body in landings.items() for chunk, digest in enumerate(_list(body["chunks"]))
        },
        commitments={
            chunk: pq.read_table(path, columns=["_commitment"])[0].combine_chunks() for chunk, path in files.items()
        },
        read_by=read_by,
        moments=moments,
        columns={chunk: of_file(path) for chunk, path in files.items()},
        frequencies={version: _frequencies(work, entity, version) for version in linked_by},
        excluded=_excluded(work, entity, at),
        since=_since(work, engine, entity, links, at),
        payload=lambda name: payloads.read(work.settings.payloads, name),
        published=versions_of_rows,
        erased=_erased(work),
    )


def _erased(work: Workspace) -> dict[str, str]:
    with work.store.engine.connect() as connection:
        found = erasures.erased_payloads(connection)
    return {name: day for name, day in found.items() if not payloads.path(work.settings.payloads, name).exists()}


def _list(value: object) -> list[str]:
    return value if isinstance(value, list) else []


def is_one_of(column: str, values: Collection[str]) -> str:
    """Return the SQL of whether a column has one of some values, in a form by which an engine passes over parts of files."""
    return f"{column} in ({', '.join(map(literal, sorted(values)))})" if values else "false"


def _persons(
    engine: duckdb.DuckDBPyConnection, work: Workspace, entity: str, persons: Sequence[str], at: InForce
) -> tuple[pa.Table, pa.Table, pa.Table | None]:
    """Return the golden rows of some persons, the links of their records, and all versions of the rows where these were read."""
    few = len(set(persons)) <= FEW
    engine.register("asked", pa.table({"entity_id": pa.array(sorted(set(persons)), pa.string())}))
    mine = is_one_of("entity_id", set(persons)) if few else "true"
    every = work.lake.files(golden_table(entity), set(at.runs))
    versions_of_rows = None
    if few and every and every == sorted(work.lake.base_and_deltas(golden_table(entity), at.runs)):
        # One scan of the files gives the newest row and all before it.
        engine.execute(f"create or replace temp table golden_versions as from {read_parquet(every)} where {mine}")
        versions_of_rows = _table(engine, "from golden_versions")
        newest = "(from golden_versions qualify row_number() over (partition by entity_id order by _run desc) = 1)"
        found = f"select {_columns(work, entity)} from {newest} where _op != 'removed'"
    else:
        found = _golden(work, entity, at, mine)
    engine.execute(f"create or replace temp table golden_asked as from ({found}) semi join asked using (entity_id)")
    golden = _table(engine, pointed("golden_asked"))
    key = "true"
    if few:
        said = f"select distinct unnest(list_transform({SOURCES}, lambda s: s.key)) from golden_asked"
        key = is_one_of("_key", {row[0] for row in engine.execute(said).fetchall() if row[0] is not None})
    linked = published(work.lake, links_table(entity), at.runs, key)
    links = _table(engine, f"select * from {linked} semi join asked using (entity_id)") if linked else _NO_LINKS
    engine.execute("drop table golden_asked")
    engine.unregister("asked")
    return golden, links, versions_of_rows


def _columns(work: Workspace, entity: str) -> str:
    return ", ".join(["entity_id", *work.registry.entity(entity).fields, SOURCES, DECIDED, "_merge_version"])


_NO_LINKS = pa.table(
    {
        name: pa.array([], pa.float64() if name in ("match_weight", "probability") else pa.string())
        for name in ("dataset", "_key", *LINK_COLUMNS)
    }
)


def _files(work: Workspace, dataset: str, chunks: Collection[tuple[str, int]]) -> dict[tuple[str, int], str]:
    """Return the landed files of some chunks."""
    wanted = {f"/run={run}/{chunk:06d}.parquet": (run, chunk) for run, chunk in chunks}
    paths = work.lake.files(raw_table(dataset), {run for run, _ in chunks})
    return {chunk: path for path in paths for ending, chunk in wanted.items() if path.endswith(ending)}


def _landed(engine: duckdb.DuckDBPyConnection, files: Sequence[str], refs: set[str]) -> pa.Table:
    if len(refs) <= FEW:
        return _table(engine, f"from {read_parquet(files)} where {is_one_of('_ref', refs)}")
    engine.register("wanted", pa.table({"_ref": sorted(refs)}))
    return _table(engine, f"select * from {read_parquet(files)} semi join wanted using (_ref)")


def _landings(work: Workspace, wanted: Collection[str]) -> dict[str, dict[str, object]]:
    """Return what the log says of the landings of some sync runs: run -> its entry."""
    table = tables.log_entries.c
    query = sa.select(table.body).where(table.kind == "landing", table.body["run"].astext.in_(wanted))
    with work.store.engine.connect() as connection:
        return {str(body["run"]): dict(body) for body in connection.scalars(query)}


def pulls_of(work: Workspace, wanted: Collection[str]) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """Return what a moment that is not known counts as in some sync runs, and what read their sources."""
    table = tables.runs.c
    landed = table.steps["land"]
    query = sa.select(table.id, landed["source_as_of"].astext, landed["adapter"]).where(table.id.in_(wanted))
    with work.store.engine.connect() as connection:
        found = connection.execute(query).all()
    moments = {run: pull_moment(run, as_of) for run, as_of, _ in found}
    return moments, {run: dict(adapter) for run, _, adapter in found if adapter}


def _frequencies(work: Workspace, entity: str, version: str) -> str:
    """Return the SQL of the frequencies that a link version weighed by: those of its model."""
    model = kept.record(work.store, entity, Model.model_validate(versions.read(work.store, version)[2]["model"]))
    if files := work.lake.files(frequencies_table(entity), {kept.run_of(work.store, model) or ""}):
        return f"(select comparison, value, share from {read_parquet(files)})"
    return "(select '' as comparison, '' as value, 0.0 as share where false)"


def _excluded(work: Workspace, entity: str, at: InForce) -> pa.Table:
    table = tables.runs.c
    with work.store.engine.connect() as connection:
        found = connection.execute(sa.select(table.steps["merge"]).where(table.id == at.newest)).scalar_one_or_none()
        merged = Merged.read(found) if found else None
        holding = value_overrides.holding(connection, entity, merged.decided_until if merged else 0)
    return value_overrides.without(holding, merged.lapsed if merged else ())


def _since(work: Workspace, engine: duckdb.DuckDBPyConnection, name: str, links: pa.Table, at: InForce) -> pa.Table:
    """Tell of linked rows since when they say what they say, from the runs that the publication in force read."""
    table, entity = tables.runs.c, work.registry.entity(name)
    query = sa.select(table.steps["begin"]["inputs"]).where(table.id == at.newest)
    with work.store.engine.connect() as connection:
        inputs = connection.execute(query).scalar_one_or_none() or {}
    found = [value_ages.nothing(entity)]
    for dataset in work.registry.datasets_of(name):
        mine = _with_versions(engine, work.clean_files(dataset.name, inputs), dataset.name, links)
        if mine.num_rows:
            engine.register(f"again_{dataset.name}", mine)
            files = work.clean_files(dataset.name, inputs)
            known = [row[0] for row in engine.execute(f"describe from {read_parquet(files)}").fetchall()]
            found.append(value_ages.since_query(entity, dataset, files, known, quote(f"again_{dataset.name}")))
    return _table(engine, " union all by name ".join(f"(from ({query}))" for query in found))


def _with_versions(engine: duckdb.DuckDBPyConnection, files: Sequence[str], dataset: str, links: pa.Table) -> pa.Table:
    """Return the linked rows (`_key`, `_ref`) of a register whose record came in a later run than the first, as few do."""
    engine.register("linked_now", links)
    mine = _table(engine, f"select _key, _ref from linked_now where dataset = {literal(dataset)}")
    later = value_ages.later_files(files)
    keys = set(mine["_key"].to_pylist())
    if not later or not keys:
        return mine.slice(0, 0)
    engine.register("mine", mine)
    if len(keys) <= FEW:
        again = f"(select distinct _key from {read_parquet(later)} where {is_one_of('_key', keys)})"
    else:
        again = f"(select distinct _key from {read_parquet(later)})"
    return _table(engine, f"select _key, _ref from mine semi join {again} as again using (_key)")


def _table(engine: duckdb.DuckDBPyConnection, query: str) -> pa.Table:
    return engine.sql(query).to_arrow_table()
