"""Any sequence of days, decisions, kills and backfills leaves what a full run leaves.

`MOTLAN_DAYS_SEEDS` is how many worlds are lived through (`make soak`: many), `MOTLAN_DAYS` how many days each. In soak every day
is held against a full run, else the last one.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from motlan import pipeline
from motlan.errors import MotlanError
from motlan.workspace import open_workspace
from tests.conftest import Databases
from tests.days import changes
from tests.days.state import assert_as_full
from tests.days.world import World, bus

SOAK = "MOTLAN_DAYS_SEEDS" in os.environ
SEEDS = int(os.environ.get("MOTLAN_DAYS_SEEDS", "2"))
DAYS = int(os.environ.get("MOTLAN_DAYS", "8" if SOAK else "3"))
PEOPLE = int(os.environ.get("MOTLAN_DAYS_PEOPLE", "90"))
STEPS = (
    (("linking", "link"),),
    (("survivorship", "merge"), ("incremental", "merge")),
    (("cross_register", "check"), ("incremental", "cross_check")),
    (("differences", "diff"), ("incremental", "diff")),
)
"""Where a run may end early: what the pipeline's steps call, of everything or of what changed."""

pytestmark = pytest.mark.slow


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", range(SEEDS))
def test_days_leave_what_a_full_run_leaves(
    seed: int, tmp_path: Path, databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOTLAN_THREADS", str(1 + seed % 2))
    monkeypatch.setenv("MOTLAN_CHANGED_PERCENT", "100")
    world = World(tmp_path / "home", PEOPLE, seed)
    with bus(world.home, databases):
        _job(world, world.show())
        story = []
        for _ in range(DAYS):
            happened = changes.let_a_day_pass(world)
            decided = changes.decide(open_workspace(), world) + changes.take_back(open_workspace(), world)
            datasets = world.show()
            if world.random.random() < 0.2:
                datasets = sorted({*datasets, changes.pull_again(open_workspace(), world, list(world.registers))})
            run, how = _job(world, datasets)
            story.append(f"day {world.day} ({how}): {', '.join([*happened, *decided])}")
            if SOAK or world.day == DAYS:
                assert_as_full(run, where="\n".join([f"seed {seed}", *story, *world.story]))
            if world.random.random() < 0.3:
                pipeline.care(entity="person")


def _job(world: World, datasets: list[str]) -> tuple[str, str]:
    """Bring what changed from pull to publication; return the reconcile run, and how much of the country it read."""
    for dataset in datasets:
        pipeline.sync(dataset)
    if world.random.random() < 0.2:
        _end_early(world.random.choice(STEPS))
    counts = pipeline.reconcile("person")
    pipeline.publish(counts["run"])
    return str(counts["run"]), str(counts["link"]["scope"])


def _end_early(step: Sequence[tuple[str, str]]) -> None:
    """Let a run end in the middle of a step, as one does that is killed: what it had done is swept by the next."""
    with pytest.MonkeyPatch.context() as patch:
        for module, function in step:
            patch.setattr(getattr(pipeline, module), function, lambda *_: 1 / 0)
        with pytest.raises(MotlanError):
            pipeline.reconcile("person")
