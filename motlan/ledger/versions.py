"""Versions: a version is the hash of what decided. The query itself is stored, so that lineage can replay it."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from motlan.errors import ContractError
from motlan.store import Store, tables


def version_id(kind: str, subject: str, body: dict[str, Any]) -> str:
    """Return the version's id: SHA-256 (hex) of its canonical JSON."""
    text = json.dumps([kind, subject, body], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def record(store: Store, kind: str, subject: str, body: dict[str, Any]) -> str:
    """Keep a version where it is new; return its id."""
    version = version_id(kind, subject, body)
    with store.engine.begin() as connection:
        values = {"id": version, "kind": kind, "subject": subject, "body": body}
        connection.execute(insert(tables.versions).values(**values).on_conflict_do_nothing())
    return version


def read(store: Store, version: str) -> tuple[str, str, dict[str, Any]]:
    """Read a version back: its kind, subject and body.

    Raises:
        ContractError: It is missing.
    """
    with store.engine.connect() as connection:
        found = connection.execute(sa.select(tables.versions).where(tables.versions.c.id == version)).one_or_none()
    if found is None:
        raise ContractError(f"version {version[:12]} is missing", next_step="restore it from a backup.")
    return found.kind, found.subject, dict(found.body)
