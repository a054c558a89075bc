"""The nightly check: the newest backup is restored into an empty place of its own, proven, and removed.

The store is loaded into a second embedded server. The lake and the payloads are read where the backup has them, each file held to
its hash: nothing is copied, and nothing is written there.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from motlan.backup.folder import BackupFolder, chosen
from motlan.backup.restore import InPlace, restore
from motlan.store import server
from motlan.workspace import Workspace

Counts = dict[str, Any]


def check(work: Workspace, backup: Path | None = None, watch: Callable[[str], None] = lambda _: None) -> Counts:
    """Restore a backup into a temporary place, prove it, and remove it.

    Args:
        work: The open installation: its declared half, limits and scratch folder are used, its store and lake are not.
        backup: A backup, or a folder of backups; the newest of the settings' folder where absent.
        watch: Is given what is begun.

    Returns:
        What `motlan.backup.restore.Restored.counts` has, `wrong` (what is not as it was taken; empty where all is) and `seconds`.

    Raises:
        ConfigurationError: There is no backup.
        ContractError: The backup is damaged.
    """
    began = time.monotonic()
    folder, found = chosen(backup or BackupFolder.of(work.settings).root)
    with folder.reading(), work.own_folder() as place:
        ours = {name: value for name, value in vars(work.settings).items() if not name.endswith("database_url")}
        settings = InPlace(**ours | {"var": place / "var", "files": folder.files}, database_url=None)
        try:
            restored = restore(settings, folder, found, watch=watch)
            restored.work.store.engine.dispose()
        finally:
            if settings.store.exists():
                server.stop(settings)
    return {**restored.counts, "wrong": restored.wrong, "seconds": round(time.monotonic() - began, 2)}
