"""Where things stand: each dataset's newest run and watermark, how old its data are, what waits, and the newest publication."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from motlan.ingest.timeliness import timeliness
from motlan.ledger import runs as ledger
from motlan.ledger.results import Cleaned, Landed
from motlan.ledger.runs import abandoned
from motlan.linking import stored_models as decisions
from motlan.operations.backlog import backlog
from motlan.operations.schedules import next_runs
from motlan.publication import approval, hold
from motlan.quality import run_guard, scores
from motlan.stewardship import overrides
from motlan.store import tables
from motlan.workspace import Workspace


def status(work: Workspace) -> dict[str, Any]:
    """Return where an installation stands.

    Returns:
        `datasets` (name -> state, counts, watermark), `reconcile` (linked entity -> its newest run: state, error), `retries`
        (runs that are tried again after an error: kind, subject, run, error), `publication`, `corrections` (dataset -> how
        many are open), `waiting` (runs that people must release), `contradictions` (decisions about pairs that linking could
        not heed), `values_said_again` (values set aside that their source sent once more after a pause), `quality`, `log`
        (entries, tree head), `freshness` (see `motlan.ingest.timeliness`), `backlog` (see `motlan.operations.backlog`),
        `failed` (the newest runs of their subjects that failed or were abandoned: kind, subject, run, state, error), `next_runs`
        (dataset -> moment) and `holds`.
    """
    runs, publications = tables.runs.c, tables.publications.c
    pulled = sa.func.coalesce(~runs.steps["land"].has_key("replayed"), sa.true())  # a replay pulled nothing
    given_up = abandoned(work.store)
    newest = sa.select(sa.func.max(runs.id)).where(pulled).group_by(runs.kind, runs.subject)
    with work.store.engine.connect() as connection:
        last = {
            (row["kind"], row["subject"]): row
            for row in connection.execute(sa.select(tables.runs).where(runs.id.in_(newest))).mappings()
        }
        marks = {row["dataset"]: row for row in connection.execute(sa.select(tables.watermarks)).mappings()}
        published = (
            connection.execute(sa.select(tables.publications).order_by(publications.number.desc()).limit(1))
            .mappings()
            .one_or_none()
        )
        retries = connection.execute(
            sa.select(runs.kind, runs.subject, runs.id.label("run"), runs.error)
            .where(runs.state == "running", runs.error.is_not(None))
            .order_by(runs.id)
        ).mappings()
        trying = [dict(row) for row in retries if row["run"] not in given_up]
        reopened = (decisions.reopened(entity).subquery() for entity in work.registry.entities)
        counts = [connection.execute(sa.select(sa.func.count()).select_from(again)).scalar_one() for again in reopened]
        entry = (
            connection.execute(sa.select(tables.log_entries).order_by(tables.log_entries.c.index.desc()).limit(1))
            .mappings()
            .one_or_none()
        )
    waits = backlog(work)
    return {
        "datasets": {
            name: _dataset(last.get(("sync", name)), marks.get(name), given_up) for name in work.registry.datasets
        },
        "reconcile": {
            entity: _reconcile(last.get(("reconcile", entity)), given_up) for entity in work.registry.entities
        },
        "retries": trying,
        "corrections": waits["corrections"],
        "publication": {
            "number": published["number"],
            "run": published["run"],
            "last_seq": published["first_seq"] + published["changes"] - 1,
            "recorded_at": published["recorded_at"].isoformat(),
            "projected": published["projected_at"] is not None,
        }
        if published
        else None,
        "waiting": [
            row["run"] for row in approval.listed(work.store) if row["state"] == "waiting" and not row["stale"]
        ],
        "contradictions": sum(counts),
        "values_said_again": sum(overrides.heard_again(work, entity) for entity in work.registry.entities),
        "quality": scores.by_agency(work.store, work.registry),
        "log": {"entries": entry["index"] + 1, "tree_head": bytes(entry["root_hash"]).hex()} if entry else None,
        "freshness": timeliness(work),
        "backlog": waits,
        "failed": [_failed(run, given_up) for run in last.values() if _state(run, given_up)["state"] in ledger.STOPPED],
        "next_runs": next_runs(work.registry),
        "holds": hold.listed(work.store),
    }


def _failed(run: sa.RowMapping, given_up: dict[str, str]) -> dict[str, Any]:
    return {"kind": run["kind"], "subject": run["subject"], "run": run["id"], **_state(run, given_up)}


def _reconcile(run: sa.RowMapping | None, given_up: dict[str, str]) -> dict[str, Any]:
    if run is None:
        return {"state": "never run"}
    return {
        **_state(run, given_up),
        "run": run["id"],
        "started_at": run["started_at"].isoformat(),
    }


def _state(run: sa.RowMapping, given_up: dict[str, str]) -> dict[str, Any]:
    reason = given_up.get(run["id"])
    if reason:
        return {"state": "abandoned", "error": f"abandoned: {reason}"}
    return {"state": run["state"], "error": run["error"]}


def _dataset(run: sa.RowMapping | None, mark: sa.RowMapping | None, given_up: dict[str, str]) -> dict[str, Any]:
    if run is None:
        return {"state": "never run"}
    found = ledger.Run(run["id"], run["kind"], run["subject"], run["state"], run["steps"])
    landed, cleaned = found.find_result(Landed), found.find_result(Cleaned)
    return {
        **_state(run, given_up),
        "run": found.id,
        "started_at": run["started_at"].isoformat(),
        "pulled": landed and landed.pulled,
        "landed": landed and landed.landed,
        "source_total": landed and landed.source_total,
        "accepted": cleaned and cleaned.accepted,
        "quarantined": cleaned and cleaned.quarantined,
        "drift": landed and landed.drift,
        "cursors": landed and landed.cursors,
        "breaker": found.steps.get(run_guard.STEP),
        "watermark": mark["cursor"] if mark else None,
    }
