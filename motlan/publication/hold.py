"""Publishing held back, by a person or after a restore, while landing goes on; each hold and its end have their reason.

A hold of `publish` lets nothing be published. A hold of an agency lets its registers be pulled, and keeps what was pulled since
out of reconcile runs.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from motlan.errors import AccessError, ConfigurationError
from motlan.ledger import log
from motlan.store import Store, tables

PUBLISH = "publish"
"""The subject of a hold that lets nothing be published."""
RESTORE = "restore"
"""The principal of the hold that a restore begins; it alone ends it, when what was published last is reconciled."""
_KIND = "hold"


def begin(store: Store, subject: str, principal: str, why: str) -> None:
    """Hold a subject.

    Args:
        store: The open store.
        subject: `publish`, or an agency's name.
        principal: Who holds it.
        why: In the person's words.

    Raises:
        ConfigurationError: It is held already, or the reason is missing.
    """
    if not why.strip():
        raise ConfigurationError("a hold needs its reason", next_step="say why.")
    table = tables.publication_holds
    values = {"subject": subject, "principal": principal, "reason": why.strip()}
    with store.publishing() as connection:
        added = connection.execute(insert(table).values(**values).on_conflict_do_nothing().returning(table.c.id))
        if added.one_or_none() is None:
            raise ConfigurationError(f"{subject} is held already", next_step="see `motlan hold list`.")
        log.append(connection, _KIND, {"subject": subject, "action": "held"})


def end(store: Store, subject: str, principal: str, why: str) -> None:
    """End a hold.

    Raises:
        ConfigurationError: The subject is not held, or the reason is missing.
        AccessError: A restore holds it.
    """
    if not why.strip():
        raise ConfigurationError("the end of a hold needs its reason", next_step="say why.")
    table = tables.publication_holds
    values = {"ended_at": sa.func.now(), "ended_by": principal, "ended_reason": why.strip()}
    mine = (table.c.subject == subject, table.c.ended_at.is_(None))
    with store.publishing() as connection:
        held = in_force(connection).get(subject)
        if held is None:
            raise ConfigurationError(f"{subject} is not held", next_step="see `motlan hold list`.")
        if held["principal"] == RESTORE != principal:
            raise AccessError(
                "a restore holds it until what was published last is reconciled",
                next_step="run `motlan restore confirm`.",
            )
        connection.execute(sa.update(table).where(*mine).values(**values))
        log.append(connection, _KIND, {"subject": subject, "action": "ended"})


def in_force(connection: sa.Connection) -> dict[str, dict[str, Any]]:
    """Return what is held: subject -> `principal`, `reason`, `held_at` (a moment in UTC)."""
    table = tables.publication_holds.c
    query = sa.select(table.subject, table.principal, table.reason, table.held_at).where(table.ended_at.is_(None))
    found = connection.execute(query.order_by(table.id)).mappings()
    return {row["subject"]: {name: row[name] for name in ("principal", "reason", "held_at")} for row in found}


def require_none(connection: sa.Connection) -> None:
    """Let something be published, in the publisher's transaction.

    Raises:
        AccessError: Publishing is held.
    """
    if found := in_force(connection).get(PUBLISH):
        raise AccessError(
            f"publishing is held since {found['held_at']:%Y-%m-%d %H:%M UTC} by {found['principal']}",
            next_step="run `motlan restore confirm`: it reconciles with what was published last."
            if found["principal"] == RESTORE
            else "see `motlan hold list`; `motlan release publish` lets it go on.",
        )
