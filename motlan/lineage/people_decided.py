"""What people decided about a value's record: mended rows, rows that were let pass, values set aside; who, when and why."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from motlan.errors import ContractError
from motlan.ingest import payloads
from motlan.lineage.read_again import FIX
from motlan.merge.value_overrides import EXCLUDE, digest
from motlan.store import tables
from motlan.workspace import Workspace

Tree = dict[str, Any]


def describe_mend(work: Workspace, locator: str, payload: str) -> Tree | None:
    """Describe how people mended a landed row; None of one that stands as it came.

    Returns:
        `entry` of the quarantine; `decisions`: `who`, `why`, `at` of each; `before` and `after` (column -> value) of what was
        mended.
    """
    if not locator.startswith(FIX):
        return None
    entry = locator.removeprefix(FIX)
    try:
        document = json.loads(payloads.read(work.settings.payloads, payload))
    except (ContractError, ValueError):
        document = {}  # that it is damaged, the verdict tells
    before, after = document.get("before") or {}, document.get("after") or {}
    changed = sorted(name for name in after if before.get(name) != after[name])
    table = tables.quarantine_decisions.c
    return {
        "entry": entry,
        "decisions": _decisions(work, table.entry == entry),
        "before": {name: before.get(name) for name in changed},
        "after": {name: after[name] for name in changed},
    }


def describe_waiver(work: Workspace, dataset: str, key: str, moment: datetime | None) -> list[Tree]:
    """Return who let rows of a record pass though blocking rules held them: `who`, `why`, `at`."""
    entry, decision = tables.quarantine_entries.c, tables.quarantine_decisions.c
    mine = sa.select(entry.id).where(entry.dataset == dataset, entry.source_key == key)
    wanted = [decision.entry.in_(mine), decision.action == "waive"]
    return _decisions(work, *wanted, *([decision.recorded_at <= moment] if moment else []))


def _decisions(work: Workspace, *where: sa.ColumnElement[bool]) -> list[Tree]:
    table = tables.quarantine_decisions.c
    query = sa.select(table.principal, table.reason, table.recorded_at).where(*where).order_by(table.id)
    with work.store.engine.connect() as connection:
        return [{"who": who, "why": why, "at": at.isoformat()} for who, why, at in connection.execute(query)]


def describe_override(work: Workspace, entity: str, dataset: str, key: str, field: str, value: str) -> Tree | None:
    """Describe who set a value aside: `decision` (its number), `who`, `why`, `at`; None where nobody did."""
    table = tables.value_decisions.c
    mine = (table.entity == entity, table.dataset == dataset, table.key == key, table.field == field)
    query = sa.select(tables.value_decisions).where(*mine, table.digest == digest(work.store, value))
    with work.store.engine.connect() as connection:
        found = connection.execute(query.where(table.action == EXCLUDE).order_by(table.id.desc()).limit(1)).mappings()
        row = found.one_or_none()
    if row is None:
        return None
    return {"decision": row["id"], "who": row["principal"], "why": row["reason"], "at": row["recorded_at"].isoformat()}
