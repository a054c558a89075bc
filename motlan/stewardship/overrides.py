"""What people decide about single values: that a record's word on a field is not to be believed, or that it is again.

A wrong death is undone so: the date is set aside, the next reconcile takes it out of the golden record in one change, and
what it closed or opened is open or closed again, because findings and corrections follow from the golden record.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from motlan.errors import ConfigurationError, DataError
from motlan.expressions import literal, quote
from motlan.lake.tables import golden_table
from motlan.ledger import accesses, log
from motlan.ledger.results import Merged
from motlan.ledger.row_log import commit_rows
from motlan.merge import value_overrides
from motlan.merge.provenance import pointer
from motlan.store import tables
from motlan.workspace import Workspace

SAID_AGAIN = "said again"
"""State of a decision whose value the source sent once more after a pause."""


def exclude(work: Workspace, entity: str, person: str, field: str, principal: str, why: str) -> int:
    """Set aside the record's value that a golden field was taken from. The next reconcile goes without it.

    Args:
        work: The open installation.
        entity: The entity's name.
        person: The bus's own person id.
        field: The golden field.
        principal: Who decides, as signed in.
        why: In the person's words.

    Returns:
        The decision's number.

    Raises:
        ConfigurationError: There is no such field, or the reason is missing.
        DataError: The golden record has no value there.
    """
    return exclude_value(work, find_value(work, entity, person, field, principal), principal, why)


def find_value(work: Workspace, entity: str, person: str, field: str, principal: str) -> dict[str, Any]:
    """Find the record's value that a golden field was taken from, for `exclude_value`. The look is written into the ledger.

    Raises:
        ConfigurationError: There is no such field.
        DataError: The golden record has no value there.
    """
    if field not in work.registry.entity(entity).fields:
        raise ConfigurationError(f"{entity} has no field {field}", next_step="see schemas/.")
    accesses.record(work.store, principal, "golden.exclude", f"{entity} {person} {field}")
    dataset, key, ref, value = _source(work, entity, person, field)
    found = {"entity": entity, "dataset": dataset, "key": key, "field": field, "ref": ref}
    return {**found, "digest": value_overrides.digest(work.store, value)}


def exclude_value(work: Workspace, found: dict[str, Any], principal: str, why: str) -> int:
    """Set aside a value that `find_value` found. Returns the decision's number.

    Raises:
        ConfigurationError: The reason is missing.
    """
    return _decide(work, found, value_overrides.EXCLUDE, principal, why)


def reinstate(work: Workspace, decision: int, principal: str, why: str) -> int:
    """Take back a decision that set a value aside. Returns the new decision's number.

    Raises:
        DataError: There is no such decision, or it was taken back before.
    """
    return _decide(work, find_decision(work, decision), value_overrides.REINSTATE, principal, why)


def find_decision(work: Workspace, decision: int) -> dict[str, Any]:
    """Find what a decision that holds is about.

    Raises:
        DataError: There is no such decision, or it was taken back before.
    """
    table = tables.value_decisions.c
    with work.store.engine.connect() as connection:
        found = (
            connection.execute(sa.select(tables.value_decisions).where(table.id == decision)).mappings().one_or_none()
        )
    if found is None or decision not in {row["decision"] for row in listed(work, found["entity"])}:
        raise DataError("no such decision holds", next_step="see `motlan golden decisions`.")
    return {name: found[name] for name in ("entity", "dataset", "key", "field", "ref", "digest")}


def listed(work: Workspace, entity: str) -> list[dict[str, Any]]:
    """Return the decisions that nobody took back, oldest first.

    Each has `decision`, `dataset`, `key`, `field`, `principal`, `reason`, `at`, and its `state` at the newest merge: `holds`;
    `lapsed`, because the source said something else since; `said again`, because it said the value once more after that: it is
    believed, and people are asked to look at it again.
    """
    newest = value_overrides.newest_of_each(entity).subquery()
    query = sa.select(newest).where(newest.c.action == value_overrides.EXCLUDE).order_by(newest.c.id)
    kept = ("dataset", "key", "field", "principal", "reason")
    with work.store.engine.connect() as connection:
        states = _states(connection, entity)
        return [
            {
                "decision": row["id"],
                **{name: row[name] for name in kept},
                "at": row["recorded_at"].isoformat(),
                "state": states.get(row["id"], "holds"),
            }
            for row in connection.execute(query).mappings()
        ]


def _states(connection: sa.Connection, entity: str) -> dict[int, str]:
    """Return which decisions the newest merge found not to hold any more, and why."""
    run = tables.runs.c
    query = sa.select(run.steps["merge"]).where(
        run.kind == "reconcile", run.subject == entity, run.steps.has_key("merge")
    )
    found = connection.execute(query.order_by(run.id.desc()).limit(1)).scalar_one_or_none()
    if found is None:
        return {}
    merged = Merged.read(found)
    return dict.fromkeys(merged.lapsed, "lapsed") | dict.fromkeys(merged.heard_again, SAID_AGAIN)


def heard_again(work: Workspace, entity: str) -> int:
    """Return how many values that were set aside are believed again, because their source sent them once more after a pause."""
    return sum(row["state"] == SAID_AGAIN for row in listed(work, entity))


def _source(work: Workspace, entity: str, person: str, field: str) -> tuple[str, str, str, str]:
    """Return the register, key, landed row and value of a published golden field."""
    golden = work.published_rows(entity, golden_table(entity))
    found: list[Any] = []
    if golden:
        with work.engine(f"looking at a {entity}") as engine:
            found = engine.execute(
                f"""select p.dataset, p.key, p.ref, value from (
                        select {pointer(literal(field))} as p, {quote(field)} as value from {golden}
                        where entity_id = $person) where p is not null""",
                {"person": person},
            ).fetchall()
    if not found:
        raise DataError(f"there is no golden {field} of this {entity}", next_step="check the person id and the field.")
    return tuple(found[0])


def _decide(work: Workspace, about: dict[str, Any], action: str, principal: str, why: str) -> int:
    if not why.strip():
        raise ConfigurationError("a decision needs its reason", next_step="say why.")
    table = tables.value_decisions
    values = {**about, "action": action, "principal": principal, "reason": why.strip()}
    with work.store.publishing() as connection:
        number = int(connection.execute(sa.insert(table).values(**values).returning(table.c.id)).scalar_one())
        named = {"decision": number, "action": action, "entity": about["entity"], "field": about["field"]}
        log.append(connection, "value decision", named | commit_rows(connection, table, [number]))
    return number
