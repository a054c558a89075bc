"""Entities beside the person: rows of their own, linked to whom they are about, with a feed of their own."""

import json

import pytest
from fastapi.testclient import TestClient

from motlan import pipeline
from motlan.config import registry
from motlan.errors import ConfigurationError
from motlan.feeds import keys
from motlan.feeds.app import create_app
from tests.conftest import CARDS, Country, card_record
from tests.motlan.test_partitioning import reconcile, staged
from tests.motlan.test_pipeline import BOTH, LATER, rows, whole_job

RELATED = {
    "membership": {"of": "person", "authority": ["beta_cards"]},
    "household": {
        "of": "person", "authority": ["beta_cards"], "key": "household_head", "person": "personal_id",
        "count": "household_members", "when": "household_head is not None",
    },
}  # fmt: skip
GRANT = {"beta": {"legal_basis": "the test's", "fields": ["health_card_number"]}}


@pytest.fixture
def declared(country: Country) -> Country:
    """A country whose cards are memberships, and whose card numbers name households."""
    country.declare("mapping/authority.yaml", lambda content: content.update(RELATED))
    country.declare("mapping/grants.yaml", lambda content: content.update(membership=GRANT))
    country.declare(
        "mapping/beta.yaml",
        lambda content: content["beta_cards"].update(related_entities={"household_head": "personal_id(number)"}),
    )
    return country


def test_a_row_is_a_membership_of_its_person_and_changes_with_it(declared: Country) -> None:
    done = declared.after(whole_job)
    assert done["reconcile"]["merge"]["related_entities"] == {"membership": 5, "household": 3}
    memberships = """select m.key, m.health_card_number, g.full_name, m.as_of from golden_membership m
                     join golden_person g using (person_id) order by m.key limit 2"""
    as_of = "2026-09-01T00:00:00.000000Z"
    assert rows(declared, memberships) == [
        ("b1", "GD4010000000001", "Nguyễn Văn An", as_of),
        ("b2", "GD4010000000002", "Trần Thị Bình", as_of),
    ]
    households = """select household_head, household_members, g.full_name from golden_household h
                    left join golden_person g using (person_id) order by 1"""
    assert rows(declared, households) == [
        ("001070000004", "1", "Phạm Văn Dũng"),
        ("001080000003", "1", "Lê Văn Cường"),
        ("001090000001", "2", None),  # two persons have the number: nobody is named by it
    ]
    renewed = [(*row[:5], "GD4010000000009") if row[0] == "b2" else row for row in CARDS]
    declared.write("beta_cards", [card_record(row, LATER if row[0] == "b2" else "2026-09-01") for row in renewed])
    again = whole_job()
    assert again["publish"]["changes"] == 1, "the person's own card number"
    feed = "select seq, event, changed, health_card_number from feed_membership where seq > 5"
    assert rows(declared, feed) == [(6, "updated", ["health_card_number"], "GD4010000000009")]
    assert rows(declared, "select count(*) from feed_household") == [(3,)]


def test_households_found_in_slices_are_the_same(declared: Country, monkeypatch: pytest.MonkeyPatch) -> None:
    declared.after(whole_job)
    monkeypatch.setenv("MOTLAN_BUCKET_ROWS", "2")
    again = whole_job()["reconcile"]
    assert again["merge"]["related_entities"] == {"membership": 5, "household": 3}
    assert again["diff"]["related_entities"]["household"] == {"changes": 0, "versions": 0}


def test_another_number_of_parts_numbers_what_lies_beside_persons_alike(
    declared: Country, monkeypatch: pytest.MonkeyPatch
) -> None:
    for dataset in BOTH:
        pipeline.sync(dataset)
    tables = ("golden.membership", "golden.household")
    whole = staged(declared, reconcile(), tables)
    monkeypatch.setenv("MOTLAN_RANGE_PERSONS", "1")
    run = reconcile()
    assert staged(declared, run, tables) == whole
    assert len(list(declared.open().lake.folder("golden.membership", run).glob("*.parquet"))) > 1
    assert [len(whole[table]) for table in tables] == [5, 3]


def test_its_feed_gives_what_the_legal_basis_allows_and_no_more(declared: Country) -> None:
    declared.after(whole_job)
    key = keys.issue(declared.open().store, "beta")
    feed = TestClient(create_app(), headers={"Authorization": f"Bearer {key}"})
    lines = [json.loads(line) for line in feed.get("/v1/feeds/membership/changes?limit=3").text.splitlines()]
    assert [(line["seq"], line["event"], set(line["values"])) for line in lines] == [
        (number, "created", {"health_card_number"}) for number in (1, 2, 3)
    ]
    assert all(line["id"] != line["person_id"] for line in lines)
    assert feed.get("/v1/feeds/household/changes").status_code == 403
    pipeline.reconcile()
    assert pipeline.publish()["number"] is None, "the same again changes nothing"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"ship": {"of": "person", "authority": ["beta_cards"]}}, "no model of ship"),
        ({"membership": {"of": "person", "authority": ["gamma_cards"]}}, "no dataset gamma_cards"),
        ({"household": {**RELATED["household"], "key": "ship"}}, "household has no field ship"),
        ({"membership": {"of": "person", "authority": ["beta_cards"], "kye": "x"}}, "did you mean key"),
        ({"person": {"sex": {"authority": ["gamma"]}}}, "no dataset gamma"),
        (
            {"person": {"sex": {"authority": [{"dataset": "beta_cards", "when": "shoe_size == '1'"}]}}},
            "no field shoe_size",
        ),
    ],
)
def test_a_wrong_declaration_is_told(country_files: Country, change: dict, told: str) -> None:
    def declare(content: dict) -> None:
        for name, fields in change.items():
            content.setdefault(name, {}).update(fields)

    country_files.declare("mapping/authority.yaml", declare)
    with pytest.raises(ConfigurationError, match=told):
        registry.load(country_files.home)
