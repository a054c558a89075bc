"""`motlan doctor`: each thing that breaks is found, with the next command and its page of the runbook."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from motlan import pipeline
from motlan.errors import TransientError
from motlan.feeds import keys
from motlan.operations import doctor as doctors
from motlan.operations import installation_checks
from motlan.settings import load
from motlan.store import tables
from motlan.store.session import open_as_it_is
from tests.conftest import ROOT, Country, behind_the_bus
from tests.motlan.cli.conftest import Command
from tests.motlan.test_pipeline import whole_job

ANCHORS = {
    line.removeprefix("### ").strip().lower().replace(" ", "-")
    for line in (ROOT / "docs" / "operations.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("### ")
}
DATASETS = {"alpha_people": "alpha", "beta_cards": "beta"}


def promise(country: Country, freshness: int, *datasets: str) -> None:
    for dataset in datasets or DATASETS:
        found = {"freshness": freshness}
        country.declare(
            "adapters/agencies.yaml",
            lambda y, d=dataset, f=found: y["agencies"][DATASETS[d]]["datasets"][d].update(f),
        )


@pytest.fixture
def fresh(country: Country) -> Country:
    """A bus that did the whole job, and whose owners promised no more than they keep."""
    promise(country, 10**9)
    country.after(whole_job)
    return country


def ids(command: Command, code: int) -> dict[str, dict[str, Any]]:
    told = command("doctor", code=code)
    assert told["broken"] == bool(code)
    for finding in told["findings"]:
        page, _, anchor = finding["page"].partition("#")
        assert (page, anchor in ANCHORS) == ("docs/operations.md", True), finding
        assert finding["next"], finding
    severities = [finding["severity"] for finding in told["findings"]]
    assert severities == sorted(severities), "what is broken stands first"
    return {finding["id"]: finding for finding in told["findings"]} | {"": told}


def put(country: Country, statement: str) -> None:
    with country.open().store.engine.begin() as connection:
        behind_the_bus(connection, statement.replace("\\:", ":"))


@pytest.mark.quick
def test_a_sound_bus_has_no_findings(fresh: Country, command: Command, printed: Callable[..., str]) -> None:
    found = ids(command, 0)
    assert set(found) == {""}, found
    assert found[""]["published_sound"] is True
    shown = printed("doctor").replace("\n", " ")
    assert "nothing wrong was published: the log holds, and publication 1 and all before it are whole." in shown


def test_what_waits_or_is_held_is_a_warning(fresh: Country, command: Command) -> None:
    command("hold", "publish")
    keys.issue(fresh.open().store, "beta", 3)
    keys.issue(fresh.open().store, "alpha", 90)
    fresh.declare("adapters/agencies.yaml", lambda y: y["agencies"]["beta"].update(credential="BETA_CARDS"))
    found = ids(command, 0)
    assert found["held"]["next"] == "`motlan release publish`, once the reason is gone."
    assert "the last API key of beta ends on" in found["key-expiring"]["what"]
    assert "MOTLAN_CREDENTIAL_BETA_CARDS" in found["credential-missing"]["what"]


def test_an_altered_log_and_a_publication_that_it_does_not_know_are_wrong_publications(
    fresh: Country, command: Command, printed: Callable[..., str]
) -> None:
    put(fresh, "update publications set changes = changes + 1")
    found = ids(command, 1)
    assert "publication 1 is not in the log" in found["publication-altered"]["what"]
    assert found[""]["published_sound"] is False
    put(fresh, """update log_entries set body = body || '{"rows"\\:77}' where index = 1""")
    assert "entry 1 of the log" in ids(command, 1)["log-broken"]["what"]
    assert "see the findings before anything else" in printed("doctor", code=1)


def test_a_file_of_the_lake_that_is_missing_is_found(fresh: Country, command: Command) -> None:
    path = Path(fresh.open().lake.added("golden.person")[0].path)
    path.rename(path.with_suffix(".gone"))
    found = ids(command, 1)
    assert "the lake lacks files of golden.person that 1 visible runs added" in found["lake-incomplete"]["what"]
    assert found[""]["published_sound"] is False


def test_failed_runs_old_data_and_publications_that_are_not_projected_are_broken(
    fresh: Country, command: Command
) -> None:
    fresh.write("alpha_people", "down")
    with pytest.raises(TransientError):
        pipeline.sync("alpha_people")
    put(fresh, "update publications set projected_at = null")
    promise(fresh, 3600)
    put(fresh, "update runs set started_at = '2026-10-01T00\\:00Z' where subject = 'beta_cards'")
    found = ids(command, 1)
    assert found["run-failed"]["page"].endswith("#agency-down")
    assert "motlan runs retry" in found["run-failed"]["next"]
    assert found["not-projected"]["next"] == "`motlan project --entity person`."
    assert "1 h were promised: nothing was pulled since 2026-10-01T00:00 UTC" in found["stale-data"]["what"]
    assert "alpha_people" in found["stale-source"]["what"]


def test_each_broken_declaration_is_named(fresh: Country, command: Command) -> None:
    promise(fresh, -1)
    told = command("doctor", code=1)
    broken = [finding["what"] for finding in told["findings"] if finding["id"] == "declared"]
    assert len(broken) == 2
    assert all("agencies.yaml, line" in what and "freshness" in what for what in broken)
    assert told["published_sound"] is True, "the store and the lake are looked at all the same"


def test_a_store_that_does_not_run_is_not_started(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MOTLAN_DATABASE_URL", raising=False)
    monkeypatch.setenv("MOTLAN_VAR", str(tmp_path / "var"))
    found = ids(command, 1)
    assert "motlan store start" in found["store-down"]["next"]
    assert found[""]["published_sound"] is None
    assert not (tmp_path / "var").exists()


def test_tables_of_another_version_are_told_and_not_migrated(country: Country, command: Command) -> None:
    put(country, "update alembic_version set version_num = '0001'")
    assert "the store's tables are of version 0001" in ids(command, 1)["migrations"]["what"]
    with open_as_it_is(load()).engine.connect() as connection:
        assert connection.execute(sa.text("select version_num from alembic_version")).scalar_one() == "0001"


def test_disk_memory_and_files_that_others_may_read(
    fresh: Country, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installation_checks, "LEAST_FREE", 10**18)
    monkeypatch.setenv("MOTLAN_MEMORY_LIMIT", "9000GB")
    secret = fresh.home / "var" / "passwords" / "somebody"
    secret.parent.mkdir(exist_ok=True)
    secret.write_text("x", encoding="utf-8")
    secret.chmod(0o644)
    found = ids(command, 1)
    assert found["disk-full"]["severity"] == "broken"
    assert "set MOTLAN_MEMORY_LIMIT to" in found["memory"]["next"]
    assert found["permissions"]["next"] == f"`chmod 600 {secret}`."


def test_a_check_that_cannot_be_done_stops_no_other(
    fresh: Country, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unprojected(_: object) -> None:
        raise ValueError("Nguyễn Văn An")

    monkeypatch.setattr(doctors.state, "unprojected", unprojected)
    command("hold", "publish")
    found = ids(command, 1)
    assert "the check of unprojected failed: unforeseen ValueError" in found["check-failed"]["what"]
    assert "held" in found
    assert "Nguyễn" not in json.dumps(found, ensure_ascii=False)


def test_an_abandoned_run_is_found(fresh: Country, command: Command) -> None:
    run = pipeline.begin_sync("beta_cards")["run"]
    with fresh.open().store.engine.begin() as connection:
        long_ago = datetime.now(UTC) - timedelta(days=1)
        connection.execute(sa.update(tables.runs).where(tables.runs.c.id == run).values(held_at=long_ago))
    assert "abandoned: nobody went on with it" in ids(command, 1)["run-failed"]["what"]


def test_a_log_that_is_not_signed_is_told_of(fresh: Country, command: Command) -> None:
    put(fresh, "delete from log_checkpoints")
    assert "log-unsigned" not in ids(command, 0), "runs that just ended are being signed"
    put(fresh, "update log_entries set recorded_at = now() - interval '1 hour'")
    assert ids(command, 1)["log-unsigned"]["severity"] == "warning", "and the entries do not hold"
