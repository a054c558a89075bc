"""A bus with a real Airflow on loopback, for tests: its scheduler, triggerer, processor of DAG files and API server."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg

from demo import airflow_home
from demo.services import Services
from demo.standing import Database
from demo.up import AirflowApi, airflow_services, airflow_settings, free_port
from motlan.settings import load
from motlan.store import server
from tests.conftest import ROOT

PROMPT = {
    "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
    "MOTLAN_TASK_RETRIES": "2",
    "MOTLAN_TASK_RETRY_SECONDS": "1",
}
"""Settings by which a scheduler that has little to do looks often what is next."""
FIRST_DAY = datetime(2026, 3, 2, tzinfo=UTC)


class Installation:
    """A bus with an Airflow of its own, and questions to both."""

    def __init__(self, home: Path, var: Path, agencies: dict[str, str]) -> None:
        base = {
            key: value for key, value in os.environ.items() if not key.startswith(("MOTLAN_", "COV_CORE", "COVERAGE_"))
        }
        base |= {"MOTLAN_HOME": str(home), "MOTLAN_VAR": str(var), "PYTHONPATH": str(ROOT), **agencies}
        self.var = var
        self.stop_server: Callable[[], object] = lambda: None
        before = dict(os.environ)
        os.environ.update(base)
        try:
            self.settings = load()
            airflow = server.start_with_database(self.settings, "airflow")
            self.database = server.start(self.settings)
            self.stop_server = lambda: server.stop(self.settings)
        finally:
            os.environ.clear()
            os.environ.update(before)
        self.env = airflow_home.prepare(home, var, airflow, {**base, "MOTLAN_DATABASE_URL": self.database})

    def run(self, *command: str) -> str:
        done = subprocess.run(
            [sys.executable, *command], env=self.env, capture_output=True, text=True, check=False, cwd=ROOT
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    def ask(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database) as connection:
            return connection.execute(query, values).fetchall()  # type: ignore[arg-type]


class Scheduler:
    """A real Airflow, and what a person would do in it.

    Args:
        bus: The bus.
        stack: Ends what was started.
        datasets: The datasets that are synced.
        settings: Further settings of Airflow.
    """

    def __init__(
        self, bus: Installation, stack: ExitStack, datasets: Sequence[str], settings: Mapping[str, str] | None = None
    ) -> None:
        port = free_port(18180)
        env = {**bus.env, **airflow_settings(port), **PROMPT}
        self.bus, self.datasets = bus, datasets
        self.services = Services({**env, **(settings or {})}, bus.var / "airflow" / "logs" / "services")
        self.services.keep([Database(bus.settings)])
        stack.callback(self.services.stop)
        bus.run("-m", "demo.airflow_home")
        for service in airflow_services(port):
            self.services.start(service)
        self.services.wait_ready(1800)
        self.api = AirflowApi(f"http://127.0.0.1:{port}", airflow_home.login(bus.env))

    def wait(self, is_done: Callable[[], Any]) -> None:
        """Wait for as long as Airflow lives; what was killed is started again, and does not answer meanwhile."""
        while True:
            with suppress(httpx.HTTPError, psycopg.Error):
                if is_done():
                    return
            self.services.tend(print)
            time.sleep(0.5)

    def call(self, method: str, path: str, **arguments: Any) -> None:
        """Call Airflow's API until it answers."""
        self.wait(lambda: self.api.call(method, path, **arguments))

    def switch_on(self) -> None:
        """Let all schedules run; one that missed a tick starts by itself. Wait for the first publication."""
        wanted = {*(f"sync_{name}" for name in self.datasets), "reconcile_person", "publish_person"}
        self.wait(lambda: self.api.healthy() and wanted <= set(self.api.dags()))
        for dag_id in wanted:
            self.call("PATCH", f"/dags/{dag_id}", json={"is_paused": False})
        self.wait(lambda: self.is_settled() and self.bus.ask("select 1 from publications"))

    def begin_day(self, day: int) -> None:
        """Start the syncs of a day."""
        moment = (FIRST_DAY + timedelta(days=day)).isoformat()
        for dataset in self.datasets:
            body = {"dag_run_id": f"day_{day}", "logical_date": moment}
            with suppress(httpx.HTTPStatusError):  # it was taken before the server was killed
                self.wait(lambda path=f"/dags/sync_{dataset}/dagRuns", body=body: self._post(path, body))

    def _post(self, path: str, body: dict[str, str]) -> bool:
        try:
            self.api.call("POST", path, json=body)
        except httpx.HTTPStatusError as error:
            if error.response.status_code != httpx.codes.CONFLICT:
                raise
        return True

    def end_day(self, day: int) -> dict[str, str]:
        """Wait until the syncs of a day, and all that follows from them, have ended; return their states."""
        self.wait(lambda: {self.state(name, day) for name in self.datasets} <= {"success", "failed"})
        self.wait(self.is_settled)
        return {dataset: self.state(dataset, day) for dataset in self.datasets}

    def state(self, dataset: str, day: int) -> str:
        """Return the state of a day's sync."""
        return str(self.api.call("GET", f"/dags/sync_{dataset}/dagRuns/day_{day}")["state"])

    def tries(self, dataset: str, day: int) -> int:
        """Return how often a day's landing was tried."""
        path = f"/dags/sync_{dataset}/dagRuns/day_{day}/taskInstances/land"
        return int(self.api.call("GET", path)["try_number"])

    def is_idle(self) -> bool:
        """Tell whether no DAG run is queued or running."""
        found = self.api.call("GET", "/dags/~/dagRuns", params={"state": ["queued", "running"], "limit": 1})
        return not found["dag_runs"]

    def is_settled(self) -> bool:
        """Tell whether reconcile runs that ended read every sync that is visible, and nothing is under way."""
        unread = self.bus.ask(
            """select s.id from runs s where s.kind = 'sync' and s.state = 'visible' and not exists (
                   select from runs r where r.kind = 'reconcile' and r.state in ('published', 'unchanged')
                   and r.steps -> 'begin' -> 'inputs' -> s.subject ? s.id)"""
        )
        return not unread and self.is_idle()
