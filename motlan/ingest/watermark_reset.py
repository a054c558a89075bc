"""People move a watermark: the way back where a source's clock, or its restore, has led it astray. Each move is in the log."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import duckdb
import sqlalchemy as sa

from motlan.config.registry import Dataset
from motlan.errors import ConfigurationError
from motlan.ingest.pull_window import Earning
from motlan.ingest.watermark import MOMENTS, Stored, cursors_of, keep, latest, read
from motlan.ledger import log
from motlan.store import Store, tables

KIND = "watermark"
"""The kind of the log's entries about watermarks that people moved."""
_NUMBERS = re.compile(r"\d{6,}")


def show(store: Store, dataset: Dataset) -> dict[str, Any]:
    """Return a dataset's `cursor`, `asked_with` (what the next pull asks the source for), `run`, and the `decisions` of people.

    `cursor` is None where everything will be pulled; so is `asked_with`, where what is kept cannot be used.
    """
    entries = tables.log_entries.c
    mine = sa.and_(entries.kind == KIND, entries.body["dataset"].astext == dataset.name)
    with store.engine.connect() as connection:
        stored = read(connection, dataset.name)
        query = sa.select(entries.index, entries.body).where(mine).order_by(entries.index.desc()).limit(10)
        decisions = [{"entry": row.index, **row.body} for row in connection.execute(query)]
    with duckdb.connect() as engine:
        since = Earning(store, engine, dataset).since
    return {
        "dataset": dataset.name,
        "cursor_type": dataset.cursor_kind,
        "cursor": stored.cursor if stored else None,
        "asked_with": since.cursor if since else None,
        "run": stored.run if stored else None,
        "decisions": decisions,
    }


def set_to(store: Store, dataset: Dataset, cursor: str, principal: str, why: str) -> dict[str, Any]:
    """Set a dataset's watermark, so that the next pull begins there less the lag window.

    Args:
        store: The open store.
        dataset: Whose.
        cursor: The cursor, as the source writes it (or in UTC as `show` tells it).
        principal: Who sets it, as signed in.
        why: In the person's words. It stands in the log, which nothing is ever taken out of: no name, no number.

    Returns:
        The log's entry: `action`, `before`, `after` and more.

    Raises:
        ConfigurationError: The cursor cannot be read, is beyond our clock, or the reason is missing or may name somebody.
    """
    cursors = cursors_of(dataset)
    with duckdb.connect() as engine:
        canonical = cursors.read(engine, cursor) or (MOMENTS.read(engine, cursor) if cursors.are_instants else None)
    if canonical is None:
        what = f"this is no cursor of the type {cursors.kind}"
        raise ConfigurationError(
            what, where=dataset.name, next_step="write it as the source does; see `motlan watermark show`."
        )
    if cursors.are_instants and canonical > latest(dataset):
        what = "this moment has not come yet: every row before it would be passed over"
        raise ConfigurationError(
            what, where=dataset.name, next_step="give a moment of the past, in UTC or with its zone."
        )
    return _decide(store, dataset, "set", Stored(canonical, written=cursor.strip()), principal, why)


def reset(store: Store, dataset: Dataset, principal: str, why: str) -> dict[str, Any]:
    """Forget a dataset's watermark: the next pull asks for everything, and lands what was not landed before.

    Returns:
        The log's entry: `action`, `before`, `after` and more; see `set_to` for the arguments.

    Raises:
        ConfigurationError: The reason is missing or may name somebody.
    """
    return _decide(store, dataset, "reset", None, principal, why)


def _decide(
    store: Store, dataset: Dataset, action: str, new: Stored | None, principal: str, why: str
) -> dict[str, Any]:
    if not why.strip():
        raise ConfigurationError("a watermark is moved for a reason", next_step="say why.")
    if _NUMBERS.search(why):
        what = "the reason stands in the log for ever, and has a number that may be somebody's"
        raise ConfigurationError(what, next_step="say why without it.")
    with store.publishing() as connection:
        before = read(connection, dataset.name)
        if new is None:
            connection.execute(sa.delete(tables.watermarks).where(tables.watermarks.c.dataset == dataset.name))
        else:
            keep(connection, dataset.name, replace(new, written=_form(connection, dataset.name) or new.written))
        body = {
            "dataset": dataset.name,
            "action": action,
            "before": before.cursor if before else None,
            "after": new.cursor if new else None,
            "principal": principal,
            "reason": why.strip(),
        }
        log.append(connection, KIND, body)
    return body


def _form(connection: sa.Connection, dataset: str) -> str:
    """Return a cursor as the source wrote it in its newest run that had one; empty where there was none."""
    table = tables.runs.c
    written = table.steps["land"]["written"].astext
    query = sa.select(written).where(table.kind == "sync", table.subject == dataset, written != "")
    return connection.execute(query.order_by(table.id.desc()).limit(1)).scalar_one_or_none() or ""
