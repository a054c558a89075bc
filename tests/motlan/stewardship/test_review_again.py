"""Decisions that linking cannot heed are for people again: those that contradict others, and those whose record is another's."""

from typing import Any

import pytest
import sqlalchemy as sa

from motlan import pipeline
from motlan.linking import stored_models
from motlan.status import status
from motlan.stewardship import review_measures, review_queue
from motlan.store import tables
from motlan.workspace import Workspace
from tests.conftest import CARDS, SPINE, Country, behind_the_bus, card_record, spine_record
from tests.motlan.stewardship.test_review import (
    ANN,
    BEN,
    UNSURE,
    call,
    decide,
    in_force,
    linked,
    linked_now,
    reviewed,
    taken,
)
from tests.motlan.test_pipeline import LATER, rows, whole_job

SPINE_NAME = "alpha_people"


def said(work: Workspace, *decisions: tuple[str, str, str], who: str = ANN) -> list[int]:
    """Keep verdicts about any two records, as if they had been assigned; return the decisions' numbers."""
    made = []
    for one, other, verdict in decisions:
        sides = sorted((SPINE_NAME if key.startswith("a") else "beta_cards", key) for key in (one, other))
        pair = dict(zip(tables.PAIR, [text for side in sides for text in side], strict=True))
        values = {"entity": "person", **pair, "principal": who, "purpose": "unsure", "needed": 1}
        with work.store.engine.begin() as connection:
            new = sa.insert(tables.link_assignments).values(**values).returning(tables.link_assignments.c.id)
            number = int(connection.execute(new).scalar_one())
        made.append(decide(work, who, number, verdict))
    return made


def again(work: Workspace) -> dict[tuple[str, str], str]:
    return {(row["left_key"], row["right_key"]): row["reason"] for row in review_measures.reopened(work, "person")}


def test_different_on_two_rows_of_one_number_holds_and_is_taken_back(country: Country) -> None:
    country.write("beta_cards", [card_record(row) for row in (*CARDS, ("c1", *CARDS[0][1:5], "GD4010000000009"))])
    country.after(whole_job)
    work = country.open()
    before = linked_now(work)
    assert before["b1"][0] == before["c1"][0] == before["a1"][0]
    (number,) = said(work, ("b1", "c1", "different"))
    pipeline.reconcile()
    found = linked(country)
    assert found["b1"][0] != found["c1"][0]
    assert before["a1"][0] in (found["b1"][0], found["c1"][0])
    assert review_queue.waiting(work, "person") == 1, "whose the other card is, people are asked"
    call("ann", "withdraw", str(number), said={"why": "it was a copy"})
    pipeline.reconcile()
    assert linked(country) == before, "undone"


@pytest.mark.parametrize(
    "decisions",
    [
        [("b2", "b4", "same"), ("b4", "b3", "same"), ("b2", "b3", "different")],
        [("b2", "a1", "same"), ("b2", "a3", "same")],
    ],
)
def test_contradictions_are_listed_opened_again_and_never_chosen(
    country: Country, decisions: list[tuple[str, str, str]]
) -> None:
    country.after(whole_job)
    work = country.open()
    before = linked_now(work)
    numbers = said(work, *decisions)
    assert pipeline.reconcile()["link"]["contradicted"] == len(decisions)
    keys = {tuple(sorted((one, other))) for one, other, _ in decisions}
    assert again(work) == dict.fromkeys(keys, "contradiction")
    assert status(work)["contradictions"] == len(decisions)
    assert linked_now(work) == before
    told = call("ann", "list", "--contradicted")["contradicted"]
    assert {row["left_key"] for row in told if row["reason"] == "contradiction"} == {min(key) for key in keys}
    mine = {row["assignment"]: row["because"] for row in review_queue.assigned(work, "person", ANN)}
    assert set(mine.values()) == {"contradiction"}
    review_queue.take(work, "person", BEN, 10)
    query = f"select count(*) from link_assignments where purpose = 'contradiction' and principal = '{BEN}'"
    assert rows(country, query) == [(len(decisions),)], "others are asked too"
    wrong = decisions[-1]
    other = "different" if wrong[2] == "same" else "same"
    decide(work, ANN, max(mine), other)
    assert pipeline.reconcile()["link"]["contradicted"] == 0
    found = linked(country)
    assert again(work) == {}
    one, same_as, _ = decisions[0]
    assert found[one][0] == found[same_as][0]
    assert len(numbers) == len(decisions)


def test_taking_back_one_of_those_that_contradict_leaves_the_others_in_force(country: Country) -> None:
    country.after(whole_job)
    work = country.open()
    numbers = said(work, ("b2", "a1", "same"), ("b2", "a3", "same"))
    pipeline.reconcile()
    call("ann", "withdraw", str(numbers[1]), said={"why": "another file"})
    assert list(again(work).values()) == ["contradiction"], "until it is linked again"
    pipeline.reconcile()
    found = linked(country)
    assert found["b2"] == (found["a1"][0], "decided")
    assert again(work) == {}


def change(country: Country, card: tuple[Any, ...]) -> None:
    country.write("beta_cards", [card_record(card, LATER)])
    pipeline.sync("beta_cards")
    pipeline.reconcile()


@pytest.mark.parametrize("seen", [True, False])
def test_a_decision_about_a_record_that_became_another_womans_is_not_heeded(country: Country, seen: bool) -> None:
    work = reviewed(country)
    mine = taken(work, ANN)
    if seen:
        review_queue.show(work, mine["c5"], ANN)
    decide(work, ANN, mine["c5"], "same")
    before = linked_now(work)
    pipeline.reconcile()
    found = linked(country)
    assert found["c5"] == (found["a5"][0], "decided")
    small = ("c5", None, "Hoàng Thị Hoa", "11/12/1990", "female", "GD4010000000015")
    change(country, small)
    found = linked(country)
    assert found["c5"] == (found["a5"][0], "decided"), "a small correction leaves it in force"
    change(country, ("c5", "001195000099", "Võ Thị Mai", "02/03/1995", "female", "GD4010000000015"))
    found = linked(country)
    assert again(work) == {("a5", "c5"): "stale"}
    assert found["c5"][0] != found["a5"][0]
    assert found["c5"][0] != before["c5"][0], "an id that was merged away is never given again"
    (row,) = [row for row in review_queue.assigned(work, "person", ANN) if row["because"]]
    assert (row["right_key"], row["because"]) == ("c5", "stale")
    assert "c5" in taken(work, BEN), "it is given to others as well"
    decide(work, ANN, row["assignment"], "different")
    pipeline.reconcile()
    assert again(work) == {}
    assert in_force(work)["c5"] is False


def test_a_decision_made_on_no_version_is_about_what_the_next_linking_reads(country: Country) -> None:
    work = reviewed(country)
    mine = taken(work, ANN)
    decide(work, ANN, mine["c5"], "same")
    with work.store.engine.begin() as connection:
        behind_the_bus(connection, "update link_decisions set left_ref = null, right_ref = null")
    pipeline.reconcile()
    change(country, ("c5", "001195000099", "Võ Thị Mai", "02/03/1995", "female", "GD4010000000015"))
    assert again(work) == {("a5", "c5"): "stale"}
    change(country, ("c5", None, UNSURE[2][2], UNSURE[2][3], "female", "GD4010000000015"))
    assert again(work) == {}, "the record is again whom it was about"
    assert stored_models.decided(work.store, "person").num_rows == 1


def test_a_citizens_record_that_became_anothers_makes_its_decisions_stale(country: Country) -> None:
    work = reviewed(country)
    mine = taken(work, ANN)
    decide(work, ANN, mine["c7"], "same")
    changed = [
        (*row[:2], "Đỗ Thị Lan", "2001-12-24", "female", None) if row[0] == "a6" else row
        for row in (*SPINE, ("a6", "001085000006", "Nguyễn Văn An", "1985-01-01", "male", None))
    ]
    country.write("alpha_people", [spine_record(row, LATER) for row in changed])
    pipeline.sync("alpha_people")
    pipeline.reconcile()
    assert again(work) == {("a6", "c7"): "stale"}
