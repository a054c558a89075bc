"""Metrics and probes, made of the ledger: what they say after a whole job, a failure, a hold, and without a store."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from motlan import pipeline
from motlan.console.server import create_app
from motlan.errors import MotlanError
from motlan.feeds import keys
from motlan.feeds.app import create_app as feeds_app
from motlan.monitoring import metrics, readiness
from motlan.publication import hold
from motlan.store import tables
from tests.conftest import Country
from tests.motlan.test_pipeline import whole_job


def read(text: str) -> dict[str, dict[tuple[str, ...], float]]:
    """Return metric -> values of its labels, in the order of their names -> number."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            values = tuple(sample.labels[name] for name in metrics.names()[sample.name])
            found.setdefault(sample.name, {})[values] = sample.value
    return found


@pytest.fixture
def scrape(country: Country) -> Callable[[], dict[str, Any]]:
    country.after(whole_job)
    client = TestClient(create_app())
    return lambda: read(client.get("/metrics").text)


def test_a_whole_job_is_measured_whoever_ran_it(scrape: Callable[[], dict[str, Any]], country: Country) -> None:
    found = scrape()
    rows = found["motlan_dataset_rows"]
    assert rows["alpha_people", "landed"] == rows["alpha_people", "accepted"] + rows["alpha_people", "quarantined"] > 0
    assert found["motlan_rows_total"]["alpha_people", "landed"] == rows["alpha_people", "landed"]
    assert {("sync", "beta_cards", "land"), ("reconcile", "person", "merge")} <= set(found["motlan_step_seconds"])
    # The bus of this test may be a copy of one that another test made minutes ago.
    pulled = (
        country.open()
        .store.engine.connect()
        .scalar(sa.select(sa.func.max(tables.runs.c.started_at)).where(tables.runs.c.subject == "alpha_people"))
    )
    age = (datetime.now(UTC) - pulled).total_seconds()
    assert age - 60 < found["motlan_dataset_age_seconds"]["alpha_people",] <= age
    assert found["motlan_publications"] == {("person",): 1}
    assert found["motlan_publications_not_projected"] == {("person",): 0}
    assert found["motlan_feed_last_seq"] == {("person",): 6}
    assert found["motlan_feed_epoch"] == {(): 1}
    assert set(found["motlan_ready"].values()) == {1}
    assert set(found["motlan_run_failed"].values()) == {0}
    assert all(0 <= score <= 100 for score in found["motlan_quality_score"].values())
    assert found["motlan_log_entries"][()] > 0
    assert found["motlan_disk_free_bytes"][()] < found["motlan_disk_bytes"][()]


def test_every_metric_that_is_declared_can_be_read(
    scrape: Callable[[], dict[str, Any]], country: Country, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MOTLAN_BACKUP", str(tmp_path))
    (tmp_path / "20260101T000000000000Z").mkdir()
    (tmp_path / f"{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}").mkdir()
    store = country.open().store
    keys.issue(store, "beta")
    hold.begin(store, "publish", "user:x", "a test")
    run = pipeline.begin_sync("beta_cards")["run"]
    open_ones = scrape()
    pipeline.fail(run, ValueError("001090000001"))
    found = scrape()
    assert set(found) | set(open_ones) == set(metrics.names())
    assert 0 <= found["motlan_backup_age_seconds"][()] < 600
    assert found["motlan_run_errors"]["sync", "beta_cards", "ValueError"] == 1
    assert found["motlan_run_failed"]["sync", "beta_cards"] == 1
    assert found["motlan_held_seconds"]["publish",] >= 0
    assert ("sync", "beta_cards") in open_ones["motlan_run_open_seconds"]


def test_the_class_of_an_error_is_all_that_is_told_of_it() -> None:
    for text, told in {
        "ContractError: beta: 3 records": "ContractError",
        "ValueError": "ValueError",
        "abandoned: its process ended": "abandoned",
        "Nguyễn Văn An": "other",
        "An Nguyen said so": "other",
    }.items():
        assert metrics.error_class(text) == told


def test_the_names_and_types_are_as_prometheus_asks(scrape: Callable[[], dict[str, Any]]) -> None:
    for name, labels in metrics.names().items():
        assert re.fullmatch(r"motlan_[a-z_]+", name)
        assert all(re.fullmatch(r"[a-z]+", label) for label in labels)


def test_both_servers_live_and_are_ready(country: Country) -> None:
    country.after(whole_job)
    for app in (create_app(), feeds_app()):
        client = TestClient(app)
        assert client.get("/health").json()["status"] == "ok"
        assert client.get("/ready").json() == {"status": "ready", "checks": dict.fromkeys(readiness.CHECKS, True)}


def test_what_is_not_as_it_should_be_is_not_ready(country: Country) -> None:
    country.after(whole_job)
    client, store = TestClient(create_app()), country.open().store
    old = {"projected_at": None, "recorded_at": sa.func.now() - sa.text("interval '1 hour'")}
    with store.engine.begin() as connection:
        connection.execute(sa.update(tables.publications).values(**old))
    assert client.get("/ready").json()["checks"] == {"store": True, "migrations": True, "projection": False}
    with store.engine.begin() as connection:
        connection.execute(sa.text("update alembic_version set version_num = '0001'"))
    answer = client.get("/ready")
    assert answer.status_code == 503
    assert answer.json()["checks"]["migrations"] is False
    assert "motlan_dataset_rows" not in read(client.get("/metrics").text), (
        "of tables of another version nothing is read"
    )


def test_the_pages_of_runs_are_beside_the_metrics_and_lead_to_the_feeds(
    country: Country, monkeypatch: pytest.MonkeyPatch
) -> None:
    country.after(whole_job)
    monkeypatch.setenv("MOTLAN_FEEDS_URL", "https://feeds.example.org/")
    client = TestClient(create_app())
    assert client.get("/console").status_code == 200
    assert client.get("/docs", follow_redirects=False).headers["location"] == "https://feeds.example.org/docs"


def test_without_a_store_it_lives_and_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise MotlanError("the PostgreSQL server does not answer")

    monkeypatch.setattr("motlan.monitoring.server.open_workspace", refuse)
    client = TestClient(create_app())
    assert client.get("/health").status_code == 200
    assert client.get("/ready").status_code == client.get("/metrics").status_code == 503
    assert client.get("/ready").json()["checks"] == dict.fromkeys(readiness.CHECKS, False)
