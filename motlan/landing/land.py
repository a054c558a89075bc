"""Pull a dataset and keep what came: payloads as received, and raw rows as immutable Parquet.

Nothing is dropped here but rows that were landed before, byte for byte the same (the lag window is read twice on
purpose). Every row gets a salted commitment: a bare hash of twelve digits and a birth date could be guessed.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
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
from motlan.lake import PARQUET, read_parquet, require_filled
from motlan.landing import drift, payloads
from motlan.landing.columns import is_stored, received, recording, stored
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
META = ("_ref", "_run", "_key", "_cursor", "_moment", "_payload", LOCATOR, "_salt", "_commitment")
"""Columns that landing adds to the source's, which have names of their own form (see `motlan.landing.columns`).

`_ref` names the landed row for ever: run/chunk/position.
"""

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


def commitment(columns: Mapping[str, str], salt: str = "_salt") -> str:
    """Return the SQL of a row's salted commitment, SHA-256 (hex): of as few bytes as bind the row, for it costs by the byte.

    It is of the salt (32 characters), the first 32 of the SHA-256 (hex) of the source's names (as a JSON list, in the order of
    the stored ones), and of each column, in this order, the value's length in bytes, `:` and the value. A null has no length,
    so that no two rows give one text.

    Args:
        columns: Stored name -> the source's name.
        salt: SQL of the salt.
    """
    ordered = sorted(columns)
    of_names = hashlib.sha256(json.dumps([columns[column] for column in ordered]).encode()).hexdigest()[:32]
    parts = (f"strlen({quote(column)}), ':', {quote(column)}" for column in ordered)
    return f"sha256(concat({salt}, {literal(of_names)}, {', '.join(parts)}))"


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
    """Pages gathered until they are worth a file, and their payloads."""

    rows: list[pa.Table] = field(default_factory=list)
    payloads: dict[str, bytes] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)

    def add(self, page: Page, last_payload: str) -> str:
        name = last_payload
        if page.payload is not None:
            name = payloads.digest(page.payload)
            self.payloads[name] = page.payload
        table, names = received(page.rows)
        self.names |= names
        self.rows.append(table.append_column("_payload", pa.array([name] * table.num_rows, pa.string())))
        return name

    @property
    def size(self) -> int:
        return sum(table.num_rows for table in self.rows)


def _chunks(pages: Iterator[Page]) -> Iterator[_Chunk]:
    chunk, payload = _Chunk(), ""
    for page in pages:
        payload = chunk.add(page, payload)
        if chunk.size >= CHUNK_ROWS:
            yield chunk
            chunk = _Chunk()
    if chunk.rows:
        yield chunk


def _fresh(
    work: Workspace,
    engine: duckdb.DuckDBPyConnection,
    dataset: Dataset,
    chunk: _Chunk,
    number: int,
    watcher: drift.Watcher,
) -> tuple[pa.Table, dict[str, str]]:
    """Keep the payloads of a chunk, and return its rows that are new, and of its raw columns stored name -> the source's.

    Args:
        work: The open installation.
        engine: A session with `landed_before`.
        dataset: Whose rows they are.
        chunk: The chunk.
        number: The number that it is written under, if any row is new.
        watcher: Looks at its columns.
    """
    rows = pa.concat_tables(chunk.rows, promote_options="default")
    raw = chunk.names
    missing = [name for name in (dataset.key, dataset.cursor, dataset.moment) if stored(name) not in raw]
    if missing:
        raise ContractError(f"the source sent no column {sorted(missing)[0]}", where=dataset.name)
    drifted = watcher.see(rows, raw)
    if one(engine, "select count(*) from landed_before")[0]:
        engine.register("pulled", rows)
        unseen = f"md5({canonical_row(raw)}) not in (select row_hash from landed_before) or {quote(stored(dataset.key))} is null"
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
    chunks: Iterator[tuple[pa.Table, dict[str, str]]],
    announced: int,
) -> list[str]:
    """Write chunks of raw rows, in the order in which they come, while the next ones are pulled; return their digests.

    Args:
        work: The open installation.
        engine: A session, used where one is enough.
        dataset: Whose rows they are.
        run: The run that lands them.
        chunks: Rows (raw columns, `_payload`, `_locator`), and of the raw columns stored name -> the source's; a chunk has rows.
        announced: How many rows there may be.
    """

    def write(session: duckdb.DuckDBPyConnection, task: tuple[int, tuple[pa.Table, dict[str, str]]]) -> str:
        number, (rows, raw) = task
        session.register("fresh", placed(rows))
        digest = write_chunk(work, session, dataset, run, number, raw)
        session.unregister("fresh")
        return digest

    fit = work.settings.abreast(-(-announced // CHUNK_ROWS), CHUNK_BYTES)
    where = f"landing {dataset.name}"
    sessions = [work.engine(where, of=fit) for _ in range(fit)] if fit > 1 else [nullcontext(engine)]
    return list(abreast(sessions, enumerate(chunks), write, ahead=1))


def write_chunk(
    work: Workspace, engine: duckdb.DuckDBPyConnection, dataset: Dataset, run: str, number: int, raw: Mapping[str, str]
) -> str:
    """Write the relation `fresh` as one chunk of a run's raw rows; return the digest of their commitments, in order.

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
    target = work.lake.staged_file(table_of(dataset.name), run, number)
    columns = ", ".join(quote(name) for name in raw)
    key, cursor, moment = (quote(stored(name)) for name in (dataset.key, dataset.cursor, dataset.moment))
    engine.execute(
        f"""copy (select {literal(f"{run}/{number}/")} || _position as _ref, {constant(run)} as _run,
                {key} as _key, {cursor} as _cursor, {moment} as _moment,
                _payload, {LOCATOR}, _salt, {commitment(raw)} as _commitment, {columns} from fresh)
            to {literal(str(target))} ({LANDED}{recording(raw)})"""
    )
    require_filled(table_of(dataset.name), [target])
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
        landed = read_parquet(files)
        names = [row[0] for row in engine.execute(f"describe from {landed}").fetchall() if is_stored(row[0])]
        engine.execute(
            f"""insert into landed_before
                select md5({canonical_row(names)}) from {landed} where _cursor >= {literal(since.cursor)}"""
        )


def land(work: Workspace, run: runs.Run, watch: Watch | None = None) -> runs.Counts:
    """Pull what changed since the watermark and stage it in the lake.

    Returns:
        Counts: `pulled`, `landed` (pulled and not landed before), `source_rows` and `source_total` (the source's own
        counts), `source_as_of` (its own moment), `cursor` and `key` (the new watermark), `chunks` (digests of
        commitments), `drift` and `profile` (see `motlan.landing.drift`), `snapshots`.

    Raises:
        ContractError: The source broke its word.
        TransientError: The line failed.
    """
    dataset = work.registry.dataset(run.subject)
    return work.staged(run.id, "land", [table_of(dataset.name)], lambda: _pull(work, dataset, run.id, watch))


def _pull(work: Workspace, dataset: Dataset, run: str, watch: Watch | None) -> runs.Counts:
    adapter = dataset.open()
    since = lagged(read_watermark(work, dataset.name), dataset.lag)
    source = adapter.count(since)
    pulled = landed = number = 0
    newest = Watermark("")
    watcher = drift.Watcher(work.store, dataset)

    def fresh() -> Iterator[tuple[pa.Table, dict[str, str]]]:
        nonlocal pulled, landed, number, newest
        for chunk in _chunks(adapter.pull(since)):
            pulled += chunk.size
            newest = max(newest, *(_newest(dataset, table) for table in chunk.rows))
            # Numbered by what is written: a chunk of rows that were all landed before has no place in the log.
            rows, raw = _fresh(work, engine, dataset, chunk, number, watcher)
            if rows.num_rows:
                landed, number = landed + rows.num_rows, number + 1
                yield rows, raw
            if watch:
                watch(pulled, source.rows)

    with work.engine(f"landing {dataset.name}") as engine:
        _load_landed_before(work, engine, dataset, since)
        digests = write_chunks(work, engine, dataset, run, fresh(), source.rows)
    return {
        "pulled": pulled,
        "landed": landed,
        "source_rows": source.rows,
        "source_total": source.total,
        "source_as_of": source.as_of,
        "cursor": newest.cursor,
        "key": newest.key,
        "chunks": digests,
        "drift": watcher.drift.counts(),
        "profile": watcher.profile.counts(),
    }


def _newest(dataset: Dataset, rows: pa.Table) -> Watermark:
    cursor, key = stored(dataset.cursor), stored(dataset.key)
    if not rows.num_rows or not {cursor, key} <= set(rows.column_names):
        return Watermark("")
    order = [(cursor, "descending"), (key, "descending")]
    last = rows.select([cursor, key]).sort_by(order).slice(0, 1).to_pylist()[0]
    # The store takes no U+0000. Nobody is asked for rows after this key: it breaks ties alone.
    return Watermark(*((last[name] or "").replace("\0", "") for name in (cursor, key)))
