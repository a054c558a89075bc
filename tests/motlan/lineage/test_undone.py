"""Whom a decision has reached that was undone since, and the draft of the notice about it."""

import json
from datetime import datetime
from typing import Any

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from motlan import pipeline
from motlan.cli.main import app
from motlan.config import notice
from motlan.errors import ConfigurationError, DataError
from motlan.lineage.undone import find_disclosed, find_undone
from motlan.stewardship import overrides, review_decisions
from motlan.store import tables
from tests.conftest import ROOT, SPINE, Country, spine_record
from tests.motlan.lineage.test_impact import AGENCY, give_changes
from tests.motlan.test_pipeline import rows, whole_job

ME = "user:ann"
LATER = "2026-09-15T00:00:00.000000Z"


def publish() -> None:
    pipeline.reconcile()
    pipeline.project(pipeline.publish()["run"])


def set_aside(country: Country) -> int:
    """Set the spine's name of somebody aside, so that the card's is published; return the decision."""
    ((person,),) = rows(country, "select person_id::text from golden_person where full_name = 'Nguyễn Văn An'")
    return overrides.exclude(country.open(), "person", person, "full_name", ME, "it is wrong")


def decide_same(country: Country) -> int:
    """Let somebody decide that two records are one person's; return the decision."""
    pair = dict(zip(tables.PAIR, ("alpha_people", "a2", "beta_cards", "b2"), strict=True))
    with country.open().store.engine.begin() as connection:
        given = {"entity": "person", **pair, "principal": ME}
        assigned = sa.insert(tables.link_assignments).values(**given, purpose="unsure", needed=1)
        number = connection.execute(assigned.returning(tables.link_assignments.c.id)).scalar_one()
        decided = sa.insert(tables.link_decisions).values(**given, verdict="same", reason="seen", assignment=number)
        return int(connection.execute(decided.returning(tables.link_decisions.c.id)).scalar_one())


def disclosed(country: Country, name: str) -> dict[str, Any]:
    work = country.open()
    return find_disclosed(work, find_undone(work, name), ME)


@pytest.mark.quick
def test_who_received_what_stood_in_place_of_a_value_that_was_set_aside(country: Country) -> None:
    country.after(whole_job)
    number = set_aside(country)
    with pytest.raises(DataError, match="no decision value:1 was undone"):
        find_undone(country.open(), f"value:{number}")
    publish()
    give_changes(country, 1, 7)
    overrides.reinstate(country.open(), number, ME, "it was right")
    publish()
    found = disclosed(country, f"value:{number}")
    assert (found["persons"], [row["agency"] for row in found["recipients"]]) == (1, [AGENCY])
    assert found["recipients"][0]["fields"] == ["full_name"], "and nothing that did not rest on it"
    passed = datetime.fromisoformat(found["due_at"]) - datetime.fromisoformat(found["undone_at"])
    assert passed.total_seconds() == 72 * 3600
    assert rows(country, "select count(*) from accesses where action = 'impact.undone'") == [(1,)]


def test_who_received_what_rested_on_a_link_that_was_withdrawn(country: Country) -> None:
    country.after(whole_job)
    give_changes(country, 1, 6)
    number = decide_same(country)
    renamed = ("a2", "001190000002", "Trần Thị Bích", "1990-05-06", "female", None)
    country.write(
        "alpha_people", [spine_record(renamed, LATER), *(spine_record(row) for row in SPINE if row[0] != "a2")]
    )
    pipeline.sync("alpha_people")
    publish()
    review_decisions.withdraw(country.open(), number, ME, "a mistake")
    assert disclosed(country, f"link:{number}")["recipients"] == [], (
        "what was read before the decision does not rest on it"
    )
    give_changes(country, 7, 7)
    found = disclosed(country, str(number))
    assert (found["decision"], found["verdict"], found["persons"]) == (f"link:{number}", "same", 1)
    assert found["recipients"][0]["fields"] == ["full_name", "personal_id"]


def test_the_draft_says_from_when_the_time_counts_and_what_it_cannot_know(country: Country) -> None:
    country.after(whole_job)
    number = set_aside(country)
    overrides.reinstate(country.open(), number, ME, "it was right")
    (country.home / "mapping" / "notice.yaml").write_text((ROOT / "mapping" / "notice.yaml").read_text())
    both = CliRunner().invoke(app, ["impact", "--undone", f"value:{number}", "--json"])
    drafts = json.loads(both.stdout)["drafts"]
    assert list(drafts) == ["vi", "en"]
    assert "The 72 hours count from" in drafts["en"] and "What this draft cannot know" in drafts["en"]
    assert "Thời hạn 72 giờ tính từ" in drafts["vi"] and "không thể biết" in drafts["vi"]
    assert "No agency has asked" in drafts["en"]
    refused = CliRunner().invoke(app, ["impact", "--undone", f"value:{number}", "--lang", "fr"])
    assert (refused.exit_code, "use vi or en" in refused.output) == (1, True)


@pytest.mark.parametrize("name", ["7", "link:7", "value:7"])
def test_a_decision_that_was_never_made_is_refused(country: Country, name: str) -> None:
    country.after(whole_job)
    with pytest.raises(DataError, match="no decision"):
        find_undone(country.open(), name)
    with pytest.raises(ConfigurationError, match="names no decision"):
        find_undone(country.open(), "that one")


@pytest.mark.quick
def test_the_declared_texts_are_whole_and_a_strange_name_is_refused() -> None:
    assert notice.load(ROOT).hours == 72
    with pytest.raises(ValueError, match="clock cannot name who"):
        notice.Notice.model_validate({"clock": {"vi": "{who}", "en": ""}})
