"""Models: fitted from what is landed, told what they would change, released by people; and what errors they expect."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from motlan import pipeline
from motlan.cli.main import app
from motlan.errors import ConfigurationError
from motlan.linking import stored_models
from motlan.stewardship import error_rates, model_proposals, published_links
from tests.conftest import Country, signed_in
from tests.motlan.stewardship.test_review import ANN, BEN, reviewed


def call(who: str, *words: str, said: Any = None, fails: bool = False) -> Any:
    answer = CliRunner().invoke(app, ["model", *words, "--json"], input=json.dumps(said), env=signed_in(who))
    assert answer.exit_code == (1 if fails else 0), answer.output
    return json.loads(answer.stdout)


def lighter(matching: dict[str, Any]) -> None:
    """Let a name that is the same say much less than it did, and a birth date that is the same say all the more."""
    levels = {level["is"]: level for level in matching["person"]["comparisons"]["full_name"]["levels"]}
    levels["same but for diacritics"]["u"] = 0.9


def test_there_is_no_model_before_the_first_linking(country: Country) -> None:
    with pytest.raises(ConfigurationError, match="no model"):
        model_proposals.shown(country.open(), None, "person")


def test_a_model_that_drifts_is_released_by_another_person_and_then_links(country: Country, tmp_path: Path) -> None:
    work = reviewed(country)
    first, _ = published_links.released(work, "person")
    found = call("ann", "fit")
    assert (found["state"], found["report"]["rows"]) == ("proposed", 15)
    assert call("ben", "release", found["model"], said={"why": "it fits what is landed"})["state"] == "released"
    again = call("ann", "fit")
    assert (again["model"], again["state"], again["drift"], again["report"]["changed"]) == (
        found["model"],
        "released",
        0,
        0,
    )

    country.declare("mapping/matching.yaml", lighter)
    drifted = call("ann", "fit")
    assert drifted["drift"] > drifted["limit"]
    report = drifted["report"]
    moved = [level for level in report["weights"] if level["match_weight"] != level["was"]]
    assert [(level["comparison"], level["is"]) for level in moved] == [("full_name", "same but for diacritics")]
    assert (
        report["changed"]
        == sum(row["rows"] for row in report["by_rule"])
        == sum(row["rows"] for row in report["by_area"])
    )
    assert report["changed"] >= report["regrouped"]
    assert "GD4" not in json.dumps(report)
    assert "another person" in call("ann", "release", drifted["model"], said={"why": "mine"}, fails=True)["message"]
    assert published_links.released(work, "person")[0] == found["model"]
    assert call("ben", "release", drifted["model"][:12], said={"why": "names are worth less"})["state"] == "released"
    assert "not proposed" in call("ben", "refuse", drifted["model"], said={"why": "late"}, fails=True)["message"]
    states = {row["model"]: (row["state"], row["created_by"], row["released_by"]) for row in call("ben", "list")}
    assert states == {
        first: ("superseded", None, None),
        found["model"]: ("superseded", ANN, BEN),
        drifted["model"]: ("released", ANN, BEN),
    }
    counts = pipeline.reconcile()["link"]
    assert counts["model"] == drifted["model"]
    assert counts["by_rule"] != {}

    target = tmp_path / "weights.svg"
    shown = call("ben", "show", "--svg", str(target))
    assert shown["model"] == drifted["model"]
    assert "<svg" in target.read_text(encoding="utf-8")
    for words in (["list"], ["show"], ["show", first[:12]], ["errors"]):
        answer = CliRunner().invoke(app, ["model", *words], env=signed_in("ben"))
        assert answer.exit_code == 0, answer.output

    country.declare("mapping/matching.yaml", lambda found: found["person"]["comparisons"]["sex"]["levels"].pop(1))
    with pytest.raises(ConfigurationError, match="other comparisons"):
        published_links.released(country.open(), "person")
    other = call("ann", "fit")
    assert (other["drift"], other["state"]) == (None, "proposed"), "levels that were not there before"
    assert call("ann", "release", other["model"], said={"why": "mine"}, fails=True)["error"] == "AccessError"
    assert call("ben", "refuse", other["model"], said={"why": "sex tells something"})["state"] == "refused"
    assert stored_models.listed(work.store, "person")[0]["state"] == "refused"


def test_expected_errors_are_told_by_groups(country: Country) -> None:
    groups = {"born": {"row": "birth_date", "years": 10}, "sex": {"golden": "sex"}}
    work = reviewed(country, errors_by=groups)
    found = error_rates.expected(work, "person")
    with work.engine("reading") as engine:
        wrong, links = engine.execute(
            f"select sum(1 - probability), count(*) from {published_links.links(work, 'person')} where match_weight is not null"
        ).fetchall()[0]
        missed, reviews = engine.execute(
            f"select sum(probability), count(*) from {work.published_rows('person', 'reviews.person')}"
        ).fetchall()[0]
    told = found["all"]
    assert (told["links"], told["reviews"]) == (links, reviews)
    assert (told["wrong"], told["missed"]) == pytest.approx((wrong, missed), abs=1e-3)
    for name in groups:
        for count in ("links", "reviews"):
            assert sum(row[count] for row in found["by"][name]) == told[count], "each row is in one group"
    assert {row["group"] for row in found["by"]["sex"]} == {"male", "female"}
    ages = {row["group"]: row["links"] for row in found["by"]["born"]}
    assert ages["30 to 39"] + ages["40 to 49"] + ages["50 to 59"] == links
