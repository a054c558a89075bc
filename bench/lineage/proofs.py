"""Two parts of the lineage benchmark: whether silent changes are found, and whether appending to the log grows with the log."""

from __future__ import annotations

import io
import os
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import psycopg
import sqlalchemy as sa

from bench.lineage import tampers
from bench.lineage.parts import Measured, Prepared, count_persons
from motlan.ledger import log, merkle
from motlan.settings import Settings
from motlan.store import Store, server
from motlan.store.session import migrate, sqlalchemy_url
from motlan.workspace import Workspace, open_workspace

FEW, MANY = 1_000, 1_000_000
"""Entries of the log between which appending is compared."""
APPENDS = 300
"""Entries that are appended at each size; medians are told."""
MOST = 5_000
"""Persons of a country whose every byte is checked once a change: where there are more, a smaller one is made for it."""


def measure_tampers(prepared: Prepared) -> Measured:
    """Change everything that is stored, one thing after the other; count what the check missed, and what it told of falsely."""
    with _small(prepared) as work:
        settings = replace(work.settings, database_url=None)
        admin = server.admin_url(settings).replace("/postgres?", f"/{server.OWNER}?")
        found = tampers.try_all(work, admin, prepared.tell)
    figures: dict[str, float | int | None] = {
        "tampers_tried": found.tried,
        "tampers_missed": len(found.missed),
        "false_alarms": len(found.alarms),
    }
    return Measured(figures, {"missed": found.missed, "alarms": found.alarms} if found.missed or found.alarms else {})


@contextmanager
def _small(prepared: Prepared) -> Iterator[Workspace]:
    """Give the installation, or a smaller one of its own where it is large."""
    from bench.lineage import installed

    if (count_persons(prepared).figures["persons"] or 0) <= MOST:
        yield prepared.work
        return
    folder = prepared.work.settings.var.parent / "small"
    folder.mkdir(exist_ok=True)
    with patch.dict(os.environ), installed(folder, MOST // 2, prepared.seed, "default", prepared.tell):
        yield open_workspace()


def measure_append(prepared: Prepared, few: int = FEW, many: int = MANY) -> Measured:
    """Append to a log of few and of many entries; compare the seconds of the one and the other."""
    store = _empty_log(replace(prepared.work.settings, database_url=None))
    seconds = {}
    try:
        for size in (few, many):
            prepared.tell(f"filling the log to {size:,}", 0, 0)
            _fill(store, size)
            seconds[size] = _append(store)
    finally:
        store.engine.dispose()
    figures = {"append_few_s": seconds[few], "append_many_s": seconds[many]}
    return Measured({**figures, "append_growth": seconds[many] / seconds[few]}, {})


def _empty_log(settings: Settings) -> Store:
    url = server.start_with_database(settings, f"log_{time.time_ns()}")
    store = Store(sa.create_engine(sqlalchemy_url(url), hide_parameters=True), url)
    migrate(store.engine)
    return store


def _append(store: Store) -> float:
    """Return the median of the seconds that appending an entry takes, its transaction included."""
    taken = []
    for number in range(APPENDS):
        began = time.perf_counter()
        with store.engine.begin() as connection:
            log.append(connection, "bench", {"number": number})
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def _fill(store: Store, size: int) -> None:
    """Let the log have so many entries, their tree whole."""
    with store.engine.connect() as connection:
        first = log.size_of(connection)
        tree = log.tree_before(connection, first)
    entries, nodes = io.StringIO(), io.StringIO()
    for index in range(first, size):
        leaf = merkle.hash_leaf(index.to_bytes(8, "big"))
        for level, node in enumerate(tree.append(leaf), 1):
            nodes.write(f"{level}\t{index >> level}\t\\\\x{node.hex()}\n")
        entries.write(f"{index}\tbench\t{{}}\t\\\\x{leaf.hex()}\t\\\\x{leaf.hex()}\t2026-01-01T00:00:00Z\n")
    opened: Any = psycopg.connect(store.url)
    with opened as connection, connection.cursor() as cursor:
        columns = '("index", kind, body, leaf_hash, root_hash, recorded_at)'
        for target, text in ((f"log_entries {columns}", entries), ('log_nodes (level, "index", hash)', nodes)):
            with cursor.copy(f"copy {target} from stdin") as copy:
                copy.write(text.getvalue())
        cursor.execute("analyze log_entries, log_nodes")
