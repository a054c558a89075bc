"""The feed, as an agency meets it."""

import json
import re

import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from motlan.cli.main import app
from motlan.errors import ConfigurationError
from motlan.feeds import keys
from motlan.feeds.app import create_app
from motlan.monitoring import metrics
from tests.conftest import Country
from tests.motlan.test_pipeline import rows, whole_job


@pytest.fixture
def feed(country: Country) -> TestClient:
    country.after(whole_job)
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


def test_a_wrong_call_is_told_how_to_mend_it(feed: TestClient) -> None:
    for path, headers, status, mend in (
        ("/v1/feeds/person/changes", {"Authorization": ""}, 401, "Authorization: Bearer"),
        ("/v1/feeds/person/changes", {"Authorization": "Bearer wrong"}, 401, "Authorization: Bearer"),
        ("/v1/feeds/person/changes?limit=0", {}, 422, "limit"),
        ("/v1/feeds/person/changes?after=-1", {}, 422, "after"),
        ("/v1/feeds/nothing/changes", {}, 404, "use one of person"),
    ):
        answer = feed.get(path, headers=headers)
        assert answer.status_code == answer.json()["status"] == status, path
        assert answer.headers["content-type"] == "application/problem+json"
        assert mend in answer.json()["detail"]


def test_an_agency_without_a_grant_is_refused(feed: TestClient, country: Country) -> None:
    key = keys.issue(country.open().store, "alpha")
    answer = feed.get("/v1/feeds/person/changes", headers={"Authorization": f"Bearer {key}"})
    assert answer.status_code == 403
    assert "grants.yaml" in answer.json()["detail"]


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def command(*words: str, fails: bool = False) -> str:
    answer = CliRunner().invoke(app, ["feeds", *words])
    assert answer.exit_code == (1 if fails else 0), answer.output
    return answer.stdout.strip() or answer.output


def test_a_key_is_replaced_without_a_gap_and_revoked(feed: TestClient, country: Country) -> None:
    (old,) = json.loads(command("keys", "beta", "--json"))
    key = command("key", "beta", "--days", "7")
    for one in ({}, bearer(key)):
        assert feed.get("/v1/feeds/person/changes", headers=one).status_code == 200
    assert json.loads(command("revoke", old["key"], "--json"))["agency"] == "beta"
    answer = feed.get("/v1/feeds/person/changes")
    assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json")
    assert "revoked" in answer.json()["detail"]
    assert "ask the operator for a new key" in answer.json()["detail"]
    assert feed.get("/v1/feeds/person/changes", headers=bearer(key)).status_code == 200
    states = {row["key"]: row["state"] for row in json.loads(command("keys", "--json"))}
    assert sorted(states.values()) == ["revoked", "valid"]
    assert key not in command("keys"), "a list shows no key"
    for wrong in (old["key"], "no such", "' or true --", "0" * 5000):
        assert "no key with this id is in force" in " ".join(command("revoke", wrong, fails=True).split())
    log = "select count(*) from log_entries where kind = 'api key'"
    assert rows(country, log) == [(3,)], "two issued, one revoked"


def test_a_key_that_expired_is_refused_and_says_what_to_do(feed: TestClient, country: Country) -> None:
    with country.open().store.engine.begin() as connection:
        connection.exec_driver_sql("update api_keys set expires_at = now() - interval '1 second'")
    answer = feed.get("/v1/feeds/person/changes")
    assert answer.status_code == answer.json()["status"] == 401
    assert "expired" in answer.json()["detail"]
    assert "ask the operator for a new key" in answer.json()["detail"]
    assert json.loads(command("keys", "--json"))[0]["state"] == "expired"


def test_a_key_holds_for_half_a_year_where_nothing_is_said(feed: TestClient, country: Country) -> None:
    days = "select round(extract(epoch from expires_at - created_at) / 86400)::int from api_keys"
    assert rows(country, days) == [(180,)]
    for days in (0, -1, 10**9):
        with pytest.raises(ConfigurationError, match="days"):
            keys.issue(country.open().store, "beta", days)


ODD = [
    "9223372036854775808", "18446744073709551616", "1" + "0" * 400, "-1", "-9223372036854775809", "1e3", "NaN", "abc", "0x10",
    "1.5", "", " ", "%00", "1%00", "%ff%fe", "true", "null", "[1]", "%2B", "1;2", "²", "١x",
]  # fmt: skip


def test_no_value_of_any_parameter_makes_the_server_fail(feed: TestClient) -> None:
    for name in ("after", "limit"):
        for value in ODD:
            answer = feed.get(f"/v1/feeds/person/changes?{name}={value}")
            assert answer.status_code == 422, (name, value, answer.text)
            assert answer.headers["content-type"] == "application/problem+json", (name, value)
            assert answer.json()["detail"].startswith(f"{name}: "), (name, value)
    last = feed.get(f"/v1/feeds/person/changes?after={2**63 - 1}")
    assert (last.status_code, last.text, last.headers["Motlan-Last-Seq"]) == (200, "", str(2**63 - 1))
    for entity in ("%00", "per%00son", "%ff", "..%2f..", "'--", "x" * 3000, "person%20", "PERSON"):
        assert feed.get(f"/v1/feeds/{entity}/changes").status_code == 404, entity


def test_no_key_makes_the_server_fail(feed: TestClient) -> None:
    for key in ("\x00", "\xff\xfe", "a" * 9000, "Bearer Bearer", "", "é", "'"):
        answer = feed.get("/v1/feeds/person/changes", headers={"Authorization": f"Bearer {key}".encode("latin-1")})
        assert answer.status_code == answer.json()["status"] == 401, key


def test_what_is_not_served_is_a_problem_document_too(feed: TestClient) -> None:
    for method, path, status in (("GET", "/nothing", 404), ("POST", "/v1/health", 405)):
        answer = feed.request(method, path)
        assert answer.status_code == answer.json()["status"] == status
        assert answer.headers["content-type"] == "application/problem+json"


def test_the_page_for_people_loads_nothing(feed: TestClient) -> None:
    page = feed.get("/docs")
    assert page.status_code == 200
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    assert not re.search(r"<script|<link|src=|https?://|@import|url\(", page.text)
    assert "/v1/feeds/{entity}/changes" in page.text
    assert "The last seq that you have" in page.text
    assert feed.get("/redoc").status_code == 404


def test_every_look_is_in_the_ledger(feed: TestClient, country: Country) -> None:
    feed.get("/v1/feeds/person/changes", params={"after": 2})
    assert rows(country, "select principal, action, subject from accesses") == [
        ("beta", "feed.read", "person after 2 limit 1000")
    ]


def test_a_snapshot_gives_what_is_granted_of_all_that_is_published_page_by_page(
    feed: TestClient, country: Country
) -> None:
    lines: list[dict] = []
    after: dict[str, str] = {}
    while True:
        answer = feed.get("/v1/feeds/person/snapshot", params={"limit": 4, **after})
        assert (answer.headers["Motlan-Seq"], answer.headers["Motlan-Epoch"]) == ("6", "1")
        lines += map(json.loads, answer.text.splitlines())
        if "Motlan-Next" not in answer.headers:
            break
        after = {"after": answer.headers["Motlan-Next"]}
    golden = rows(country, "select person_id::text, personal_id from golden_person order by person_id")
    assert [(line["person_id"], line["values"].get("personal_id")) for line in lines] == golden
    assert {name for line in lines for name in line["values"]} == {"personal_id", "full_name", "death_date"}
    assert [line[0] for line in rows(country, "select subject from accesses where action = 'feed.snapshot'")] == [
        "person after none limit 4",
        f"person after {after['after']} limit 4",
    ]


def test_a_snapshot_is_refused_like_changes_are(feed: TestClient, country: Country) -> None:
    key = keys.issue(country.open().store, "alpha")
    for path, headers, status in (
        ("person/snapshot", bearer(key), 403),
        ("person/snapshot", bearer("wrong"), 401),
        ("nothing/snapshot", {}, 404),
        ("person/snapshot?after=1", {}, 422),
        ("person/snapshot?epoch=2", {}, 410),
        ("person/changes?epoch=2", {}, 410),
        ("person/changes?epoch=0", {}, 422),
        ("person/changes?epoch=1&after=2", {}, 200),
    ):
        answer = feed.get(f"/v1/feeds/{path}", headers=headers)
        assert answer.status_code == status, path
        if status != 200:
            assert answer.headers["content-type"] == "application/problem+json", path


@pytest.mark.parametrize(
    ("change", "paths"),
    [
        ("update feed_person set full_name = 'Kẻ Khác' where seq = 2", {"changes": 503, "changes?after=2": 200, "snapshot": 200}),
        ("update feed_person set event = 'removed' where seq = 2", {"changes": 503, "snapshot": 200}),
        ("update feed_person set digest = null where seq = 6", {"changes": 503, "changes?limit=5": 200}),
        ("update golden_person set birth_date = '1900-01-01'", {"changes": 200, "snapshot": 503}),
    ],
)  # fmt: skip
def test_a_row_that_is_not_as_it_was_published_is_not_served(
    feed: TestClient, country: Country, change: str, paths: dict[str, int]
) -> None:
    work = country.open()
    with work.store.engine.begin() as connection:
        connection.exec_driver_sql(change)
    for path, status in paths.items():
        answer = feed.get(f"/v1/feeds/person/{path}")
        assert answer.status_code == status, path
        if status == 503:
            assert answer.headers["content-type"] == "application/problem+json"
            assert "Kẻ Khác" not in answer.text
    assert rows(country, "select count(*) from accesses where action = 'feed.refused'") == [(1,)]
    assert b"motlan_feed_refused_total 1.0" in metrics.exposition(work)
