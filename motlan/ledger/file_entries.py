"""Entries of the log over the lake's files: which became part of what is read, with their digests, and which were removed."""

from __future__ import annotations

import sqlalchemy as sa

from motlan.ledger import log, runs
from motlan.store import tables

KIND = "files"


def append_files(connection: sa.Connection) -> int | None:
    """Append an entry over all files that none names yet, in the caller's transaction; return its index, None of no files.

    Files of runs that are not visible wait for it: those of a run that never becomes visible are removed again. The body has
    `files` (path under the lake's folder -> SHA-256, in hex) and `removed` (paths).
    """
    files = tables.lake_files
    seen = sa.exists().where(tables.runs.c.id == files.c.run, tables.runs.c.state.in_((*runs.SEEN, "unchanged")))
    known = files.c.run.is_(None) | seen
    new = sa.select(files.c.path, files.c.sha256).where(files.c.entry.is_(None), known).order_by(files.c.path)
    added = {row.path: bytes(row.sha256).hex() for row in connection.execute(new)}
    gone = sa.select(files.c.path).where(files.c.removed_at.is_not(None), files.c.removal.is_(None))
    removed = sorted(connection.scalars(gone))
    if not added and not removed:
        return None
    index = log.append(connection, KIND, {"files": added, "removed": removed})
    for names, column in ((list(added), files.c.entry), (removed, files.c.removal)):
        connection.execute(sa.update(files).where(files.c.path.in_(names)).values({column: index}))
    return index
