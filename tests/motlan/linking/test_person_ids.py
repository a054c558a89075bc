"""Person ids on a small country whose spine's name does not come first: who parts gets an id of their own, and events tell so."""

from collections.abc import Callable
from typing import Any

import pytest

from motlan import pipeline
from motlan.lake.tables import findings_table, identities_table, links_table
from motlan.linking import valid_decisions
from tests.conftest import Country, card_record, spine_record
from tests.motlan.test_pipeline import rows, whole_job

SPINE = [
    ("DC01", "001080000001", "Nguyễn Văn An", "02/03/1980", "male", None),
    ("DC02", "001185000002", "Trần Thị Bình", "05/06/1985", "female", None),
    ("DC03", "001075000003", "Lê Văn Cường", "07/08/1975", "male", None),
]
OFFICE = [
    ("BH01", "001080000001", "Nguyễn Văn An", "1980-03-02", "male", None),
    ("BH02", "001185000002", "Trần Thị Bình", "1985-06-05", "female", None),
]
WOMAN = ("BH01", "001192000009", "Phạm Thị Hoa", "1992-11-30", "female", None)
DAYS = (f"2026-09-{day:02}T00:00:00.000000Z" for day in range(2, 30))


@pytest.fixture
def place(country: Country) -> Country:
    """The registers' parts are changed: the cards are the spine, and come second in every order."""

    def other_spine(content: Any) -> None:
        content["person"]["spine"] = ["beta_cards"]

    def other_authority(content: Any) -> None:
        for rule in content["person"].values():
            if len(rule["authority"]) > 1:
                rule["authority"] = ["beta_cards", "alpha_people"]

    country.declare("mapping/matching.yaml", other_spine)
    country.declare("mapping/authority.yaml", other_authority)
    hold(country, SPINE, OFFICE)
    return country


Rows = list[tuple[str | None, ...]]
_written: dict[tuple[str | None, ...], str] = {}


def hold(country: Country, spine: Rows, office: Rows) -> None:
    """Let the registers hold these rows: each has the moment at which it was first written so."""
    day = next(DAYS) if any(row not in _written for row in (*spine, *office)) else ""
    for row in (*spine, *office):
        _written.setdefault(row, day)
    country.write("beta_cards", [card_record(row, _written[row]) for row in spine])
    country.write("alpha_people", [spine_record(row, _written[row]) for row in office])


@pytest.fixture(autouse=True)
def fresh_days() -> None:
    global DAYS
    DAYS = (f"2026-09-{day:02}T00:00:00.000000Z" for day in range(2, 30))
    _written.clear()


def linked(country: Country) -> dict[str, str]:
    """Return the person of each record, as published."""
    work = country.open()
    with work.engine("looking") as engine:
        links = work.published_rows("person", links_table("person"))
        return dict(engine.execute(f"select _key, entity_id from {links}").fetchall())


def events(country: Country, after: int) -> set[tuple[str, str, tuple[str, ...]]]:
    query = "select event, person_id::text, coalesce(others::text[], '{}') from feed_person where seq > "
    return {(event, person, tuple(others)) for event, person, others in rows(country, f"{query}{after}")}


def seq(country: Country) -> int:
    return rows(country, "select coalesce(max(seq), 0) from feed_person")[0][0]


def test_a_row_that_is_corrected_into_another_woman_is_a_person_of_her_own(place: Country) -> None:
    place.after(whole_job)
    before, told = linked(place), seq(place)
    assert before["BH01"] == before["DC01"]
    hold(place, SPINE, [WOMAN, OFFICE[1]])
    done = whole_job()["reconcile"]["diff"]
    after = linked(place)
    assert after["DC01"] == before["DC01"] != after["BH01"]
    assert after["BH01"] not in before.values()
    assert events(place, told) == {
        ("split", after["BH01"], (before["DC01"],)),
        ("moved", before["DC01"], (after["BH01"],)),
    }
    assert (done["merged"], done["split"], done["moved"]) == (0, 1, 1)
    assert rows(place, "select * from corrections_person where key = 'BH01'") == [], "nobody writes the man over her"
    assert rows(place, "select full_name from golden_person where personal_id = '001192000009'") == [("Phạm Thị Hoa",)]


def test_a_founder_that_is_corrected_into_another_woman_leaves_its_id_to_who_was_with_it(place: Country) -> None:
    place.after(whole_job)
    before, told = linked(place), seq(place)
    turned = ("DC01", "001192000009", "Phạm Thị Hoa", "30/11/1992", "female", None)
    alone = ("DC03", "001201000008", "Võ Thị Lan", "09/09/2001", "female", None)
    hold(place, [turned, SPINE[1], alone], OFFICE)
    whole_job()
    after = linked(place)
    assert after["BH01"] == before["DC01"], "the man, whom the office still has"
    assert len({after["DC01"], after["DC03"]} | set(before.values())) == 5, "an id never means another person"
    assert events(place, told) == {
        ("moved", before["DC01"], (after["DC01"],)),
        ("split", after["DC01"], (before["DC01"],)),
        ("split", after["DC03"], (before["DC03"],)),
        ("removed", before["DC03"], ()),
    }
    assert rows(place, "select * from corrections_person where key = 'BH01'") == []


def test_a_record_that_is_corrected_step_by_step_into_another_person_is_noticed(place: Country) -> None:
    place.after(whole_job)
    before = linked(place)
    hold(place, [*SPINE[:2], ("DC03", "001075000003", "Võ Thị Lan", "09/09/2001", "female", None)], OFFICE)
    whole_job()
    hold(place, [*SPINE[:2], ("DC03", "001201000008", "Võ Thị Lan", "09/09/2001", "female", None)], OFFICE)
    whole_job()
    assert linked(place)["DC03"] != before["DC03"]


def test_who_appears_on_the_spine_and_leaves_it_again_keeps_the_provisional_id(place: Country) -> None:
    hold(place, SPINE, [*OFFICE, ("BH05", "001192000009", "Phạm Thị Hoa", "1992-11-30", "female", None)])
    place.after(whole_job)
    before = linked(place)
    appeared = ("DC05", "001192000009", "Phạm Thị Hoa", "30/11/1992", "female", None)
    hold(place, [*SPINE, appeared], [*OFFICE, ("BH05", "001192000009", "Phạm Thị Hoa", "1992-11-30", "female", None)])
    whole_job()
    together = linked(place)
    assert together["BH05"] == together["DC05"] == before["BH05"]
    other = ("DC05", "001066000007", "Đỗ Văn Giang", "12/12/1966", "male", None)
    hold(place, [*SPINE, other], [*OFFICE, ("BH05", "001192000009", "Phạm Thị Hoa", "1992-11-30", "female", None)])
    whole_job()
    parted = linked(place)
    assert parted["BH05"] == before["BH05"] != parted["DC05"]
    assert parted["DC05"] not in together.values()
    assert rows(place, "select count(*) from golden_person") == [(5,)], "nobody disappears"


def decide(country: Country, left: str, right: str, *, same: bool) -> Callable[[], None]:
    """Let people decide about the pair of a card and an office's record, whoever they are; return what takes it back."""
    pair = ("beta_cards", left, "alpha_people", right, same)
    original, valid_decisions.read = valid_decisions.read, lambda *_: valid_decisions.Standing(held=[pair])  # type: ignore[assignment]

    def back() -> None:
        valid_decisions.read = original

    return back


def test_a_decision_that_parts_a_row_gives_it_a_new_id_and_the_next_one_merges_them_again(place: Country) -> None:
    place.after(whole_job)
    before, told = linked(place), seq(place)
    back = decide(place, "DC01", "BH01", same=False)
    try:
        whole_job()
        parted = linked(place)
        assert parted["DC01"] == before["DC01"] != parted["BH01"]
        assert parted["BH01"] not in before.values()
        assert ("split", parted["BH01"], (before["DC01"],)) in events(place, told)
    finally:
        back()
    told = seq(place)
    whole_job()
    assert linked(place) == before
    assert events(place, told) == {
        ("merged", parted["BH01"], (before["DC01"],)),
        ("moved", before["DC01"], (parted["BH01"],)),
    }
    work = place.open()
    with work.engine("looking") as engine:
        identities = work.published_rows("person", identities_table("person"))
        kept = engine.execute(f"select entity_id, state, went_to from {identities}").fetchall()
    assert kept == [(parted["BH01"], "retired", [before["DC01"]])]
    assert pipeline.reconcile()["link"]["changed"] == 0, "the same again changes nothing"


def test_a_citizen_who_is_deleted_is_ended_or_in_dispute_and_a_finding_and_comes_back(place: Country) -> None:
    place.after(whole_job)
    before, told = linked(place), seq(place)
    hold(place, SPINE[1:2], OFFICE)
    done = whole_job()
    assert done["beta_cards"]["land"]["gone"] == 2
    after = linked(place)
    assert after == {"BH01": before["DC01"], "BH02": before["DC02"], "DC02": before["DC02"]}
    assert events(place, told) == {("removed", before["DC03"], ()), ("disputed", before["DC01"], ())}
    assert standings(place) == {before["DC01"]: "disputed", before["DC02"]: None}
    assert found(place) == {("DC01", before["DC01"]), ("DC03", before["DC03"])}
    assert whole_job()["beta_cards"]["land"].get("gone", 0) == 0, "known by now"
    assert len(found(place)) == 2
    told = seq(place)
    hold(place, SPINE, OFFICE)
    assert whole_job()["beta_cards"]["land"]["landed"] == 2
    returned = linked(place)
    assert returned["DC01"] == returned["BH01"] == before["DC01"], "the man, whom the office had all the time"
    assert returned["DC03"] not in before.values(), "nobody knows whether the key stands for the same man"
    assert events(place, told) == {("created", returned["DC03"], ()), ("restored", before["DC01"], ())}
    assert set(standings(place).values()) == {None}
    assert found(place) == set()


def standings(country: Country) -> dict[str, str | None]:
    return dict(rows(country, "select person_id::text, standing from golden_person"))


def found(country: Country) -> set[tuple[str, str]]:
    """The findings of records that are gone, with their persons."""
    work = country.open()
    with work.engine("looking") as engine:
        where = "rule = 'still_in_the_register'"
        now = work.published_rows("person", findings_table("person"))
        return set(engine.execute(f"select _key, entity_id from {now} where {where}").fetchall())
