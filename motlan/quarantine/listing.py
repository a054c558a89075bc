"""What is in quarantine: counts and lists without a value of any person, and one entry in full for who may look."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from motlan.ledger import versions
from motlan.quality.deadlines import held_until
from motlan.quality.exceptions import DRIFT
from motlan.quarantine.decisions import look
from motlan.store import tables
from motlan.workspace import Workspace

_LISTED = ("id", "dataset", "source_key", "state", "rules", "times_seen", "first_seen", "last_seen", "ref", "locator")


@dataclass(frozen=True)
class Wanted:
    """Which entries; None and empty mean all."""

    dataset: str | None = None
    rule: str | None = None
    state: str | None = None

    def conditions(self) -> list[sa.ColumnElement[bool]]:
        """Return the conditions on the table of entries."""
        table = tables.quarantine_entries.c
        return [
            *([table.dataset == self.dataset] if self.dataset else []),
            *([table.rules.contains([self.rule])] if self.rule else []),
            *([table.state == self.state] if self.state else []),
        ]


def counts(work: Workspace, wanted: Wanted) -> list[dict[str, Any]]:
    """Count entries by `dataset`, `rule` and `state`: `entries` and `times_seen`. One that broke two rules counts twice."""
    table = tables.quarantine_entries.c
    rule = sa.func.unnest(table.rules).label("rule")
    each = sa.select(table.dataset, rule, table.state, table.times_seen).where(*wanted.conditions()).subquery().c
    by = (each.dataset, each.rule, each.state)
    query = sa.select(*by, sa.func.count().label("entries"), sa.func.sum(each.times_seen).label("times_seen"))
    if wanted.rule:
        query = query.where(each.rule == wanted.rule)
    with work.store.engine.connect() as connection:
        found = connection.execute(query.group_by(*by).order_by(*by)).mappings().all()
    return [{**row, "times_seen": int(row["times_seen"])} for row in found]


def listed(work: Workspace, wanted: Wanted, limit: int) -> list[dict[str, Any]]:
    """Return entries, those seen last first: ids, keys, rules, places, times, due date and whether it has passed."""
    table = tables.quarantine_entries.c
    query = sa.select(*(table[name] for name in _LISTED)).where(*wanted.conditions())
    query = query.order_by(table.last_seen.desc(), table.id).limit(limit)
    with work.store.engine.connect() as connection:
        return [{**_told(row), **_due(work, row)} for row in connection.execute(query).mappings()]


def _due(work: Workspace, entry: sa.RowMapping) -> dict[str, Any]:
    last = held_until(work.registry.scoring.due_days, entry["first_seen"])
    passed = entry["state"] != "closed" and datetime.now(UTC).date() > last
    return {"due_date": last.isoformat(), "overdue": passed}


def show(work: Workspace, entry: str, principal: str) -> dict[str, Any]:
    """Return one entry in full: its raw row, reasons in both languages, and decisions. The look is written down first."""
    found, raw = look(work, entry, principal, "quarantine.read")
    table = tables.quarantine_decisions
    names = ("principal", "action", "reason", "payload", "recorded_at")
    query = sa.select(*(table.c[name] for name in names)).where(table.c.entry == found["id"]).order_by(table.c.id)
    with work.store.engine.connect() as connection:
        decisions = [_told(row) for row in connection.execute(query).mappings()]
    return {
        **_told({name: value for name, value in found.items() if name not in ("rules", "fingerprints")}),
        "reasons": reasons(work, dict(zip(found["rules"], found["fingerprints"], strict=True))),
        "decisions": decisions,
        "raw": raw,
    }


def reasons(work: Workspace, fingerprints: dict[str, str]) -> list[dict[str, Any]]:
    """Return what broken rules say: `rule`, `fingerprint`, `field`, `dimension`, `vi`, `en`, as they read then."""
    found = []
    for rule, fingerprint in fingerprints.items():
        body = versions.read(work.store, fingerprint)[2]
        kept = {key: body[key] for key in ("field", "dimension", "expression")}
        said = work.registry.worded(DRIFT).message.model_dump() if rule == DRIFT.name else body["message"]
        found.append({"rule": rule, "fingerprint": fingerprint, **kept, **said})
    return found


def _told(row: Any) -> dict[str, Any]:
    return {key: value.isoformat() if hasattr(value, "isoformat") else value for key, value in row.items()}
