"""Accesses: who looked at what. Written before the answer is given, so that no look goes unwritten."""

from __future__ import annotations

import sqlalchemy as sa

from motlan.store import Store, tables


def record(store: Store, principal: str, action: str, subject: str) -> None:
    """Write down a look.

    Args:
        store: The open store.
        principal: The agency or person who looks, as signed in.
        action: What they do, such as `feed.read` or `lineage.read`.
        subject: The bus's own ids or a range of them; never an identifier or another personal value.
    """
    values = {"principal": principal, "action": action, "subject": subject}
    with store.engine.begin() as connection:
        # Nothing comes back: who adds here need not be able to read.
        connection.execute(sa.insert(tables.accesses).values(**values).inline())
