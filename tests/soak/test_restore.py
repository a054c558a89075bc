"""Everything is lost at a random moment and comes back from a backup that was taken while the bus worked.

`MOTLAN_DRILLS` says how often (`make soak`: 20), `MOTLAN_SEED` at which moments. Recovery points and times are printed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import ROOT, traversable_folder

DRILLS = int(os.environ.get("MOTLAN_DRILLS", "1"))
SEED = os.environ.get("MOTLAN_SEED", "1")
POINT_S, TIME_S = 300, 1800
"""The goals: at most so many seconds of work are lost, and so many seconds later the bus publishes again."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600 + 120 * DRILLS)]


@pytest.fixture(scope="module")
def told() -> Iterator[dict[str, Any]]:
    with traversable_folder() as folder:
        command = [sys.executable, "-m", "tests.soak.restore_drill", str(folder), str(DRILLS), SEED]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        yield json.loads(done.stdout.splitlines()[-1])


def test_the_recovery_point_and_time_are_within_their_goals(
    told: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    with capsys.disabled():
        print(
            f"\nrestore drills, seed {SEED}: recovery point {max(told['points'])} s at the most (goal {POINT_S}), "
            f"recovery time {max(told['times'])} s (goal {TIME_S}); {len(told['kills'])} kills"
        )
    assert len(told["points"]) == len(told["times"]) == DRILLS
    assert max(told["points"]) < POINT_S
    assert max(told["times"]) < TIME_S


def test_no_number_of_the_feed_is_given_out_twice(told: dict[str, Any]) -> None:
    assert told["read"]
    assert told["twice"] == []


@pytest.mark.parametrize("what", ["golden", "corrections"])
def test_it_ends_where_a_bus_that_lost_nothing_ends(told: dict[str, Any], what: str) -> None:
    values = [without_numbers(what, told[name][what]) for name in ("restored", "calm")]
    assert values[0] == values[1]
    assert values[0]


def without_numbers(what: str, found: list[str]) -> list[str]:
    """Corrections say in which publications they were opened and refreshed: the other bus has another number of these."""
    return [row.rsplit(", ", 2)[0] for row in found] if what == "corrections" else found


def test_the_log_holds_and_nothing_is_left(told: dict[str, Any]) -> None:
    assert told["restored"]["log_broken"] is None
    assert "running" not in told["restored"]["states"]
    assert told["restored"]["left"] == []
