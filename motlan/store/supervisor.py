"""Keeps the embedded PostgreSQL running: a server that was killed is told by its name, and started again.

Every command starts it where it does not run; a supervisor does it at once, for those that only have its URL.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from motlan.errors import MotlanError
from motlan.settings import Settings

NAME = "the embedded PostgreSQL"
LOOK_S = 1.0
LONGEST_WAIT_S = 30.0
ORPHAN_S = 5.0
"""Seconds that a killed server's processes get to notice and end: the memory that they share keeps a new one from starting."""


def postmaster(folder: Path) -> psutil.Process | None:
    """Return the server's first process, as the folder's `postmaster.pid` names it; None where it does not run."""
    try:
        number = int((folder / "postmaster.pid").read_text(encoding="utf-8").split("\n", 1)[0])
        process = psutil.Process(number)
        # A number is given again: to be sure, the process has to work in this folder.
        ours = process.name() == "postgres" and process.status() != psutil.STATUS_ZOMBIE and _works_in(process, folder)
    except (OSError, ValueError, psutil.Error):
        return None
    return process if ours else None


def _works_in(process: psutil.Process, folder: Path) -> bool:
    try:
        return Path(process.cwd()) == folder.resolve()
    except psutil.AccessDenied:
        return True


def has_died(folder: Path) -> bool:
    """Tell whether the server ended without being told to: it left its `postmaster.pid`."""
    return (folder / "postmaster.pid").exists() and postmaster(folder) is None


def clear(folder: Path) -> None:
    """Remove what a killed server left and what keeps a new one from starting: its other processes, its socket, its
    `postmaster.pid`.

    A killed process that nobody has waited for yet has its number still, and PostgreSQL itself takes it for a running server.
    """
    left = [process for process in psutil.process_iter() if _is_orphan(process, folder)]
    _, left = psutil.wait_procs(left, timeout=ORPHAN_S)
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGQUIT)  # PostgreSQL's own "end at once"
    _, left = psutil.wait_procs(left, timeout=ORPHAN_S)
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    for path in _socket(folder):
        path.unlink(missing_ok=True)
    (folder / "postmaster.pid").unlink(missing_ok=True)


def _socket(folder: Path) -> list[Path]:
    """Return a server's socket and the file beside it that says whose it is, as `postmaster.pid` names them."""
    try:
        number, _, _, port, place, *_ = (folder / "postmaster.pid").read_text(encoding="utf-8").split("\n")
        lock = Path(place) / f".s.PGSQL.{int(port)}.lock"
        ours = lock.read_text(encoding="utf-8").split("\n", 1)[0] == number
    except (OSError, ValueError):
        return []
    return [lock.with_suffix(""), lock] if place and ours else []


def _is_orphan(process: psutil.Process, folder: Path) -> bool:
    try:
        return process.pid != os.getpid() and process.name() == "postgres" and Path(process.cwd()) == folder.resolve()
    except psutil.Error:
        return False


def watch(settings: Settings, say: Callable[[str], None], look: float = LOOK_S) -> None:
    """Start the server, and start it again whenever it ends, with growing waits where it does not stay; until interrupted.

    Args:
        settings: The installation.
        say: Is told what happens.
        look: Seconds between two looks.
    """
    from motlan.store import server

    say(server.start(settings))
    wait = look
    with suppress(KeyboardInterrupt):
        while True:
            time.sleep(wait)
            if postmaster(settings.store):
                wait = max(look, wait / 2)
                continue
            say(f"{NAME} has ended; it is started again")
            try:
                server.start(settings)
            except MotlanError as error:
                say(str(error))
            wait = min(2 * wait, LONGEST_WAIT_S)
