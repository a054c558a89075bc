"""The state's folder: nobody else may enter it.

As root the embedded PostgreSQL runs under an account of its own (`postgres.SERVICE`), which has to pass the folder to reach
its own in it: the folder is that account's then. So its mode is 0700 all the same, and what lies in it stays root's.
"""

from __future__ import annotations

import os
import pwd
import stat
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


def make_private(var: Path) -> None:
    """Make the state's folder, or tighten it, so that no other account may enter it; files of this process are private too.

    Raises:
        ConfigurationError: It belongs to another account, or is no folder.
    """
    os.umask(0o077)
    var.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = var.stat()
    allowed = {os.geteuid()} | ({service_uid()} if os.geteuid() == 0 else set())
    if found.st_uid not in allowed:
        raise ConfigurationError(
            "this folder belongs to another account",
            where=f"MOTLAN_VAR={var}",
            next_step="set MOTLAN_VAR to a folder of your own, or run as that account.",
        )
    if stat.S_IMODE(found.st_mode) & 0o077:
        var.chmod(stat.S_IMODE(found.st_mode) & 0o700)
