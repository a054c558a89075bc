"""Silent changes of everything that is stored, one after the other: each must be found and located, and nothing else be told of.

Each change is made as somebody would who has the machine: to a file's bytes, or as the owner of the database. It is undone before
the next one. What the check may rely on is a public key and a checkpoint that were kept elsewhere.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa

from motlan.expressions import literal, quote
from motlan.feeds import keys
from motlan.ingest.raw_columns import of_file
from motlan.lake import digests
from motlan.ledger import accesses, log
from motlan.ledger.row_commitments import commitment
from motlan.proof import checkpoints, verify
from motlan.proof.findings import Finding
from motlan.proof.keys import LOG, make_key, save_key
from motlan.proof.log_check import Pins
from motlan.publication import hold
from motlan.store import tables
from motlan.store.session import sqlalchemy_url
from motlan.workspace import Workspace

Undo = Callable[[], None]
Act = Callable[[], Undo]


@dataclass(frozen=True)
class Tamper:
    """A silent change.

    Attributes:
        name: What is done.
        act: Does it; returns what undoes it.
        store: The store in which it has to be found.
        place: What the finding's place has to contain.
        row: What the finding's row has to contain; empty where a file is told of as a whole.
    """

    name: str
    act: Act
    store: str
    place: str
    row: str = ""


@dataclass
class Tried:
    """What came of the tries.

    Attributes:
        tried: How many changes were made.
        missed: Those that were not found, or not where they were made.
        alarms: What was told of though nothing was changed.
    """

    tried: int = 0
    missed: list[str] = field(default_factory=list)
    alarms: list[str] = field(default_factory=list)


def try_all(work: Workspace, admin: str, tell: Callable[[str, int, int], None] = lambda *_: None) -> Tried:
    """Make each change, check everything, and undo it.

    Args:
        work: A finished installation; it is as it was afterwards.
        admin: URL of its database for the server's administrator, whom nothing in the database stops.
        tell: Is given the change's name, how many were tried, and how many there are.
    """
    _decide_something(work)
    kept = checkpoints.sign(work.store, work.settings)
    pins = Pins(checkpoints.key_of(work.settings).public, [kept])
    found = Tried()
    found.alarms += [f"before: {one.store} {one.place} {one.what}" for one in verify.verify(work, pins)]
    engine = sa.create_engine(sqlalchemy_url(admin), poolclass=sa.NullPool)
    changes = list(_all(replace(work, store=replace(work.store, engine=engine))))
    for number, tamper in enumerate(changes):
        tell(tamper.name, number, len(changes))
        undo = tamper.act()
        try:
            told = list(verify.verify(work, pins))
        finally:
            undo()
        found.tried += 1
        if not any(map(partial(_is_located, tamper), told)):
            found.missed.append(f"{tamper.name}: {[(one.store, one.place, one.row) for one in told][:5]}")
        left = list(verify.verify(work, pins)) if number % 10 == 9 or tamper is changes[-1] else []
        found.alarms += [f"after {tamper.name}: {one.store} {one.place} {one.what}" for one in left]
    return found


def _decide_something(work: Workspace) -> None:
    """Leave rows of what people decide and do: a key of an agency, a hold that ended, and looks."""
    keys.issue(work.store, next(iter(work.registry.agencies)))
    hold.begin(work.store, "publish", "uid:0", "for the tries")
    hold.end(work.store, "publish", "uid:0", "for the tries")
    for _ in range(2):
        accesses.record(work.store, "uid:0", "lineage.read", "00000000-0000-0000-0000-000000000000")


def _is_located(tamper: Tamper, one: Finding) -> bool:
    return one.store == tamper.store and tamper.place in one.place and tamper.row in one.row


def _all(work: Workspace) -> Iterator[Tamper]:
    yield from _bytes(work)
    yield from _files(work)
    yield from _rows(work)
    yield from _metadata(work)
    yield from _payloads(work)
    yield from _log(work)
    yield from _signatures(work)
    yield from _ledger(work)
    yield from _decisions(work)
    yield from _projection(work)
    yield from _accesses(work)


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
    return _sql(work, set_to, "iceberg_tables")


def _drop_pointer(work: Workspace, table: str) -> Undo:
    namespace, name = table.split(".")
    return _sql(
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
    undo_pointer = _keep(work, "iceberg_tables")
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


def _keep(work: Workspace, *names: str) -> Undo:
    """Keep the rows of tables; return what brings them back."""
    copies = {name: f"kept_{number}_{name}" for number, name in enumerate(names)}
    with work.store.engine.begin() as connection:
        for name, copy in copies.items():
            connection.execute(sa.text(f"create table {copy} as table {name}"))

    def undo() -> None:
        with work.store.engine.begin() as connection:
            connection.execute(sa.text("set local session_replication_role = replica"))
            for name, copy in copies.items():
                connection.execute(sa.text(f"delete from {name}"))
                connection.execute(sa.text(f"insert into {name} select * from {copy}"))
                connection.execute(sa.text(f"drop table {copy}"))

    return undo


def _sql(work: Workspace, statement: str, *names: str) -> Undo:
    """Change tables by a statement, as the owner of the database, whatever guards them."""
    undo = _keep(work, *names)
    with work.store.engine.begin() as connection:
        connection.execute(sa.text("set local session_replication_role = replica"))
        connection.execute(sa.text(statement.replace(":", "\\:")))
    return undo


def _log(work: Workspace) -> Iterator[Tamper]:
    """Entries and nodes altered, removed and added; all of it written again, also under the real key."""
    entries, nodes = "log_entries", "log_nodes"
    for name, statement, table, place in (
        ("an entry's body", """update log_entries set body = body || '{"x": 1}' where index = 3""", entries, "entry 3"),
        ("an entry's kind", "update log_entries set kind = 'other' where index = 4", entries, "entry 4"),
        (
            "an entry's moment",
            "update log_entries set recorded_at = recorded_at - interval '1 day' where index = 2",
            entries,
            "entry 2",
        ),
        ("an entry's hash", "update log_entries set leaf_hash = sha256('x') where index = 5", entries, "entry 5"),
        ("an entry's tree head", "update log_entries set root_hash = sha256('x') where index = 6", entries, "entry 6"),
        ("an entry removed", "delete from log_entries where index = 4", entries, "entry 4"),
        ("a node altered", "update log_nodes set hash = sha256('x') where level = 1 and index = 1", nodes, "entry 3"),
        ("a node removed", "delete from log_nodes where level = 2 and index = 0", nodes, "entry 3"),
        ("a node added", "insert into log_nodes values (9, 99, sha256('x'))", nodes, "entry"),
        (
            "the last entry removed",
            "delete from log_entries where index = (select max(index) from log_entries)",
            entries,
            "entry",
        ),
    ):
        yield Tamper(name, partial(_sql, work, statement, table), "log", place)
    yield Tamper("the log rewritten", partial(_write_again, work, signed=False), "log", "entry")
    yield Tamper(
        "the log rewritten and signed by the real key", partial(_write_again, work, signed=True), "log", "entry"
    )
    yield Tamper("the log rolled back and signed by the real key", partial(_roll_back, work), "log", "entry")


def _write_again(work: Workspace, *, signed: bool) -> Undo:
    """Change an entry and make the whole tree fit to it."""
    undo = _keep(work, "log_entries", "log_nodes", "log_checkpoints")
    with work.store.engine.begin() as connection:
        rows = connection.execute(sa.select(tables.log_entries).order_by(tables.log_entries.c.index)).mappings().all()
        connection.execute(sa.text("set local session_replication_role = replica"))
        for table in ("log_nodes", "log_entries"):
            connection.execute(sa.text(f"delete from {table}"))
        _append_all(connection, [row["body"] | {"x": 1} if row["index"] == 1 else row["body"] for row in rows], rows)
    if signed:
        _sign_again(work)
    return undo


def _append_all(connection: sa.Connection, bodies: list[dict[str, Any]], rows: Any) -> None:
    tree = log.tree_before(connection, 0)
    for row, body in zip(rows, bodies, strict=True):
        leaf = log.leaf_hash(row["recorded_at"], row["kind"], body)
        made = tree.append(leaf)
        values = {"body": body, "leaf_hash": leaf, "root_hash": tree.head()}
        connection.execute(sa.insert(tables.log_entries).values(**(dict(row) | values)))
        for level, node in enumerate(made, 1):
            place = {"level": level, "index": row["index"] >> level, "hash": node}
            connection.execute(sa.insert(tables.log_nodes).values(**place))


def _sign_again(work: Workspace) -> None:
    key = checkpoints.key_of(work.settings)
    table = tables.log_checkpoints
    with work.store.engine.begin() as connection:
        connection.execute(sa.text("set local session_replication_role = replica"))
        top = log.size_of(connection)
        for size in list(connection.scalars(sa.select(table.c.size))):
            if size > top:
                connection.execute(sa.delete(table).where(table.c.size == size))
                continue
            text = checkpoints.note_text(key.name, size, log.root_of(connection, size) or b"")
            connection.execute(sa.update(table).where(table.c.size == size).values(note=f"{text}\n{key.sign(text)}"))


def _roll_back(work: Workspace) -> Undo:
    """Bring the log back to what it was some entries before, as a restore of an older state does."""
    undo = _keep(work, "log_entries", "log_nodes", "log_checkpoints")
    with work.store.engine.begin() as connection:
        rows = (
            connection.execute(sa.select(tables.log_entries).order_by(tables.log_entries.c.index)).mappings().all()[:-2]
        )
        connection.execute(sa.text("set local session_replication_role = replica"))
        for table in ("log_nodes", "log_entries"):
            connection.execute(sa.text(f"delete from {table}"))
        _append_all(connection, [row["body"] for row in rows], rows)
    _sign_again(work)
    return undo


def _signatures(work: Workspace) -> Iterator[Tamper]:
    """Checkpoints forged, and the key swapped."""
    newest = "size = (select max(size) from log_checkpoints)"
    other = make_key(checkpoints.key_of(work.settings).name, LOG)
    with work.store.engine.connect() as connection:
        kept = checkpoints.find(connection)
    assert kept
    forged = f"{kept.text}\n{other.sign(kept.text)}"
    fake = checkpoints.note_text(kept.origin, kept.size, b"x" * 32)
    for name, note in (
        ("a checkpoint signed by another key", forged),
        ("a checkpoint of another head", f"{fake}\n{kept.note.rpartition(chr(10) * 2)[2]}"),
        ("a checkpoint that is none", "nothing"),
    ):
        statement = f"update log_checkpoints set note = {literal(note)} where {newest}"
        yield Tamper(name, partial(_sql, work, statement, "log_checkpoints"), "checkpoint", f"{kept.size} entries")
    yield Tamper("the key swapped, and a checkpoint signed by it", partial(_swap_key, work), "checkpoint", "entries")


def _swap_key(work: Workspace) -> Undo:
    path = work.settings.log_key
    aside = path.with_suffix(".aside")
    path.rename(aside)
    save_key(make_key(aside.read_text().removeprefix("PRIVATE+KEY+").split("+")[0], LOG), path)
    undo_notes = _keep(work, "log_checkpoints")
    _sign_again(work)

    def undo() -> None:
        undo_notes()
        aside.replace(path)

    return undo


def _ledger(work: Workspace) -> Iterator[Tamper]:
    """Publications, runs, versions and recorded digests in PostgreSQL."""
    for name, statement, table, store, place in (
        (
            "a publication's number of changes",
            "update publications set changes = changes + 1",
            "publications",
            "ledger",
            "publication",
        ),
        ("a publication removed", "delete from publications", "publications", "ledger", "publication"),
        (
            "a version's body",
            """update versions set body = body || '{"x": 1}' where id = (select min(id) from versions)""",
            "versions",
            "ledger",
            "version",
        ),
        (
            "a version removed",
            "delete from versions where id in (select body->>'version' from log_entries where kind = 'landing')",
            "versions",
            "ledger",
            "version",
        ),
        (
            "a landing hidden",
            "update runs set state = 'failed' where kind = 'sync' and state = 'visible'",
            "runs",
            "ledger",
            "run",
        ),
        (
            "a recorded digest",
            "update lake_files set sha256 = sha256('x') where path like 'golden/%parquet'",
            "lake_files",
            "ledger",
            "lake_files golden",
        ),
        (
            "a record of a file removed",
            "delete from lake_files where path like 'raw/%parquet'",
            "lake_files",
            "ledger",
            "lake_files raw",
        ),
        (
            "a record of a file added",
            "insert into lake_files select 'raw/x.parquet', table_name, run, bytes, sha256, stat, entry, null, null, recorded_at "
            "from lake_files limit 1",
            "lake_files",
            "ledger",
            "lake_files raw/x",
        ),
    ):
        yield Tamper(name, partial(_sql, work, statement, table), store, place)


def _decisions(work: Workspace) -> Iterator[Tamper]:
    """Who may read, and what people decided."""
    number = "nextval('publication_holds_id_seq')"
    added = f"select {number}, subject, 'uid:1', reason, held_at, ended_at, ended_by, ended_reason, salt"
    for name, statement, table in (
        (
            "a key of an agency made to hold for longer",
            "update api_keys set expires_at = expires_at + interval '9 years'",
            "api_keys",
        ),
        ("a key given to another agency", "update api_keys set agency = 'other'", "api_keys"),
        (
            "a key added",
            "insert into api_keys select 'abc', agency, sha256('x'), created_at, expires_at, null, salt from api_keys",
            "api_keys",
        ),
        ("whose decision it was", "update publication_holds set principal = 'uid:7'", "publication_holds"),
        ("why it was decided", "update publication_holds set reason = 'another'", "publication_holds"),
        ("a decision removed", "delete from publication_holds", "publication_holds"),
        ("a decision added", f"insert into publication_holds {added} from publication_holds", "publication_holds"),
    ):
        yield Tamper(name, partial(_sql, work, statement, table), "ledger", table)


def _projection(work: Workspace) -> Iterator[Tamper]:
    """What agencies are served: golden tables, feeds and corrections."""
    entity = work.registry.linked(None)
    own, field = entity.id_column, next(name for name in entity.fields if name.endswith("name"))
    golden, feed = f"golden_{entity.name}", f"feed_{entity.name}"
    first = f"where {own} = (select min({own}::text)::uuid from {golden})"
    with work.store.engine.connect() as connection:
        person = str(connection.execute(sa.text(f"select min({own}::text) from {golden}")).scalar_one())
    for name, statement, table, row in (
        ("a golden value in PostgreSQL", f"update {golden} set {field} = 'x' {first}", golden, person),
        ("a golden row removed", f"delete from {golden} {first}", golden, person),
        ("a golden row's publication", f"update {golden} set publication = publication + 1 {first}", golden, person),
        ("a value in the feed", f"update {feed} set {field} = 'x' where seq = 2", feed, "2"),
        ("a change removed from the feed", f"delete from {feed} where seq = 3", feed, "3"),
        ("what a change was", f"update {feed} set event = 'removed' where seq = 1", feed, "1"),
        ("of whom a change is", f"update {feed} set {own} = gen_random_uuid() where seq = 1", feed, "1"),
    ):
        yield Tamper(name, partial(_sql, work, statement, table), "projection", table, row)


def _accesses(work: Workspace) -> Iterator[Tamper]:
    """Who has looked."""
    last = "where id = (select max(id) from accesses)"
    columns = ", ".join(column.name for column in tables.accesses.c if column.name != "id")
    for name, statement in (
        ("who looked", f"update accesses set principal = 'uid:7' {last}"),
        ("at whom somebody looked", f"update accesses set subject = 'other' {last}"),
        ("when somebody looked", f"update accesses set recorded_at = recorded_at - interval '1 day' {last}"),
        ("a look removed", f"delete from accesses {last}"),
        ("all looks removed", "delete from accesses"),
        ("a look added", f"insert into accesses (id, {columns}) select 999, {columns} from accesses {last}"),
    ):
        yield Tamper(name, partial(_sql, work, statement, "accesses"), "accesses", "accesses")
