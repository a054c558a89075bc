"""Expiry: the lake's metadata of long ago, which each commit adds to and nobody reads, are removed; no row ever is.

Every commit writes a table's metadata anew, with a line for each earlier snapshot: left alone, they grow with the square of the
commits. Earlier states are read by the runs that files bear, never by snapshots of Iceberg.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote, urlparse

from pyiceberg.exceptions import NoSuchTableError
from pyiceberg.table import Table

from motlan.lake.iceberg import Lake

UNSURE_S = 86_400.0
"""Age in seconds from which on a file of metadata goes that nothing names: a younger one may be of a commit under way."""


@dataclass(frozen=True)
class Expired:
    """What was removed.

    Attributes:
        snapshots: Snapshots that the table's metadata no longer name.
        files: Files of metadata.
        size: Their size in bytes.
    """

    snapshots: int = 0
    files: int = 0
    size: int = 0

    def __add__(self, other: Expired) -> Expired:
        return Expired(self.snapshots + other.snapshots, self.files + other.files, self.size + other.size)


def expire(lake: Lake, table: str, before: datetime, *, at_once: bool = False) -> Expired:
    """Let a table forget its snapshots from before a moment, but the newest, and remove the metadata that nothing names.

    The caller is the only one that writes the table.

    Args:
        lake: The lake.
        table: The table's name.
        before: A moment with its zone.
        at_once: Whether metadata that nothing names are removed however young they are.
    """
    try:
        known = lake._catalog.load_table(table)
    except NoSuchTableError:
        return Expired()
    limit = int(before.timestamp() * 1000)
    newest = known.metadata.current_snapshot_id
    old = [one.snapshot_id for one in known.snapshots() if one.timestamp_ms < limit and one.snapshot_id != newest]
    if old:
        known.maintenance.expire_snapshots().by_ids(old).commit()
        known = lake._catalog.load_table(table)
        lake.record_metadata(table, known)
    named = _named(known)
    folder = lake.root.joinpath(*table.split("."), "metadata")
    gone = [path for path in folder.glob("*") if path.name not in named and (at_once or _is_old(path))]
    size = sum(path.stat().st_size for path in gone)
    for path in gone:
        path.unlink(missing_ok=True)
    lake.forget(gone)
    return Expired(len(old), len(gone), size)


def _named(table: Table) -> set[str]:
    """Return the names of the files of metadata that a table needs."""
    found = {table.metadata_location}
    for snapshot in table.snapshots():
        found.add(snapshot.manifest_list)
        found |= {manifest.manifest_path for manifest in snapshot.manifests(table.io)}
    return {Path(unquote(urlparse(path).path)).name for path in found}


def _is_old(path: Path) -> bool:
    return time.time() - path.stat().st_mtime > UNSURE_S
