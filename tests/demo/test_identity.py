"""The figures of identity over the days, over small tables: what counts as shared, as used again and as lost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import duckdb
import pyarrow as pa
import pytest

from demo.identity import Publication, figures
from demo.report import _identity

Links = Mapping[str, tuple[str, str]]
"""Record -> person's id and founder."""


def publication(day: int, links: Links, *, golden: set[str] | None = None, ended: tuple[str, ...] = ()) -> Publication:
    rows = [
        dict(zip(("dataset", "_key", "entity_id", "founder"), (*record.split("/"), *said), strict=True))
        for record, said in links.items()
    ]
    texts = pa.schema([(name, pa.string()) for name in ("dataset", "_key", "entity_id", "founder")])
    persons = sorted({person for person, _ in links.values()} if golden is None else golden)
    return Publication(
        day,
        pa.Table.from_pylist(rows, texts),
        pa.table({"entity_id": pa.array(persons, pa.string())}),
        pa.table({"entity_id": pa.array(ended, pa.string())}),
    )


@pytest.fixture
def count() -> Iterator:
    """Count over publications; `truth` is record -> day -> true person, `apart` are pairs of records."""

    def over(publications, truth, apart=(), accepted=None):
        said = [
            {"dataset": record.split("/")[0], "key": record.split("/")[1], "true_id": who, "valid_from_day": day}
            for record, days in truth.items()
            for day, who in days.items()
        ]
        kept = [record.split("/") for record in (truth if accepted is None else accepted)]
        pairs = [[*left.split("/"), *right.split("/")] for left, right in apart]
        names = ("left_dataset", "left_key", "right_dataset", "right_key")
        return figures(
            engine,
            publications,
            pa.Table.from_pylist(said),
            pa.table([pa.array([row[i] for row in kept], pa.string()) for i in (0, 1)], ["dataset", "_key"]),
            pa.table([pa.array([row[i] for row in pairs], pa.string()) for i in range(4)], list(names)),
        )

    with duckdb.connect() as engine:
        yield over


TOGETHER = {"spine/1": ("P", "spine/1"), "tax/1": ("P", "spine/1")}
CORRECTED = {"spine/1": {0: 1}, "tax/1": {0: 1, 1: 2}}


def test_where_nothing_happens_nothing_is_counted(count):
    told = count([publication(0, TOGETHER), publication(1, TOGETHER)], {"spine/1": {0: 1}, "tax/1": {0: 1}})
    assert told == {"ids_shared": 0, "ids_reused": 0, "persons_lost": 0, "persons_absorbed": 0}


def test_a_record_that_was_corrected_into_anothers_and_stays_with_whose_it_was_shares_an_id(count):
    told = count([publication(0, TOGETHER), publication(1, TOGETHER)], CORRECTED)
    assert told == {"ids_shared": 1, "ids_reused": 0, "persons_lost": 0, "persons_absorbed": 1}


def test_parted_with_the_founder_keeping_the_id_nothing_is_counted(count):
    after = {"spine/1": ("P", "spine/1"), "tax/1": ("Q", "tax/1")}
    told = count([publication(0, TOGETHER), publication(1, after)], CORRECTED)
    assert told == {"ids_shared": 0, "ids_reused": 0, "persons_lost": 0, "persons_absorbed": 0}


def test_an_id_that_goes_with_the_wrong_side_is_used_again(count):
    after = {"spine/1": ("Q", "spine/1"), "tax/1": ("P", "tax/1")}
    told = count([publication(0, TOGETHER), publication(1, after)], CORRECTED)
    assert told == {"ids_shared": 0, "ids_reused": 1, "persons_lost": 0, "persons_absorbed": 0}


def test_a_record_that_came_back_is_shared_only_with_whom_it_was_meanwhile(count):
    back = {**CORRECTED, "tax/1": {0: 1, 1: 2, 2: 1}, "tax/2": {0: 2}}
    right = {**TOGETHER, "tax/2": ("Q", "tax/2")}
    wrong = {**TOGETHER, "tax/2": ("P", "spine/1")}
    assert count([publication(0, right), publication(2, right)], back)["ids_shared"] == 0
    assert count([publication(0, right), publication(2, wrong)], back)["ids_shared"] == 1


def test_a_wrong_link_that_nothing_contradicts_is_no_shared_id_and_no_id_used_again(count):
    truth = {"spine/1": {0: 1}, "tax/1": {0: 2}, "tax/2": {0: 2}}
    more = {**TOGETHER, "tax/2": ("P", "spine/1")}
    told = count([publication(0, TOGETHER), publication(1, more)], truth)
    assert told == {"ids_shared": 0, "ids_reused": 0, "persons_lost": 0, "persons_absorbed": 1}


def test_a_wrong_link_that_people_decided_against_is_a_shared_id_and_a_right_decision_that_is_kept_is_none(count):
    truth, apart = {"spine/1": {0: 1}, "tax/1": {0: 2}}, [("spine/1", "tax/1")]
    parted = {"spine/1": ("P", "spine/1"), "tax/1": ("Q", "tax/1")}
    assert count([publication(0, TOGETHER)], truth, apart)["ids_shared"] == 1
    assert count([publication(0, parted)], truth, apart)["ids_shared"] == 0
    assert count([publication(0, TOGETHER)], {"spine/1": {0: 1}, "tax/1": {0: 1}}, apart)["ids_shared"] == 0


def test_a_person_whose_rows_are_in_no_golden_person_is_lost_and_one_without_an_accepted_row_is_not(count):
    truth = {"spine/1": {0: 1}, "tax/1": {0: 2}}
    linked = {"spine/1": ("P", "spine/1"), "tax/1": ("Q", "tax/1")}
    assert count([publication(0, linked, golden={"P"})], truth)["persons_lost"] == 1
    assert count([publication(0, {"spine/1": ("P", "spine/1")})], truth)["persons_lost"] == 1
    assert count([publication(0, {"spine/1": ("P", "spine/1")})], truth, accepted=["spine/1"])["persons_lost"] == 0


def test_an_id_that_vanishes_loses_a_person_unless_the_feed_says_how_it_ended(count):
    truth = {"spine/1": {0: 1}, "tax/1": {0: 1}}
    first = publication(0, {"spine/1": ("P", "spine/1"), "tax/1": ("Q", "tax/1")})
    assert count([first, publication(1, TOGETHER)], truth)["persons_lost"] == 1
    assert count([first, publication(1, TOGETHER, ended=("Q",))], truth)["persons_lost"] == 0


def test_an_id_whose_founder_went_elsewhere_means_most_of_its_rows(count):
    truth = {"spine/1": {0: 1}, "tax/1": {0: 2}, "tax/2": {0: 2}}
    before = {"spine/1": ("P", "spine/1"), "tax/1": ("P", "spine/1"), "tax/2": ("P", "spine/1")}
    after = {"spine/1": ("Q", "spine/1"), "tax/1": ("P", "spine/1"), "tax/2": ("P", "spine/1")}
    assert count([publication(0, before), publication(1, after)], truth)["ids_reused"] == 1


def test_the_screen_says_the_figures_and_what_people_decided():
    figures = {"ids_shared": 1, "ids_reused": 0, "persons_lost": 0, "persons_absorbed": 2}
    told = _identity({**figures, "decisions": {"same": 3, "different": 2, "wrong": 1, "undone": 1}})
    assert "ids_shared 1, ids_reused 0, persons_lost 0" in told
    assert "people decided 5 pairs, 1 wrongly, 1 taken back" in told
