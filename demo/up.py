"""`make up`: the agencies, a real Airflow and the bus's pages left running on loopback, until Ctrl-C or a death.

It prints where everything is, starts the first sync of every dataset, and then says what each DAG run comes to.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console

from demo import airflow_home
from demo.services import Kept, Service, ServiceDiedError, Services
from motlan.errors import MotlanError

_COMPONENTS = ("scheduler", "dag-processor", "triggerer", "metadatabase")
KINDS = {"sync", "reconcile", "publish", "release", "care"}
"""What the DAGs' names begin with."""
PATIENCE_S = 1800.0
"""Seconds that something that lives may take until it answers: a busy machine is slow, and a death is noticed at once."""
WARM_UP_S = 90.0
"""Seconds after its start in which nobody wonders that a part of Airflow gives no sign of life yet."""
_console = Console(highlight=False, soft_wrap=True)


class AirflowApi:
    """The few calls to Airflow's REST API that are needed here."""

    def __init__(self, address: str, login: tuple[str, str]) -> None:
        self.login = login
        self._http = httpx.Client(base_url=address, timeout=20)

    def call(self, method: str, path: str, **arguments: Any) -> Any:
        """Call one address, signing in where that is due.

        Raises:
            httpx.HTTPError: It does not answer, or not well.
        """
        answer = self._http.request(method, f"/api/v2{path}", **arguments)
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            name, password = self.login
            token = self._http.post("/auth/token", json={"username": name, "password": password})
            token.raise_for_status()
            self._http.headers["Authorization"] = f"Bearer {token.json()['access_token']}"
            answer = self._http.request(method, f"/api/v2{path}", **arguments)
        answer.raise_for_status()
        return answer.json()

    def healthy(self) -> bool:
        """Tell whether every component has a fresh heartbeat."""
        with suppress(httpx.HTTPError):
            health = self.call("GET", "/monitor/health")
            return all(health[name.replace("-", "_")]["status"] == "healthy" for name in _COMPONENTS)
        return False

    def silent(self) -> dict[str, str]:
        """Return, of each component that has a heartbeat, since when it has none; empty where it has a fresh one."""
        health = self.call("GET", "/monitor/health")
        found = {}
        for name in ("scheduler", "dag-processor", "triggerer"):
            part = health[name.replace("-", "_")]
            beat = next((value for key, value in part.items() if key.startswith("latest_") and value), None)
            found[name] = "" if part["status"] == "healthy" or not beat else _clock(beat)
        return found

    def dags(self) -> list[str]:
        """Return the ids of the bus's DAGs that were read so far, the last step first."""
        found = self.call("GET", "/dags", params={"tags": "motlan", "limit": 100})["dags"]
        order = {"release": 0, "publish": 1, "reconcile": 2}
        return sorted((dag["dag_id"] for dag in found), key=lambda name: (order.get(name.partition("_")[0], 3), name))

    def runs(self, since: datetime) -> list[dict[str, Any]]:
        """Return the newest DAG runs that were queued since a moment, the oldest of them first."""
        found = self.call("GET", "/dags/~/dagRuns", params={"order_by": "-id", "limit": 50})["dag_runs"]
        return [run for run in reversed(found) if datetime.fromisoformat(run["queued_at"]) >= since]

    def broken_files(self) -> list[str]:
        """Return the names of DAG files that do not import."""
        return [Path(error["filename"]).name for error in self.call("GET", "/importErrors")["import_errors"]]


def _clock(moment: str) -> str:
    return datetime.fromisoformat(moment).astimezone().strftime("%H:%M:%S")


def airflow_services(port: int) -> list[Service]:
    """Return the four processes of an Airflow with its page on a loopback port.

    Task logs are read from the disk: the servers that hand them to other machines would listen on every interface.
    """
    airflow, address = [sys.executable, "-m", "airflow"], f"http://127.0.0.1:{port}"
    web = [*airflow, "api-server", "--host", "127.0.0.1", "--port", str(port)]
    return [
        Service("airflow-api-server", web, f"{address}/api/v2/version", address),
        Service("airflow-scheduler", [*airflow, "scheduler", "--skip-serve-logs"]),
        Service("airflow-dag-processor", [*airflow, "dag-processor"]),
        Service("airflow-triggerer", [*airflow, "triggerer", "--skip-serve-logs"]),
    ]


def airflow_settings(port: int) -> dict[str, str]:
    """Return the settings of an Airflow whose page is on a loopback port: deadlines, pools, and where its parts find it."""
    address = f"http://127.0.0.1:{port}"
    return {
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": address,
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{address}/execution/",
        "MOTLAN_DEADLINES": "1",
        "MOTLAN_POOLS": "1",
    }


def up(env: Mapping[str, str], services: Sequence[Service], port: int = 8080, others: Sequence[Kept] = ()) -> int:
    """Run the services and Airflow until someone stops them. What dies meanwhile is told, and started again.

    Args:
        env: Complete environment from `demo.airflow_home.prepare`, with the agencies' addresses and credentials.
        services: What runs beside Airflow (agencies, feeds, console), started first.
        port: Wanted port of Airflow's page; a free one is taken where it is in use.
        others: What else is kept running, such as the database that all of them need.

    Returns:
        0 when it was stopped by Ctrl-C or SIGTERM, 1 when a service died again and again.
    """
    running = Services(env, Path(env["AIRFLOW_HOME"]) / "logs" / "services")
    if left := running.end_left_over():
        _console.print(f"Ended {left} processes that an earlier run of this world had left when it was killed.")
    port = free_port(port)
    address = f"http://127.0.0.1:{port}"
    env = {**env, **airflow_settings(port)}
    running = Services(env, Path(env["AIRFLOW_HOME"]) / "logs" / "services")
    running.keep(others)
    began = datetime.now(UTC)
    with _stopped_by_signal():
        try:
            _start(running, env, [*services, *airflow_services(port)])
            _follow(running, AirflowApi(address, airflow_home.login(env)), began)
        except KeyboardInterrupt:
            return 0
        except MotlanError as error:
            _console.print(f"[red]{error}[/red]")
        finally:
            _console.print("Stopping everything ...")
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
            running.stop()
            _console.print("Stopped.")
    return 1


def _start(running: Services, env: Mapping[str, str], services: Sequence[Service]) -> None:
    if not airflow_home.is_migrated(env):
        _console.print("Making Airflow's tables ...")
        done = subprocess.run(
            [sys.executable, "-m", "demo.airflow_home"], env=dict(env), capture_output=True, check=False
        )
        if done.returncode:
            raise ServiceDiedError(
                "Airflow's tables could not be made", next_step="run `python -m demo.airflow_home` to see why"
            )
    airflow_home.settle(env)
    started = time.monotonic()
    for service in services:
        running.start(service)
    _console.print(f"Started {', '.join(service.name for service in services)}; waiting until they answer ...")
    running.wait_ready(PATIENCE_S)
    _console.print(f"Ready after {time.monotonic() - started:.0f} s.")
    for service in services:
        if service.address:
            _console.print(f"  {service.name:22} {service.address}")
    _console.print(
        f"  Airflow's logins       {' and '.join(airflow_home.USERS)}; passwords are in {airflow_home.passwords_file(env)}"
    )


def _follow(running: Services, airflow: AirflowApi, began: datetime) -> None:
    """Start a sync of every dataset, then tell of every change of a DAG run's state, for ever."""
    dags = _wait_for_dags(running, airflow)
    for dag_id in dags:
        _patiently(running, partial(airflow.call, "PATCH", f"/dags/{dag_id}", json={"is_paused": False}))
    _console.print(f"Switched on: {', '.join(dags)}. Ctrl-C stops everything.")
    waiting, patience = {dag_id for dag_id in dags if dag_id.startswith("sync_")}, time.monotonic() + 6
    seen: dict[tuple[str, str], str] = {}
    pulse = _Pulse(airflow, running)
    while True:
        running.tend(_say)
        with suppress(httpx.HTTPError):
            pulse.feel()
            for run in airflow.runs(began):
                waiting.discard(run["dag_id"])
                key = (run["dag_id"], run["dag_run_id"])
                if seen.get(key) != run["state"]:
                    seen[key] = run["state"]
                    _console.print(f"{time.strftime('%H:%M:%S')}  {run['dag_id']:28} {run['state']}")
            # A schedule that has missed a tick starts by itself when it is switched on; the others are started here.
            if waiting and time.monotonic() > patience:
                for dag_id in sorted(waiting):
                    airflow.call("POST", f"/dags/{dag_id}/dagRuns", json={"logical_date": None})
        time.sleep(2)


def _say(what: str) -> None:
    _console.print(f"{time.strftime('%H:%M:%S')}  {what}")


def _patiently(running: Services, call: Callable[[], Any], seconds: float = PATIENCE_S) -> Any:
    """Call Airflow, again where it does not answer because something was just started again."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return call()
        except httpx.HTTPError as error:
            if time.monotonic() > deadline:
                raise ServiceDiedError(
                    f"Airflow's API does not answer ({type(error).__name__})", next_step="read airflow-api-server.log"
                ) from None
        running.tend(_say)
        time.sleep(1)


class _Pulse:
    """Tells when a part of Airflow runs and gives no sign of life, and when it does again."""

    def __init__(self, airflow: AirflowApi, running: Services) -> None:
        self._airflow, self._running = airflow, running
        self._silent: dict[str, str] = {}
        self._next = 0.0

    def feel(self) -> None:
        """Look, at most every ten seconds.

        Raises:
            httpx.HTTPError: Airflow's API does not answer.
        """
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + 10
        for name, since in self._airflow.silent().items():
            if since and name not in self._silent and self._running.age(f"airflow-{name}") > WARM_UP_S:
                _say(f"airflow-{name} runs, but gives no sign of life since {since}: read its log, or end its process")
                self._silent[name] = since
            elif not since and self._silent.pop(name, ""):
                _say(f"airflow-{name} gives signs of life again")


def _wait_for_dags(running: Services, airflow: AirflowApi) -> list[str]:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        running.tend(_say)
        dags = _patiently(running, airflow.dags) if airflow.healthy() else []
        if {dag_id.partition("_")[0] for dag_id in dags} == KINDS:
            return dags
        if broken := _patiently(running, airflow.broken_files) if dags else []:
            raise ServiceDiedError(
                f"DAG files that do not import: {', '.join(broken)}", next_step="run them with Python"
            )
        if time.monotonic() > deadline:
            raise ServiceDiedError("Airflow has not read the DAG files", next_step="read airflow-dag-processor.log")
        time.sleep(1)


@contextmanager
def _stopped_by_signal() -> Iterator[None]:
    """Let SIGTERM do what Ctrl-C does, and put the handlers back afterwards."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def free_port(wanted: int) -> int:
    """Return the wanted loopback port, or a free one where that is in use."""
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", wanted)) != 0:
            return wanted
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
