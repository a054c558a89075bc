"""What `make up` finds standing: the world that is there goes on, and is never removed without a word."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from demo.standing import Asked, choose, only_one, what_goes
from motlan import processes
from motlan.errors import ConfigurationError

HELD = {"people": 1500, "seed": 7, "days": 7, "dirt": "heavy", "dense": False}
STATE = ("lake", "payloads", "scratch", "world", "report.json")


@pytest.fixture
def var(tmp_path: Path) -> Path:
    """A folder with a world in it."""
    for folder in ("world", "store", "lake"):
        (tmp_path / folder).mkdir()
    (tmp_path / "world" / "world.json").write_text(json.dumps(HELD))
    (tmp_path / "world" / "today").write_text("0")
    (tmp_path / "store" / "PG_VERSION").write_text("18")
    (tmp_path / "lake" / "rows").write_bytes(b"x" * 2_000_000)
    return tmp_path


def test_the_world_that_is_there_goes_on(var: Path) -> None:
    assert choose(var, Asked(), fresh=False) == (1500, 7, "heavy", True)
    assert choose(var, Asked(people=1500, seed=7), fresh=False) == (1500, 7, "heavy", True)


@pytest.mark.parametrize("asked", [Asked(people=2000), Asked(seed=8), Asked(dirt="clean"), Asked(1500, 7, "default")])
def test_another_world_than_the_one_that_is_there_is_not_made_without_a_word(var: Path, asked: Asked) -> None:
    with pytest.raises(ConfigurationError, match=r"PEOPLE=1500 SEED=7 DIRT=heavy, and .* was asked for.*FRESH=1"):
        choose(var, asked, fresh=False)


def test_a_new_one_is_made_when_it_is_asked_for_and_says_what_goes(var: Path) -> None:
    assert choose(var, Asked(people=2000), fresh=True) == (2000, 1, "default", False)
    told = what_goes(var, STATE)
    assert any("lake (2.0 MB): all rows" in line for line in told)
    assert any("the people and their registers" in line for line in told)
    assert "API keys" in told[-1]


@pytest.mark.parametrize("missing", ["world/world.json", "world/today", "store/PG_VERSION"])
def test_a_world_that_was_killed_while_it_was_made_is_made_again(var: Path, missing: str) -> None:
    (var / missing).unlink()
    assert choose(var, Asked(), fresh=False) == (20_000, 1, "default", False)


def test_where_nothing_is_nothing_goes(tmp_path: Path) -> None:
    assert choose(tmp_path, Asked(), fresh=False)[3] is False
    assert what_goes(tmp_path, STATE) == []


def test_a_world_is_run_once_at_a_time_and_a_killed_run_is_no_hindrance(tmp_path: Path) -> None:
    with only_one(tmp_path), pytest.raises(ConfigurationError, match="runs already, by process"), only_one(tmp_path):
        pass
    with only_one(tmp_path):
        pass
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    (tmp_path / "up.json").write_text(json.dumps(processes.called(gone.pid).as_dict()))
    with only_one(tmp_path):
        pass
