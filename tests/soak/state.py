"""What a bus holds, without what is random: ids of persons and runs, salts, digests under a bus's own key."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from motlan import sweep
from motlan.ingest.land import META
from motlan.lake.iceberg import read_parquet
from motlan.lake.tables import raw_table
from motlan.ledger import log, runs
from motlan.store import tables
from motlan.workspace import Workspace, open_workspace

GOLDEN = "select to_jsonb(g) - '{person_id,publication,digest}'::text[] from golden_person g"
FEED = "select publication, event, changed, to_jsonb(f) - '{person_id,seq,id,others,digest}'::text[] from feed_person f"
CORRECTIONS = "select dataset, key, field, value, golden_value, opened, refreshed from corrections_person"
QUARANTINE = "select dataset, source_key, state, rules, times_seen from quarantine_entries"
PUBLICATIONS = "select number, first_seq, changes, projected_at is not null from publications"


def state() -> dict[str, Any]:
    """Return what landed, what became of it, and what is left over."""
    work = open_workspace()
    with work.store.engine.connect() as connection:
        read = {
            name: sorted(repr(tuple(row)) for row in connection.exec_driver_sql(query))
            for name, query in (
                ("golden", GOLDEN),
                ("feed", FEED),
                ("corrections", CORRECTIONS),
                ("quarantine", QUARANTINE),
                ("publications", PUBLICATIONS),
            )
        }
        seqs = list(connection.scalars(sa.text("select seq from feed_person order by seq")))
        seen = {name: runs.visible(connection, "sync", name) for name in work.registry.datasets}
        states = dict(connection.execute(sa.select(tables.runs.c.id, tables.runs.c.state)).tuples().all())
        broken = log.first_broken(connection)
        logged = connection.scalars(sa.text("select kind from log_entries order by index")).all()
    return {
        **read,
        "landed": {name: _landed(work, name, seen[name]) for name in seen},
        "seqs": seqs,
        # A first model is released by the linking that learned it, whatever becomes of its run.
        "log": sorted(kind for kind in logged if kind != "link model"),
        "log_broken": broken,
        "states": sorted(set(states.values())),
        "left": _left(work, states),
    }


def _landed(work: Workspace, dataset: str, seen: list[str]) -> list[str]:
    files = work.lake.files(raw_table(dataset), seen)
    with work.engine("reading what landed") as engine:
        own = ", ".join(name for name in META if name not in ("_key", "_cursor"))
        return sorted(
            repr(row) for row in engine.execute(f"select * exclude ({own}) from {read_parquet(files)}").fetchall()
        )


def _left(work: Workspace, states: dict[str, str]) -> list[str]:
    """Return what lies in the scratch folder, half payloads, and files in the lake that nobody will ever read."""
    kept = {run for run, state in states.items() if state in (*runs.SEEN, *runs.WAITING, "unchanged")}
    found = [path for path in work.settings.scratch.glob("*") if path.name not in kept]
    found += work.settings.payloads.glob("process-*")
    found += [
        path
        for path in work.lake.root.glob("*/*/run=*")
        if path.name.removeprefix("run=") not in kept and path.parent.parent.name != sweep.FREQUENCIES
    ]
    return sorted(str(path.relative_to(work.settings.var)) for path in found)
