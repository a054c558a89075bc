"""Seven simulated days under a real scheduler and triggerer, with a disturbance on five of them.

Golden values end as in a world without disturbances, and no disturbance is silent: each is a failed run, a task that was tried
again, or a finding of the ledger.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from contextlib import ExitStack
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from motlan.ingest.timeliness import NOTHING_NEW
from simulators import Agencies, make_world
from tests.conftest import ROOT, traversable_folder
from tests.scheduler.airflow import Installation, Scheduler
from tests.scheduler.faults import FaultyProxy, overloaded, renamed, truncated, without_newest_drop

pytestmark = pytest.mark.slow

DATASETS = ("population_citizens", "insurance_members", "tax_taxpayers", "education_pupils", "education_staff")
DAYS = 7
PEOPLE = 1000


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The declared half, with an insurance whose columns are frozen: a drift stops its run. It is asked twice at the most."""
    folder = tmp_path_factory.mktemp("declared")
    for name in ("adapters", "schemas", "mapping", "dags", "plugins"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    path = folder / "adapters" / "agencies.yaml"
    declared = yaml.safe_load(path.read_text(encoding="utf-8"))
    insurance = declared["agencies"]["insurance"]
    insurance["datasets"]["insurance_members"]["contract"] = "freeze"
    insurance["pace"]["attempts"] = 2  # the seconds that it waits for an agency that is down are Airflow's here
    declared["agencies"]["tax"]["datasets"]["tax_taxpayers"]["freshness"] = 72_000  # a batch each day, and some hours
    path.write_text(yaml.safe_dump(declared, allow_unicode=True), encoding="utf-8")
    return folder


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
for day, line in enumerate(sys.stdin):
    for dataset in line.split():
        pipeline.sync(dataset)
    if day in (0, 6):  # the first one learns the model of linking
        pipeline.reconcile("person")
        pipeline.publish()
        pipeline.project()
    print("done", flush=True)
"""


LATE = """
import sys
from datetime import datetime
from motlan.ingest.timeliness import timeliness
from motlan.workspace import open_workspace
print(timeliness(open_workspace(), datetime.fromisoformat(sys.argv[1]))["tax_taxpayers"]["why"])
"""
DAY0 = datetime(2026, 10, 1, 23, 59, 59, tzinfo=UTC)
"""The end of the simulators' first day."""


def find_late(bus: Installation, day: int) -> str:
    """Return what `motlan status` says of the age of the taxpayers at the end of a day; empty where they are in time."""
    return bus.run("-c", LATE, (DAY0 + timedelta(days=day, seconds=1)).isoformat()).strip()


class Undisturbed:
    """The same world without a scheduler and without disturbances, in one process beside."""

    def __init__(self, bus: Installation) -> None:
        command = [sys.executable, "-c", UNDISTURBED]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._process = subprocess.Popen(command, env=bus.env, cwd=ROOT, **pipes)  # type: ignore[call-overload]

    def begin_day(self) -> None:
        self._process.stdin.write(" ".join(DATASETS) + "\n")
        self._process.stdin.flush()

    def end_day(self) -> None:
        assert self._process.stdout.readline() == "done\n"

    def end(self) -> None:
        self._process.stdin.close()
        assert self._process.wait() == 0


def test_seven_days_end_as_in_an_undisturbed_world(home: Path) -> None:
    with ExitStack() as stack:
        world = stack.enter_context(traversable_folder())
        make_world(world, people=PEOPLE, seed=7, days=DAYS - 1)
        agencies = stack.enter_context(Agencies(world))
        tax = stack.enter_context(FaultyProxy(agencies.env["MOTLAN_TAX_URL"]))
        insurance = stack.enter_context(FaultyProxy(agencies.env["MOTLAN_INSURANCE_URL"]))
        proxies = {"MOTLAN_TAX_URL": tax.url, "MOTLAN_INSURANCE_URL": insurance.url}
        bus = Installation(home, stack.enter_context(traversable_folder()), {**agencies.env, **proxies})
        stack.callback(bus.stop_server)
        plain = Installation(home, stack.enter_context(traversable_folder()), dict(agencies.env))
        stack.callback(plain.stop_server)
        scheduler = Scheduler(bus, stack, DATASETS)
        beside = Undisturbed(plain)
        states: list[dict[str, str]] = [{}]
        tries, late = [0], []
        for day in range(DAYS):
            agencies.set_day(day)
            tax.day = insurance.day = day
            insurance.is_down = day == 1
            insurance.fault = {2: renamed("maTinh"), 5: overloaded(3)}.get(day)
            tax.fault = {3: truncated(".xml.gz"), 4: without_newest_drop}.get(day)
            beside.begin_day()
            if day:
                scheduler.begin_day(day)
                states.append(scheduler.end_day(day))
                tries.append(scheduler.tries("insurance_members", day))
            else:  # what a schedule that missed a tick starts by itself
                scheduler.switch_on()
            late.append(find_late(bus, day))
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
        drops = [
            drop
            for (drop,) in bus.ask(
                "select steps -> 'land' ->> 'cursor' from runs where kind = 'sync' and subject = 'tax_taxpayers'"
                " and state = 'visible' order by id"
            )
        ]
        first = date.fromisoformat(drops[0][:10])
        came = [(date.fromisoformat(drop[:10]) - first).days for drop in drops]
        assert came == [0, 1, 2, 3, 5, 6], "the truncated batch comes a day late, the late one with the next"
        assert [day for day, why in enumerate(late) if why] == [3, 4], (
            "what is late is a finding, whether its run failed or not"
        )
        assert late[4] == NOTHING_NEW
        assert all(
            proxy.spoilt[day] for proxy, day in ((insurance, 1), (insurance, 2), (tax, 3), (tax, 4), (insurance, 5))
        )
        assert golden(bus) == golden(plain)
