"""Start, steer and stop the four agencies of a world, each a process of its own."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from simulators.world import AGENCIES

_START_SECONDS = 180
_STOP_SECONDS = 15


def set_day(world: Path | str, day: int, education_url: str | None = None) -> None:
    """Make the changes up to a day visible.

    Args:
        world: the world's folder.
        day: 0 to the days the world was made with.
        education_url: of the running education database; without one it catches up when it starts.

    Raises:
        ValueError: the world has no such day.
    """
    world = Path(world)
    made = json.loads((world / "world.json").read_text(encoding="utf-8"))["days"]
    if not 0 <= day <= made:
        raise ValueError(f"the world was made with days 0 to {made}")
    if education_url is not None:
        from simulators.education import show_day

        show_day(world, day, education_url)
    unfinished = world / "today.new"
    unfinished.write_text(str(day), encoding="ascii")
    unfinished.replace(world / "today")


class Agencies:
    """The four agencies, running while the context is open.

    Attributes:
        env: the environment variables a reader needs: URLs without credentials, and credentials as `user:secret`.
    """

    def __init__(
        self,
        world: Path | str,
        *,
        population_form: str = "qcvn109",
        insurance_capacity: float = 20,
        ports: tuple[int, int, int] = (0, 0, 0),
    ) -> None:
        """Settle how the agencies will run.

        Args:
            world: folder made by `make_world`.
            population_form: form of the citizen message, `qcvn109` or `flat`.
            insurance_capacity: requests a second that the insurance answers.
            ports: of population, insurance and tax; 0 for a free one.
        """
        self.world = Path(world).resolve()
        self.env: dict[str, str] = {}
        self._settings = {
            "population": ["--port", str(ports[0]), "--form", population_form],
            "insurance": ["--port", str(ports[1]), "--capacity", str(insurance_capacity)],
            "tax": ["--port", str(ports[2])],
            "education": [],
        }
        self._running: dict[str, subprocess.Popen[str]] = {}

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def set_day(self, day: int) -> None:
        """Make the changes up to a day visible at all four."""
        set_day(self.world, day, self.env["MOTLAN_EDUCATION_URL"])

    def ended(self, name: str) -> int | None:
        """Return the code with which an agency's process has ended, negative of a signal's number; None while it runs."""
        return self._running[name].poll()

    def start_again(self, name: str) -> None:
        """Start an agency again whose process has ended, at the address that it had.

        Raises:
            RuntimeError: It ended before it answered, or answers at another address.
        """
        url = self.env[f"MOTLAN_{name.upper()}_URL"]
        if port := urlsplit(url).port:
            self._settings[name][1] = str(port)
        for stream in (self._running[name].stdin, self._running[name].stdout):
            if stream:
                stream.close()
        answers: queue.Queue[tuple[str, str]] = queue.Queue()
        self._begin(name, answers)
        try:
            _, line = answers.get(timeout=_START_SECONDS)
        except queue.Empty:
            line = ""
        if not line or json.loads(line)["url"] != url:
            raise RuntimeError(f"the {name} agency does not answer at the address that it had")

    def stop(self) -> None:
        """Stop what runs: each ends when its standard input closes, or is killed after a while."""
        for process in self._running.values():
            if process.stdin:
                process.stdin.close()
        for process in self._running.values():
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout:
                process.stdout.close()
        self._running.clear()
        self.env.clear()

    def _start(self) -> None:
        credentials = json.loads((self.world / "credentials.json").read_text(encoding="utf-8"))
        answers: queue.Queue[tuple[str, str]] = queue.Queue()
        # Education first: it takes longest.
        for name in reversed(AGENCIES):
            self._begin(name, answers)
        deadline = time.monotonic() + _START_SECONDS
        for _ in AGENCIES:
            name, line = answers.get(timeout=max(0.1, deadline - time.monotonic()))
            if not line:
                raise RuntimeError(f"the {name} agency ended before it answered; its error is above")
            self.env[f"MOTLAN_{name.upper()}_URL"] = json.loads(line)["url"]
            self.env[f"MOTLAN_CREDENTIAL_{name.upper()}"] = credentials[name]

    def _begin(self, name: str, answers: queue.Queue[tuple[str, str]]) -> None:
        command = [sys.executable, "-m", "simulators.agency_process", name, "--world", str(self.world)]
        process = subprocess.Popen(
            command + self._settings[name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # A Ctrl-C at the terminal is for the starter, which then stops the agencies in order.
            start_new_session=True,
        )
        self._running[name] = process
        threading.Thread(target=_listen, args=(name, process, answers), daemon=True).start()


def _listen(name: str, process: subprocess.Popen[str], answers: queue.Queue[tuple[str, str]]) -> None:
    """Pass on the line with the address, empty if the process ended without one."""
    answers.put((name, process.stdout.readline() if process.stdout else ""))
