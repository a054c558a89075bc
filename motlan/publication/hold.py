"""Publishing held back, by a person or after a restore, while landing goes on; each hold and its end have their reason.

A hold of `publish` lets nothing be published. A hold of an agency lets its registers be pulled, and keeps what was pulled since
out of reconcile runs.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from motlan.config.registry import Dataset, Registry
from motlan.errors import AccessError, ConfigurationError
from motlan.ledger import log, runs
from motlan.ledger.row_log import commit_rows
from motlan.store import Store, tables

PUBLISH = "publish"
"""The subject of a hold that lets nothing be published."""
RESTORE = "restore"
"""The principal of the hold that a restore begins; it alone ends it, when what was published last is reconciled."""
_KIND = "hold"


def check_subject(registry: Registry, subject: str) -> str:
    """Return a subject that can be held.

    Raises:
        ConfigurationError: It is neither `publish` nor an agency.
    """
    if subject != PUBLISH and subject not in registry.agencies:
        raise ConfigurationError(
            f"there is no {subject} that could be held",
            next_step=f"use {PUBLISH}, or an agency: {', '.join(registry.agencies)}.",
        )
    return subject


def require_free(store: Store, subject: str) -> None:
    """Let a subject be held.

    Raises:
        ConfigurationError: It is held already.
    """
    with store.engine.connect() as connection:
        if subject in in_force(connection):
            raise _held_already(subject)


def require_endable(store: Store, subject: str, principal: str) -> None:
    """Let a person end a hold.

    Raises:
        ConfigurationError: The subject is not held.
        AccessError: A restore placed the hold.
    """
    with store.engine.connect() as connection:
        found = in_force(connection).get(subject)
    if found is None:
        raise _not_held(subject)
    _require_of(found, principal)


def _require_of(held: dict[str, Any], principal: str) -> None:
    if held["principal"] == RESTORE != principal:
        raise AccessError(
            "a restore holds it until what was published last is reconciled", next_step="run `motlan restore confirm`."
        )


def _held_already(subject: str) -> ConfigurationError:
    return ConfigurationError(f"{subject} is held already", next_step="see `motlan hold list`.")


def _not_held(subject: str) -> ConfigurationError:
    return ConfigurationError(f"{subject} is not held", next_step="see `motlan hold list`.")


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
        if (number := added.scalar_one_or_none()) is None:
            raise _held_already(subject)
        log.append(connection, _KIND, {"subject": subject, "action": "held"} | commit_rows(connection, table, [number]))


def end(store: Store, subject: str, principal: str, why: str) -> None:
    """End a hold.

    Args:
        store: The open store.
        subject: `publish`, or an agency's name.
        principal: Who ends it.
        why: In the person's words.

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
            raise _not_held(subject)
        _require_of(held, principal)
        ended = list(connection.scalars(sa.update(table).where(*mine).values(**values).returning(table.c.id)))
        log.append(connection, _KIND, {"subject": subject, "action": "ended"} | commit_rows(connection, table, ended))


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


def listed(store: Store, *, ended: bool = False) -> list[dict[str, Any]]:
    """Return the holds in force, newest first: `subject`, `principal`, `reason`, `held_at`.

    Args:
        store: The open store.
        ended: Whether those that ended are listed too; each has `ended_at`, `ended_by` and `ended_reason`, null while in force.
    """
    table = tables.publication_holds.c
    names = ("subject", "principal", "reason", "held_at", "ended_at", "ended_by", "ended_reason")
    query = sa.select(*(table[name] for name in names)).order_by(table.id.desc())
    if not ended:
        query = query.where(table.ended_at.is_(None))
    with store.engine.connect() as connection:
        found = connection.execute(query).mappings().all()
    moments = ("held_at", "ended_at")
    return [{**row, **{name: row[name] and row[name].isoformat() for name in moments}} for row in found]


def readable_syncs(connection: sa.Connection, dataset: Dataset, read_before: Collection[str] = ()) -> list[str]:
    """Return the visible sync runs of a dataset that a reconcile run may read, oldest first.

    Args:
        connection: In the caller's transaction.
        dataset: The dataset.
        read_before: Runs that were read by the reconcile run before, which are read on whatever is held.

    Returns:
        All of them; while its agency is held, those that became visible before the hold.
    """
    seen = runs.visible(connection, "sync", dataset.name)
    if (held := in_force(connection).get(dataset.agency)) is None:
        return seen
    table = tables.runs.c
    late = sa.select(table.id).where(table.id.in_(seen), table.ended_at >= held["held_at"])
    left_out = set(connection.scalars(late)) - set(read_before)
    return [run for run in seen if run not in left_out]
