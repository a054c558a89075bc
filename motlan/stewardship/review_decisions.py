"""What reviewers decide about their pairs: that both records are of one person, that they are not, or that nobody can tell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, cast

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from motlan.errors import ConfigurationError, DataError
from motlan.ledger import log
from motlan.ledger.row_log import commit_rows
from motlan.linking import stored_models as decisions
from motlan.stewardship import review_queue
from motlan.store import tables
from motlan.store.tables import PAIR
from motlan.workspace import Workspace

Verdict = Literal["same", "different", "unknown"]


class Said(BaseModel):
    """One verdict, as a line of an imported file holds it beside what was exported."""

    model_config = ConfigDict(extra="ignore")

    assignment: int = Field(le=2**63 - 1)
    verdict: Verdict | None = None
    reason: str | None = Field(default=None)


def decide(work: Workspace, principal: str, said: Sequence[Said]) -> list[int]:
    """Keep verdicts, all or none; the next reconcile heeds those that hold. Return the decisions' numbers.

    Args:
        work: The open installation.
        principal: The reviewer, as signed in.
        said: The verdicts; one without a verdict is passed over.

    Raises:
        AccessError: A pair is assigned to somebody else.
        ConfigurationError: A reason is missing.
        DataError: There is no such assignment, or it is decided.
    """
    with work.store.publishing() as connection:
        kept = {_keep(connection, principal, one): one.verdict for one in said if one.verdict}
        if kept:
            body = {"decisions": [list(pair) for pair in kept.items()]}
            log.append(connection, "link decision", body | commit_rows(connection, tables.link_decisions, kept))
    return list(kept)


def require_decidable(work: Workspace, assignment: int, principal: str) -> None:
    """Let a reviewer be asked for a reason: the pair is theirs, and not decided, or to be decided anew.

    Raises:
        AccessError: The pair is assigned to somebody else.
        DataError: There is no such assignment, or it is decided.
    """
    with work.store.engine.connect() as connection:
        found = review_queue.find(connection, assignment, principal)
        _require_undecided(_standing(connection, found["entity"], assignment), assignment)


def require_in_force(work: Workspace, decision: int) -> None:
    """Let a reviewer be asked why a decision is taken back: it holds.

    Raises:
        DataError: No such decision holds.
    """
    table = tables.link_decisions.c
    query = sa.select(table.id).where(table.id == decision, table.withdrawn_at.is_(None))
    with work.store.engine.connect() as connection:
        if connection.execute(query).one_or_none() is None:
            raise _no_decision()


def _no_decision() -> DataError:
    return DataError("no such decision holds", next_step="see `motlan review decisions`.")


def _keep(connection: sa.Connection, principal: str, said: Said) -> int:
    found = review_queue.find(connection, said.assignment, principal)
    reason = (said.reason or "").strip()
    if not reason:
        raise ConfigurationError(
            "a decision needs its reason", where=f"assignment {said.assignment}", next_step="say why."
        )
    table = tables.link_decisions
    before = _make_room(connection, found["entity"], principal, said.assignment)
    seen = (found["left_ref"], found["right_ref"])
    values = {name: found[name] for name in ("entity", *PAIR, "match_weight", "probability")}
    # Decided anew, and not shown since: about the records as they are now, which the next linking finds.
    values |= dict(zip(("left_ref", "right_ref"), (None, None) if seen == before else seen, strict=True))
    values |= {"verdict": said.verdict, "principal": principal, "reason": reason, "assignment": said.assignment}
    return int(connection.execute(sa.insert(table).values(**values).returning(table.c.id)).scalar_one())


def _make_room(
    connection: sa.Connection, entity: str, principal: str, assignment: int
) -> tuple[str | None, str | None] | None:
    """Let a new decision take the place of one that could not be heeded, and return the rows that it was made on; None of none.

    Raises:
        DataError: The pair is decided, and the decision holds.
    """
    table, found = tables.link_decisions, _standing(connection, entity, assignment)
    _require_undecided(found, assignment)
    if found is None:
        return None
    values = {
        "withdrawn_at": sa.func.now(),
        "withdrawn_by": principal,
        "withdrawn_reason": f"decided anew: {found.reason}",
    }
    connection.execute(sa.update(table).where(table.c.id == found.id).values(**values))
    bound = commit_rows(connection, table, [found.id])
    log.append(connection, "link decision", {"decisions": [[found.id, "withdrawn"]]} | bound)
    return found.left_ref, found.right_ref


def _standing(connection: sa.Connection, entity: str, assignment: int) -> Any:
    """Return the decision in force about an assignment, with the `reason` why it is to be made anew, None where it holds."""
    table, again = tables.link_decisions, decisions.reopened(entity).subquery("again")
    standing = sa.select(table.c.id, table.c.left_ref, table.c.right_ref, again.c.reason).join_from(
        table, again, again.c.decision == table.c.id, isouter=True
    )
    mine = (table.c.assignment == assignment, table.c.withdrawn_at.is_(None))
    return connection.execute(standing.where(*mine)).one_or_none()


def _require_undecided(found: Any, assignment: int) -> None:
    if found is not None and found.reason is None:
        raise DataError(
            f"assignment {assignment} is decided",
            next_step=f"withdraw it first: `motlan review withdraw {found.id}`.",
        )


def parsed(lines: Sequence[str]) -> list[Said]:
    """Read verdicts from NDJSON, as exported and filled in.

    Raises:
        ConfigurationError: A line is not one; its number is told, never its content.
    """
    found = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            found.append(Said.model_validate_json(line))
        except ValidationError:
            raise ConfigurationError(
                "not an exported pair with its verdict",
                where=f"line {number}",
                next_step='each line needs {"assignment": 1, "verdict": "same", "reason": "..."}: docs/explanation/review.md',
            ) from None
    return found


def withdraw(work: Workspace, decision: int, principal: str, why: str) -> None:
    """Take a decision back: the pair may be decided anew, and the next reconcile goes without it.

    Raises:
        ConfigurationError: The reason is missing.
        DataError: No such decision holds.
    """
    if not why.strip():
        raise ConfigurationError("a decision needs its reason", next_step="say why.")
    table = tables.link_decisions
    values = {"withdrawn_at": sa.func.now(), "withdrawn_by": principal, "withdrawn_reason": why.strip()}
    mine = (table.c.id == decision, table.c.withdrawn_at.is_(None))
    with work.store.publishing() as connection:
        if not connection.execute(sa.update(table).where(*mine).values(**values)).rowcount:
            raise _no_decision()
        bound = commit_rows(connection, table, [decision])
        log.append(connection, "link decision", {"decisions": [[decision, "withdrawn"]]} | bound)


def listed(work: Workspace, entity: str, principal: str) -> list[dict[str, Any]]:
    """Return a reviewer's own decisions, newest first: `decision`, the pair, `verdict`, `reason`, when made and withdrawn."""
    table = tables.link_decisions
    query = sa.select(table).where(table.c.entity == entity, table.c.principal == principal).order_by(table.c.id.desc())
    with work.store.engine.connect() as connection:
        return [
            {
                "decision": row["id"],
                **{
                    name: row[name]
                    for name in (*PAIR, "assignment", "verdict", "reason", "withdrawn_by", "withdrawn_reason")
                },
                **{name: row[name] and row[name].isoformat() for name in ("recorded_at", "withdrawn_at")},
            }
            for row in connection.execute(query).mappings()
        ]


def verdict(text: str) -> Verdict:
    """Check a verdict that a person typed.

    Raises:
        ConfigurationError: It is none.
    """
    if text not in ("same", "different", "unknown"):
        raise ConfigurationError("not a verdict", next_step="say same, different or unknown.")
    return cast("Verdict", text)
