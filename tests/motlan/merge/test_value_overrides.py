"""A wrong death is undone by one event, which reopens what it closed; and that can be undone."""

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from motlan import pipeline
from motlan.cli.main import app
from motlan.errors import ConfigurationError, DataError
from motlan.lineage.evidence import gather
from motlan.lineage.replay import replay
from motlan.lineage.sample import sample
from motlan.status import status
from motlan.stewardship import overrides
from tests.conftest import SPINE, Country, spine_record
from tests.motlan.test_pipeline import rows, whole_job


def feed_after(country: Country, seq: int) -> list[tuple]:
    return rows(country, f"select event, changed, death_date from feed_person where seq > {seq} order by seq")


def corrections(country: Country) -> list[tuple]:
    return rows(country, "select dataset, key, field, value, authority from corrections_person order by 1, 2, 3")


def in_time(person: str) -> list[dict[str, Any]]:
    answer = CliRunner().invoke(app, ["golden", "history", person, "death_date", "--json"])
    assert answer.exit_code == 0, answer.output
    return json.loads(answer.stdout)


def merged_again() -> dict[str, Any]:
    done = pipeline.reconcile()
    done["publish"] = pipeline.publish()
    pipeline.project(done["run"])
    return done


def test_a_wrong_death_is_undone_and_stays_undone(country: Country) -> None:
    country.declare(
        "mapping/authority.yaml", lambda content: content["person"]["death_date"].update(correct=True, guarded=True)
    )
    first = country.after(whole_job)
    assert first["reconcile"]["cross_check"]["findings"] == 1, "a dead person has a card"
    ((person,),) = rows(country, "select person_id::text from golden_person where death_date is not null")
    work = country.open()
    with pytest.raises(ConfigurationError, match="reason"):
        overrides.exclude(work, "person", person, "death_date", "user:a", " ")
    number = overrides.exclude(work, "person", person, "death_date", "user:a", "she came to our office")

    undone = merged_again()
    assert feed_after(country, 6) == [("updated", ["death_date"], None)], "one event"
    assert undone["cross_check"]["findings"] == 0, "what the death opened is closed again"
    assert corrections(country) == [("alpha_people", "a3", "death_date", "2026-09-01", "excluded")]
    fields = sample(work, "person", 1000, seed=1)
    assert replay(work, gather(work, "person", sorted({one for one, _ in fields})), fields).reasons == {}

    said = [(row["publication"], row["event"], row["value"], row["as_of"]) for row in in_time(person)]
    assert said == [(1, "created", "2026-09-01", "2026-09-01T00:00:00.000000Z"), (2, "updated", None, None)]

    again = [spine_record(row, "2026-10-02T00:00:00.000000Z") for row in SPINE]
    country.write("alpha_people", again)
    pipeline.sync("alpha_people")
    merged_again()
    assert feed_after(country, 7) == [], "the register repeats the wrong value: the decision outlives it"

    with pytest.raises(DataError, match="no golden death_date"):
        overrides.exclude(work, "person", person, "death_date", "user:a", "twice")
    overrides.reinstate(work, number, "user:b", "it was right after all")
    assert overrides.listed(work, "person") == []
    back = merged_again()
    assert feed_after(country, 7) == [("updated", ["death_date"], "2026-09-01")]
    assert (back["cross_check"]["findings"], corrections(country)) == (1, [])
    with pytest.raises(DataError, match="no such decision"):
        overrides.reinstate(work, number, "user:b", "again")


def test_another_value_of_the_register_is_a_new_claim(country: Country) -> None:
    country.after(whole_job)
    ((person,),) = rows(country, "select person_id::text from golden_person where death_date is not null")
    overrides.exclude(country.open(), "person", person, "death_date", "user:a", "wrong")
    changed = [(*row[:5], "2026-09-20") if row[0] == "a3" else row for row in SPINE]
    country.write("alpha_people", [spine_record(row, "2026-10-02T00:00:00.000000Z") for row in changed])
    pipeline.sync("alpha_people")
    merged_again()
    assert feed_after(country, 6) == [("updated", ["death_date"], "2026-09-20")]


def says(country: Country, key: str, died: str | None, at: str) -> None:
    """Let the register say when one of its people died, and merge."""
    country.write("alpha_people", [spine_record((*row[:5], died), at) for row in SPINE if row[0] == key])
    pipeline.sync("alpha_people")


def test_a_value_that_its_source_withdrew_and_sends_again_is_heard_and_people_are_told(country: Country) -> None:
    country.after(whole_job)
    ((person,),) = rows(country, "select person_id::text from golden_person where death_date is not null")
    work = country.open()
    first = overrides.exclude(work, "person", person, "death_date", "user:a", "she came to our office")
    merged_again()
    dead = "select death_date from golden_person where death_date is not null"
    says(country, "a3", "2026-09-01", "2026-10-02T00:00:00.000000Z")
    merged_again()
    assert rows(country, dead) == [], "repeated without a pause"
    assert [row["state"] for row in overrides.listed(work, "person")] == ["holds"]
    says(country, "a3", None, "2026-10-03T00:00:00.000000Z")
    merged_again()
    assert [row["state"] for row in overrides.listed(work, "person")] == ["lapsed"]
    says(country, "a3", "2026-09-01", "2026-10-04T00:00:00.000000Z")
    merged_again()
    assert rows(country, dead) == [("2026-09-01",)], "heard again"
    assert [(row["decision"], row["state"]) for row in overrides.listed(work, "person")] == [(first, "said again")]
    assert status(work)["values_said_again"] == 1
    fields = sample(work, "person", 1000, seed=1)
    assert replay(work, gather(work, "person", sorted({one for one, _ in fields})), fields).reasons == {}
    overrides.exclude(work, "person", person, "death_date", "user:b", "she came once more")
    merged_again()
    assert rows(country, dead) == []
    assert [row["state"] for row in overrides.listed(work, "person")] == ["holds"]
    assert status(work)["values_said_again"] == 0


def test_a_pause_between_two_merges_is_one(country: Country) -> None:
    country.after(whole_job)
    ((person,),) = rows(country, "select person_id::text from golden_person where death_date is not null")
    work = country.open()
    overrides.exclude(work, "person", person, "death_date", "user:a", "she came to our office")
    merged_again()
    says(country, "a3", None, "2026-10-03T00:00:00.000000Z")
    says(country, "a3", "2026-09-01", "2026-10-04T00:00:00.000000Z")
    merged_again()
    assert [row["state"] for row in overrides.listed(work, "person")] == ["said again"]


def test_a_number_set_aside_that_another_register_repeats_is_heard_and_nobody_is_asked_to_change_it_to_itself(
    country: Country,
) -> None:
    """The number of one register's row is set aside; the card that bears the same number says it all the same."""
    country.after(whole_job)
    ((person,),) = rows(
        country, "select person_id::text from golden_person where health_card_number = 'GD4010000000001'"
    )
    for field in ("personal_id", "full_name", "birth_date", "sex"):
        overrides.exclude(country.open(), "person", person, field, "user:a", "of another woman")
    merged_again()
    asked = rows(country, "select dataset, key, field, value, golden_value from corrections_person")
    assert all(value != golden for *_, value, golden in asked), "X to X"
    assert ("alpha_people", "a1", "personal_id") not in {row[:3] for row in asked}
    assert rows(country, f"select personal_id from golden_person where person_id = '{person}'") == [("001090000001",)]


def test_older_news_that_comes_late_is_no_pause_where_the_records_own_moment_counts(country: Country) -> None:
    def by_moment(content: Any) -> None:
        content["agencies"]["alpha"]["datasets"]["alpha_people"] |= {"order": "moment", "lag": 10**7}

    country.declare("adapters/agencies.yaml", by_moment)
    whole_job()
    ((person,),) = rows(country, "select person_id::text from golden_person where death_date is not null")
    work = country.open()
    overrides.exclude(work, "person", person, "death_date", "user:a", "she came to our office")
    says(country, "a3", None, "2026-08-20T00:00:00.000000Z")
    merged_again()
    assert rows(country, "select death_date from golden_person where death_date is not null") == []
    assert [row["state"] for row in overrides.listed(work, "person")] == ["holds"]
