"""`demo.up` with a real scheduler: it brings a first publication about, tends what dies, and leaves nothing running."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest

from demo import airflow_home
from demo.up import AirflowApi

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
        self.screen, self._home = screen, env["AIRFLOW_HOME"]
        with screen.open("w") as sink:
            command = [sys.executable, "-c", SCRIPT, "18080"]
            self.process = subprocess.Popen(command, env=env, stdout=sink, stderr=sink, start_new_session=True)

    def wait_for(self, *words: str) -> str:
        """Wait for a line with some words for as long as it runs; return what it printed."""
        while True:
            ended = self.process.poll()
            text = self.screen.read_text()
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


class Listener(ThreadingHTTPServer):
    """Takes what is posted to it."""

    def __init__(self) -> None:
        listener, self.posted = self, []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                listener.posted.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def wait(self, kind: str) -> dict[str, Any]:
        while not (found := [one for one in self.posted if one["kind"] == kind]):
            time.sleep(0.5)
        return found[0]


def backfill(env: dict[str, str], address: str, dag_id: str) -> list[str]:
    """Backfill three past days; return how the first task of each day's run ended."""
    airflow = AirflowApi(address, airflow_home.login(env))
    body = {"dag_id": dag_id, "from_date": "2026-02-01T00:00:00Z", "to_date": "2026-02-03T23:00:00Z"}
    airflow.call("POST", "/backfills", json=body)
    while True:
        found = airflow.call("GET", f"/dags/{dag_id}/dagRuns", params={"run_type": "backfill"})["dag_runs"]
        if len(found) == 3 and {run["state"] for run in found} == {"success"}:
            break
        time.sleep(0.5)
    paths = [f"/dags/{dag_id}/dagRuns/{run['dag_run_id']}/taskInstances/begin" for run in found]
    return sorted(str(airflow.call("GET", path)["state"]) for path in paths)


def stop_scheduler(env: dict[str, str], address: str, up: Up) -> None:
    """Stop the scheduler in the middle of a step that would take ten minutes: it ends in time, and is started again."""
    Path(f"{env['FAKE_JOURNAL']}.sleep").touch()
    airflow = AirflowApi(address, airflow_home.login(env))
    airflow.call("POST", "/dags/reconcile_toy/dagRuns", json={"logical_date": None})
    running = {"task_id": "merge", "state": "running"}
    while not airflow.call("GET", "/dags/reconcile_toy/dagRuns/~/taskInstances", params=running)["task_instances"]:
        time.sleep(0.5)
    (scheduler,) = (one for one in psutil.Process(up.process.pid).children() if "scheduler" in one.cmdline())
    scheduler.terminate()
    up.wait_for("airflow-scheduler ended with code 0; it is started again")
    Path(f"{env['FAKE_JOURNAL']}.sleep").unlink()


def answer(env: dict[str, str], address: str, user: str) -> str:
    """Release what waits among Airflow's required actions; return what was shown before."""
    airflow = AirflowApi(address, airflow_home.login(env, user))
    while not (found := waiting(airflow)):
        time.sleep(0.5)
    at = found["task_instance"]
    path = f"/dags/{at['dag_id']}/dagRuns/{at['dag_run_id']}/taskInstances/{at['task_id']}/-1/hitlDetails"
    body = {"chosen_options": [found["options"][0]], "params_input": {"reason": "looked at"}}
    airflow.call("PATCH", path, json=body)
    return str(found["body"])


def waiting(airflow: AirflowApi) -> dict[str, Any] | None:
    """Return what is asked of people now."""
    found = airflow.call("GET", "/dags/~/dagRuns/~/hitlDetails", params={"response_received": False})["hitl_details"]
    return next((one for one in found if one["task_instance"]["state"] == "awaiting_input"), None)


def published(env: dict[str, str]) -> bool:
    """Tell whether the run was published that the asset's event names, after two people released it."""
    journal = Path(env["FAKE_JOURNAL"])
    calls = [json.loads(line) for line in journal.read_text().splitlines()] if journal.exists() else []
    released = [call[2] for call in calls if call[0] == "decide"]
    assert (
        ["publish", "reconcile-1"] not in calls
        or released == ["Admin", "Operator"]
        or released == ["admin", "operator"]
    )
    return ["publish", "reconcile-1"] in calls


def test_a_scheduler_publishes_is_tended_and_leaves_nothing_running(home_of: Any, tmp_path: Path) -> None:
    listener = Listener()
    env = home_of.migrated("up", PATH=os.environ["PATH"]) | {
        "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "10",  # seconds of silence until it is told, 30 else
        "FAKE_APPROVALS": "2",
        "FAKE_FAILURES": json.dumps({"land": ["ContractError", 1]}),
        "FAKE_SLEEP": "merge",
        "MOTLAN_GRACE_SECONDS": "1",
        "MOTLAN_ALERT_WEBHOOK": f"http://127.0.0.1:{listener.server_port}",
    }
    up = Up(env, tmp_path / "screen")
    try:
        up.wait_for("publish_toy", "success")
        text = up.wait_for("release_toy", "running")
        assert not published(env)
        address = re.findall(r"http://127\.0\.0\.1:\d+", text)[0]
        answers = [answer(env, address, user) for user in ("admin", "admin", "operator")]
        assert all("changes | toy | cả nước / all | 30 | 100 | 30.00% | 25.00% |" in shown for shown in answers)
        while not published(env):  # nobody counts twice
            text = up.wait_for("publish_toy", "success")
            time.sleep(0.5)
        told = listener.wait("sync")
        assert (told["kind"], told["cause"]) == ("sync", "ContractError")
        assert "docs/operations.md#run-failed" in told["text"]
        assert "passes 1 limits of change" in listener.wait("publish")["text"]
        assert backfill(env, address, "sync_toy_members") == ["skipped", "skipped", "success"]
        assert len(up.left_running()) > 5
        stop_scheduler(env, address, up)
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
        listener.shutdown()
    assert up.process.wait() == 0
    assert up.left_running() == []
    assert "http://127.0.0.1:" in text
    assert str(airflow_home.passwords_file(env)) in text, "the way to the password"
    passwords = [airflow_home.login(env, user)[1] for user in airflow_home.USERS]
    assert not [word for word in passwords if word in up.screen.read_text()], "and not the password"
