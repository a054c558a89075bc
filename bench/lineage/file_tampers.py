"""Silent changes of files: the lake's rows and metadata, and payloads."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa

from bench.lineage.tamper import Tamper, Undo, change_by_sql, keep_tables
from motlan.expressions import quote
from motlan.ingest.raw_columns import of_file
from motlan.lake import digests
from motlan.ledger.row_commitments import commitment
from motlan.store import tables
from motlan.workspace import Workspace


def make_file_tampers(work: Workspace) -> Iterator[Tamper]:
    """Give the changes of files; `work` is open as the database's administrator."""
    yield from _bytes(work)
    yield from _files(work)
    yield from _rows(work)
    yield from _metadata(work)
    yield from _payloads(work)


def _newest(work: Workspace, namespace: str, name: str = "*") -> list[Path]:
    """Return the largest file of each table of a namespace that is not empty."""
    found = []
    for table in sorted(work.lake.root.glob(f"{namespace}/{name}")):
        files = [path for path in table.glob("run=*/*.parquet") if _name(work, path) in _recorded(work)]
        if files:
            found.append(max(files, key=lambda path: (path.stat().st_size, path)))
    return found


def _recorded(work: Workspace) -> set[str]:
    table = tables.lake_files.c
    with work.store.engine.connect() as connection:
        query = sa.select(table.path).where(table.removed_at.is_(None), table.entry.is_not(None))
        return set(connection.scalars(query))


def _name(work: Workspace, path: Path) -> str:
    return os.path.relpath(path, work.lake.root)


def _overwrite(path: Path, change: Callable[[bytes], bytes]) -> Undo:
    """Change a file's bytes and leave its moments as they were, as far as that can be done."""
    before, moments = path.read_bytes(), path.stat()
    path.write_bytes(change(before))
    os.utime(path, ns=(moments.st_atime_ns, moments.st_mtime_ns))

    def undo() -> None:
        path.write_bytes(before)

    return undo


def _flip(content: bytes, place: float = 0.5) -> bytes:
    at = int(len(content) * place)
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def _bytes(work: Workspace) -> Iterator[Tamper]:
    """One bit in each kind of the lake's files."""
    for path in _newest(work, "*"):
        name = _name(work, path)
        yield Tamper(f"a bit of {path.parts[-4]}.{path.parts[-3]}", partial(_overwrite, path, _flip), "lake", name)


def _files(work: Workspace) -> Iterator[Tamper]:
    """Files cut off, removed, and swapped."""
    for namespace in ("raw", "clean", "links", "golden"):
        path = _newest(work, namespace)[0]
        name, other = _name(work, path), next(one for one in _newest(work, "*") if one != path).read_bytes()
        yield Tamper(f"half of a {namespace} file", partial(_overwrite, path, lambda b: b[: len(b) // 2]), "lake", name)
        yield Tamper(f"a {namespace} file gone", partial(_remove, path), "lake", name)
        yield Tamper(f"a {namespace} file swapped", partial(_overwrite, path, partial(_instead, other)), "lake", name)


def _instead(other: bytes, _: bytes) -> bytes:
    return other


def _remove(path: Path) -> Undo:
    aside = path.with_suffix(".aside")
    path.rename(aside)
    return lambda: (aside.rename(path), None)[1]


def _rows(work: Workspace) -> Iterator[Tamper]:
    """Values, rows removed and rows added, written as a proper file; a commitment made anew; a digest made anew."""
    for namespace, column in (("raw", "raw:"), ("clean", ""), ("links", "rule"), ("golden", "")):
        path = _newest(work, namespace)[0]
        name, value = _name(work, path), _column(path, column)
        located = namespace in ("raw", "golden")
        for what, statement in (
            ("a value", f"update t set {quote(value)} = 'x' where rowid = 3"),
            ("a row removed", "delete from t where rowid = 3"),
            ("a row added", "insert into t select * from t where rowid = 3"),
        ):
            row = _row_id(path, 3) if located and what == "a value" else ""
            yield Tamper(f"{what} in {namespace}", partial(_rewrite, path, [statement]), "lake", name, row)
        yield Tamper(
            f"a value in {namespace}, and its recorded digest",
            partial(_rewrite_recorded, work, path, f"update t set {quote(value)} = 'x' where rowid = 2"),
            "lake",
            name,
            _row_id(path, 2) if located else "",
        )
    path = _newest(work, "raw")[0]
    columns = of_file(path)
    anew = f"update t set _commitment = {commitment(columns)} where rowid = 3"
    statements = [f"update t set {quote(_column(path, 'raw:'))} = 'x' where rowid = 3", anew]
    row = _row_id(path, 3)
    yield Tamper(
        "a value and its commitment in raw", partial(_rewrite, path, statements), "lake", _name(work, path), row
    )
    salts = _newest(work, "salts")[0]
    forged = ["update t set _mark = '0123456789abcdef' where rowid = 3"]
    yield Tamper("a mark beside a salt", partial(_rewrite, salts, forged), "lake", _name(work, salts))


def _column(path: Path, prefix: str) -> str:
    """Return a filled text column of a file."""
    table = pq.read_table(path)
    for name in table.column_names:
        own = name.startswith("_") or name in ("id", "entity_id") or not name.startswith(prefix)
        if (
            not own
            and pa.types.is_string(table.schema.field(name).type)
            and table[name].null_count < table.num_rows // 2
        ):
            return str(name)
    raise AssertionError(path)


def _row_id(path: Path, position: int) -> str:
    """Return how the check names a row: a landed row by its reference, a golden one by its id."""
    table = pq.read_table(path)
    key = next(name for name in ("_ref", "id", "entity_id") if name in table.column_names)
    return str(table[key][position].as_py())


def _rewrite(path: Path, statements: list[str]) -> Undo:
    """Change a Parquet file's rows by SQL."""

    def change(_: bytes) -> bytes:
        table = pq.read_table(path)
        with duckdb.connect() as engine:
            engine.register("before", table)
            engine.execute("create table t as from before")
            for statement in statements:
                engine.execute(statement)
            after = engine.sql("from t").to_arrow_table().replace_schema_metadata(table.schema.metadata)
        sink = pa.BufferOutputStream()
        pq.write_table(after, sink, compression="zstd")
        return bytes(sink.getvalue())

    return _overwrite(path, change)


def _rewrite_recorded(work: Workspace, path: Path, statement: str) -> Undo:
    """Change a file's rows, and what the store records of the file."""
    files = tables.lake_files
    mine = files.c.path == _name(work, path)
    with work.store.engine.begin() as connection:
        before = connection.execute(sa.select(files.c.sha256, files.c.bytes, files.c.stat).where(mine)).mappings().one()
    undo_file = _rewrite(path, [statement])
    with work.store.engine.begin() as connection:
        now = {"sha256": digests.digest_of(path), "bytes": path.stat().st_size, "stat": digests.stat_of(path)}
        connection.execute(sa.update(files).where(mine).values(**now))

    def undo() -> None:
        undo_file()
        with work.store.engine.begin() as connection:
            connection.execute(sa.update(files).where(mine).values(**before))

    return undo


def _metadata(work: Workspace) -> Iterator[Tamper]:
    """Iceberg's metadata, and its catalogue's pointer to them."""
    folder = work.lake.root / "golden" / work.registry.linked(None).name / "metadata"
    for kind, pattern in (("metadata", "*.metadata.json"), ("manifest list", "snap-*.avro"), ("manifest", "*-m0.avro")):
        path = max(folder.glob(pattern), key=lambda one: one.stat().st_mtime_ns)
        yield Tamper(f"a bit of a {kind}", partial(_overwrite, path, _flip), "lake", _name(work, path))
    first, *_, last = sorted(folder.glob("*.metadata.json"))
    change = partial(_overwrite, last, lambda _: first.read_bytes())
    yield Tamper("metadata of an earlier state in the place of the newest", change, "lake", _name(work, last))
    table = f"golden.{work.registry.linked(None).name}"
    yield Tamper(
        "the catalogue points to earlier metadata",
        partial(_point_back, work, table, first),
        "lake",
        table.replace(".", "/"),
    )
    yield Tamper(
        "a table is gone from the catalogue", partial(_drop_pointer, work, table), "lake", table.replace(".", "/")
    )
    yield Tamper("a foreign file is added to a table", partial(_add_foreign, work, table), "lake", "foreign")


def _point_back(work: Workspace, table: str, metadata: Path) -> Undo:
    namespace, name = table.split(".")
    mine = f"table_namespace = '{namespace}' and table_name = '{name}'"
    set_to = f"update iceberg_tables set metadata_location = '{metadata.as_uri()}' where {mine}"
    return change_by_sql(work, set_to, "iceberg_tables")


def _drop_pointer(work: Workspace, table: str) -> Undo:
    namespace, name = table.split(".")
    return change_by_sql(
        work,
        f"delete from iceberg_tables where table_namespace = '{namespace}' and table_name = '{name}'",
        "iceberg_tables",
    )


def _add_foreign(work: Workspace, table: str) -> Undo:
    """Add a copy of a file, under another name, by Iceberg's own library."""
    path = _newest(work, *table.split("."))[0]
    foreign = path.with_name("foreign.parquet")
    shutil.copyfile(path, foreign)
    folder = work.lake.root.joinpath(*table.split("."), "metadata")
    known = set(folder.iterdir())
    undo_pointer = keep_tables(work, "iceberg_tables")
    work.lake._catalog.load_table(table).add_files([str(foreign)], check_duplicate_files=False)

    def undo() -> None:
        undo_pointer()
        for one in {*folder.iterdir()} - known:
            one.unlink()
        foreign.unlink()

    return undo


def _payloads(work: Workspace) -> Iterator[Tamper]:
    first, second, *_ = sorted(work.settings.payloads.glob("??/*.zst"), key=lambda path: -path.stat().st_size)
    for name, change in (
        ("a bit of a payload", _flip),
        ("half of a payload", lambda content: content[: len(content) // 2]),
        ("a payload swapped", lambda _: second.read_bytes()),
    ):
        yield Tamper(name, partial(_overwrite, first, change), "payloads", first.name)
    yield Tamper("a payload gone", partial(_remove, first), "payloads", first.name)
