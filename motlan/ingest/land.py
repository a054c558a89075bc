"""Pull a dataset and keep what came: payloads as received, and raw rows as immutable Parquet.

Nothing is dropped here but rows that were landed before, byte for byte the same (the lag window is read twice on
purpose). Every row gets a salted commitment: a bare hash of twelve digits and a birth date could be guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from motlan.adapter import LOCATOR, Page
from motlan.config.registry import Dataset
from motlan.errors import ContractError
from motlan.expressions import abreast, constant, literal, one, quote
from motlan.ingest import drift, payloads, resends, watermark
from motlan.ingest.adapter_version import describe_adapter
from motlan.ingest.completeness import Census
from motlan.ingest.deletions import Held
from motlan.ingest.pull_window import Earning
from motlan.ingest.raw_columns import is_stored, received, recording, stored
from motlan.ingest.refusals import naming_the_credential
from motlan.ingest.restored import GoneBack
from motlan.lake.iceberg import PARQUET, read_parquet, require_filled
from motlan.lake.tables import gone_table, raw_table
from motlan.ledger import runs
from motlan.ledger.results import Landed, SyncBegun
from motlan.ledger.row_commitments import commitment, make_salts, root_of
from motlan.settings import sizes
from motlan.workspace import Workspace

SHARE_ROWS = 10_240
"""Rows of a chunk that one thread writes, and later reads, at a time."""
LANDED = f"{PARQUET}, row_group_size {SHARE_ROWS}"
"""How a chunk is written."""
CHUNK_BYTES = 10**9
"""Memory that the engine needs to write one."""
SPARE_PAGES = 100
"""Pages that a source may give beyond the number of rows that it announced, as rows come in while it is read."""
META = ("_ref", "_run", "_key", "_cursor", "_moment", "_payload", LOCATOR, "_salt", "_commitment")
"""Columns that landing adds to the source's, which have names of their own form (see `motlan.ingest.raw_columns`).

`_ref` names the landed row for ever: run/chunk/position. `_cursor` and `_moment` are in canonical form (see
`motlan.ingest.cursors`), null where they cannot be read.
"""

Watch = Callable[[int, int], None]
"""Told how many rows came so far, and how many the source announced."""


def canonical_row(columns: Iterable[str]) -> str:
    """Return the SQL of a row's unambiguous text: name, length and value of each filled column, by name."""
    parts = (
        f"coalesce({literal(name + ':')} || length({quote(name)}) || ':' || {quote(name)} || ';', '')"
        for name in sorted(columns)
    )
    return f"concat({', '.join(parts)})"


def known_by(columns: Iterable[str]) -> str:
    """Return the SQL of the number by which a row that comes again is known."""
    return f"md5_number({canonical_row(columns)})"


@dataclass
class _Chunk:
    """Pages gathered until they are worth a file, and their payloads as far as it is not sure that they are kept."""

    rows: list[pa.Table] = field(default_factory=list)
    payloads: dict[str, bytes] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    """The raw columns: stored name -> the source's."""
    size: int = 0
    held: int = 0
    """Bytes of rows and payloads."""

    def add(self, page: Page, payload: str) -> None:
        table, names = received(page.rows)
        self.names |= names
        self.rows.append(table.append_column("_payload", pa.array([payload] * table.num_rows, pa.string())))
        self.size += table.num_rows
        self.held += table.nbytes

    def hold(self, name: str, payload: bytes) -> None:
        self.held += 0 if name in self.payloads else len(payload)
        self.payloads[name] = payload

    def take(self) -> pa.Table:
        """Return the rows as one table, and forget the pages."""
        rows, self.rows = pa.concat_tables(self.rows, promote_options="default"), []
        return rows


def _chunks(pages: Iterator[Page], bound: int, keep: Callable[[bytes], str] | None) -> Iterator[_Chunk]:
    """Gather pages until they have rows or bytes enough for a file.

    Args:
        pages: The pages.
        bound: Bytes of a chunk; the page that reaches it is the last one of it.
        keep: Keeps a payload away at once, where all rows are sure to be new; None where that shows later.
    """
    chunk, name, most = _Chunk(), "", sizes().landed_chunk_rows
    for page in pages:
        if page.payload is not None:
            name = keep(page.payload) if keep else payloads.digest(page.payload)
            if not keep:
                chunk.hold(name, page.payload)
        chunk.add(page, name)
        del page  # else it would stand beside the next one
        if chunk.size >= most or chunk.held >= bound:
            ready, chunk = chunk, _Chunk()
            if name in ready.payloads:  # a file goes on behind its first page
                chunk.payloads[name] = ready.payloads[name]
            yield ready
            del ready
    if chunk.rows:
        yield chunk


def _fresh(
    work: Workspace,
    engine: duckdb.DuckDBPyConnection,
    dataset: Dataset,
    rows: pa.Table,
    chunk: _Chunk,
    number: int,
    watcher: drift.Watcher,
    earning: Earning,
) -> pa.Table:
    """Keep the payloads of a chunk, and return its rows that are new.

    Args:
        work: The open installation.
        engine: A session with `landed_before`.
        dataset: Whose rows they are.
        rows: The chunk's rows.
        chunk: Their names and payloads.
        number: The number that it is written under, if any row is new.
        watcher: Looks at its columns.
        earning: Looks at its cursors.
    """
    raw = chunk.names
    missing = [name for name in (dataset.key, dataset.cursor, dataset.moment) if stored(name) not in raw]
    if missing:
        raise ContractError(
            f"the source sent no column {sorted(missing)[0]}", where=dataset.name, next_step="ask its owner."
        )
    drifted = watcher.see(rows, raw)
    engine.register("pulled", rows)
    earning.see(known_by(raw))
    if one(engine, "select count(*) from landed_before")[0]:
        rows = resends.unseen(engine, dataset, rows, known_by(raw))
    engine.unregister("pulled")
    for name in rows["_payload"].unique().to_pylist():
        if name in chunk.payloads:
            payloads.keep(work.settings.payloads, chunk.payloads[name])
    watcher.drift.chunks += [number] if drifted and rows.num_rows else []
    return rows


def places(count: int) -> pa.Table:
    """Return so many places of a chunk: `_position` (from 0), and a `_salt` (see `motlan.ledger.row_commitments`)."""
    return pa.table({"_position": pa.arange(0, count), "_salt": make_salts(count)})


def placed(rows: pa.Table) -> pa.Table:
    """Return the rows of a chunk in their `places`, in shares that several threads can write."""
    for name, column in zip(("_position", "_salt"), places(rows.num_rows).columns, strict=True):
        rows = rows.append_column(name, column)
    return pa.concat_tables(rows.slice(first, SHARE_ROWS) for first in range(0, rows.num_rows, SHARE_ROWS))


def write_chunks(
    work: Workspace,
    engine: duckdb.DuckDBPyConnection,
    dataset: Dataset,
    run: str,
    chunks: Iterator[tuple[pa.Table, dict[str, str]]],
    announced: int,
    first: int = 0,
) -> list[str]:
    """Write chunks of raw rows, in the order in which they come, while the next ones are pulled; return their roots.

    Args:
        work: The open installation.
        engine: A session, used where one is enough.
        dataset: Whose rows they are.
        run: The run that lands them.
        chunks: Rows (raw columns, `_payload`, `_locator`), and of the raw columns stored name -> the source's; a chunk has rows.
        announced: How many rows there may be.
        first: The number of the first chunk.
    """

    def write(session: duckdb.DuckDBPyConnection, task: tuple[int, tuple[pa.Table, dict[str, str]]]) -> str:
        number, (rows, raw) = task
        session.register("fresh", placed(rows))
        digest = write_chunk(work, session, dataset, run, number, raw)
        session.unregister("fresh")
        return digest

    fit = _sessions(work, announced)
    where = f"landing {dataset.name}"
    sessions = [work.engine(where, of=fit) for _ in range(fit)] if fit > 1 else [nullcontext(engine)]
    return list(abreast(sessions, enumerate(chunks, first), write, ahead=1))


def _sessions(work: Workspace, announced: int) -> int:
    """Return how many sessions write chunks of so many rows side by side."""
    return work.settings.abreast(-(-announced // sizes().landed_chunk_rows), CHUNK_BYTES)


def write_chunk(
    work: Workspace, engine: duckdb.DuckDBPyConnection, dataset: Dataset, run: str, number: int, raw: Mapping[str, str]
) -> str:
    """Write the relation `fresh` as one chunk of a run's raw rows; return the root over their commitments.

    Args:
        work: The open installation.
        engine: A session with `fresh`: raw columns, `_payload`, `_locator`, `_position` (from 0, in order), `_salt`.
        dataset: Whose rows they are.
        run: The run that lands them.
        number: The chunk's number.
        raw: The raw columns: stored name -> the source's.

    Raises:
        InternalError: A row came out without its reference, payload, salt or commitment.
    """
    target = work.lake.staged_file(raw_table(dataset.name), run, number)
    columns = ", ".join(quote(name) for name in raw)
    engine.execute(
        f"""copy (select {literal(f"{run}/{number}/")} || _position as _ref, {constant(run)} as _run,
                {watermark.landed_as(dataset.key)} as _key, {watermark.cursor(dataset)} as _cursor,
                {watermark.moment(dataset)} as _moment,
                _payload, {LOCATOR}, _salt, {commitment(raw)} as _commitment, {columns} from fresh)
            to {literal(str(target))} ({LANDED}{recording(raw)})"""
    )
    require_filled(raw_table(dataset.name), [target])
    return root_of(pq.read_table(target, columns=["_commitment"]).column(0).combine_chunks())


def _load_landed_before(
    work: Workspace, engine: duckdb.DuckDBPyConnection, dataset: Dataset, earning: Earning, held: Held
) -> None:
    """Load what rows landed before are known by, as far as the source may send them again."""
    resends.create(engine)
    with work.store.engine.connect() as connection:
        seen = runs.visible(connection, "sync", dataset.name)
        replays = runs.replays(connection, dataset.name)
    if files := work.lake.files(raw_table(dataset.name), seen):
        landed, columns = read_parquet(files), _columns_of(engine, files)
        hashed = known_by(columns)
        sent = f"_run not in ({', '.join(map(literal, ['', *replays]))})"
        may_come = f"{earning.again()} and {held.still}"
        resends.remember(engine, dataset, files, hashed, sent, may_come)
        earning.remember(landed, columns, hashed)


def _load_landed_now(work: Workspace, engine: duckdb.DuckDBPyConnection, dataset: Dataset, run: str) -> None:
    """Load what the rows are known by that this run wrote already, where it pulls once more."""
    engine.execute(
        "delete from landed_before where of_this_run; "
        'create or replace temp table keyless ("row hash" uhugeint, "how often" bigint)'
    )
    files = sorted(map(str, work.lake.folder(raw_table(dataset.name), run).glob("*.parquet")))
    if files:
        hashed = known_by(_columns_of(engine, files))
        engine.execute(f"insert into landed_before select {hashed}, true, false from {read_parquet(files)}")


def _columns_of(engine: duckdb.DuckDBPyConnection, files: Sequence[str]) -> list[str]:
    """Return the raw columns of landed files."""
    return [row[0] for row in engine.execute(f"describe from {read_parquet(files)}").fetchall() if is_stored(row[0])]


def land(work: Workspace, run: runs.Run, watch: Watch | None = None) -> Landed:
    """Pull what changed since the watermark and stage it in the lake.

    Raises:
        ContractError: The source broke its word.
        TransientError: The line failed.
    """
    dataset = work.registry.dataset(run.subject)
    staged = [raw_table(dataset.name), gone_table(dataset.name)]
    begun = run.find_result(SyncBegun) or SyncBegun()
    return Landed.read(work.staged(run.id, Landed.step, staged, lambda: _pull(work, dataset, run.id, begun, watch)))


def open_window(work: Workspace, engine: duckdb.DuckDBPyConnection, dataset: Dataset, begun: SyncBegun) -> Earning:
    """Return from where a pull reads: from the watermark, or as the run's beginning says."""
    earning = Earning(work.store, engine, dataset)
    if begun.full:
        earning.pull_all()
    elif begun.since:
        earning.pull_since(begun.since)
    return earning


def _pull(work: Workspace, dataset: Dataset, run: str, begun: SyncBegun, watch: Watch | None) -> runs.Counts:
    with work.engine(f"landing {dataset.name}") as engine, naming_the_credential(dataset):
        earning, held = open_window(work, engine, dataset, begun), Held.of(work, engine, dataset)
        census = Census(dataset.open(), earning.since, engine, stored(dataset.key))
        back = GoneBack(work.store, dataset, earning)
        back.require_moment(census.count)
        landed = number = 0
        digests: list[str] = []
        watcher = drift.Watcher(work.store, dataset)

        def keep(payload: bytes) -> str:
            return payloads.keep(work.settings.payloads, payload)

        def fresh(pages: Iterator[Page]) -> Iterator[tuple[pa.Table, dict[str, str]]]:
            nonlocal landed, number
            seen = one(engine, "select count(*) from landed_before")[0]
            # One chunk is gathered and one is ready while the sessions write theirs.
            bound = census.adapter.source.limits.landing_bytes // (2 + _sessions(work, census.count.rows))
            pages = _headway(pages, census.count.rows, dataset.name)
            for chunk in _chunks(pages, bound, None if seen else keep):
                rows = chunk.take()
                census.add(rows.select(list(chunk.names)))
                # Numbered by what is written: a chunk of rows that were all landed before has no place in the log.
                rows = _fresh(work, engine, dataset, rows, chunk, number, watcher, earning)
                chunk.payloads.clear()
                census.newest = earning.newest
                if rows.num_rows:
                    landed, number = landed + rows.num_rows, number + 1
                    yield rows, chunk.names
                if watch:
                    watch(census.rows, census.count.rows)

        def pull() -> None:
            _load_landed_before(work, engine, dataset, earning, held)
            for asked in census.asked():
                earning.bound(census.count)
                _load_landed_now(work, engine, dataset, run)
                pages = fresh(census.adapter.pull(asked))
                digests.extend(write_chunks(work, engine, dataset, run, pages, census.count.rows, number))

        pull()
        behind = back.is_behind(census)
        if behind or held.exceed(census, run):
            earning.pull_all()
            census = Census(census.adapter, None, engine, stored(dataset.key))
            pull()
            if behind:
                back.require_record(census)
        earned = earning.counts() | held.stage(census, run, work.registry.scoring.breaker_of(dataset.name))
    return {
        "pulled": census.pulled,
        "landed": landed,
        "source_rows": census.count.rows,
        "source_total": census.count.total,
        "source_as_of": census.count.as_of,
        **earned,
        "chunks": digests,
        "drift": watcher.drift.counts(),
        "profile": watcher.profile.counts(),
        "adapter": describe_adapter(dataset),
    }


def _headway(pages: Iterator[Page], announced: int, dataset: str) -> Iterator[Page]:
    """Pass pages on, as long as there are not many more than the source says it has rows: each must have one.

    Raises:
        ContractError: There are.
    """
    for number, page in enumerate(pages, start=1):
        if number > announced + SPARE_PAGES:
            what = f"the source announced {announced} rows, and gives pages without end"
            raise ContractError(what, where=f"{dataset} {page.name}", next_step="ask its owner.")
        yield page
        del page
