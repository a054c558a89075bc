"""Services start together, tell of a death, and leave nothing running."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import httpx
import psutil
import pytest

from demo.services import Service, ServiceDiedError, Services
from motlan.errors import TransientError

PARENT = """
import subprocess, sys, time, pathlib
child = subprocess.Popen([sys.executable, "-c", "import os, time; os.setpgid(0, 0); time.sleep(600)"])
pathlib.Path(sys.argv[1]).write_text(str(child.pid))
time.sleep(600)
"""
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
LEAVES = """
import os, pathlib, sys
from demo.services import Service, Services
folder = pathlib.Path(sys.argv[1])
services = Services(os.environ, folder)
services.start(Service("left", ["sh", "-c", f"echo $$ > {folder}/pid; exec sleep 600"]))
os._exit(0)
"""


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    running = Services(os.environ, tmp_path)
    yield running
    running.stop(seconds=0.5)


def _wait_for(path: Path, services: Services | None = None) -> str:
    """Wait until a file says something, for as long as the services run."""
    while not (path.exists() and path.read_text()):
        if services:
            services.check()
        time.sleep(0.05)
    return path.read_text()


def _running(*command: str) -> list[psutil.Process]:
    """Return the children of this process that run a command."""
    return [child for child in psutil.Process().children() if _lives(child) and child.cmdline() == list(command)]


def _lives(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def test_a_grandchild_in_a_process_group_of_its_own_is_ended_too(services: Services, tmp_path: Path) -> None:
    services.start(Service("parent", [sys.executable, "-c", PARENT, str(tmp_path / "pid")]))
    grandchild = int(_wait_for(tmp_path / "pid", services))
    services.stop(seconds=1)
    assert not psutil.pid_exists(grandchild) or psutil.Process(grandchild).status() == psutil.STATUS_ZOMBIE


def test_who_does_not_listen_is_ended_all_the_same(services: Services, tmp_path: Path) -> None:
    services.start(Service("deaf", [sys.executable, "-c", DEAF]))
    _wait_for(tmp_path / "deaf.log", services)
    (deaf,) = _running(sys.executable, "-c", DEAF)
    services.stop(seconds=0.5)
    assert not _lives(deaf), "it would go on for ten minutes"


def test_a_death_is_told_with_the_name_the_code_and_the_log(services: Services, tmp_path: Path) -> None:
    services.start(Service("brief", [sys.executable, "-c", "raise SystemExit(3)"]))
    with pytest.raises(ServiceDiedError, match=r"brief ended with code 3.*brief\.log"):
        while True:
            services.check()
            time.sleep(0.05)


def _tend_until(services: Services, said: list[str], words: str) -> None:
    while not any(words in line for line in said):
        services.tend(said.append)
        time.sleep(0.05)


def test_what_dies_is_told_and_started_again(services: Services) -> None:
    services.start(Service("page", ["sleep", "6000"]))
    said: list[str] = []
    (first,) = _running("sleep", "6000")
    first.kill()
    _tend_until(services, said, "page was ended by SIGKILL; it is started again")
    services.check()
    (second,) = _running("sleep", "6000")
    assert second != first


def test_what_dies_again_and_again_is_given_up(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("demo.services.FIRST_WAIT_S", 0.01)
    services.start(Service("brief", [sys.executable, "-c", "raise SystemExit(3)"]))
    said: list[str] = []
    with pytest.raises(ServiceDiedError, match=r"brief ended with code 3, as 5 times shortly before.*brief\.log"):
        _tend_until(services, said, "never")
    assert len(said) == 5


class Other:
    """Something else that is kept running, and does not start at once."""

    name = "the database"

    def __init__(self) -> None:
        self.tries = 0

    def ended(self) -> str | None:
        return None if self.tries > 1 else "was ended"

    def start_again(self) -> None:
        self.tries += 1
        if self.tries == 1:
            raise TransientError("not yet")


def test_other_things_are_tended_too_and_tried_until_they_start(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("demo.services.FIRST_WAIT_S", 0.01)
    other, said = Other(), []
    services.keep([other])
    while other.tries < 2:
        services.tend(said.append)
        time.sleep(0.05)
    assert said == [
        "the database was ended; it is started again",
        "the database does not start: not yet. Next: try again later.",
        "the database was ended; it is started again in 0 s",
    ]


def test_what_a_killed_set_left_running_is_ended_by_the_next(tmp_path: Path) -> None:
    command = [sys.executable, "-c", LEAVES, str(tmp_path)]
    subprocess.run(command, check=True, cwd=Path(__file__).parents[2])
    left = int(_wait_for(tmp_path / "pid"))
    assert psutil.Process(left).status() != psutil.STATUS_ZOMBIE
    next_one = Services(os.environ, tmp_path)
    assert next_one.end_left_over() >= 1
    assert not psutil.pid_exists(left) or psutil.Process(left).status() == psutil.STATUS_ZOMBIE
    assert next_one.end_left_over() == 0


@pytest.mark.parametrize(("status", "ready"), [(200, True), (404, True), (503, False)])
def test_a_service_is_ready_when_its_address_answers_well(
    services: Services, status: int, ready: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(httpx, "get", lambda url, timeout: httpx.Response(status))
    services.start(Service("page", ["sleep", "60"], ready_url="http://127.0.0.1:1/"))
    with nullcontext() if ready else pytest.raises(ServiceDiedError, match="page is not ready"):
        services.wait_ready(0.1)
