"""Digests of the lake's files: recorded before a table names a file, held to it whenever the bus reads one.

A file is immutable: it is read as long as its size, moments and number are what they were when its content was read last;
otherwise its content is read and compared. The moment of change (`ctime`) is the machine's own, and is not set by who rewrites
a file. `motlan audit verify` reads every byte and trusts none of this.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from motlan.errors import InternalError
from motlan.store import tables

ERASURE_BEGUN, ERASURE = "erasure begun", "erasure"
"""Kinds of the log's entries between which files are replaced (see `motlan.ledger.erasures`)."""


@dataclass(frozen=True)
class Recorded:
    """What is recorded of a file: the SHA-256 of its content, and its `stat_of` when that was read last."""

    sha256: bytes
    stat: str


def digest_of(path: str | Path) -> bytes:
    """Return the SHA-256 of a file's content."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def stat_of(path: str | Path) -> str:
    """Return a file's size, moments of modification and change, and number, as one text."""
    found = Path(path).stat()
    return f"{found.st_size} {found.st_mtime_ns} {found.st_ctime_ns} {found.st_ino}"


def record(
    connection: sa.Connection,
    root: Path,
    table: str,
    run: str | None,
    paths: Iterable[str | Path],
    unnamed: Iterable[str | Path] = (),
) -> None:
    """Record files of a table, in the caller's transaction; those that are recorded already stay as they are.

    Args:
        connection: The store's.
        root: The lake's folder.
        table: The table's name.
        run: The run that staged them; None of metadata.
        paths: The files.
        unnamed: Those of them that no table names yet: a try that was killed may have recorded another content of them.
    """
    files = tables.lake_files
    names = {os.path.relpath(path, root): path for path in paths}
    tried = [os.path.relpath(path, root) for path in unnamed]
    if tried:
        connection.execute(sa.delete(files).where(files.c.path.in_(tried), files.c.entry.is_(None)))
    known = set(connection.scalars(sa.select(files.c.path).where(files.c.path.in_(names))))
    rows = [
        {
            "path": name,
            "table_name": table,
            "run": run,
            "bytes": Path(path).stat().st_size,
            "stat": stat_of(path),
            "sha256": digest_of(path),
        }
        for name, path in names.items()
        if name not in known
    ]
    if rows:
        connection.execute(insert(files).on_conflict_do_nothing(), rows)


def forget(connection: sa.Connection, root: Path, paths: Iterable[str | Path]) -> None:
    """Mark files as removed by the bus itself; those that no entry of the log names are forgotten."""
    files = tables.lake_files
    names = [os.path.relpath(path, root) for path in paths]
    if names:
        mine = files.c.path.in_(names)
        connection.execute(sa.delete(files).where(mine, files.c.entry.is_(None)))
        connection.execute(sa.update(files).where(mine, files.c.removed_at.is_(None)).values(removed_at=sa.func.now()))


def recorded(connection: sa.Connection, table: str, *, metadata: bool = False) -> dict[str, Recorded]:
    """Return what is recorded of a table's files of rows, or of its metadata, by their paths under the lake's folder."""
    files = tables.lake_files.c
    query = sa.select(files.path, files.sha256, files.stat).where(
        files.table_name == table, files.removed_at.is_(None), files.run.is_(None) == metadata
    )
    return {row.path: Recorded(bytes(row.sha256), row.stat) for row in connection.execute(query)}


def require_unaltered(root: Path, table: str, known: Mapping[str, Recorded], paths: Iterable[str]) -> dict[str, str]:
    """Stop where a file is not the one that was recorded.

    Args:
        root: The lake's folder.
        table: The table that names the files.
        known: What is recorded of the table's files.
        paths: The files that are about to be read.

    Returns:
        Files whose content had to be read, and their `stat_of` now.

    Raises:
        InternalError: A file is missing, is not recorded, or its content is another: it is named.
    """
    read: dict[str, str] = {}
    for path in paths:
        name = os.path.relpath(path, root)
        found = known.get(name)
        if found is None:
            raise _unusable(table, name, "is not of this bus: nothing of it was recorded")
        try:
            now = stat_of(path)
            if now == found.stat:
                continue
            altered = digest_of(path) != found.sha256
        except FileNotFoundError:
            raise _unusable(table, name, "is missing") from None
        if altered:
            raise _unusable(table, name, "was altered: its content is not what was recorded")
        read[name] = now
    return read


def _unusable(table: str, name: str, what: str) -> InternalError:
    return InternalError(
        f"the file lake/{name} {what}",
        where=table,
        next_step="`motlan audit verify` finds what else was changed; `motlan restore --help` tells how to get it back. "
        "Nothing is published from it.",
    )


def is_erasing(connection: sa.Connection) -> bool:
    """Tell whether an erasure was begun and is not done: a file may be the one before or the one after."""
    entry = tables.log_entries
    done = entry.alias("done")
    same = done.c.body["erasure"].astext == entry.c.body["erasure"].astext
    ended = sa.exists().where(done.c.kind == ERASURE, same)
    query = sa.select(sa.exists().where(entry.c.kind == ERASURE_BEGUN, ~ended))
    return bool(connection.execute(query).scalar_one())


def refresh(connection: sa.Connection, read: Mapping[str, str]) -> None:
    """Record the `stat_of` of files whose content was read and is what it was."""
    files = tables.lake_files
    update = sa.update(files).where(files.c.path == sa.bindparam("name")).values(stat=sa.bindparam("now"))
    connection.execute(update, [{"name": name, "now": now} for name, now in read.items()])
