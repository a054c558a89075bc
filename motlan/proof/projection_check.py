"""The check of the projection: what agencies are served from PostgreSQL, against the lake, which is held against the log."""

from __future__ import annotations

from collections.abc import Iterator

from motlan.errors import MotlanError
from motlan.projection.verify import mismatches
from motlan.proof.findings import Finding
from motlan.proof.log_check import Watch
from motlan.workspace import Workspace

_WHAT = {
    "altered": "the row is not the one that was published",
    "removed": "the row is missing",
    "added": "no publication has this row",
    "digest": "the row is right, and its digest is not",
}


def check_projections(work: Workspace, watch: Watch, *, sound: bool) -> Iterator[Finding]:
    """Give the rows of golden tables, feeds and corrections that are not what was published.

    Args:
        work: The open installation.
        watch: Is given how far it is.
        sound: Whether the lake is as the log says: a file that cannot be used has a finding of its own otherwise.
    """
    for entity in work.registry.entities:
        try:
            for one in mismatches(work, entity, watch=watch):
                yield Finding("projection", one.table, one.key, one.day, _WHAT[one.what])
        except MotlanError as error:
            if sound:
                yield Finding(
                    "projection", entity, "", "", f"it cannot be compared with the lake: {type(error).__name__}"
                )
