"""API keys of agencies. Only their hashes are kept; each expires, can be revoked, and an agency may have several.

So a key is replaced without a gap: a second one is issued, the agency changes over, the first is revoked.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from motlan.errors import AccessError, ConfigurationError
from motlan.ledger import log
from motlan.ledger.row_log import commit_rows
from motlan.store import Store, tables

DAYS = 180
"""How long a key holds where nothing else is said."""
LONGEST = 3650
_KIND = "api key"


def issue(store: Store, agency: str, days: int = DAYS) -> str:
    """Make a new key for an agency, beside those that it has; return it, the only time that it is seen.

    Args:
        store: The open store.
        agency: The agency.
        days: How long the key holds, 1 to 3650.

    Raises:
        ConfigurationError: It would hold for longer, or for no time.
    """
    if not 1 <= days <= LONGEST:
        raise ConfigurationError(f"a key cannot hold for {days} days", next_step=f"say 1 to {LONGEST} by --days.")
    key, name = secrets.token_urlsafe(32), secrets.token_hex(6)
    expires = datetime.now(UTC) + timedelta(days=days)
    values = {"id": name, "agency": agency, "key_hash": _hash(key), "expires_at": expires}
    with store.publishing() as connection:
        connection.execute(sa.insert(tables.api_keys).values(**values))
        body = {"key": name, "agency": agency, "action": "issued", "until": expires.isoformat()}
        log.append(connection, _KIND, body | commit_rows(connection, tables.api_keys, [name]))
    return key


def listed(store: Store, agency: str | None = None) -> list[dict[str, Any]]:
    """Return the keys, the newest first: `key` (its id), `agency`, `state` (valid, expired or revoked), and its moments."""
    table = tables.api_keys.c
    query = sa.select(table.id, table.agency, table.created_at, table.expires_at, table.revoked_at)
    if agency is not None:
        query = query.where(table.agency == agency)
    with store.engine.connect() as connection:
        found = connection.execute(query.order_by(table.created_at.desc(), table.id)).mappings().all()
    return [
        {
            "key": row["id"],
            "agency": row["agency"],
            "state": _state(row),
            **{name: row[name] and row[name].isoformat() for name in ("created_at", "expires_at", "revoked_at")},
        }
        for row in found
    ]


def revoke(store: Store, key: str) -> str:
    """End a key at once. Return its agency.

    Args:
        store: The open store.
        key: Its id, as `listed` has it; never the key itself.

    Raises:
        ConfigurationError: There is no such key, or it is revoked already.
    """
    table = tables.api_keys
    ended = sa.update(table).where(table.c.id == key, table.c.revoked_at.is_(None)).values(revoked_at=sa.func.now())
    wrong = "\x00" in key
    with store.publishing() as connection:
        agency = None if wrong else connection.execute(ended.returning(table.c.agency)).scalar_one_or_none()
        if agency is None:
            raise ConfigurationError("no key with this id is in force", next_step="see `motlan feeds keys`.")
        bound = commit_rows(connection, table, [key])
        log.append(connection, _KIND, {"key": key, "agency": agency, "action": "revoked"} | bound)
    return str(agency)


def agency_of(store: Store, key: str) -> str:
    """Return whose key this is.

    Raises:
        AccessError: Nobody's, or it is expired or revoked.
    """
    table = tables.api_keys.c
    query = sa.select(table.agency, table.expires_at, table.revoked_at).where(table.key_hash == _hash(key))
    with store.engine.connect() as connection:
        found = connection.execute(query).mappings().one_or_none()
    if found is None:
        raise AccessError("the API key is not known", next_step="ask the operator for a key.")
    if (state := _state(found)) != "valid":
        raise AccessError(f"the API key is {state}", next_step="ask the operator for a new key, and send that.")
    return str(found["agency"])


def _state(row: sa.RowMapping) -> str:
    if row["revoked_at"] is not None:
        return "revoked"
    return "expired" if row["expires_at"] <= datetime.now(UTC) else "valid"


def _hash(key: str) -> bytes:
    # A random key of 256 bits needs no slow hash: there is nothing to guess.
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
