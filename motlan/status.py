"""Where things stand: each dataset's newest run and watermark, and the newest publication."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from motlan.golden import release
from motlan.quality import breaker, score
from motlan.store import tables
from motlan.workspace import Workspace


def status(work: Workspace) -> dict[str, Any]:
    """Return `datasets` (name -> state, counts, watermark), `publication`, `waiting` (runs that people must release),
    `quality` and `log` (entries, tree head).
    """
    runs, publications = tables.runs.c, tables.publications.c
    pulled = sa.func.coalesce(~runs.steps["land"].has_key("replayed"), sa.true())  # a replay pulled nothing
    newest = sa.select(sa.func.max(runs.id)).where(pulled).group_by(runs.subject)
    with work.store.engine.connect() as connection:
        last = {
            row["subject"]: row
            for row in connection.execute(sa.select(tables.runs).where(runs.id.in_(newest))).mappings()
        }
        marks = {row["dataset"]: row for row in connection.execute(sa.select(tables.watermarks)).mappings()}
        published = (
            connection.execute(sa.select(tables.publications).order_by(publications.number.desc()).limit(1))
            .mappings()
            .one_or_none()
        )
        entry = (
            connection.execute(sa.select(tables.log_entries).order_by(tables.log_entries.c.index.desc()).limit(1))
            .mappings()
            .one_or_none()
        )
    return {
        "datasets": {name: _dataset(last.get(name), marks.get(name)) for name in work.registry.datasets},
        "publication": {
            "number": published["number"],
            "run": published["run"],
            "last_seq": published["first_seq"] + published["changes"] - 1,
            "recorded_at": published["recorded_at"].isoformat(),
            "projected": published["projected_at"] is not None,
        }
        if published
        else None,
        "waiting": [row["run"] for row in release.listed(work.store) if row["state"] == "waiting"],
        "quality": score.by_agency(work.store, work.registry),
        "log": {"entries": entry["index"] + 1, "tree_head": bytes(entry["root_hash"]).hex()} if entry else None,
    }


def _dataset(run: sa.RowMapping | None, mark: sa.RowMapping | None) -> dict[str, Any]:
    if run is None:
        return {"state": "never run"}
    landed, cleaned = run["steps"].get("land", {}), run["steps"].get("clean", {})
    return {
        "state": run["state"],
        "run": run["id"],
        "started_at": run["started_at"].isoformat(),
        "error": run["error"],
        "pulled": landed.get("pulled"),
        "landed": landed.get("landed"),
        "source_total": landed.get("source_total"),
        "accepted": cleaned.get("accepted"),
        "quarantined": cleaned.get("quarantined"),
        "drift": landed.get("drift"),
        "cursors": landed.get("cursors"),
        "breaker": run["steps"].get(breaker.STEP),
        "watermark": mark["cursor"] if mark else None,
    }
