"""The scheduler, its tasks and PostgreSQL killed at random moments: nothing is lost, doubled or half published.

`MOTLAN_SCHEDULER_KILLS` says how often (`make soak`: 100), `MOTLAN_SEED` which moments. What was killed is started again, and the
next run heals.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from typing import Any

import psutil
import pytest

from demo import services
from motlan.store import supervisor
from tests.conftest import ROOT, traversable_folder
from tests.scheduler.airflow import Installation, Scheduler
from tests.soak.driver import ROUND, Bus, Registers

KILLS = int(os.environ.get("MOTLAN_SCHEDULER_KILLS", "10"))
KILLS_A_DAY = 5
SEED = int(os.environ.get("MOTLAN_SEED", "1"))
DATASETS = ("alpha_people", "beta_cards")
EQUAL = ("landed", "golden")
VICTIMS = (("scheduler", 4), ("task", 4), ("PostgreSQL", 2))
QUICK = {
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "10",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "3",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "5",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "10",
    "MOTLAN_TASK_RETRIES": "4",
    "MOTLAN_REST_SECONDS": "5",
}
"""Settings by which Airflow notices a death in seconds, and not in minutes."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800 + 60 * KILLS)]


def kill(scheduler: Scheduler, victim: str, chance: random.Random) -> bool:
    """Kill one; tell whether there was one."""
    with suppress(psutil.NoSuchProcess):
        found = [one for one in psutil.Process().children(recursive=True) if one.status() != psutil.STATUS_ZOMBIE]
        if victim == "PostgreSQL":
            postmaster = supervisor.postmaster(scheduler.bus.settings.store)
            chosen = [postmaster] if postmaster else []
        elif victim == "scheduler":
            chosen = [one for one in found if "scheduler" in one.cmdline()]
        else:  # a worker's child is a task
            chosen = [one for one in found if one.parent() and "airflow worker" in " ".join(one.parent().cmdline())]
        if chosen:
            chance.choice(chosen).kill()
            return True
    return False


def state(bus: Installation) -> dict[str, Any]:
    return json.loads(bus.run("-c", "import json; from tests.soak.state import state; print(json.dumps(state()))"))


def test_kills_lose_nothing_and_the_next_run_heals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "DEATHS", 1_000_000)
    monkeypatch.setattr(services, "LONGEST_WAIT_S", 1.0)
    print("seed", SEED)
    chance, registers, done = random.Random(SEED), Registers(SEED), []
    with ExitStack() as stack:
        folder = stack.enter_context(traversable_folder())
        calm, killed = Bus(folder / "calm"), Bus(folder / "killed")
        stack.callback(lambda: calm.do("stop"))
        for name in ("dags", "plugins"):
            shutil.copytree(ROOT / name, killed.home / name, ignore=shutil.ignore_patterns("__pycache__"))
        environ = {"COUNTRY_URL": f"file://{killed.home / 'registers'}", "MOTLAN_THREADS": "1"}
        bus = Installation(killed.home, killed.home / "var", environ)
        stack.callback(bus.stop_server)

        def change(day: int) -> Sequence[str]:
            registers.change(day)
            for one in (calm, killed):
                registers.fill(one.country)
            return ROUND

        for command in change(0):
            calm.do(command)
        scheduler = Scheduler(bus, stack, DATASETS, QUICK)
        scheduler.switch_on()
        day = 0
        while len(done) < KILLS or day == 0:
            day += 1
            for command in change(day):
                calm.do(command)
            scheduler.begin_day(day)
            for _ in range(KILLS_A_DAY):
                time.sleep(chance.uniform(0.5, 5))
                victim = chance.choices(*zip(*VICTIMS, strict=True))[0]
                if len(done) < KILLS and kill(scheduler, victim, chance):
                    done.append(victim)
                scheduler.services.tend(print)
            scheduler.end_day(day)
        for command in change(day + 1):
            calm.do(command)
        scheduler.begin_day(day + 1)
        assert set(scheduler.end_day(day + 1).values()) == {"success"}, done
        calm.do(f"tell {folder / 'calm.json'}")
        wanted, found = json.loads((folder / "calm.json").read_text(encoding="utf-8")), state(bus)
        assert {name: found[name] for name in EQUAL} == {name: wanted[name] for name in EQUAL}, done
        assert found["seqs"] == list(range(1, len(found["seqs"]) + 1)), "the feed has no gap"
        assert found["log_broken"] is None
        assert "running" not in found["states"], found["states"]
