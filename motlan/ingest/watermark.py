"""How far a dataset has been pulled, as the store keeps it, and the moments of its rows in one form.

How far a pull may move it is decided in `motlan.ingest.pull_window`; how people move it, in `motlan.ingest.watermark_reset`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from motlan.config.registry import Dataset
from motlan.errors import ConfigurationError
from motlan.expressions import literal, quote
from motlan.ingest.cursors import Cursors, canonical_moment
from motlan.ingest.raw_columns import stored
from motlan.ledger import runs
from motlan.ledger.results import Landed
from motlan.store import tables

ODD = {
    "none": "without a cursor",
    "unreadable": "with a cursor that cannot be read",
    "ahead": "with a cursor beyond the source's own moment or our clock",
}
"""Why a record's cursor moves no watermark -> in words. The reasons are the names of a run's counts."""
MOMENTS = Cursors("moment")


@dataclass(frozen=True)
class Stored:
    """A watermark as it is kept.

    Attributes:
        cursor: The cursor in canonical form (see `motlan.ingest.cursors`).
        key: The greatest key that has it.
        written: A cursor as the source wrote it, whose form the next question takes; empty of an old watermark.
        run: The run that moved it; None where a person set it.
    """

    cursor: str
    key: str = ""
    written: str = ""
    run: str | None = None


def described(odd: Mapping[str, int]) -> str:
    """Return the `cursors` counts of a run in words; empty where there is nothing to tell."""
    return ", ".join(f"{number:,} {ODD[reason]}" for reason, number in odd.items() if number)


def cursors_of(dataset: Dataset) -> Cursors:
    """Return how a dataset's cursors are read.

    Raises:
        ConfigurationError: It declares a lag that cannot be reckoned.
    """
    found = Cursors(dataset.cursor_kind, dataset.cursor_zone)
    if dataset.lag and found.kind == "token":
        raise ConfigurationError(
            "no lag can be reckoned from a cursor that is a token",
            where=f"agencies.yaml, {dataset.name}",
            next_step="declare lag: 0, or the cursor_type that it has.",
        )
    return found


def landed_as(column: str) -> str:
    """Return the SQL of a source's column under the name that it has in the lake."""
    return quote(stored(column))


def cursor(dataset: Dataset) -> str:
    """Return the SQL of a row's cursor in canonical form; null where there is none that can be read."""
    return cursors_of(dataset).canonical(landed_as(dataset.cursor))


def moment(dataset: Dataset) -> str:
    """Return the SQL of a row's own moment in UTC; null where it is none, or one that our clock has not seen."""
    cursors, column = cursors_of(dataset), landed_as(dataset.moment)
    if dataset.moment != dataset.cursor:
        cursors = Cursors("moment", dataset.cursor_zone)
    if not cursors.are_instants:
        return column
    read = cursors.canonical(column)
    return f"case when {read} <= {literal(latest(dataset))} then {read} end"


def latest(dataset: Dataset) -> str:
    """Return the latest moment that a source can know, by our clock and the difference declared."""
    return canonical_moment(datetime.now(UTC) + timedelta(seconds=dataset.clock_difference))


def read(connection: sa.Connection, dataset: str) -> Stored | None:
    """Return a dataset's watermark as it is kept."""
    table = tables.watermarks.c
    query = sa.select(table.cursor, table.key, table.written, table.run).where(table.dataset == dataset)
    found = connection.execute(query).one_or_none()
    return Stored(*found) if found else None


def move(connection: sa.Connection, run: runs.Run, dataset: Dataset, landed: Landed) -> None:
    """Move a dataset's watermark forward over what a run landed, in the caller's transaction; never back.

    It stays where somebody set it, reset it, or another run moved it, while this run pulled.

    Args:
        connection: The publisher's.
        run: The run.
        dataset: Its dataset.
        landed: Its landing.
    """
    if not landed.cursor:
        return
    stored = read(connection, dataset.name)
    known = stored.cursor if stored else ""
    if landed.began_at not in (None, known):
        return
    new = Stored(landed.cursor, landed.key, landed.written or "", run.id)
    held = known if landed.held is None else landed.held
    if stored and held:
        rank = Cursors(dataset.cursor_kind).rank
        if (rank(held), stored.key) >= (rank(new.cursor), new.key):
            return
    keep(connection, dataset.name, new)


def keep(connection: sa.Connection, dataset: str, new: Stored) -> None:
    """Put a watermark in the place of the one that is kept, in the caller's transaction."""
    values = {"cursor": new.cursor, "key": new.key, "written": new.written, "run": new.run}
    put = insert(tables.watermarks).values(dataset=dataset, **values)
    connection.execute(put.on_conflict_do_update(index_elements=["dataset"], set_=values))
