"""The linking benchmark: its figures exist, and its promises hold on a small dense country already."""

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from motlan.cli.main import app
from tests.conftest import ROOT

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
def result(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("bench")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOTLAN_HOME", str(ROOT))
        patch.setenv("MOTLAN_VAR", str(folder))
        asked = ["bench", "linking", "--people", "6000", "--seed", "5", "--rounds", "1", "--json"]
        answer = CliRunner().invoke(app, asked)
    assert answer.exit_code == 0, answer.output
    assert not any((folder / "bench").iterdir())
    return json.loads(answer.stdout)


def test_one_object_tells_all(result: dict[str, Any]) -> None:
    assert (result["bench"], result["args"]["people"]) == ("linking", 6000)
    shared = {f"splink_{name}" for name in ("precision", "recall", "f1", "seconds", "peak_rss_mb")}
    assert set(result["figures"]) >= FIGURES | shared
    assert all(isinstance(value, int | float) for value in result["figures"].values())


def test_links_are_right_and_few_are_missed(result: dict[str, Any]) -> None:
    figures = result["figures"]
    assert figures["precision"] >= 0.999
    assert figures["recall"] >= 0.98
    assert figures["review_share"] <= 0.02
    assert 0.995 * figures["golden_ceiling"] <= figures["golden_accuracy"] <= figures["golden_ceiling"]


def test_few_changes_weigh_few_pairs(result: dict[str, Any]) -> None:
    assert 0 < result["figures"]["incremental_pairs_share"] <= 0.01
