"""Silent changes of PostgreSQL, and of the key: the log, checkpoints, the ledger, decisions, the projection, accesses."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import sqlalchemy as sa

from bench.lineage.tamper import Tamper, Undo, change_by_sql, keep_tables
from motlan.expressions import literal
from motlan.ledger import log
from motlan.proof import checkpoints
from motlan.proof.keys import LOG, make_key, save_key
from motlan.store import tables
from motlan.workspace import Workspace


def make_store_tampers(work: Workspace) -> Iterator[Tamper]:
    """Give the changes of PostgreSQL and of the key; `work` is open as the database's administrator."""
    yield from _log(work)
    yield from _signatures(work)
    yield from _ledger(work)
    yield from _decisions(work)
    yield from _projection(work)
    yield from _accesses(work)


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
        yield Tamper(name, partial(change_by_sql, work, statement, table), "log", place)
    yield Tamper("the log rewritten", partial(_write_again, work, signed=False), "log", "entry")
    yield Tamper(
        "the log rewritten and signed by the real key", partial(_write_again, work, signed=True), "log", "entry"
    )
    yield Tamper("the log rolled back and signed by the real key", partial(_roll_back, work), "log", "entry")


def _write_again(work: Workspace, *, signed: bool) -> Undo:
    """Change an entry and make the whole tree fit to it."""
    undo = keep_tables(work, "log_entries", "log_nodes", "log_checkpoints")
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
    undo = keep_tables(work, "log_entries", "log_nodes", "log_checkpoints")
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
        yield Tamper(
            name, partial(change_by_sql, work, statement, "log_checkpoints"), "checkpoint", f"{kept.size} entries"
        )
    yield Tamper("the key swapped, and a checkpoint signed by it", partial(_swap_key, work), "checkpoint", "entries")


def _swap_key(work: Workspace) -> Undo:
    path = work.settings.log_key
    aside = path.with_suffix(".aside")
    path.rename(aside)
    save_key(make_key(aside.read_text().removeprefix("PRIVATE+KEY+").split("+")[0], LOG), path)
    undo_notes = keep_tables(work, "log_checkpoints")
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
        yield Tamper(name, partial(change_by_sql, work, statement, table), store, place)


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
        yield Tamper(name, partial(change_by_sql, work, statement, table), "ledger", table)


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
        yield Tamper(name, partial(change_by_sql, work, statement, table), "projection", table, row)


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
        yield Tamper(name, partial(change_by_sql, work, statement, "accesses"), "accesses", "accesses")
