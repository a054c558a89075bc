"""Numbers that were cancelled and established anew: whose rows are those that bear the old one still."""

from __future__ import annotations

from typing import Any

import pytest

from motlan import identifier_history, pipeline
from motlan.lake.iceberg import current
from motlan.ledger import runs
from motlan.lineage.trace import answer, find_person, trace
from motlan.stewardship import model_proposals, review_queue
from tests.conftest import Country
from tests.motlan.test_pipeline import rows

FIRST, LATER, LAST = "2026-09-01T00:00:00.000000Z", "2026-10-02T00:00:00.000000Z", "2026-10-05T00:00:00.000000Z"
SPINE, CARDS = "zeta_people", "beta_cards"
OLD, NEW = "001090000001", "001085000071"
MEANT = {"id": "z1", "number": OLD, "name": "Nguyễn Văn An", "born": "1990-02-03", "sex": "male", "died": None}
OTHERS = [
    {
        "id": "z2",
        "number": "001190000002",
        "name": "Trần Thị Bình",
        "born": "1990-05-06",
        "sex": "female",
        "died": None,
    },
    {"id": "z3", "number": "001080000003", "name": "Lê Văn Cường", "born": "1980-07-08", "sex": "male", "died": None},
]
CARD = {
    "id": "b1",
    "number": OLD,
    "name": "NGUYEN VAN AN",
    "born": "03/02/1990",
    "sex": "male",
    "card": "GD4010000000001",
}
OTHER_CARD = {
    "id": "b2",
    "number": "001190000002",
    "name": "Trần Thị Bình",
    "born": "06/05/1990",
    "sex": "female",
    "card": None,
}


@pytest.fixture
def late(country: Country) -> Country:
    """The small country, with a spine whose name comes last in the alphabet."""
    for path in [*country.home.glob("adapters/*.yaml"), *country.home.glob("mapping/*.yaml")]:
        path.write_text(path.read_text(encoding="utf-8").replace("alpha_people", SPINE), encoding="utf-8")
    say(country, SPINE, MEANT, *OTHERS)
    say(country, CARDS, CARD, OTHER_CARD)
    return country


def say(country: Country, dataset: str, *records: dict[str, Any]) -> None:
    """Let a register hold records, each of the first day where none is told."""
    country.write(dataset, [{"updated": FIRST, **record} for record in records])


def job() -> dict[str, Any]:
    done: dict[str, Any] = {dataset: pipeline.sync(dataset) for dataset in (SPINE, CARDS)}
    done |= {"reconcile": pipeline.reconcile(), "publish": pipeline.publish()}
    pipeline.project(done["publish"]["run"])
    return done


def persons(country: Country) -> list[tuple]:
    return rows(country, "select personal_id, health_card_number from golden_person order by 1, 2")


def reviews(country: Country) -> list[tuple]:
    """The pairs that are left to people: record, the other, why."""
    return lake(country, "reviews.person", ("dataset", "_key"), "_key, other_key, reason")


def lake(country: Country, table: str, key: tuple[str, ...], columns: str) -> list[tuple]:
    """What a table of the lake holds after the newest publication."""
    work = country.open()
    with work.store.engine.connect() as connection:
        files = work.lake.files(table, set(runs.visible(connection, "reconcile", "person")))
    if not files:
        return []
    with work.engine("test") as engine:
        return engine.execute(f"select {columns} from {current(files, key)} order by all").fetchall()


@pytest.mark.parametrize(
    "change",
    [{"number": "001085000071", "born": "1985-02-03"}, {"number": "079090000071"}],
    ids=["birth year", "place"],
)
def test_rows_that_bear_the_cancelled_number_stay_with_their_person(late: Country, change: dict[str, str]) -> None:
    late.after(job)
    before = rows(late, "select person_id from golden_person where health_card_number = 'GD4010000000001'")
    say(late, SPINE, {**MEANT, **change, "updated": LATER}, *OTHERS)
    job()
    after = rows(late, "select person_id, personal_id from golden_person where health_card_number = 'GD4010000000001'")
    assert after == [(before[0][0], change["number"])]
    assert len(persons(late)) == 3
    assert reviews(late) == []
    assert job()["publish"]["number"] is None, "the same again changes nothing"


def test_people_are_shown_why_a_pair_is_theirs_and_a_refit_follows_former_numbers(late: Country) -> None:
    """Somebody else's card bears the number that a record bore before."""
    stranger = {**CARD, "id": "b3", "name": "Phạm Quốc Dũng", "card": None}
    late.after(job)
    say(late, SPINE, {**MEANT, "number": NEW, "born": "1985-02-03", "updated": LATER}, *OTHERS)
    say(late, CARDS, CARD, OTHER_CARD, stranger)
    published = job()["reconcile"]["link"]
    assert reviews(late) == [("b3", "z1", "former_number")]
    work = late.open()
    (assignment,) = review_queue.take(work, "person", "ann", 1)
    assert review_queue.show(work, assignment, "ann")["because"] == "former_number"
    (exported,) = review_queue.export(work, "person", "ann")
    assert (exported["because"], exported["reason"]) == ("former_number", None)
    report = model_proposals.fit(work, "person", "ann")["report"]
    assert report["expected_wrong_was"] == pytest.approx(published["expected_wrong"], abs=2e-3)
    assert report["expected_missed_was"] > 0


RELATED = {"household_head": "personal_id(head)"}
HOUSEHOLDS = {
    "household": {
        "of": "person", "authority": [SPINE, CARDS], "key": "household_head", "person": "personal_id",
        "count": "household_members", "when": "household_head is not None",
    },
    "household_member": {"of": "person", "authority": [SPINE, CARDS], "when": "household_head is not None"},
}  # fmt: skip


@pytest.fixture
def housed(late: Country) -> Country:
    """The country, whose two registers both say who heads a person's household."""

    def columns(content: dict) -> None:
        for agency, dataset in (("alpha", SPINE), ("beta", CARDS)):
            content["agencies"][agency]["datasets"][dataset]["columns"]["head"] = "head"

    late.declare("adapters/agencies.yaml", columns)
    for agency, dataset in (("alpha", SPINE), ("beta", CARDS)):
        late.declare(f"mapping/{agency}.yaml", lambda content, d=dataset: content[d].update(related_entities=RELATED))
    late.declare("mapping/authority.yaml", lambda content: content.update(HOUSEHOLDS))
    return late


def test_a_household_stays_one_when_its_heads_number_changes(housed: Country) -> None:
    wife, card = {**OTHERS[0], "head": OLD}, {**CARD, "head": OLD}
    other_card = {**OTHER_CARD, "number": None, "head": OLD}
    say(housed, SPINE, {**MEANT, "head": OLD}, wife, OTHERS[1])
    say(housed, CARDS, card, other_card)
    households = """select id, household_head, household_members, full_name
                    from golden_household left join golden_person using (person_id)"""
    members = "select distinct household_head from golden_household_member"
    housed.after(job)
    (before,) = rows(housed, households)
    assert before[1:] == (OLD, "2", "Nguyễn Văn An")
    mended = {**MEANT, "number": NEW, "born": "1985-02-03", "head": NEW, "updated": LATER}
    say(housed, SPINE, mended, wife, OTHERS[1])
    job()
    assert rows(housed, households) == [(before[0], NEW, "2", "Nguyễn Văn An")]
    assert rows(housed, members) == [(NEW,)]
    feed = rows(housed, "select event from feed_household order by seq")
    assert feed == [("created",), ("updated",)], "it is the same household"
    say(housed, SPINE, {**mended, "number": "001085000072", "head": NEW, "updated": LAST}, wife, OTHERS[1])
    job()
    assert rows(housed, households) == [(before[0], "001085000072", "2", "Nguyễn Văn An")]


def test_the_numbers_of_a_person_are_kept_with_their_periods(late: Country) -> None:
    late.after(job)
    say(late, SPINE, {**MEANT, "number": NEW, "born": "1985-02-03", "updated": LATER}, *OTHERS)
    job()
    say(late, SPINE, {**MEANT, "updated": LAST}, *OTHERS)
    job()
    columns = "dataset, _key, field, value, since, until"
    assert lake(late, "identifiers.person", identifier_history.PERIOD_KEY, columns) == [
        (SPINE, "z1", "personal_id", NEW, LATER, LAST),
        (SPINE, "z1", "personal_id", OLD, FIRST, LATER),
        (SPINE, "z1", "personal_id", OLD, LAST, None),
    ]
    work = late.open()
    person = find_person(work, "person", NEW)
    assert person == find_person(work, "person", OLD), "a number that is nobody's now is still whose it was"
    told = [(row["value"], row["until"]) for row in answer(work, "person", person, [], "user:x")["numbers"]]
    assert told == [(OLD, LATER), (NEW, LAST), (OLD, None)]
    assert all(chain["replays_equal"] for chain in trace(work, "person", person, [], "test"))


def test_a_record_that_is_keyed_by_its_number_goes_on_in_the_one_that_came_after_it(housed: Country) -> None:
    """Its register ends it and begins another."""
    place = {"number": "079090000071", "id": "z9", "updated": LATER}
    say(housed, SPINE, {**MEANT, "head": OLD}, *OTHERS)
    say(housed, CARDS, {**CARD, "head": OLD}, OTHER_CARD)
    housed.after(job)
    say(housed, SPINE, {**MEANT, **place, "head": place["number"]}, *OTHERS)
    job()
    after = rows(housed, "select personal_id from golden_person where health_card_number = 'GD4010000000001'")
    assert after == [(place["number"],)]
    assert rows(housed, "select household_head, household_members from golden_household") == [(place["number"], "1")]
    assert lake(housed, "identifiers.person", identifier_history.PERIOD_KEY, "_key, value, since, until") == [
        ("z9", OLD, FIRST, LATER),
        ("z9", place["number"], LATER, None),
    ]
