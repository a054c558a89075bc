"""`demo.up` with a real scheduler: it brings a first publication about, tends what dies, and leaves nothing running."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

pytestmark = pytest.mark.slow

SCRIPT = """
import os, sys
from demo.services import Service
from demo import up as running
from demo.up import up
running.WARM_UP_S = 0
sys.exit(up(dict(os.environ), [Service("idle", ["sleep", "1000"])], port=int(sys.argv[1])))
"""


class Up:
    """A child process that runs `up`, and what it printed."""

    def __init__(self, env: dict[str, str], screen: Path) -> None:
        self._screen, self._home = screen, env["AIRFLOW_HOME"]
        with screen.open("w") as sink:
            command = [sys.executable, "-c", SCRIPT, "18080"]
            self.process = subprocess.Popen(command, env=env, stdout=sink, stderr=sink, start_new_session=True)

    def wait_for(self, *words: str) -> str:
        """Wait for a line with some words for as long as it runs; return what it printed."""
        while True:
            ended = self.process.poll()
            text = self._screen.read_text()
            if any(all(word in line for word in words) for line in text.splitlines()):
                return text
            assert ended is None, f"it ended with code {ended} and said:\n{text}"
            time.sleep(0.5)

    def left_running(self) -> list[str]:
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("AIRFLOW_HOME") == self._home and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(" ".join(process.cmdline()))
            except psutil.Error:
                continue
        return found


def published(env: dict[str, str]) -> bool:
    """Tell whether the run was published that the asset's event names."""
    journal = Path(env["FAKE_JOURNAL"])
    calls = [json.loads(line) for line in journal.read_text().splitlines()] if journal.exists() else []
    return ["publish", "reconcile-1"] in calls


def test_a_scheduler_publishes_is_tended_and_leaves_nothing_running(home_of: Any, tmp_path: Path) -> None:
    env = home_of.migrated("up", PATH=os.environ["PATH"]) | {
        "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "10"  # seconds of silence until it is told, 30 else
    }
    up = Up(env, tmp_path / "screen")
    try:
        text = up.wait_for("publish_toy", "running")
        while not published(env):
            text = up.wait_for("publish_toy", "success")
            time.sleep(0.5)
        assert len(up.left_running()) > 5
        for child in psutil.Process(up.process.pid).children():
            if child.name() == "sleep":
                child.kill()
            elif "scheduler" in child.cmdline():
                child.suspend()
        up.wait_for("idle was ended by SIGKILL; it is started again")
        up.wait_for("airflow-scheduler runs, but gives no sign of life since")
        assert any("sleep 1000" in line for line in up.left_running())
    finally:
        up.process.send_signal(signal.SIGTERM)
    assert up.process.wait() == 0
    assert up.left_running() == []
    assert "http://127.0.0.1:" in text
