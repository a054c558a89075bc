"""Seven simulated days under a real scheduler and triggerer, with a disturbance on five of them.

Golden values end as in a world without disturbances, and no disturbance is silent: each is a failed run, a task that was tried
again, or a finding of the ledger.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from demo import airflow_home
from demo.services import Services
from demo.up import AirflowApi, airflow_services, airflow_settings, free_port
from motlan.settings import load
from motlan.store import server
from simulators import Agencies, make_world
from tests.scheduler.faults import FaultyProxy, overloaded, renamed, truncated, without_drop

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).resolve().parents[2]
DATASETS = ("population_citizens", "insurance_members", "tax_taxpayers", "education_pupils", "education_staff")
FIRST_DAY = datetime(2026, 3, 2, tzinfo=UTC)
DAYS = 7
PEOPLE = 1000


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The declared half, with an insurance whose columns are frozen: a drift stops its run."""
    folder = tmp_path_factory.mktemp("declared")
    for name in ("adapters", "schemas", "mapping", "dags", "plugins"):
        shutil.copytree(REPOSITORY / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    path = folder / "adapters" / "agencies.yaml"
    declared = yaml.safe_load(path.read_text(encoding="utf-8"))
    declared["agencies"]["insurance"]["datasets"]["insurance_members"]["contract"] = "freeze"
    path.write_text(yaml.safe_dump(declared, allow_unicode=True), encoding="utf-8")
    return folder


@contextmanager
def private_folder() -> Iterator[Path]:
    # The embedded server's user must be able to walk down to it where the tests run as root.
    folder = Path(tempfile.mkdtemp(prefix="motlan-days-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Installation:
    """A bus with an Airflow of its own, and questions to both."""

    def __init__(self, home: Path, var: Path, agencies: dict[str, str]) -> None:
        base = {
            key: value for key, value in os.environ.items() if not key.startswith(("MOTLAN_", "COV_CORE", "COVERAGE_"))
        }
        base |= {"MOTLAN_HOME": str(home), "MOTLAN_VAR": str(var), "PYTHONPATH": str(REPOSITORY), **agencies}
        self.var, self.stop_server = var, lambda: None
        before = dict(os.environ)
        os.environ.update(base)
        try:
            settings = load()
            airflow = server.start_with_database(settings, "airflow")
            self.database = server.start(settings)
            self.stop_server = lambda: server.stop(settings)
        finally:
            os.environ.clear()
            os.environ.update(before)
        self.env = airflow_home.prepare(home, var, airflow, {**base, "MOTLAN_DATABASE_URL": self.database})

    def run(self, *command: str) -> str:
        done = subprocess.run(
            [sys.executable, *command], env=self.env, capture_output=True, text=True, check=False, cwd=REPOSITORY
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    def ask(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database) as connection:
            return connection.execute(query, values).fetchall()  # type: ignore[arg-type]


GOLDEN = """
import json, duckdb
from motlan.lake.tables import golden_table, links_table
from motlan.workspace import open_workspace
work = open_workspace()
entity = work.registry.entity("person")
rows = work.published_rows("person", golden_table("person"))
links = work.published_rows("person", links_table("person"))
fields = ", ".join(f'"{name}"' for name in entity.fields)
with work.engine("asking") as engine:
    found = engine.execute(
        f"select list(l.dataset || ' ' || l._key order by l.dataset, l._key) as records, any_value([{fields}]) as said"
        f" from ({rows}) g join ({links}) l using (entity_id) group by g.entity_id order by records"
    ).fetchall()
print(json.dumps(found, default=str))
"""


def golden(installation: Installation) -> dict[str, Any]:
    """Return the golden values of each person, who is named by the records that are linked to them."""
    return {json.dumps(records): said for records, said in json.loads(installation.run("-c", GOLDEN))}


UNDISTURBED = """
import sys
from motlan import pipeline
for line in sys.stdin:
    for dataset in line.split():
        pipeline.sync(dataset)
    print("synced", flush=True)
pipeline.reconcile("person")
pipeline.publish()
pipeline.project()
"""


class Undisturbed:
    """The same world without a scheduler and without disturbances, in one process beside."""

    def __init__(self, bus: Installation) -> None:
        command = [sys.executable, "-c", UNDISTURBED]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._process = subprocess.Popen(command, env=bus.env, cwd=REPOSITORY, **pipes)  # type: ignore[call-overload]

    def begin_day(self) -> None:
        self._process.stdin.write(" ".join(DATASETS) + "\n")
        self._process.stdin.flush()

    def end_day(self) -> None:
        assert self._process.stdout.readline() == "synced\n"

    def end(self) -> None:
        self._process.stdin.close()
        assert self._process.wait() == 0


class Scheduler:
    """A real Airflow on loopback."""

    def __init__(self, bus: Installation, stack: ExitStack) -> None:
        port = free_port(18180)
        env = {**bus.env, **airflow_settings(port), "MOTLAN_TASK_RETRIES": "2", "MOTLAN_TASK_RETRY_SECONDS": "1"}
        self.bus = bus
        self.services = Services(env, bus.var / "airflow" / "logs" / "services")
        stack.callback(self.services.stop)
        bus.run("-m", "demo.airflow_home")
        for service in airflow_services(port):
            self.services.start(service)
        self.services.wait_ready(1800)
        self.api = AirflowApi(f"http://127.0.0.1:{port}", airflow_home.login(bus.env))

    def wait(self, done: Any) -> None:
        """Wait for as long as Airflow lives."""
        while not done():
            self.services.check()
            time.sleep(0.5)

    def switch_on(self) -> None:
        wanted = {*(f"sync_{name}" for name in DATASETS), "reconcile_person", "publish_person"}
        self.wait(lambda: self.api.healthy() and wanted <= set(self.api.dags()))
        for dag_id in wanted:
            self.api.call("PATCH", f"/dags/{dag_id}", json={"is_paused": False})
        self.wait(lambda: self._is_settled() and self.bus.ask("select 1 from publications"))

    def sync(self, datasets: tuple[str, ...], day: int) -> dict[str, str]:
        """Start the syncs of a day, and wait until they, and all that follows from them, have ended."""
        moment = (FIRST_DAY + timedelta(days=day)).isoformat()
        names = dict.fromkeys(datasets, f"day_{day}")
        for dataset, run_id in names.items():
            body = {"dag_run_id": run_id, "logical_date": moment}
            self.api.call("POST", f"/dags/sync_{dataset}/dagRuns", json=body)
        self.wait(
            lambda: all(
                self._state(f"sync_{dataset}", run_id) in ("success", "failed") for dataset, run_id in names.items()
            )
        )
        self.wait(self._is_settled)
        return {dataset: self._state(f"sync_{dataset}", run_id) for dataset, run_id in names.items()}

    def _state(self, dag_id: str, run_id: str) -> str:
        return str(self.api.call("GET", f"/dags/{dag_id}/dagRuns/{run_id}")["state"])

    def _is_idle(self) -> bool:
        found = self.api.call("GET", "/dags/~/dagRuns", params={"state": ["queued", "running"], "limit": 1})
        return not found["dag_runs"]

    def _is_settled(self) -> bool:
        """Tell whether the newest publication read every sync that is visible, or found nothing to publish."""
        unread = self.bus.ask(
            """select s.id from runs s where s.kind = 'sync' and s.state = 'visible' and not exists (
                   select from runs r where r.kind = 'reconcile' and r.state in ('published', 'unchanged')
                   and r.steps -> 'begin' -> 'inputs' -> s.subject ? s.id)"""
        )
        return not unread and self._is_idle()

    def tries(self, dataset: str, day: int) -> int:
        path = f"/dags/sync_{dataset}/dagRuns/day_{day}/taskInstances/land"
        return int(self.api.call("GET", path)["try_number"])


def test_seven_days_end_as_in_an_undisturbed_world(home: Path) -> None:
    with ExitStack() as stack:
        world = stack.enter_context(private_folder())
        world.chmod(0o755)
        make_world(world, people=PEOPLE, seed=7, days=DAYS - 1)
        agencies = stack.enter_context(Agencies(world))
        tax = stack.enter_context(FaultyProxy(agencies.env["MOTLAN_TAX_URL"]))
        insurance = stack.enter_context(FaultyProxy(agencies.env["MOTLAN_INSURANCE_URL"]))
        proxies = {"MOTLAN_TAX_URL": tax.url, "MOTLAN_INSURANCE_URL": insurance.url}
        bus = Installation(home, stack.enter_context(private_folder()), {**agencies.env, **proxies})
        stack.callback(bus.stop_server)
        plain = Installation(home, stack.enter_context(private_folder()), dict(agencies.env))
        stack.callback(plain.stop_server)
        scheduler = Scheduler(bus, stack)
        beside = Undisturbed(plain)
        states: list[dict[str, str]] = [{}]
        tries = [0]
        for day in range(DAYS):
            agencies.set_day(day)
            tax.day = insurance.day = day
            insurance.is_down = day == 1
            insurance.fault = {2: renamed("maTinh"), 5: overloaded(8)}.get(day)
            tax.fault = {3: truncated(".xml.gz"), 4: without_drop("delta")}.get(day)
            beside.begin_day()
            if day:
                states.append(scheduler.sync(DATASETS, day))
                tries.append(scheduler.tries("insurance_members", day))
            else:  # what a schedule that missed a tick starts by itself
                scheduler.switch_on()
            beside.end_day()
        beside.end()

        failed = {(day, name) for day, found in enumerate(states) for name, state in found.items() if state == "failed"}
        assert failed == {(1, "insurance_members"), (2, "insurance_members"), (3, "tax_taxpayers")}
        assert (tries[1], tries[5]) == (3, 2), "an agency that is down is tried again, and so is one that is overloaded"
        errors = [
            error for (error,) in bus.ask("select error from runs where state in ('failed', 'abandoned') order by id")
        ]
        assert [error.split(":")[0] for error in errors if error] == [
            "TransientError",
            "ContractError",
            "ContractError",
        ]
        late = bus.ask(
            "select (steps -> 'land' ->> 'pulled')::int from runs where kind = 'sync' and subject = 'tax_taxpayers'"
            " and state in ('visible', 'unchanged') order by id"
        )
        assert late[4][0] == 0 and late[5][0] > 0, "the late batch is missing on its day, and comes with the next"
        assert all(
            proxy.spoilt[day] for proxy, day in ((insurance, 1), (insurance, 2), (tax, 3), (tax, 4), (insurance, 5))
        )
        assert golden(bus) == golden(plain)
