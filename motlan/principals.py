"""Who acts: a person who signed in, or else the machine account that runs the process.

An account is the real uid of the process, and never a variable of the environment, which everybody may set. A person is
known by a token that `motlan sign-in` left in a file for their eyes alone; it holds on one account, and for some hours.
Whoever is not signed in acts as `user:<account>`, a signed-in person as `person:<name>`.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import stat
from pathlib import Path

import sqlalchemy as sa

from motlan.errors import AccessError
from motlan.settings import Settings
from motlan.store import Store, tables

PERSON, ACCOUNT = "person:", "user:"
SESSION = "MOTLAN_SESSION"
"""Names another file for the token: two people in two terminals of one account. What counts is the token in it."""


def account(uid: int | None = None) -> str:
    """Return the principal of a machine account: of the one that runs this process, or of a uid."""
    uid = os.getuid() if uid is None else uid
    try:
        return f"{ACCOUNT}{pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"{ACCOUNT}#{uid}"


def token_file(settings: Settings) -> Path:
    """Return the file of this account's token."""
    return Path(os.environ.get(SESSION) or settings.var / "sessions" / str(os.getuid()))


def token_hash(token: str) -> bytes:
    """Return what the store keeps of a token: 256 random bits need no slow hash."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def token(settings: Settings) -> str | None:
    """Return the token of who signed in on this account, or None where nobody did.

    Raises:
        AccessError: Others may read or write the file, so it proves nothing.
    """
    path = token_file(settings)
    try:
        with path.open(encoding="ascii", errors="replace") as file:
            found = os.fstat(file.fileno())
            if found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
                raise AccessError(
                    "others have access to the file of your sign-in",
                    where=str(path),
                    next_step="remove it, sign in again.",
                )
            return file.read().strip()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise AccessError(
            f"the file of your sign-in cannot be read ({type(error).__name__})", where=str(path), next_step="remove it."
        ) from None


def signed_in(store: Store, settings: Settings) -> sa.RowMapping | None:
    """Return who signed in here: `id`, `name`, `role`, `expires_at`; None where nobody did.

    Raises:
        AccessError: Somebody did, and it holds no longer. They do not become the account by that, unseen.
    """
    if (said := token(settings)) is None:
        return None
    session, person = tables.sign_ins.c, tables.people.c
    query = (
        sa.select(person.id, person.name, person.role, session.expires_at)
        .join_from(tables.sign_ins, tables.people, session.person == person.id)
        .where(
            session.token_hash == token_hash(said),
            session.uid == os.getuid(),
            session.ended_at.is_(None),
            session.expires_at > sa.func.now(),
            person.removed_at.is_(None),
        )
    )
    with store.engine.connect() as connection:
        found = connection.execute(query).mappings().one_or_none()
    if found is None:
        raise AccessError(
            "your sign-in holds no longer",
            next_step="`motlan sign-in NAME`, or `motlan sign-out` to act as the machine account.",
        )
    return found


def current(store: Store, settings: Settings) -> str:
    """Return who acts, as the ledger names them.

    Raises:
        AccessError: A sign-in is there that holds no longer.
    """
    found = signed_in(store, settings)
    return account() if found is None else f"{PERSON}{found['name']}"


def aliases(connection: sa.Connection, principal: str) -> set[str]:
    """Return all principals that may be the same human as one of them, itself included.

    A person may be every account that is theirs, or on which they ever signed in; an account may be everybody who did.
    """
    person, session = tables.people.c, tables.sign_ins.c
    used = sa.select(person.name, session.uid).join_from(tables.people, tables.sign_ins, session.person == person.id)
    own = sa.select(person.name, person.uid).where(person.uid.is_not(None))
    pairs = {(f"{PERSON}{name}", account(uid)) for name, uid in connection.execute(sa.union(used, own))}
    return {principal, *(b for a, b in pairs if a == principal), *(a for a, b in pairs if b == principal)}


def humans(connection: sa.Connection, principals: set[str]) -> int:
    """Return how many humans some principals are, at the least: an account adds none to a person that may be the same."""
    persons = {name for name in principals if name.startswith(PERSON)}
    others = principals - persons
    return len(persons) + sum(not aliases(connection, account) & persons for account in others)
