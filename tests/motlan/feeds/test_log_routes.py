"""What the log gives to all: a checkpoint, and proofs that anybody checks; nothing of what entries say."""

import base64

import pytest
from fastapi.testclient import TestClient

from motlan.feeds.app import create_app
from motlan.ledger import merkle
from motlan.proof import check, checkpoints
from tests.conftest import Country
from tests.motlan.test_pipeline import whole_job


@pytest.fixture
def client(country: Country) -> TestClient:
    country.after(whole_job)
    return TestClient(create_app())


def test_anybody_holds_the_log_to_its_checkpoints(client: TestClient, country: Country) -> None:
    key = checkpoints.key_of(country.open().settings).public
    note = client.get("/v1/log/checkpoint").text
    _, size, root = check.read_checkpoint(note, f"log {key}\nquorum none\n")
    for index in range(size):
        found = client.get("/v1/log/inclusion", params={"index": index, "size": size}).json()
        path = [base64.b64decode(node) for node in found["proof"]]
        assert merkle.is_included(base64.b64decode(found["leaf"]), index, size, path, root)
    old = 3  # of the first sync: its landing, its files, the key
    _, _, before = check.read_checkpoint(
        client.get("/v1/log/checkpoint", params={"size": old}).text, f"log {key}\nquorum none\n"
    )
    found = client.get("/v1/log/consistency", params={"old": old, "size": size}).json()
    assert merkle.is_consistent(old, before, size, root, [base64.b64decode(node) for node in found["proof"]])


@pytest.mark.parametrize(
    "query",
    ["checkpoint?size=9999", "inclusion?index=9&size=3", "inclusion?index=0&size=9999", "consistency?old=5&size=9999"],
)
def test_what_the_log_does_not_have_is_told_in_a_problem_document(client: TestClient, query: str) -> None:
    answer = client.get(f"/v1/log/{query}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
