"""What is learned of rows that deterministic linking leaves: agreement patterns, told apart by what a row bears."""

import pytest

from motlan.config.matching import Matching
from motlan.config.registry import load
from motlan.linking.model import Model, declared
from motlan.linking.residual import Patterns, groups
from tests.conftest import ROOT

ANOTHER = "tax 20 dcabbbb 0"
"""A row that bears somebody else's number, and agrees with a row of the spine in everything else."""
SLIP = "tax 10 caabbbb 0"


@pytest.fixture(scope="module")
def matching() -> Matching:
    return load(ROOT).entity("person").matching


@pytest.fixture(scope="module")
def patterns(matching: Matching) -> Patterns:
    shares = {"lacking": {"personal_id": 0.01, "old_identity_number": 0.5}, "already_linked": {"tax": 0.3}}
    model: Model = declared(matching).model_copy(update={"persons": 100_000, **shares})
    return Patterns(matching, model)


def test_levels_that_identifiers_teach_are_told_apart_and_others_by_the_first(matching: Matching) -> None:
    assert groups(matching, "personal_id") == [[0], [1], [2], [3]]
    assert groups(matching, "residence") == [[0], [1], [2, 3]]


def test_a_borrowed_number_does_not_speak_against_its_bearer_once_the_data_tell(patterns: Patterns) -> None:
    """By the model of all rows another number is rare among true pairs; of rows that bear a borrowed one all are like that."""
    odds, known = patterns.learn([(ANOTHER, 10 - patterns.odds(ANOTHER, 1.0, 1.0), 900)], {"tax 20": 1000})
    assert odds[ANOTHER] > patterns.odds_at_first(ANOTHER) + 4
    assert known["20"] == pytest.approx(0.9, abs=0.06)


def test_pairs_that_chance_makes_as_often_teach_that_nobody_is_known(patterns: Patterns) -> None:
    """Of 1,000 rows 5 have a namesake, as many as strangers have: what else speaks for them is that one in 200 has one."""
    rest = 7.6 - patterns.odds(ANOTHER, 1.0, 1.0)
    odds, known = patterns.learn([(ANOTHER, rest, 5)], {"tax 20": 1000})
    assert known["20"] < 0.01
    assert 1 / (1 + 2 ** -(odds[ANOTHER] + rest)) < 0.5


def test_a_row_does_not_vouch_for_its_own_pattern(patterns: Patterns) -> None:
    many = [(SLIP, 4.0, 500), (ANOTHER, 4.0, 1)]
    odds, _ = patterns.learn([row for row in many if row[0] == SLIP], {"tax 10": 1000, "tax 20": 1000})
    with_one, _ = patterns.learn(many, {"tax 10": 1000, "tax 20": 1000})
    assert with_one[SLIP] == odds[SLIP]
    assert with_one[ANOTHER] <= patterns.odds(ANOTHER, patterns.prior(ANOTHER), 0.7)


def test_what_is_missing_on_the_spine_says_nothing(patterns: Patterns) -> None:
    """A row whose number nobody has, compared with a person without a number: as if neither had one, but for how rare that is."""
    without, lacking = patterns.odds("tax 00 aaabbbb 0", 0.3, 0.7), patterns.odds("tax 10 aaabbbb 0", 0.3 * 0.01, 0.7)
    assert lacking == pytest.approx(without, abs=1e-6)
