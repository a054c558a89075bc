"""A run as the ledger has it: what its events are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from motlan.ledger import runs
from motlan.openlineage.datasets import Written
from motlan.store import Store, tables

PARENT = "parent"
"""Name, beside the steps of a run, of what of a scheduler began it; `PARENT_OF_PUBLICATION` of what published it."""
PARENT_OF_PUBLICATION = "parent_of_publication"


@dataclass(frozen=True)
class Recorded:
    """A run of the ledger.

    Attributes:
        run: The run with its steps.
        started_at: When it began.
        ended_at: When it came to its last end; None while it is under way.
        error: Why its last try failed, without any value; None where it did not.
        published_at: When it was published.
        files: Table -> what it added to it: bytes and number of files.
    """

    run: runs.Run
    started_at: datetime
    ended_at: datetime | None
    error: str | None
    published_at: datetime | None
    files: Mapping[str, tuple[int, int]]

    @property
    def snapshots(self) -> dict[str, int]:
        """Table -> the snapshot that it was added by."""
        steps = self.run.steps.values()
        return {table: found for counts in steps for table, found in counts.get("snapshots", {}).items()}

    def written(self, table: str, rows: int | None) -> Written:
        """Return what the run added to a table of the lake, of which it counted so many rows."""
        size, number = self.files.get(table, (None, None))
        snapshot = self.snapshots.get(table)
        return Written(rows, size, number, None if snapshot is None else str(snapshot))

    def counts(self, step: str) -> dict[str, Any]:
        """Return what a step counted; nothing where it is not done."""
        return self.run.steps.get(step, {})


def read(store: Store, run: str) -> Recorded:
    """Read a run.

    Raises:
        ConfigurationError: There is no such run.
    """
    current = runs.get(store, run)
    table, published, files = tables.runs.c, tables.publications.c, tables.lake_files.c
    with store.engine.connect() as connection:
        told = sa.select(table.started_at, table.ended_at, table.error).where(table.id == run)
        started, ended, error = connection.execute(told).one()
        at = connection.execute(sa.select(published.recorded_at).where(published.run == run)).scalar_one_or_none()
        sums = sa.select(files.table_name, sa.func.sum(files.bytes), sa.func.count())
        added = connection.execute(sums.where(files.run == run).group_by(files.table_name)).all()
    return Recorded(
        current, started, ended, error, at, {name: (int(size), int(number)) for name, size, number in added}
    )
