"""Pull a dataset and keep what came: payloads as received, and raw rows as immutable Parquet.

Nothing is dropped here but rows that were landed before, byte for byte the same (the lag window is read twice on
purpose). Every row gets a salted commitment: a bare hash of twelve digits and a birth date could be guessed.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from motlan.engine import abreast, constant, literal, one, quote
from motlan.errors import ContractError
from motlan.lake import PARQUET, read_parquet
from motlan.landing import drift, payloads
from motlan.landing.completeness import Census
from motlan.landing.contract import LOCATOR, Page, Watermark
from motlan.ledger import runs
from motlan.registry import Dataset
from motlan.store import tables
from motlan.workspace import Workspace

CHUNK_ROWS = 100_000
SHARE_ROWS = 10_240
"""Rows of a chunk that one thread writes, and later reads, at a time."""
LANDED = f"{PARQUET}, row_group_size {SHARE_ROWS}"
"""How a chunk is written."""
CHUNK_BYTES = 10**9
"""Memory that the engine needs to write one."""
SPARE_PAGES = 100
"""Pages that a source may give beyond the number of rows that it announced, as rows come in while it is read."""
META = ("_ref", "_run", "_key", "_cursor", "_moment", "_payload", LOCATOR, "_salt", "_commitment")
"""Columns that landing adds to the raw ones. `_ref` names the landed row for ever: run/chunk/position."""

Watch = Callable[[int, int], None]
"""Told how many rows came so far, and how many the source announced."""


def table_of(dataset: str) -> str:
    """Return the name of the lake's table of a dataset's raw rows."""
    return f"raw.{dataset}"


def canonical_row(columns: Iterable[str]) -> str:
    """Return the SQL of a row's unambiguous text: name, length and value of each filled column, by name."""
    parts = (
        f"coalesce({literal(name + ':')} || length({quote(name)}) || ':' || {quote(name)} || ';', '')"
        for name in sorted(columns)
    )
    return f"concat({', '.join(parts)})"


def commitment(columns: Iterable[str], salt: str = "_salt") -> str:
    """Return the SQL of a row's salted commitment, SHA-256 (hex): of as few bytes as bind the row, for it costs by the byte.

    It is of the salt (32 characters), the first 32 of the names' SHA-256 (hex, as a JSON list), and of each column, by name,
    the value's length in bytes, `:` and the value. A null has no length, so that no two rows give one text.
    """
    names = sorted(columns)
    of_names = hashlib.sha256(json.dumps(names).encode()).hexdigest()[:32]
    parts = (f"strlen({quote(name)}), ':', {quote(name)}" for name in names)
    return f"sha256(concat({salt}, {literal(of_names)}, {', '.join(parts)}))"


def first_commitment(columns: Iterable[str]) -> str:
    """Return the SQL of a commitment as rows landed before 22 November 2026 have it: of salt and canonical text."""
    return f"sha256(_salt || {canonical_row(columns)})"


def lagged(watermark: Watermark | None, lag: int) -> Watermark | None:
    """Step back from a watermark by the lag window, so that late commits with earlier moments are read too."""
    if watermark is None or lag == 0:
        return watermark
    moment = datetime.fromisoformat(watermark.cursor) - timedelta(seconds=lag)
    return Watermark(moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ"))


def read_watermark(work: Workspace, dataset: str) -> Watermark | None:
    """Return how far a dataset has been pulled and made visible."""
    table = tables.watermarks.c
    with work.store.engine.connect() as connection:
        found = connection.execute(sa.select(table.cursor, table.key).where(table.dataset == dataset)).one_or_none()
    return Watermark(*found) if found else None


def move_watermark(connection: sa.Connection, run: runs.Run, cursor: str, key: str) -> None:
    """Move a dataset's watermark forward, in the caller's transaction; never back."""
    table = tables.watermarks
    values = {"cursor": cursor, "key": key, "run": run.id}
    moved = insert(table).values(dataset=run.subject, **values)
    forward = sa.tuple_(table.c.cursor, table.c.key) < sa.tuple_(moved.excluded.cursor, moved.excluded.key)
    connection.execute(moved.on_conflict_do_update(index_elements=["dataset"], set_=values, where=forward))


@dataclass
class _Chunk:
    """Pages gathered until they are worth a file, and their payloads as far as it is not sure that they are kept."""

    rows: list[pa.Table] = field(default_factory=list)
    payloads: dict[str, bytes] = field(default_factory=dict)
    size: int = 0
    held: int = 0
    """Bytes of rows and payloads."""

    def add(self, page: Page, payload: str) -> None:
        table = pa.Table.from_batches([page.rows])
        self.rows.append(table.append_column("_payload", pa.array([payload] * table.num_rows, pa.string())))
        self.size += table.num_rows
        self.held += table.nbytes

    def hold(self, name: str, payload: bytes) -> None:
        self.held += 0 if name in self.payloads else len(payload)
        self.payloads[name] = payload

    def let_go(self) -> None:
        """Forget what is on its way to the lake, while the next pages come."""
        self.rows, self.payloads = [], {}


def _chunks(pages: Iterator[Page], bound: int, keep: Callable[[bytes], str] | None) -> Iterator[_Chunk]:
    """Gather pages until they have rows or bytes enough for a file.

    Args:
        pages: The pages.
        bound: Bytes of a chunk; the page that reaches it is the last one of it.
        keep: Keeps a payload away at once, where all rows are sure to be new; None where that shows later.
    """
    chunk, name = _Chunk(), ""
    for page in pages:
        if page.payload is not None:
            name = keep(page.payload) if keep else payloads.digest(page.payload)
            if not keep:
                chunk.hold(name, page.payload)
        chunk.add(page, name)
        del page  # else it would stand beside the next one
        if chunk.size >= CHUNK_ROWS or chunk.held >= bound:
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
    chunk: _Chunk,
    number: int,
    watcher: drift.Watcher,
) -> tuple[pa.Table, list[str]]:
    """Keep the payloads of a chunk, and return its rows that are new, with the names of its raw columns.

    Args:
        work: The open installation.
        engine: A session with `landed_before`.
        dataset: Whose rows they are.
        chunk: The chunk.
        number: The number that it is written under, if any row is new.
        watcher: Looks at its columns.
    """
    rows = pa.concat_tables(chunk.rows, promote_options="default")
    raw = [name for name in rows.column_names if name not in (LOCATOR, "_payload")]
    missing = {dataset.key, dataset.cursor, dataset.moment} - set(raw)
    if missing:
        raise ContractError(f"the source sent no column {sorted(missing)[0]}", where=dataset.name)
    drifted = watcher.see(rows, set(raw))
    if one(engine, "select count(*) from landed_before")[0]:
        engine.register("pulled", rows)
        unseen = (
            f"md5({canonical_row(raw)}) not in (select row_hash from landed_before) or {quote(dataset.key)} is null"
        )
        rows = engine.sql(f"select * from pulled where {unseen}").to_arrow_table()
        engine.unregister("pulled")
    for name in rows["_payload"].unique().to_pylist():
        if name in chunk.payloads:
            payloads.keep(work.settings.payloads, chunk.payloads[name])
    watcher.drift.chunks += [number] if drifted and rows.num_rows else []
    return rows, raw


def places(count: int) -> pa.Table:
    """Return so many places of a chunk: `_position` (from 0), and a `_salt` of 128 random bits, in 32 hexadecimal digits.

    Erasing a row's salt erases its link to the hash.
    """
    digits = pa.py_buffer(secrets.token_hex(16 * count).encode("ascii"))
    ends = pa.arange(0, 32 * count + 1, 32).cast(pa.int32())
    salts = pa.StringArray.from_buffers(count, ends.buffers()[1], digits)
    return pa.table({"_position": pa.arange(0, count), "_salt": salts})


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
    chunks: Iterator[tuple[pa.Table, list[str]]],
    announced: int,
    first: int = 0,
) -> list[str]:
    """Write chunks of raw rows, in the order in which they come, while the next ones are pulled; return their digests.

    Args:
        work: The open installation.
        engine: A session, used where one is enough.
        dataset: Whose rows they are.
        run: The run that lands them.
        chunks: Rows (raw columns, `_payload`, `_locator`) and the names of the raw columns; a chunk has rows.
        announced: How many rows there may be.
        first: The number of the first chunk.
    """

    def write(session: duckdb.DuckDBPyConnection, task: tuple[int, tuple[pa.Table, list[str]]]) -> str:
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
    return work.settings.abreast(-(-announced // CHUNK_ROWS), CHUNK_BYTES)


def write_chunk(
    work: Workspace, engine: duckdb.DuckDBPyConnection, dataset: Dataset, run: str, number: int, raw: list[str]
) -> str:
    """Write the relation `fresh` as one chunk of a run's raw rows; return the digest of their commitments, in order.

    Args:
        work: The open installation.
        engine: A session with `fresh`: raw columns, `_payload`, `_locator`, `_position` (from 0, in order), `_salt`.
        dataset: Whose rows they are.
        run: The run that lands them.
        number: The chunk's number.
        raw: Names of the raw columns.
    """
    target = work.lake.staged_file(table_of(dataset.name), run, number)
    columns = ", ".join(quote(name) for name in raw)
    engine.execute(
        f"""copy (select {literal(f"{run}/{number}/")} || _position as _ref, {constant(run)} as _run,
                {quote(dataset.key)} as _key, {quote(dataset.cursor)} as _cursor, {quote(dataset.moment)} as _moment,
                _payload, {LOCATOR}, _salt, {commitment(raw)} as _commitment, {columns} from fresh)
            to {literal(str(target))} ({LANDED})"""
    )
    written = pq.read_table(target, columns=["_commitment"]).column(0).combine_chunks()
    joined = pc.binary_join(pa.ListArray.from_arrays(pa.array([0, len(written)]), written), "")
    return hashlib.sha256(joined[0].as_buffer()).hexdigest()


def _load_landed_before(
    work: Workspace, engine: duckdb.DuckDBPyConnection, dataset: Dataset, since: Watermark | None
) -> None:
    """Load the hashes of rows landed before, as far as the source may send them again."""
    engine.execute("create temp table landed_before (row_hash varchar)")
    if since is None:
        return
    with work.store.engine.connect() as connection:
        seen = runs.visible(connection, "sync", dataset.name)
    files = work.lake.files(table_of(dataset.name), seen)
    if files:
        _add_landed(engine, files, f"_cursor >= {literal(since.cursor)}")


def _load_landed_now(work: Workspace, engine: duckdb.DuckDBPyConnection, dataset: Dataset, run: str) -> None:
    """Load the hashes of what this run wrote already, where it pulls once more."""
    files = sorted(map(str, work.lake.folder(table_of(dataset.name), run).glob("*.parquet")))
    if files:
        _add_landed(engine, files, "true")


def _add_landed(engine: duckdb.DuckDBPyConnection, files: list[str], condition: str) -> None:
    landed = read_parquet(files)
    names = [row[0] for row in engine.execute(f"describe from {landed}").fetchall() if row[0] not in META]
    engine.execute(f"insert into landed_before select md5({canonical_row(names)}) from {landed} where {condition}")


def land(work: Workspace, run: runs.Run, watch: Watch | None = None) -> runs.Counts:
    """Pull what changed since the watermark and stage it in the lake.

    Returns:
        Counts: `pulled` (records, see `motlan.landing.completeness`), `landed` (rows not landed before), `source_rows`
        and `source_total` (the source's own counts), `source_as_of` (its own moment), `cursor` and `key` (the new
        watermark), `chunks` (digests of commitments), `drift` and `profile` (see `motlan.landing.drift`), `snapshots`.

    Raises:
        ContractError: The source broke its word.
        TransientError: The line failed.
    """
    dataset = work.registry.dataset(run.subject)
    return work.staged(run.id, "land", [table_of(dataset.name)], lambda: _pull(work, dataset, run.id, watch))


def _pull(work: Workspace, dataset: Dataset, run: str, watch: Watch | None) -> runs.Counts:
    adapter = dataset.open()
    since = lagged(read_watermark(work, dataset.name), dataset.lag)
    landed = number = 0
    digests: list[str] = []
    watcher = drift.Watcher(work.store, dataset)

    def keep(payload: bytes) -> str:
        return payloads.keep(work.settings.payloads, payload)

    def fresh(pages: Iterator[Page]) -> Iterator[tuple[pa.Table, list[str]]]:
        nonlocal landed, number
        seen = one(engine, "select count(*) from landed_before")[0]
        # One chunk is gathered and one is ready while the sessions write theirs.
        bound = adapter.source.limits.landing_bytes // (2 + _sessions(work, census.count.rows))
        pages = _headway(pages, census.count.rows, dataset.name)
        for chunk in _chunks(pages, bound, None if seen else keep):
            census.newest = max(census.newest, *(_newest(dataset, table) for table in chunk.rows))
            # Numbered by what is written: a chunk of rows that were all landed before has no place in the log.
            rows, raw = _fresh(work, engine, dataset, chunk, number, watcher)
            census.add(pa.concat_tables(chunk.rows, promote_options="default").select(raw))
            chunk.let_go()
            if rows.num_rows:
                landed, number = landed + rows.num_rows, number + 1
                yield rows, raw
            if watch:
                watch(census.rows, census.count.rows)

    with work.engine(f"landing {dataset.name}") as engine:
        _load_landed_before(work, engine, dataset, since)
        census = Census(adapter, since, engine)
        for asked in census.asked():
            _load_landed_now(work, engine, dataset, run)
            digests += write_chunks(work, engine, dataset, run, fresh(adapter.pull(asked)), census.count.rows, number)
    return {
        "pulled": census.pulled,
        "landed": landed,
        "source_rows": census.count.rows,
        "source_total": census.count.total,
        "source_as_of": census.count.as_of,
        "cursor": census.newest.cursor,
        "key": census.newest.key,
        "chunks": digests,
        "drift": watcher.drift.counts(),
        "profile": watcher.profile.counts(),
    }


def _headway(pages: Iterator[Page], announced: int, dataset: str) -> Iterator[Page]:
    """Pass pages on, as long as there are not many more than the source says it has rows: each must have one.

    Raises:
        ContractError: There are.
    """
    for number, page in enumerate(pages, start=1):
        if number > announced + SPARE_PAGES:
            what = f"the source announced {announced} rows, and gives pages without end"
            raise ContractError(what, where=f"{dataset} {page.name}")
        yield page
        del page


def _newest(dataset: Dataset, rows: pa.Table) -> Watermark:
    if not rows.num_rows or dataset.cursor not in rows.column_names:
        return Watermark("")
    order = [(dataset.cursor, "descending"), (dataset.key, "descending")]
    last = rows.select([dataset.cursor, dataset.key]).sort_by(order).slice(0, 1).to_pylist()[0]
    return Watermark(last[dataset.cursor] or "", last[dataset.key] or "")
