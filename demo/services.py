"""Starts, tends and stops processes together: each knows when it is ready, one that dies is started again, none is left.

Every service leads a session of its own, so that Ctrl-C in the terminal reaches this process alone, which then stops
all of them in order. Airflow's tasks leave their parent's process group, so the whole tree is looked up and ended.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol

import httpx
import psutil

from motlan import processes
from motlan.errors import MotlanError

SESSIONS = "sessions.json"
"""File with the names of the services' processes."""


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


class Kept(Protocol):
    """What is kept running."""

    name: str

    def ended(self) -> str | None:
        """Say how it ended, as `was ended by SIGKILL`; None while it runs."""

    def start_again(self) -> None:
        """Start it again.

        Raises:
            MotlanError: It does not start.
        """


@dataclass
class _Running:
    service: Service
    process: subprocess.Popen[bytes]
    log: Path
    since: float = field(default_factory=time.monotonic)


@dataclass
class _Deaths:
    """When something died, and when it is started again."""

    at: list[float] = field(default_factory=list)
    due: float | None = None


class ServiceDiedError(MotlanError):
    """A service ended that should have gone on."""


DEATHS, WITHIN_S = 5, 600.0
"""More deaths than so many in so many seconds are no accident."""
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 30.0


class Services:
    """A set of running services.

    Args:
        env: Complete environment of all of them.
        logs: Folder for one log file a service.
    """

    def __init__(self, env: Mapping[str, str], logs: Path) -> None:
        self._env, self._logs = dict(env), logs
        self._running: list[_Running] = []
        self._others: list[Kept] = []
        self._deaths: dict[str, _Deaths] = {}
        logs.mkdir(parents=True, exist_ok=True)

    def start(self, service: Service) -> None:
        """Start one service; does not wait for it."""
        log = self._logs / f"{service.name}.log"
        with _uninterrupted():
            self._running.append(_Running(service, self._begin(service, log), log))
        self._write_down()

    def _begin(self, service: Service, log: Path) -> subprocess.Popen[bytes]:
        # The caller writes down the process before anything may interrupt: else nobody would end it.
        with log.open("ab") as sink:
            return subprocess.Popen(
                list(service.command),
                env={**self._env, **(service.env or {})},
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def keep(self, others: Sequence[Kept]) -> None:
        """Tend other things too, before the services: what they need."""
        self._others += others

    def tend(self, say: Callable[[str], None]) -> None:
        """Look at everything, and start again what has ended, after a wait that grows with its deaths.

        Args:
            say: Is told of each death and each new start.

        Raises:
            ServiceDiedError: One ends again and again.
        """
        for kept in self._others:
            self._tend(kept.name, kept.ended, kept.start_again, say, "see what it said above")
        for running in self._running:
            self._tend(
                running.service.name,
                partial(_ended, running),
                partial(self._again, running),
                say,
                f"read {running.log}",
            )

    def _tend(
        self,
        name: str,
        ended: Callable[[], str | None],
        again: Callable[[], None],
        say: Callable[[str], None],
        next_step: str,
    ) -> None:
        how, deaths, now = ended(), self._deaths.setdefault(name, _Deaths()), time.monotonic()
        if how is None:
            deaths.due = None
            return
        if deaths.due is None:
            deaths.at = [moment for moment in deaths.at if now - moment < WITHIN_S] + [now]
            if len(deaths.at) > DEATHS:
                raise ServiceDiedError(f"{name} {how}, as {DEATHS} times shortly before", next_step=next_step)
            wait = 0.0 if len(deaths.at) == 1 else min(FIRST_WAIT_S * 2 ** (len(deaths.at) - 1), LONGEST_WAIT_S)
            deaths.due = now + wait
            say(f"{name} {how}; it is started again" + (f" in {wait:.0f} s" if wait else ""))
        if now >= deaths.due:
            deaths.due = None
            try:
                again()
            except MotlanError as error:
                say(f"{name} does not start: {error}")

    def _again(self, running: _Running) -> None:
        for process in self._tree({running.process.pid}):  # what it started, and would start once more
            with suppress(psutil.NoSuchProcess):
                process.kill()
        with _uninterrupted():
            running.process, running.since = self._begin(running.service, running.log), time.monotonic()
        self._write_down()

    def age(self, name: str) -> float:
        """Return for how many seconds a service has been running since its last start."""
        return next((time.monotonic() - one.since for one in self._running if one.service.name == name), 0.0)

    def _write_down(self) -> None:
        """Keep the names of the services' processes, for who comes after a kill of this one."""
        told = [processes.called(running.process.pid).as_dict() for running in self._running]
        draft = self._logs / f"{SESSIONS}.draft"
        draft.write_text(json.dumps(told), encoding="utf-8")
        draft.replace(self._logs / SESSIONS)

    def end_left_over(self) -> int:
        """End what an earlier set left running, because it was killed itself; return how many processes."""
        try:
            told = json.loads((self._logs / SESSIONS).read_text(encoding="utf-8"))
            earlier = [processes.Process.of(one) for one in told]
        except (OSError, ValueError, KeyError):
            return 0
        # A session outlives its leader; its number is not given to another process as long as one is in it.
        leaders = {process.pid for process in earlier if process.boot == processes.me().boot}
        tree = {process for process in self._tree(leaders) if _is_of(process, earlier)}
        for process in tree:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(tree, timeout=5)
        (self._logs / SESSIONS).unlink(missing_ok=True)
        return len(tree)

    def check(self) -> None:
        """Look at every service.

        Raises:
            ServiceDiedError: One has ended; the message says which, how, and where its log is.
        """
        for running in self._running:
            if how := _ended(running):
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
        tree = self._tree(self._leaders())
        for running in self._running:
            if running.process.poll() is None:
                running.process.terminate()
        psutil.wait_procs([p for p in tree if p.pid in self._leaders()], timeout=seconds)
        tree |= self._tree(self._leaders())
        for process in tree:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(tree, timeout=5)
        for running in self._running:
            running.process.wait()
        self._running.clear()
        (self._logs / SESSIONS).unlink(missing_ok=True)

    def _leaders(self) -> set[int]:
        return {running.process.pid for running in self._running}

    def _tree(self, leaders: set[int]) -> set[psutil.Process]:
        """Return services and all that they started, also what has lost its parent but not its session."""
        found: set[psutil.Process] = set()
        for process in psutil.process_iter():
            with suppress(ProcessLookupError, PermissionError, psutil.NoSuchProcess):
                if os.getsid(process.pid) in leaders:
                    found |= {process, *process.children(recursive=True)}
        return found


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Keep a Ctrl-C or SIGTERM that comes in this block until its end."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda number, _: came.append(number)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for late in came:
            signal.raise_signal(late)


def _ended(running: _Running) -> str | None:
    return how(running.process.poll())


def how(code: int | None) -> str | None:
    """Say how a process ended, by its code; None where it has none yet."""
    if code is None:
        return None
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"


def _is_of(process: psutil.Process, earlier: Sequence[processes.Process]) -> bool:
    """Tell whether a process began no earlier than one of the services: else its session's number is another's now."""
    found = processes.called(process.pid)
    return any(found.born >= one.born for one in earlier)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).status_code < 500
    except httpx.HTTPError:
        return False
