"""Starts and stops processes together: each knows when it is ready, and none is left running.

Every service leads a session of its own, so that Ctrl-C in the terminal reaches this process alone, which then stops
all of them in order. Airflow's tasks leave their parent's process group, so the whole tree is looked up and ended.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from motlan.errors import MotlanError


@dataclass(frozen=True)
class Service:
    """One process to run.

    Attributes:
        name: Short name, for the screen and the log file.
        command: Program and arguments; no secret in them, everyone on the machine can read these.
        ready_url: Loopback address that answers below 500 when the service is ready; None where it has none.
        address: What to print for people; None where there is nothing to open.
        env: Settings of this service alone.
    """

    name: str
    command: Sequence[str]
    ready_url: str | None = None
    address: str | None = None
    env: Mapping[str, str] | None = None


@dataclass(frozen=True)
class _Running:
    service: Service
    process: subprocess.Popen[bytes]
    log: Path


class ServiceDiedError(MotlanError):
    """A service ended that should have gone on."""


class Services:
    """A set of running services.

    Args:
        env: Complete environment of all of them.
        logs: Folder for one log file a service.
    """

    def __init__(self, env: Mapping[str, str], logs: Path) -> None:
        self._env, self._logs = dict(env), logs
        self._running: list[_Running] = []
        logs.mkdir(parents=True, exist_ok=True)

    def start(self, service: Service) -> None:
        """Start one service; does not wait for it."""
        log = self._logs / f"{service.name}.log"
        with log.open("ab") as sink:
            process = subprocess.Popen(
                list(service.command),
                env={**self._env, **(service.env or {})},
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._running.append(_Running(service, process, log))

    def check(self) -> None:
        """Look at every service.

        Raises:
            ServiceDiedError: One has ended; the message says which, how, and where its log is.
        """
        for running in self._running:
            code = running.process.poll()
            if code is not None:
                how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
                raise ServiceDiedError(f"{running.service.name} {how}", next_step=f"read {running.log}")

    def wait_ready(self, seconds: float) -> None:
        """Wait until every service with a `ready_url` answers.

        Raises:
            ServiceDiedError: One ended before, or did not answer in time.
        """
        deadline = time.monotonic() + seconds
        waiting = [running for running in self._running if running.service.ready_url]
        while waiting:
            self.check()
            waiting = [running for running in waiting if not _answers(running.service.ready_url or "")]
            if waiting and time.monotonic() > deadline:
                late = waiting[0]
                raise ServiceDiedError(
                    f"{late.service.name} is not ready after {seconds:.0f} s", next_step=f"read {late.log}"
                )
            time.sleep(0.3)

    def stop(self, seconds: float = 8) -> None:
        """End every service and all that it started.

        Args:
            seconds: How long the services may take to end in order; then what remains is ended.
        """
        tree = self._tree()
        for running in self._running:
            if running.process.poll() is None:
                running.process.terminate()
        psutil.wait_procs([p for p in tree if p.pid in self._leaders()], timeout=seconds)
        tree |= self._tree()
        for process in tree:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(tree, timeout=5)
        for running in self._running:
            running.process.wait()
        self._running.clear()

    def _leaders(self) -> set[int]:
        return {running.process.pid for running in self._running}

    def _tree(self) -> set[psutil.Process]:
        """Return the services and all that they started, also what has lost its parent but not its session."""
        leaders = self._leaders()
        found = set()
        for process in psutil.process_iter():
            with suppress(ProcessLookupError, PermissionError, psutil.NoSuchProcess):
                if os.getsid(process.pid) in leaders:
                    found |= {process, *process.children(recursive=True)}
        return found


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).status_code < 500
    except httpx.HTTPError:
        return False
