"""Whether an installation can serve: the store answers, has the tables of this version, and shows what was published."""

from __future__ import annotations

from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from motlan.errors import MotlanError
from motlan.store import Store, tables
from motlan.store.session import newest_migration

CHECKS = ("store", "migrations", "projection")
GRACE_S = 900.0
"""Seconds that loading a publication into the tables that are read may take until it counts as failed."""


def check(store: Store) -> dict[str, bool]:
    """Return what has to hold, each with whether it does.

    Returns:
        `store` (PostgreSQL answers), `migrations` (its tables are of this version) and `projection` (no publication of more than
        15 minutes ago waits to be loaded). What cannot be asked does not hold.
    """
    found = dict.fromkeys(CHECKS, False)
    try:
        with store.engine.connect() as connection:
            found["store"] = bool(connection.execute(sa.text("select true")).scalar_one())
            found["migrations"] = _migrated(connection)
            found["projection"] = not _late(connection)
    except (SQLAlchemyError, MotlanError):
        pass  # what was not reached does not hold; the text of a database's error is not told
    return found


def _migrated(connection: sa.Connection) -> bool:
    there = connection.execute(sa.text("select version_num from alembic_version")).scalar_one_or_none()
    return there == _wanted()


@cache
def _wanted() -> str | None:
    return newest_migration()


def _late(connection: sa.Connection) -> bool:
    table = tables.publications.c
    age = sa.func.extract("epoch", sa.func.now() - table.recorded_at)
    query = sa.select(sa.func.count()).where(table.projected_at.is_(None), age > GRACE_S)
    return bool(connection.execute(query).scalar_one())


def answer(found: dict[str, bool]) -> tuple[int, dict[str, Any]]:
    """Return the HTTP status and the body that a probe is answered with."""
    ready = all(found.values())
    return (200 if ready else 503), {"status": "ready" if ready else "not ready", "checks": found}
