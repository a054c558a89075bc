"""The feed, as an agency meets it."""

import json

import pytest
from fastapi.testclient import TestClient

from motlan.feeds import keys
from motlan.feeds.app import create_app
from tests.conftest import Country
from tests.motlan.test_pipeline import rows, whole_job


@pytest.fixture
def feed(country: Country) -> TestClient:
    whole_job()
    key = keys.issue(country.open().store, "beta")
    return TestClient(create_app(), headers={"Authorization": f"Bearer {key}"})


def test_it_gives_every_change_in_order_and_without_gaps(feed: TestClient) -> None:
    seen: list[dict] = []
    while lines := feed.get("/v1/feeds/person/changes", params={"after": len(seen), "limit": 4}).text.splitlines():
        seen += [json.loads(line) for line in lines]
    assert [line["seq"] for line in seen] == [1, 2, 3, 4, 5, 6]
    assert {line["event"] for line in seen} == {"created"}


def test_it_sends_only_what_the_legal_basis_allows(feed: TestClient) -> None:
    lines = [json.loads(line) for line in feed.get("/v1/feeds/person/changes").text.splitlines()]
    assert {name for line in lines for name in line["values"]} == {"personal_id", "full_name", "death_date"}
    assert not any("birth_date" in line["changed"] for line in lines)


def test_a_change_of_a_field_that_is_not_granted_is_not_told(feed: TestClient, country: Country) -> None:
    from tests.conftest import SPINE, spine_record

    moved = spine_record(
        ("a1", "001090000001", "Nguyễn Văn An", "1990-02-04", "male", None), "2026-10-02T00:00:00.000000Z"
    )
    country.write("alpha_people", [*(spine_record(row) for row in SPINE if row[0] != "a1"), moved])
    whole_job()
    assert rows(country, "select changed from feed_person where seq = 7") == [(["birth_date"],)]
    assert feed.get("/v1/feeds/person/changes", params={"after": 6}).text == ""


@pytest.mark.parametrize(
    ("path", "headers", "status", "mend"),
    [
        ("/v1/feeds/person/changes", {"Authorization": ""}, 401, "Authorization: Bearer"),
        ("/v1/feeds/person/changes", {"Authorization": "Bearer wrong"}, 401, "Authorization: Bearer"),
        ("/v1/feeds/person/changes?limit=0", {}, 422, "limit"),
        ("/v1/feeds/person/changes?after=-1", {}, 422, "after"),
        ("/v1/feeds/nothing/changes", {}, 404, "use one of person"),
    ],
)
def test_a_wrong_call_is_told_how_to_mend_it(
    feed: TestClient, path: str, headers: dict[str, str], status: int, mend: str
) -> None:
    answer = feed.get(path, headers=headers)
    assert answer.status_code == answer.json()["status"] == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert mend in answer.json()["detail"]


def test_an_agency_without_a_grant_is_refused(feed: TestClient, country: Country) -> None:
    key = keys.issue(country.open().store, "alpha")
    answer = feed.get("/v1/feeds/person/changes", headers={"Authorization": f"Bearer {key}"})
    assert answer.status_code == 403
    assert "grants.yaml" in answer.json()["detail"]


def test_a_new_key_ends_the_old_one(feed: TestClient, country: Country) -> None:
    keys.issue(country.open().store, "beta")
    assert feed.get("/v1/feeds/person/changes").status_code == 401


def test_every_look_is_in_the_ledger(feed: TestClient, country: Country) -> None:
    feed.get("/v1/feeds/person/changes", params={"after": 2})
    assert rows(country, "select principal, action, subject from accesses") == [
        ("beta", "feed.read", "person after 2 limit 1000")
    ]
