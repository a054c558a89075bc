"""The state's folder: nobody else may enter it.

As root the embedded PostgreSQL runs under an account of its own, which has to pass the folder to reach its data in it: the
folder is that account's then. So its mode is 0700 all the same, and what lies in it stays root's.
"""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Iterable
from pathlib import Path

from motlan.errors import ConfigurationError

SERVICE = "pgserver"
"""The account that the embedded server runs under where we are root."""


def owner_of(var: Path) -> int:
    """Return the uid of the account that owns an installation: root's where the folder is its server's."""
    uid = var.stat().st_uid
    return 0 if uid == service_uid() else uid


def service_uid() -> int | None:
    """Return the uid of the embedded server's own account; None where there is none."""
    try:
        return pwd.getpwnam(SERVICE).pw_uid
    except KeyError:
        return None


def make_private(*folders: Path) -> None:
    """Make the state's folders, or tighten them, so that no other account may enter it; files of this process are private too.

    Raises:
        ConfigurationError: One belongs to another account, or cannot be made.
    """
    os.umask(0o077)
    allowed = {os.geteuid()} | ({service_uid()} if os.geteuid() == 0 else set())
    for folder in folders:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(
                f"this folder cannot be made ({type(error).__name__})",
                where=str(folder),
                next_step="set MOTLAN_VAR to another.",
            ) from None
        found = folder.stat()
        if found.st_uid not in allowed:
            raise ConfigurationError(
                "this folder belongs to another account",
                where=str(folder),
                next_step="set MOTLAN_VAR to a folder of your own, or run as that account.",
            )
        if stat.S_IMODE(found.st_mode) & 0o077:
            folder.chmod(0o700)


def let_pass(folder: Path, uid: int, state: Iterable[Path] = ()) -> None:
    """Let the embedded server's account pass to a folder.

    Args:
        folder: Where it has to come.
        uid: The account.
        state: Folders that are ours alone: where they are private they become the account's, with the mode that they have. Of
            any other on the way only the right to pass is given, and to all, because it holds what is not ours.
    """
    ours = {place.resolve() for place in state}
    for place in reversed((folder, *folder.parents)):
        found = place.stat()
        if found.st_mode & stat.S_IXOTH or (found.st_uid == uid and found.st_mode & stat.S_IXUSR):
            continue
        if place in ours:
            os.chown(place, uid, -1)
        else:
            place.chmod(stat.S_IMODE(found.st_mode) | stat.S_IXOTH)
