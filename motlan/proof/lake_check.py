"""The check of files: the lake's, byte by byte against the log, the rows of those that were altered, and the payloads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import sqlalchemy as sa
from pyiceberg.exceptions import NoSuchTableError

from motlan.errors import MotlanError
from motlan.expressions import literal, quote
from motlan.ingest import payloads
from motlan.ingest.raw_columns import of_file
from motlan.lake import digests
from motlan.lake.iceberg import RUN_OF_PATH
from motlan.lake.tables import GOLDEN, RAW, SALTS
from motlan.ledger import runs
from motlan.ledger.row_commitments import commitment
from motlan.lineage.read_again import find_unlike
from motlan.proof.findings import Finding
from motlan.proof.log_check import Read, Watch
from motlan.publication.golden_commitments import KEPT, MARK, commit_rows
from motlan.store import tables
from motlan.workspace import Workspace

_LISTED = 20
"""Rows of one file that are named at the most."""


def check_files(work: Workspace, read: Read, since: int, watch: Watch) -> Iterator[Finding]:
    """Hold every file that the log names against its digest, and what the tables name against the log.

    Args:
        work: The open installation.
        read: What the log says.
        since: Files that earlier entries name are not read where their size, moments and number are what they were; 0: all are.
        watch: Is given how many files are done.
    """
    known = _recorded(work)
    expected = {path: told for path, told in read.files.items() if path not in read.removed}
    for number, (path, (digest, day, index)) in enumerate(sorted(expected.items())):
        place, stat = work.lake.root / path, known.get(path)
        if not place.exists():
            if read.becomes(path) != "":
                yield Finding("lake", path, "", day, "the file is missing")
        elif index < since and stat and stat.stat == digests.stat_of(place):
            pass
        elif digests.digest_of(place).hex() not in (digest, read.becomes(path)):
            yield from _locate(work, path, day)
        if stat is None and read.becomes(path) == "":
            continue
        if stat is None or stat.sha256.hex() not in (digest, read.becomes(path)):
            yield Finding("ledger", f"lake_files {path}", "", day, "the recorded digest is not the one in the log")
        watch("files", number + 1, len(expected))
    for path in sorted(known.keys() - read.files.keys() - _unlogged(work)):
        yield Finding("ledger", f"lake_files {path}", "", "", "a file is recorded that the log does not name")
    yield from _named(work, read)


def _recorded(work: Workspace) -> dict[str, digests.Recorded]:
    files = tables.lake_files.c
    query = sa.select(files.path, files.sha256, files.stat).where(files.removed_at.is_(None))
    with work.store.engine.connect() as connection:
        return {row.path: digests.Recorded(bytes(row.sha256), row.stat) for row in connection.execute(query)}


def _unlogged(work: Workspace) -> set[str]:
    """Return the files of runs that are not visible, and of commits that no entry followed yet."""
    with work.store.engine.connect() as connection:
        return set(connection.scalars(sa.select(tables.lake_files.c.path).where(tables.lake_files.c.entry.is_(None))))


def _named(work: Workspace, read: Read) -> Iterator[Finding]:
    """Compare the files that the tables name with those that the log names."""
    with work.store.engine.connect() as connection:
        names = sorted(work.lake.tables(connection))
        visible = set(connection.scalars(sa.select(tables.runs.c.id).where(tables.runs.c.state.in_(runs.SEEN))))
    wanted: dict[str, set[str]] = {}
    for path in read.files.keys() - read.removed:
        if path.endswith(".parquet") and read.becomes(path) != "":
            wanted.setdefault(".".join(path.split("/")[:2]), set()).add(path)
    for table in sorted({*names, *wanted}):
        try:
            found = {os.path.relpath(one.path, work.lake.root): one for one in work.lake.added(table)}
        except (MotlanError, OSError, ValueError, KeyError, NoSuchTableError, pa.ArrowException, EOFError):
            yield Finding("lake", table, "", "", "the table's metadata are missing or damaged")
            continue
        for path in sorted(wanted.get(table, set()) - found.keys()):
            yield Finding("lake", path, "", read.files[path][1], f"the table {table} does not name the file any more")
        for path in sorted(found.keys() - wanted.get(table, set())):
            if found[path].run in visible and read.becomes(path) is None:
                yield Finding("lake", path, "", "", f"the table {table} names a file that the log does not name")


def _locate(work: Workspace, path: str, day: str) -> Iterator[Finding]:
    """Name the rows of an altered file that are not those that were committed to; the file, where no row can be named."""
    namespace, run = path.split("/")[0], RUN_OF_PATH.search(f"/{path}")
    try:
        if namespace == RAW and run:
            rows = _raw_rows(work, path, run.group(1))
        elif namespace == GOLDEN and run:
            rows = _golden_rows(work, path)
        else:
            rows = []
    except (MotlanError, OSError, ValueError, KeyError, IndexError, pa.ArrowException):
        rows = []
    for row in rows[:_LISTED]:
        yield Finding("lake", path, row, day, "the row is not the one that was committed to")
    if len(rows) != 1:
        more = f", {len(rows)} rows" if rows else ""
        yield Finding("lake", path, "", day, f"the file is not the one that the log names{more}")


def _raw_rows(work: Workspace, path: str, run: str) -> list[str]:
    """Return the references of a landed file's rows that were altered, added, or are followed by a gap."""
    place = work.lake.root / path
    columns = of_file(place)
    with work.engine("checking landed rows") as engine:
        rows = f"read_parquet({literal(str(place))}, file_row_number = true, hive_partitioning = false)"
        prefix = f"{run}/{int(Path(path).stem)}/"
        own = f"_ref = {literal(prefix)} || file_row_number"
        text = commitment({name: columns[name] for name in columns}) if columns else "''"
        erased = "_salt is null and _key is null"
        query = f"select coalesce(_ref, '?') from {rows} where not coalesce({own} and ({erased} or {text} = _commitment), false)"
        found = [str(row[0]) for row in engine.execute(f"{query} order by file_row_number").fetchall()]
    return found or find_unlike(work, path.split("/")[1], place)  # where somebody committed to a row anew


def _golden_rows(work: Workspace, path: str) -> list[str]:
    """Return the keys of a golden file's rows that were altered or added."""
    place = work.lake.root / path
    salts = pq.read_table(work.lake.root / SALTS / Path(*Path(path).parts[1:]))
    names = pq.read_schema(place).names
    key = "entity_id" if "entity_id" in names and "id" not in names else "id"
    count = min(pq.read_metadata(place).num_rows, salts.num_rows)
    with work.engine("checking golden rows") as engine:
        kept = salts.slice(0, count)
        found = commit_rows(engine, place, kept["_salt"].combine_chunks())
        if KEPT in kept.column_names:
            found = pc.coalesce(kept[KEPT].combine_chunks().cast(pa.string()), found.cast(pa.string()))
        rows = f"read_parquet({literal(str(place))}, file_row_number = true, hive_partitioning = false)"
        keys = engine.sql(f"select {quote(key)}::varchar as k from {rows} order by file_row_number").to_arrow_table()[
            "k"
        ]
    marks = pc.utf8_slice_codeunits(found.cast(pa.string()), 0, MARK)
    equal = pc.equal(marks, kept["_mark"].combine_chunks().cast(pa.string()))
    altered = [str(one) for one in keys.slice(0, count).filter(pc.invert(equal)).to_pylist()]
    return altered + [str(one) for one in keys.slice(count).to_pylist()]


def check_payloads(work: Workspace, read: Read, watch: Watch) -> Iterator[Finding]:
    """Read every payload that a landed row names, and hold it to its name; those that were erased may be gone."""
    named = _payloads_named(work)
    for number, (name, (ref, day)) in enumerate(sorted(named.items())):
        if name in read.erased_payloads and not payloads.path(work.settings.payloads, name).exists():
            continue
        try:
            payloads.read(work.settings.payloads, name)
        except MotlanError:
            place = str(payloads.path(Path(), name))
            yield Finding("payloads", place, ref, day, "the payload is missing or was altered")
        watch("payloads", number + 1, len(named))


def _payloads_named(work: Workspace) -> dict[str, tuple[str, str]]:
    """Return the payloads that landed rows name, each with the first of its rows and the day on which it was landed."""
    found: dict[str, tuple[str, str]] = {}
    runs_ = tables.runs.c
    known = (*runs.SEEN, runs.RETRACTED)  # what was taken back is kept whole
    query = sa.select(runs_.id, runs_.started_at).where(runs_.kind == "sync", runs_.state.in_(known))
    with work.store.engine.connect() as connection:
        days = {run: str(at.date()) for run, at in connection.execute(query)}
    with work.engine("listing payloads") as engine:
        for dataset in sorted(work.registry.datasets):
            folder = work.lake.root / RAW / dataset
            for path in sorted(folder.glob("run=*/*.parquet")):
                if (run := path.parent.name.removeprefix("run=")) not in days:
                    continue
                rows = f"read_parquet({literal(str(path))}, hive_partitioning = false)"
                try:
                    told = engine.execute(
                        f"select _payload, min(_ref) from {rows} where _payload is not null group by all"
                    ).fetchall()
                except duckdb.Error:  # a damaged file is told of by the check of files
                    told = []
                for name, ref in told:
                    found.setdefault(str(name), (str(ref), days[run]))
    return found
