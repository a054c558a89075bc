"""The linking benchmark: its figures exist, and its promises hold on a small dense country already."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from motlan.cli.main import app

FIGURES = {
    "precision",
    "recall",
    "f1",
    "review_share",
    "golden_accuracy",
    "seconds",
    "peak_rss_mb",
    "time_ratio",
    "memory_ratio",
}
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def result(in_this_process: Path) -> dict[str, Any]:
    asked = ["bench", "linking", "--people", "1000", "--seed", "5", "--rounds", "1", "--json"]
    answer = CliRunner().invoke(app, asked)
    assert answer.exit_code == 0, answer.output
    assert not any((in_this_process / "bench").iterdir())
    return json.loads(answer.stdout)


def test_one_object_tells_all(result: dict[str, Any]) -> None:
    assert (result["bench"], result["args"]["people"]) == ("linking", 1000)
    shared = {f"splink_{name}" for name in ("precision", "recall", "f1", "seconds", "peak_rss_mb")}
    assert set(result["figures"]) >= FIGURES | shared


def test_links_are_right_and_few_are_missed(result: dict[str, Any]) -> None:
    figures = result["figures"]
    assert figures["precision"] >= 0.999
    assert figures["recall"] >= 0.98
    assert figures["review_share"] <= 0.02
    assert 0.995 * figures["golden_ceiling"] <= figures["golden_accuracy"] <= figures["golden_ceiling"]


def test_few_changes_weigh_few_pairs(result: dict[str, Any]) -> None:
    assert 0 < result["figures"]["incremental_pairs_share"] <= 0.01
