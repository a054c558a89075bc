"""Scores: their method, their history, and how `motlan quality` tells them."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from motlan import pipeline
from motlan.cli.main import app
from motlan.cli.quality import sparkline
from motlan.config.scoring import DIMENSIONS, Scoring, load_dimensions
from motlan.errors import ConfigurationError
from motlan.quality import scores
from motlan.quality.report import report
from motlan.quality.scores import Count, of_register, of_rules
from tests.conftest import CARDS, ROOT, SPINE, Country, card_record, spine_record
from tests.motlan.quality.test_rules import declare_all

LATER = "2026-10-02T00:00:00.000000Z"


def count(rule: str, field: str, dimension: str, weight: int, passed: int) -> Count:
    return Count("d", rule, field, dimension, weight, 100, passed)


def test_means_go_from_rule_to_dimension_to_field_to_register() -> None:
    counts = [
        count("a", "x", "accuracy", 3, 100),
        count("b", "x", "accuracy", 1, 60),
        count("c", "x", "completeness", 1, 50),
    ]
    counts.append(count("d", "y", "completeness", 1, 100))
    assert of_rules(counts[:2]) == 90
    assert of_register(counts, Scoring()) == pytest.approx((70 + 100) / 2)
    weighted = Scoring.model_validate({"dimension_weights": {"accuracy": 3}, "field_weights": {"x": 3}})
    assert of_register(counts, weighted) == pytest.approx((80 * 3 + 100) / 4)


@pytest.mark.parametrize(("value", "colour"), [(90, "green"), (89.99, "yellow"), (75, "yellow"), (74.99, "red")])
def test_a_score_has_the_colour_of_its_threshold(value: float, colour: str) -> None:
    assert Scoring().colour(value) == colour


def test_a_sparkline_shows_the_way_and_needs_two_points() -> None:
    assert sparkline([1, 3, 8]) == "▁▃█"
    assert sparkline([99.01, 99]) == "▁▁", "a hundredth of a point is no trend"
    assert sparkline([5, 5]) == "▁▁"
    assert sparkline([5]) == ""


def job() -> None:
    for dataset in ("alpha_people", "beta_cards"):
        pipeline.sync(dataset)
    pipeline.reconcile()
    pipeline.publish()


@pytest.mark.slow
def test_scores_follow_the_registers_as_they_stand_and_keep_their_history(country: Country) -> None:
    declare_all(country)
    work = country.open()
    pipeline.sync("beta_cards")
    before = scores.by_agency(work.store, work.registry)
    assert before["beta"]["completeness"] == pytest.approx(100 * 5 / 6, abs=0.01), (
        "until the first reconcile, what was landed"
    )
    assert before["alpha"] == dict.fromkeys(DIMENSIONS)
    job()
    first = scores.by_agency(work.store, work.registry)
    named = [card_record(("b6", "001190000005", "Hoàng Thị Hòa", "12/11/1990", "female", "GD4010000000006"), LATER)]
    country.write("beta_cards", [*(card_record(row) for row in CARDS if row[0] != "b6"), *named])
    country.write("alpha_people", [spine_record(row) for row in SPINE])
    job()
    second = scores.by_agency(work.store, work.registry)
    assert first["beta"]["completeness"] < second["beta"]["completeness"] == 100, (
        "what the source corrected no longer counts"
    )
    assert len(scores.history(work.store, 10)) == 2
    lines = {(line["agency"], line["name"]): line for line in report(work.store, work.registry)["lines"]}
    assert lines["beta", "completeness"]["trend"] == [first["beta"]["completeness"], 100]
    assert lines["beta", "completeness"]["change"] == pytest.approx(100 - first["beta"]["completeness"])
    assert lines["beta", "all"]["colour"] in ("green", "yellow", "red")
    provinces = report(work.store, work.registry, by="area")["lines"]
    assert {line["name"] for line in provinces} == {""}, "this country knows no provinces"
    days = report(work.store, work.registry, by="day", dataset="beta_cards")["lines"]
    assert [line["agency"] for line in days] == ["beta"]
    job()
    assert len(scores.history(work.store, 10)) == 3, "a run without a change is a point of history too"
    told = CliRunner().invoke(app, ["quality", "--by", "rule", "--json"])
    assert {"has_a_name", "all_here", "number_unique"} <= {line["name"] for line in json.loads(told.output)["lines"]}
    shown = CliRunner().invoke(app, ["quality"])
    assert shown.exit_code == 0
    assert "beta" in shown.output
    assert "Hoàng" not in shown.output
    assert CliRunner().invoke(app, ["quality", "--dataset", "nosuch"]).exit_code == 1


def test_dimensions_have_the_words_of_the_declared_half_and_english_ones_without(tmp_path: Path) -> None:
    assert load_dimensions(ROOT / "mapping" / "dimensions.yaml")["accuracy"].vi == "đúng"
    assert load_dimensions(tmp_path / "dimensions.yaml")["accuracy"].vi == "accuracy"
    (tmp_path / "dimensions.yaml").write_text("beauty: {vi: a, en: b}\n")
    with pytest.raises(ConfigurationError, match=r"dimensions.yaml, line 1: there is no dimension beauty"):
        load_dimensions(tmp_path / "dimensions.yaml")
