"""Processes by a name that no other one has: what a killed process held or left is known as its, and known as left.

A process number alone is given again after a while, and to another process after a restart of the machine.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psutil

PREFIX = "process-"
"""What the names of processes' own folders begin with."""


@dataclass(frozen=True)
class Process:
    """One process of one machine.

    Attributes:
        host: The machine's name.
        boot: Which start of the machine, and which of its process spaces (a container has one of its own).
        pid: The process number.
        born: When it began, as the machine counts: the same number however often it is asked.
    """

    host: str
    boot: str
    pid: int
    born: int

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Process:
        """Read one from JSON that has more in it."""
        return cls(told["host"], told["boot"], told["pid"], told["born"])

    @property
    def folder(self) -> str:
        """Name of its own folder in a folder that processes share."""
        return f"{PREFIX}{self.pid}-{self.born}-{self.boot}-{self.host}"

    def lives(self) -> bool | None:
        """Tell whether it still runs; None where that cannot be seen from here: another machine, another start of it."""
        if (self.host, self.boot) != (socket.gethostname(), _boot()):
            return None
        return _born(self.pid) == self.born

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return asdict(self)


def me() -> Process:
    """Return this process. A fork is another one."""
    return _me(os.getpid())


@cache
def _me(pid: int) -> Process:
    return called(pid)


def called(pid: int) -> Process:
    """Return the process that has a number now; born at 0 where there is none."""
    return Process(socket.gethostname(), _boot(), pid, _born(pid) or 0)


def of_folder(name: str) -> Process | None:
    """Read a process from the name of its folder; None where the name is not one of these."""
    parts = name.removeprefix(PREFIX).split("-", 3)
    if not name.startswith(PREFIX) or len(parts) != 4 or not (parts[0].isdigit() and parts[1].isdigit()):
        return None
    return Process(host=parts[3], boot=parts[2], pid=int(parts[0]), born=int(parts[1]))


def _born(pid: int) -> int | None:
    """Return when a process began, the same number however often it is asked; None where it is gone or ended already."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else _ticks(process)
    except psutil.Error:
        return None


def _ticks(process: psutil.Process) -> int:
    try:
        # Since the machine's start: the clock may be set while a process runs.
        return int(Path(f"/proc/{process.pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[19])
    except (OSError, IndexError, ValueError):
        return int(process.create_time() * 100)


@cache
def _boot() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip().replace("-", "")[:12]
        return f"{boot}.{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return f"{int(psutil.boot_time())}.0"
