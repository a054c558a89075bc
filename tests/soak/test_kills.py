"""Killed anywhere, again and again, PostgreSQL too: nothing is lost, doubled or half published, and nothing is left.

`MOTLAN_KILLS` says how often (`make soak`: 200), `MOTLAN_SEED` which moments.
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

KILLS = int(os.environ.get("MOTLAN_KILLS", "8"))
SEED = os.environ.get("MOTLAN_SEED", "1")
SAME = ("landed", "golden", "feed", "corrections", "quarantine", "publications", "log", "seqs")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800 + 30 * KILLS)]


@pytest.fixture(scope="module")
def told() -> Iterator[dict[str, Any]]:
    with traversable_folder() as folder:
        command = [sys.executable, "-m", "tests.soak.driver", str(folder), str(KILLS), SEED]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        yield json.loads(done.stdout.splitlines()[-1])


def test_there_were_as_many_kills_as_asked(told: dict[str, Any]) -> None:
    assert len(told["kills"]) == KILLS, told["kills"]


@pytest.mark.parametrize("what", SAME)
def test_nothing_is_lost_doubled_or_half_published(told: dict[str, Any], what: str) -> None:
    assert told["killed"][what] == told["calm"][what], told["kills"]
    assert told["killed"][what]


def test_the_feed_has_no_gap(told: dict[str, Any]) -> None:
    assert told["killed"]["seqs"] == list(range(1, len(told["killed"]["seqs"]) + 1))
    assert told["killed"]["log_broken"] is None


def test_no_run_is_running_and_nothing_is_left(told: dict[str, Any]) -> None:
    assert "running" not in told["killed"]["states"]
    assert told["killed"]["left"] == []
