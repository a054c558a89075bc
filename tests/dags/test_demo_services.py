"""Services start together, tell of a death, and leave nothing running."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import httpx
import psutil
import pytest

from demo.services import Service, ServiceDiedError, Services

PARENT = """
import subprocess, sys, time, pathlib
child = subprocess.Popen([sys.executable, "-c", "import os, time; os.setpgid(0, 0); time.sleep(60)"])
pathlib.Path(sys.argv[1]).write_text(str(child.pid))
time.sleep(60)
"""
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    running = Services(os.environ, tmp_path)
    yield running
    running.stop(seconds=0.5)


def _wait_for(path: Path) -> str:
    for _ in range(100):
        if path.exists() and path.read_text():
            return path.read_text()
        time.sleep(0.05)
    raise AssertionError(f"{path} stays empty")


def test_a_grandchild_in_a_process_group_of_its_own_is_ended_too(services: Services, tmp_path: Path) -> None:
    services.start(Service("parent", [sys.executable, "-c", PARENT, str(tmp_path / "pid")]))
    grandchild = int(_wait_for(tmp_path / "pid"))
    time.sleep(0.2)
    services.stop(seconds=1)
    assert not psutil.pid_exists(grandchild) or psutil.Process(grandchild).status() == psutil.STATUS_ZOMBIE


def test_who_does_not_listen_is_ended_all_the_same(services: Services, tmp_path: Path) -> None:
    services.start(Service("deaf", [sys.executable, "-c", DEAF]))
    _wait_for(tmp_path / "deaf.log")
    started = time.monotonic()
    services.stop(seconds=0.5)
    assert time.monotonic() - started < 5


def test_a_death_is_told_with_the_name_the_code_and_the_log(services: Services, tmp_path: Path) -> None:
    services.start(Service("brief", [sys.executable, "-c", "raise SystemExit(3)"]))
    with pytest.raises(ServiceDiedError, match=r"brief ended with code 3.*brief\.log"):
        for _ in range(100):
            services.check()
            time.sleep(0.05)


@pytest.mark.parametrize(("status", "ready"), [(200, True), (404, True), (503, False)])
def test_a_service_is_ready_when_its_address_answers_well(
    services: Services, status: int, ready: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(httpx, "get", lambda url, timeout: httpx.Response(status))
    services.start(Service("page", ["sleep", "60"], ready_url="http://127.0.0.1:1/"))
    with nullcontext() if ready else pytest.raises(ServiceDiedError, match="page is not ready"):
        services.wait_ready(0.1)
