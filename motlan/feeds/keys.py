"""API keys, one per agency. Only their hashes are kept."""

from __future__ import annotations

import hashlib
import secrets

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from motlan.errors import AccessError
from motlan.store import Store, tables


def issue(store: Store, agency: str) -> str:
    """Make a new key for an agency, in place of its earlier one; return it, the only time that it is seen."""
    key = secrets.token_urlsafe(32)
    values = {"key_hash": _hash(key), "created_at": sa.func.now()}
    with store.engine.begin() as connection:
        connection.execute(
            insert(tables.api_keys)
            .values(agency=agency, **values)
            .on_conflict_do_update(index_elements=["agency"], set_=values)
        )
    return key


def agency_of(store: Store, key: str) -> str:
    """Return whose key this is.

    Raises:
        AccessError: Nobody's.
    """
    query = sa.select(tables.api_keys.c.agency).where(tables.api_keys.c.key_hash == _hash(key))
    with store.engine.connect() as connection:
        found = connection.execute(query).scalar_one_or_none()
    if found is None:
        raise AccessError("the API key is not known", next_step="ask the operator for a key.")
    return str(found)


def _hash(key: str) -> bytes:
    # A random key of 256 bits needs no slow hash: there is nothing to guess.
    return hashlib.sha256(key.encode()).digest()
