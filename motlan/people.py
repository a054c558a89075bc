"""People who sign in: who they are, what proves it, and for how long. Each that comes or goes is in the log.

A new person is given a one-time secret, and chooses a passphrase with it. Of both only an Argon2id hash is kept (RFC 9106,
with the least cost that OWASP names), of a sign-in only the hash of its token. Wrong passphrases make the next try wait.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from motlan import principals
from motlan.errors import AccessError, ConfigurationError
from motlan.ledger import accesses, log
from motlan.ledger.row_log import commit_rows
from motlan.settings import Settings
from motlan.store import Store, tables
from motlan.store.folders import owner_of

ADMIN, STEWARD, REVIEWER = ROLES = ("admin", "steward", "reviewer")
"""An admin adds and removes people, a steward decides, a reviewer decides pairs and rows but releases nothing."""
HOURS = 12
"""How long a sign-in holds."""
INVITED = timedelta(days=7)
"""How long a one-time secret opens."""
SHORTEST = 12
"""Characters of a passphrase, at the least (NIST SP 800-63B asks for 8)."""
FREE_TRIES, LONGEST_WAIT = 5, 3600
_NAME = re.compile(r"[a-z][a-z0-9._-]{0,63}")
_KIND = "person"


def _hashed(secret: str) -> str:
    kdf = Argon2id(salt=secrets.token_bytes(16), length=32, iterations=2, lanes=1, memory_cost=19 * 1024)
    return kdf.derive_phc_encoded(_bytes(secret))


def _bytes(secret: str) -> bytes:
    return secret.encode("utf-8", "surrogatepass")


def _opens(secret: str, kept: str) -> bool:
    try:
        Argon2id.verify_phc_encoded(_bytes(secret), kept)
    except InvalidKey:
        return False
    return True


def _actor(store: Store, settings: Settings) -> tuple[str, str]:
    """Return who manages people here: as the ledger names them, and as the log does.

    Raises:
        AccessError: They may not.
    """
    found = principals.signed_in(store, settings)
    if found is not None:
        if found["role"] != ADMIN:
            raise AccessError("only an admin manages people", next_step="let an admin sign in and do it.")
        return f"{principals.PERSON}{found['name']}", found["id"]
    person = tables.people.c
    admins = sa.select(sa.func.count()).where(
        person.role == ADMIN, person.removed_at.is_(None), person.one_time_until.is_(None)
    )
    with store.engine.connect() as connection:
        if connection.execute(admins).scalar_one():
            raise AccessError("an admin manages people here", next_step="`motlan sign-in NAME` as an admin first.")
    if os.getuid() != owner_of(settings.var):
        raise AccessError(
            "only the account that owns the installation adds its first people",
            where=str(settings.var),
            next_step="let that account do it.",
        )
    return principals.account(), f"uid {os.getuid()}"


def add(store: Store, settings: Settings, name: str, role: str = STEWARD, uid: int | None = None) -> str:
    """Add a person; return the one-time secret with which they sign in first, the only time that it is seen.

    Args:
        store: The open store.
        settings: The installation.
        name: What they sign in as.
        role: `admin`, `steward` or `reviewer`.
        uid: The machine account that is theirs alone, where they have one.

    Raises:
        AccessError: Whoever acts here may not.
        ConfigurationError: The name or the role cannot be used, or the name was used before.
    """
    if not _NAME.fullmatch(name):
        raise ConfigurationError(
            "this name cannot be used", next_step="use 1 to 64 of a-z, 0-9, dot, dash, underscore; a letter first."
        )
    if role not in ROLES:
        raise ConfigurationError("there is no such role", next_step=f"use one of {', '.join(ROLES)}.")
    principal, actor = _actor(store, settings)
    person, secret = secrets.token_hex(8), secrets.token_urlsafe(18)
    values: dict[str, Any] = {"id": person, "name": name, "role": role, "uid": uid, "added_by": principal}
    values |= {"secret": _hashed(secret), "one_time_until": datetime.now(UTC) + INVITED}
    with store.publishing() as connection:
        # A removed person's name is not given again: decisions of the past name them.
        if connection.execute(sa.select(tables.people.c.id).where(tables.people.c.name == name)).first():
            raise ConfigurationError("this name was used before", next_step="choose another one.")
        connection.execute(sa.insert(tables.people).values(**values))
        bound = commit_rows(connection, tables.people, [person])
        log.append(connection, _KIND, {"person": person, "action": "added", "role": role, "by": actor} | bound)
    return secret


def remove(store: Store, settings: Settings, name: str) -> None:
    """Remove a person; their sign-ins end at once. What they decided stays.

    Raises:
        AccessError: Whoever acts here may not.
        ConfigurationError: There is no such person.
    """
    _change(store, settings, name, "removed", {"removed_at": sa.func.now()})


def reset(store: Store, settings: Settings, name: str) -> str:
    """Give a person a new one-time secret in place of their passphrase, and end their sign-ins; return the secret.

    Raises:
        AccessError: Whoever acts here may not.
        ConfigurationError: There is no such person.
    """
    secret = secrets.token_urlsafe(18)
    values = {"secret": _hashed(secret), "one_time_until": datetime.now(UTC) + INVITED, "failed": 0}
    _change(store, settings, name, "given a new secret", values)
    return secret


def _change(store: Store, settings: Settings, name: str, action: str, values: dict[str, Any]) -> None:
    _, actor = _actor(store, settings)
    person, session = tables.people, tables.sign_ins
    changed = sa.update(person).where(person.c.name == name, person.c.removed_at.is_(None)).values(**values)
    with store.publishing() as connection:
        found = None if "\x00" in name else connection.execute(changed.returning(person.c.id)).scalar_one_or_none()
        if found is None:
            raise ConfigurationError("there is no such person", next_step="see `motlan people list`.")
        ended = sa.update(session).where(session.c.person == found, session.c.ended_at.is_(None))
        connection.execute(ended.values(ended_at=sa.func.now()))
        bound = commit_rows(connection, person, [found])
        log.append(connection, _KIND, {"person": found, "action": action, "by": actor} | bound)


def listed(store: Store) -> list[dict[str, Any]]:
    """Return the people, in the order of their names: `name`, `role`, `account`, `state`, `added_at`, `added_by`."""
    person = tables.people.c
    columns = (person.name, person.role, person.uid, person.one_time_until, person.added_at, person.added_by)
    with store.engine.connect() as connection:
        found = connection.execute(sa.select(*columns, person.removed_at).order_by(person.name)).mappings().all()
    return [
        {
            "name": row["name"],
            "role": row["role"],
            "account": None if row["uid"] is None else principals.account(row["uid"]).removeprefix(principals.ACCOUNT),
            "state": "removed" if row["removed_at"] else "invited" if row["one_time_until"] else "active",
            "added_at": row["added_at"].isoformat(),
            "added_by": row["added_by"],
        }
        for row in found
    ]


def sign_in(store: Store, settings: Settings, name: str, secret: str, choose: Callable[[], str]) -> datetime:
    """Sign a person in on this account, in place of who was; return until when.

    Args:
        store: The open store.
        settings: The installation.
        name: Who they say they are.
        secret: Their passphrase, or their one-time secret.
        choose: Asks for a new passphrase; called where the secret was the one-time one.

    Raises:
        AccessError: Name and secret do not belong together, the one-time secret is too old, or too many were wrong.
        ConfigurationError: The chosen passphrase is too short.
    """
    found = _tried(store, name)
    # Who is not known takes as long as who is.
    if not _opens(secret, found["secret"] if found else _hashed("")) or found is None:
        raise AccessError("name and passphrase do not belong together", next_step="try again, or ask an admin.")
    values: dict[str, Any] = {"failed": 0, "failed_at": None}
    if found["one_time_until"] is not None:
        if found["one_time_until"] <= datetime.now(UTC):
            raise AccessError("this one-time secret is too old", next_step="ask an admin for `motlan people reset`.")
        values |= {"secret": _hashed(_checked(choose(), secret)), "one_time_until": None}
    sign_out(store, settings)
    token, until = secrets.token_urlsafe(32), datetime.now(UTC) + timedelta(hours=HOURS)
    session = {
        "token_hash": principals.token_hash(token),
        "person": found["id"],
        "uid": os.getuid(),
        "expires_at": until,
    }
    with store.publishing() as connection:
        same = sa.and_(tables.people.c.id == found["id"], tables.people.c.secret == found["secret"])
        if not connection.execute(sa.update(tables.people).where(same).values(**values)).rowcount:
            raise AccessError("this secret was replaced meanwhile", next_step="sign in with the new one.")
        connection.execute(sa.insert(tables.sign_ins).values(**session))
        if found["one_time_until"] is not None:
            log.append(connection, _KIND, {"person": found["id"], "action": "chose a passphrase", "by": found["id"]})
    accesses.record(store, f"{principals.PERSON}{found['name']}", "sign-in", f"uid {os.getuid()}")
    _keep(settings, token)
    return until


def _checked(chosen: str, secret: str) -> str:
    if len(chosen) < SHORTEST or chosen == secret:
        raise ConfigurationError(
            "this passphrase cannot be used", next_step=f"choose one of {SHORTEST} characters or more, and a new one."
        )
    return chosen


def _tried(store: Store, name: str) -> sa.RowMapping | None:
    """Count a try before it is looked at, so that tries side by side gain nothing; return the person."""
    if not _NAME.fullmatch(name):
        return None
    person = tables.people
    with store.engine.begin() as connection:
        query = sa.select(person).where(person.c.name == name, person.c.removed_at.is_(None)).with_for_update()
        found = connection.execute(query).mappings().one_or_none()
        if found is None:
            return None
        if found["failed"] >= FREE_TRIES:
            wait = min(LONGEST_WAIT, 15 * 2 ** min(found["failed"] - FREE_TRIES, 16))
            left = wait - (datetime.now(UTC) - found["failed_at"]).total_seconds()
            if left > 0:
                raise AccessError("too many wrong passphrases", next_step=f"try again in {left + 1:.0f} s.")
        tried = {"failed": person.c.failed + 1, "failed_at": sa.func.clock_timestamp()}
        connection.execute(sa.update(person).where(person.c.id == found["id"]).values(**tried))
    return found


def releaser(store: Store, name: str) -> str:
    """Return the principal of a person who may release publications, for another system that has signed them in.

    Raises:
        AccessError: The bus knows nobody of this name, or they review only.
    """
    person = tables.people.c
    query = sa.select(person.role).where(person.name == name, person.removed_at.is_(None))
    with store.engine.connect() as connection:
        role = connection.execute(query).scalar_one_or_none()
    if role is None:
        raise AccessError("the bus knows nobody of this name", next_step="`motlan people add NAME --role steward`.")
    if role == REVIEWER:
        raise AccessError("a reviewer releases nothing", next_step="let a steward or an admin decide.")
    return f"{principals.PERSON}{name}"


def sign_out(store: Store, settings: Settings) -> bool:
    """End the sign-in of this account. Returns False where nobody was signed in."""
    path, session = principals.token_file(settings), tables.sign_ins
    try:
        token = principals.token(settings)
    except AccessError:
        token = None
    if token is not None:
        mine = sa.and_(session.c.token_hash == principals.token_hash(token), session.c.ended_at.is_(None))
        with store.engine.begin() as connection:
            connection.execute(sa.update(session).where(mine).values(ended_at=sa.func.now()))
    there = path.is_symlink() or path.exists()
    path.unlink(missing_ok=True)
    return there


def _keep(settings: Settings, token: str) -> None:
    path = principals.token_file(settings)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(token)
    draft.rename(path)
