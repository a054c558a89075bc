"""Replacing files of rows under their own paths: what an erasure alone does, for every other file of the lake never changes.

The new file is written aside first, and put into its place by one rename. The table's metadata hold each file's size and the
least and greatest values of its columns: the file is named anew, and what the old metadata said of it is removed.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path

from motlan.errors import InternalError
from motlan.lake.digests import digest_of
from motlan.lake.expire import expire
from motlan.lake.iceberg import Lake, _schema

ASIDE = ".erasing"
"""What the name of a file that is written aside ends with."""


def aside(path: str | Path) -> Path:
    """Return where the file is written that will take a file's place."""
    return Path(f"{path}{ASIDE}")


def put_in_place(path: Path, before: str, after: str) -> None:
    """Let what was written aside take a file's place; done before, it changes nothing.

    Args:
        path: The file.
        before: Its digest, in hex.
        after: The digest of the one aside; empty where no row is left, and the file is removed.

    Raises:
        InternalError: Neither file is the one that was planned.
    """
    new = aside(path)
    if not after:
        path.unlink(missing_ok=True)
        return
    if new.exists() and digest_of(new).hex() == after:
        with new.open("rb") as file:
            os.fsync(file.fileno())
        new.replace(path)
        return
    if not path.exists() or digest_of(path).hex() != after:
        known = path.exists() and digest_of(path).hex() == before
        raise InternalError(
            f"{path.name} cannot be replaced: {'what was written aside is gone' if known else 'it was altered'}",
            where=path.parent.name,
            next_step="`motlan audit verify` finds what was changed; restore it from a backup, and erase again.",
        )


def name_anew(lake: Lake, table: str, paths: Collection[str]) -> None:
    """Let a table name files anew that were replaced, and remove all metadata of before. The caller alone writes the table.

    Args:
        lake: The lake.
        table: The table's name.
        paths: The files, also those that were removed.
    """
    target = lake._catalog.load_table(table)
    left = {path for path in paths if Path(path).exists()}
    if left:
        with target.update_schema() as update:
            for schema in dict.fromkeys(_schema(Path(path)) for path in sorted(left)):
                update.union_by_name(schema)
    named = {lake._path(task.file.file_path): task.file for task in target.scan().plan_files()}
    old = [named[path] for path in sorted(paths) if path in named]
    with target.transaction() as change:
        with change.update_snapshot().overwrite() as snapshot:
            for file in old:
                snapshot.delete_data_file(file)
        if again := [named[path].file_path for path in sorted(left)]:
            change.add_files(again, check_duplicate_files=False)
        else:  # an append leaves the manifest behind that tells what was taken out
            with change.update_snapshot().fast_append():
                pass
    lake.record_metadata(table, target)
    lake.forget(Path(path) for path in sorted({*paths} - left))
    expire(lake, table, datetime.now(UTC), at_once=True)
