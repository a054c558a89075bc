"""What is told of a golden value: who said what, why it counts, how it was made, since when, and who has received it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from motlan.errors import DataError
from motlan.ledger import accesses
from motlan.lineage.projected_row import ALTERED, ALTERED_FEED, NO_ROW
from motlan.lineage.trace import answer, find_person
from motlan.workspace import Workspace
from tests.conftest import SPINE, Country, spine_record
from tests.motlan.test_pipeline import whole_job


@pytest.fixture
def work(country: Country) -> Workspace:
    country.after(whole_job)
    return country.open()


def chain(work: Workspace, number: str, field: str, moment: datetime | None = None) -> dict[str, Any]:
    person = find_person(work, "person", number, moment)
    (found,) = answer(work, "person", person, [field], "user:test", moment)["fields"]
    return dict(found)


def test_each_step_of_cleaning_has_what_it_was_given_and_what_it_gave(work: Workspace) -> None:
    cleaned = chain(work, "001070000004", "birth_date")["source"]["cleaned_by"]
    assert (cleaned["sent"], cleaned["as_then"]) == ({"born": "01/02/1970"}, True)
    (step,) = cleaned["steps"]
    assert (step["given"], step["value"]) == ({"born": "01/02/1970"}, "1970-02-01")
    assert step["within"], "a date is read in steps"


def test_each_rule_s_answer_is_told(work: Workspace) -> None:
    rules = {rule["rule"]: rule for rule in chain(work, "001070000004", "birth_date")["source"]["rules"]}
    assert rules["has_a_name"]["answer"] == "kept"
    assert rules["has_a_name"]["message"]["en"] == "The name is missing"


def test_the_comparisons_of_a_link_add_up_to_its_weight(work: Workspace) -> None:
    link = chain(work, "001070000004", "birth_date")["source"]["link"]
    assert link["compared"]["dataset"] == "alpha_people"
    assert sum(one["weight"] for one in link["comparisons"]) == pytest.approx(link["match_weight"])
    levels = {one["comparison"]: one["level"] for one in link["comparisons"]}
    assert (levels["personal_id"], levels["birth_date"]) == ("same", "agree as far as known")


def test_the_register_that_says_it_less_precisely_agrees(work: Workspace) -> None:
    said = chain(work, "001070000004", "birth_date")["decision"]["said"]
    assert [(one["dataset"], one["value"], one["outcome"], one["why"], one["rank"]) for one in said] == [
        ("beta_cards", "1970-02-01", "won", None, 2),
        ("alpha_people", "1970", "agrees", "less precise", 1),
    ]


def test_the_register_that_is_believed_less_loses(country: Country) -> None:
    country.write(
        "alpha_people", [spine_record(row if row[0] != "a3" else (*row[:4], "female", row[5])) for row in SPINE]
    )
    country.after(whole_job)
    found = chain(country.open(), "001080000003", "sex")
    assert found["decision"]["disputed"]
    lost = found["decision"]["said"][1]
    assert (lost["dataset"], lost["value"], lost["outcome"], lost["why"]) == (
        "beta_cards",
        "male",
        "lost",
        "believed less",
    )
    (correction,) = found["corrections"]
    assert (correction["event"], correction["dataset"], correction["publication"]) == ("opened", "beta_cards", 1)


def test_who_received_a_value_is_told_with_the_legal_basis(work: Workspace) -> None:
    person = find_person(work, "person", "001080000003")
    accesses.record(work.store, "beta", "feed.read", "person after 0 limit 1000")
    accesses.record(work.store, "beta", "feed.read", "person after 1000 limit 1000")
    accesses.record(work.store, "beta", "feed.snapshot", "person after none limit 1000")
    accesses.record(work.store, "beta", "feed.snapshot", f"person after {person} limit 1000")
    received = chain(work, "001080000003", "full_name")["received"]
    assert [(one["agency"], one["how"], one["legal_basis"]) for one in received] == [
        ("beta", "changes", "the test's"),
        ("beta", "snapshot", "the test's"),
    ]
    assert chain(work, "001080000003", "sex")["received"] == [], "it was not granted"


def test_who_received_a_value_is_told_by_the_numbers_that_each_answer_had(work: Workspace) -> None:
    person = find_person(work, "person", "001080000003")
    with work.store.engine.connect() as connection:
        query = f"select seq from feed_person where person_id = '{person}'"
        number = connection.exec_driver_sql(query).scalar_one()
    basis = accesses.Basis(purpose="a test", legal_basis="a decree")
    for first, last in ((number, number), (number + 1, number + 2)):
        seen = accesses.Seen("person", first_seq=first, last_seq=last, fields=["full_name"])
        accesses.record(work.store, "beta", "feed.read", "person after 0 limit 9", seen, basis)
    keys = accesses.Seen("person", last_seq=number, first_key=person, last_key=person, fields=["full_name"])
    accesses.record(work.store, "gamma", "feed.snapshot", "person after none limit 9", keys, basis)
    received = chain(work, "001080000003", "full_name")["received"]
    assert [(one["agency"], one["seq"], one["legal_basis"], one["purpose"]) for one in received] == [
        ("beta", number, "a decree", "a test"),
        ("gamma", number, "a decree", "a test"),
    ]


def test_looks_at_a_person_are_told(work: Workspace) -> None:
    person = find_person(work, "person", "001080000003")
    answer(work, "person", person, ["sex"], "user:first")
    looks = answer(work, "person", person, ["sex"], "user:second")["looks"]
    assert [(look["who"], look["what"]) for look in looks] == [
        ("user:first", "lineage.read"),
        ("user:second", "lineage.read"),
    ]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("update golden_person set full_name = 'Lê Văn Khác' where personal_id = '001080000003'", ALTERED),
        ("update feed_person set full_name = 'Lê Văn Khác' where personal_id = '001080000003'", ALTERED_FEED),
        ("delete from golden_person where personal_id = '001080000003'", NO_ROW),
    ],
)
def test_what_agencies_are_served_is_compared_with_what_was_published(work: Workspace, change: str, why: str) -> None:
    with work.store.engine.begin() as connection:
        connection.exec_driver_sql(change)
    found = chain(work, "001080000003", "full_name")
    assert (found["replays_equal"], found["reasons"]) == (False, {why: 1})
    assert chain(work, "001070000004", "full_name")["replays_equal"]


def renamed(country: Country) -> tuple[datetime, datetime]:
    """Publish, then publish again with another name; return the moments of both."""
    country.after(whole_job)
    others = [spine_record(one) for one in SPINE if one[0] != "a3"]
    row = ("a3", "001080000003", "Lê Văn Cương", *SPINE[2][3:])
    country.write("alpha_people", [*others, spine_record(row, "2026-09-02T00:00:00.000000Z")])
    whole_job()
    with country.open().store.engine.connect() as connection:
        first, second = connection.exec_driver_sql("select recorded_at from publications order by number").scalars()
    return first, second


def test_what_was_said_then_is_answered_with_why(country: Country) -> None:
    first, second = renamed(country)
    work = country.open()
    then = chain(work, "001080000003", "full_name", first + (second - first) / 2)
    assert (then["value"], then["replays_equal"], then["since"]["publication"]) == ("Lê Văn Cường", True, 1)
    assert then["source"]["source_moment"].startswith("2026-09-01")
    now = chain(work, "001080000003", "full_name")
    assert (now["value"], now["replays_equal"]) == ("Lê Văn Cương", True)
    assert (now["since"]["publication"], now["since"]["before"]) == (2, "Lê Văn Cường")
    assert [one["value"] for one in now["history"]] == ["Lê Văn Cường", "Lê Văn Cương"]
    with pytest.raises(DataError, match="no person is published yet at that moment"):
        chain(work, "001080000003", "full_name", datetime.now(UTC) - timedelta(days=30))
