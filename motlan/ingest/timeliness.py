"""How old what is held of each dataset is, beside what its owner promised."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from motlan.config.registry import Dataset
from motlan.ingest import watermark
from motlan.ingest.cursors import INSTANTS
from motlan.ledger import runs
from motlan.store import tables
from motlan.workspace import Workspace

NEVER, NOT_PULLED, NOTHING_NEW = "never pulled", "not pulled in time", "its source has nothing newer"


def timeliness(work: Workspace, now: datetime | None = None) -> dict[str, dict[str, Any]]:
    """Return how old each dataset's data are.

    Args:
        work: The open installation.
        now: The moment, by default now.

    Returns:
        Dataset -> `newest` (moment of the newest change held: the watermark, where it is a moment, or else the source's own
        moment), `age` (seconds since then), `pulled_at` (when it was pulled last, by our clock), `pulled_as_of` (the source's own
        moment then), `lag` (seconds since that), `promised` (seconds), `late` (whether the age is beyond the promise), and `why`
        it is late. Moments are in UTC, and null where nothing was pulled.
    """
    moment = now or datetime.now(UTC)
    with work.store.engine.connect() as connection:
        return {name: _of(connection, dataset, moment) for name, dataset in work.registry.datasets.items()}


def _of(connection: sa.Connection, dataset: Dataset, now: datetime) -> dict[str, Any]:
    stored = watermark.read(connection, dataset.name)
    pulled_at, as_of = _newest_pull(connection, dataset.name)
    pulled = _moment(as_of)
    newest = _moment(stored.cursor) if stored and dataset.cursor_kind in INSTANTS else pulled
    age, lag = (None if since is None else round((now - since).total_seconds()) for since in (newest, pulled))
    late = age is None or age > dataset.freshness
    why = ""
    if late:
        since_pull = None if pulled_at is None else (now - pulled_at).total_seconds()
        why = NEVER if since_pull is None else NOT_PULLED if since_pull > dataset.freshness else NOTHING_NEW
    return {
        "newest": newest and newest.isoformat(),
        "age": age,
        "pulled_at": pulled_at and pulled_at.astimezone(UTC).isoformat(),
        "pulled_as_of": pulled and pulled.isoformat(),
        "lag": lag,
        "promised": dataset.freshness,
        "late": late,
        "why": why,
    }


def _newest_pull(connection: sa.Connection, dataset: str) -> tuple[datetime | None, str | None]:
    """Return when a dataset was pulled last and came through, and the source's own moment then."""
    table = tables.runs.c
    as_of = table.steps["land"]["source_as_of"].astext
    query = sa.select(table.started_at, as_of).where(
        table.kind == "sync",
        table.subject == dataset,
        table.state.in_((*runs.SEEN, "unchanged")),
        as_of.is_not(None),
    )
    found = connection.execute(query.order_by(table.id.desc()).limit(1)).one_or_none()
    return (found[0], found[1]) if found else (None, None)


def _moment(text: str | None) -> datetime | None:
    try:
        found = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
