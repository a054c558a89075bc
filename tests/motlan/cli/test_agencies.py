"""`motlan agencies`: what is declared, and what is wrong at each of them."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from motlan import pipeline
from motlan.errors import AccessError
from tests.conftest import CARDS, SPINE, Country, card_record, spine_record
from tests.country.adapter import FileAdapter
from tests.motlan.cli.conftest import Command
from tests.motlan.test_pipeline import rows


def sync_people() -> None:
    pipeline.sync("alpha_people")


def checked(command: Command, *words: str, code: int) -> dict[str, dict[str, Any]]:
    return {one["dataset"]: one for one in command("agencies", "check", *words, code=code)}


@pytest.mark.quick
def test_one_broken_agency_takes_no_others_line_away(country: Country, command: Command) -> None:
    country.after(sync_people)
    country.write("alpha_people", "down")
    country.declare("adapters/agencies.yaml", lambda y: y["agencies"]["beta"].update(credential="BETA"))
    country.declare("adapters/agencies.yaml", lambda y: y["agencies"]["beta"]["datasets"].update(
        beta_more=y["agencies"]["beta"]["datasets"]["beta_cards"]))  # fmt: skip
    country.declare("mapping/beta.yaml", lambda y: y.update(beta_more=y["beta_cards"]))
    found = checked(command, code=1)
    assert found["alpha_people"]["reachable"] is False
    assert "alpha.endpoint of adapters/agencies.yaml" in found["alpha_people"]["findings"][0]["mend"]
    assert found["beta_cards"]["credential"] == "missing"
    assert "MOTLAN_CREDENTIAL_BETA" in found["beta_cards"]["findings"][0]["mend"]
    assert found["beta_more"]["credential"] == "missing"
    assert rows(country, "select count(*) from runs") == [(1,)], "nothing is pulled by a check"


def test_what_is_as_declared_is_right(country: Country, command: Command) -> None:
    country.after(sync_people)
    (one,) = command("agencies", "check", "alpha")
    assert (one["reachable"], one["credential"], one["source_total"], one["held"]) == (True, "none needed", 5, 5)
    assert one["schema"] == {"added": [], "missing": [], "retyped": {}}
    assert not one["wrong"]
    assert "there is no agency gamma. Next: use alpha, beta" in command("agencies", "check", "gamma", code=1)["message"]


def test_a_refused_credential_and_a_clock_and_columns_that_are_wrong_are_told(
    country: Country, command: Command, printed: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: FileAdapter) -> None:
        raise AccessError("the source refuses the credential", where="people")

    with monkeypatch.context() as patch:
        patch.setattr(FileAdapter, "check", refuse)
        one = checked(command, "alpha", code=1)["alpha_people"]
        assert (one["reachable"], one["credential"]) == (True, "refused")
    counted = FileAdapter.count
    later = (datetime.now(UTC) + timedelta(hours=2)).isoformat()
    monkeypatch.setattr(FileAdapter, "count", lambda *given: counted(*given).__class__(5, 5, later))
    renamed = [{"full name": row.pop("name"), **row} for row in map(spine_record, SPINE)]
    country.write("alpha_people", renamed)
    one = checked(command, "alpha", code=1)["alpha_people"]
    assert one["clock_difference"] == pytest.approx(7200, abs=60)
    said = [finding["what"] for finding in one["findings"] if finding["wrong"]]
    assert any("its clock is 7," in what for what in said)
    assert (one["schema"]["missing"] == [] and "name" not in one["schema"]["added"]) or one["schema"]["added"]
    shown = printed("agencies", "check", code=1)
    assert "clock_difference" in shown.replace("\n", "")


def test_more_records_than_are_held_are_worth_knowing_and_not_wrong(country: Country, command: Command) -> None:
    country.write("beta_cards", [card_record(row) for row in CARDS])
    one = checked(command, "beta_cards", code=0)["beta_cards"]
    told = [finding["what"] for finding in one["findings"]]
    assert "it has 6 records more than are held" in told


def test_the_list_says_who_answers_for_what(country: Country, command: Command, printed: Callable[..., str]) -> None:
    command("hold", "beta")
    found = command("agencies", "list")
    assert [(row["agency"], row["owner"], row["held"]) for row in found] == [
        ("alpha", "Alpha office <alpha@example.gov.vn>", False),
        ("beta", "Beta office <beta@example.gov.vn>", True),
    ]
    assert "24 h" in printed("agencies", "list")
