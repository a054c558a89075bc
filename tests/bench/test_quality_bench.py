"""The quality benchmark: its figures exist, and its promises hold on a small country already."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bench.truth import FOUND_BY, TRUTH
from motlan.cli.main import app
from motlan.config import registry
from tests.conftest import ROOT

FIGURES = {
    "repaired_share",
    "harmed_share",
    "defect_recall",
    "false_finding_share",
    "floor_ratio",
    "pydantic_ratio",
    "rules",
    "peak_rss_mb",
}
RARE = {"name_viqr", "date_zeros", "place_old_code_split", "id_spreadsheet", "date_impossible", "identity_lost"}
"""Kinds that so small a country may lack."""


@pytest.fixture(scope="module")
def result(in_this_process: Path) -> dict[str, Any]:
    answer = CliRunner().invoke(app, ["bench", "quality", "--people", "600", "--seed", "5", "--json"])
    assert answer.exit_code == 0, answer.output
    assert not any((in_this_process / "bench").iterdir())
    return json.loads(answer.stdout)


@pytest.mark.slow
def test_one_object_tells_all(result: dict[str, Any]) -> None:
    assert (result["bench"], result["args"]["people"], result["machine"]["cpus"] > 0) == ("quality", 600, True)
    assert set(result["figures"]) >= FIGURES
    assert set(FOUND_BY) <= set(result["dirt"]) | RARE


@pytest.mark.slow
def test_what_can_be_repaired_is_and_nothing_clean_is_harmed(result: dict[str, Any]) -> None:
    assert result["figures"]["repaired_share"] >= 0.99
    assert result["figures"]["harmed_share"] <= 0.00001


@pytest.mark.slow
def test_defects_are_found_and_clean_values_are_left_in_peace(result: dict[str, Any]) -> None:
    assert result["figures"]["defect_recall"] >= 0.99
    assert result["figures"]["false_finding_share"] <= 0.001


@pytest.mark.slow
def test_every_row_is_accepted_or_quarantined(result: dict[str, Any]) -> None:
    figures = result["figures"]
    assert figures["accepted"] + figures["quarantined"] == figures["rows"] > 1200


@pytest.mark.slow
def test_plain_python_answers_every_rule_as_the_engine_does(result: dict[str, Any]) -> None:
    assert result["figures"]["pydantic_differs"] == 0
    assert result["figures"]["pydantic_rules"] >= result["figures"]["rules"]


def test_the_benchmark_names_rules_and_fields_that_exist() -> None:
    declared = registry.load(ROOT)
    names = tuple(rule.name for rule in declared.row_rules)
    assert all(any(name.startswith(start) for name in names) for starts in FOUND_BY.values() for start in starts)
    assert set(TRUTH) <= set(declared.entity("person").fields)
