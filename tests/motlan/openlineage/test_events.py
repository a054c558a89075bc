"""OpenLineage events: they meet the schemas of the library's classes, tell rows and columns, hold no value, and stop no run."""

import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from motlan import pipeline
from motlan.cli.main import app
from motlan.errors import ContractError, MotlanError
from motlan.ledger import control
from motlan.openlineage import reporting
from motlan.openlineage.columns import CONDITIONAL, IDENTITY, TRANSFORMATION, uses
from motlan.openlineage.events import as_json, events_of
from motlan.openlineage.parent import find_parent
from motlan.openlineage.recorded import read
from motlan.openlineage.sending import Sender, is_configured
from motlan.store import tables
from tests.conftest import CARDS, SPINE, Country
from tests.motlan.openlineage.schemas import check
from tests.motlan.test_pipeline import BOTH, whole_job

Event = dict[str, Any]


@pytest.fixture(autouse=True)
def _unset(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Let nothing of the machine's own settings name a place."""
    with patch.dict(os.environ):
        for name in list(os.environ):
            if name.startswith(("OPENLINEAGE", "AIRFLOW_CTX_")):  # the library adds some of its own
                del os.environ[name]
        monkeypatch.setenv("HOME", str(tmp_path))
        reporting._sender.cache_clear()
        yield
        reporting._sender.cache_clear()


def events(country: Country) -> list[Event]:
    """All events of all runs, made of the ledger."""
    work = country.open()
    with work.store.engine.connect() as connection:
        found = list(connection.scalars(sa.select(tables.runs.c.id).order_by(tables.runs.c.id)))
    made = [event for run in found for event in events_of(work.registry, "duckdb", read(work.store, run))]
    return [as_json(event) for event in made]


def named(datasets: list[Event], name: str) -> Event:
    return next(dataset for dataset in datasets if dataset["name"] == name)


def lineage(dataset: Event, column: str) -> list[tuple[str, str, str, bool]]:
    found = []
    for one in dataset["facets"]["columnLineage"]["fields"][column]["inputFields"]:
        (how,) = one["transformations"]
        found.append((one["name"], one["field"], f"{how['type']} {how['subtype']}", how["masking"]))
    return found


def test_a_whole_job_tells_of_itself(country: Country) -> None:
    country.after(whole_job)
    found = events(country)
    told = [(event["job"]["name"], event["eventType"]) for event in found]
    jobs = [f"sync.{name}" for name in BOTH] + ["reconcile.person", "publish.person"]
    assert told == [(job, state) for job in jobs for state in ("START", "COMPLETE")]
    held = {address for event in found for address in check(event)}
    wanted = (
        "SchemaDataset",
        "ColumnLineageDataset",
        "DataQualityAssertionsDataset",
        "OutputStatistics",
        "ProcessingEngine",
    )
    assert all(any(name in address for address in held) for name in wanted)
    assert len({event["run"]["runId"] for event in found}) == 4, "an event made again is of the same run"
    text = json.dumps(found, ensure_ascii=False)
    values = {value for row in (*SPINE, *CARDS) for value in row if value and len(value) > 4}
    with country.open().store.engine.connect() as connection:
        golden = connection.exec_driver_sql("select * from golden_person").mappings().all()
    values |= {str(value) for row in golden for value in row.values() if value and len(str(value)) > 4}
    assert len(values) > 30
    assert [value for value in values if value in text] == []


def test_rows_rules_and_columns_are_told(country: Country) -> None:
    country.after(whole_job)
    by_job = {event["job"]["name"]: event for event in events(country) if event["eventType"] == "COMPLETE"}
    sync, reconcile, publish = (by_job[name] for name in ("sync.beta_cards", "reconcile.person", "publish.person"))
    source, clean = named(sync["inputs"], "beta_cards"), named(sync["outputs"], "clean.beta_cards")
    assert source["namespace"] == "motlan://agencies/beta"
    assert [field["name"] for field in source["facets"]["schema"]["fields"]][:3] == ["id", "updated", "number"]
    asserted = {one["name"]: one for one in source["inputFacets"]["dataQualityAssertions"]["assertions"]}
    assert asserted["has_a_name"]["params"] == {"assessed": 6, "passed": 5, "failed": 1}
    assert (asserted["has_a_name"]["success"], asserted["has_a_name"]["column"]) == (False, "name")
    assert clean["outputFacets"]["outputStatistics"]["rowCount"] == 5
    assert clean["facets"]["dataQualityMetrics"]["columnMetrics"]["full_name"]["count"] == 5
    assert lineage(clean, "birth_date") == [("beta_cards", "born", "DIRECT TRANSFORMATION", False)]
    assert lineage(clean, "sex") == [("beta_cards", "sex", "DIRECT IDENTITY", False)]
    golden = named(reconcile["outputs"], "golden.person")
    believed = [(f"clean.{name}", "full_name", "DIRECT IDENTITY", False) for name in BOTH]
    assert lineage(golden, "full_name") == believed
    assert lineage(golden, "entity_id") == [("clean.alpha_people", "_key", "DIRECT TRANSFORMATION", True)]
    assert [one["field"] for one in golden["facets"]["columnLineage"]["dataset"]] == ["personal_id", "personal_id"]
    cards = named(reconcile["inputs"], "clean.beta_cards")["inputFacets"]["dataQualityAssertions"]["assertions"]
    assert "not_after_death" in {one["name"] for one in cards}
    feed = named(publish["outputs"], "feed.person")
    assert feed["outputFacets"]["outputStatistics"]["rowCount"] == 6
    assert lineage(feed, "birth_date") == [("golden.person", "birth_date", "DIRECT IDENTITY", False)]
    assert lineage(feed, "person_id") == [("golden.person", "entity_id", "DIRECT IDENTITY", False)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sex", [("sex", IDENTITY)]),
        ("coalesce(a, b)", [("a", IDENTITY), ("b", IDENTITY)]),
        ("lower(a)", [("a", TRANSFORMATION)]),
        ("a if b == '1' else None", [("b", CONDITIONAL), ("a", IDENTITY)]),
        ("code_at('provinces', a, b)", [("a", TRANSFORMATION), ("b", CONDITIONAL)]),
    ],
)
def test_what_becomes_of_a_column_is_read_from_the_expression(text: str, expected: list[tuple[str, str]]) -> None:
    assert uses(text) == expected


def test_events_go_to_a_file_as_they_happen_and_a_failure_says_why(
    country: Country, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sent = tmp_path / "events.jsonl"
    settings = tmp_path / "openlineage.yml"
    settings.write_text(f"transport: {{type: file, log_file_path: {sent}, append: true}}\n")
    monkeypatch.setenv("OPENLINEAGE_CONFIG", str(settings))
    monkeypatch.setenv("AIRFLOW_CTX_DAG_ID", "sync_alpha_people")
    monkeypatch.setenv("AIRFLOW_CTX_DAG_RUN_ID", "scheduled__2026-12-01T01:00:00+00:00")
    pipeline.sync("alpha_people")
    country.write("beta_cards", "no list of records, and Nguyễn Văn An is in it")
    with pytest.raises(MotlanError):
        pipeline.sync("beta_cards")
    found = [json.loads(line) for line in sent.read_text(encoding="utf-8").splitlines()]
    told = [(event["job"]["name"], event["eventType"]) for event in found]
    assert told == [
        (f"sync.{name}", state)
        for name, end in zip(BOTH, ("COMPLETE", "FAIL"), strict=True)
        for state in ("START", end)
    ]
    for event in found:
        check(event)
        facets = event["run"]["facets"]
        assert facets["parent"]["job"] == {"namespace": "default", "name": "sync_alpha_people", "facets": {}}
        assert facets["nominalTime"]["nominalStartTime"] == "2026-12-01T01:00:00+00:00"
    assert found[3]["run"]["facets"]["errorMessage"]["message"]
    assert "Nguyễn" not in json.dumps(found, ensure_ascii=False)
    again = [event["run"]["runId"] for event in events(country)]
    assert again == [event["run"]["runId"] for event in found], "made again, they are of the same runs"


def test_a_run_that_a_person_ends_is_aborted(country: Country) -> None:
    run = pipeline.begin_sync("alpha_people")["run"]
    control.abort(country.open().store, run, "user:somebody", "a test")
    started, aborted = events(country)
    assert (started["eventType"], aborted["eventType"]) == ("START", "ABORT")
    assert "somebody" not in json.dumps(aborted)
    check(aborted)


def test_a_place_that_does_not_answer_is_waited_for_once(country: Country, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("OPENLINEAGE_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("MOTLAN_OPENLINEAGE_SECONDS", "0.3")
        assert is_configured()
        work = country.open()
        run = pipeline.begin_sync("alpha_people")["run"]
        event = events_of(work.registry, "duckdb", read(work.store, run))
        sender = Sender(0.3)
        began = time.monotonic()
        assert [sender.send(event), sender.send(event)] == [False, False]
        assert time.monotonic() - began < 1.5
        assert pipeline.land(run)["landed"] == len(SPINE), "the run goes on"


def test_a_publication_that_fails_says_so_and_its_reconcile_run_does_not(
    country: Country, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[Any] = []
    monkeypatch.setenv("OPENLINEAGE_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(Sender, "send", lambda self, events: bool(kept.extend(events)) or True)
    run = pipeline.begin_reconcile(incomplete=True)["run"]
    stale = ContractError("another run was published since this one began")
    with pytest.raises(ContractError), reporting.publishing(country.open(), run):
        raise stale
    told = [(event.job.name, event.eventType.value) for event in kept]
    assert told == [("reconcile.person", "START"), ("publish.person", "START"), ("publish.person", "FAIL")]
    assert kept[2].run.facets["errorMessage"].message == f"ContractError: {stale}"
    assert kept[1].run.runId == kept[2].run.runId != kept[0].run.runId


def test_the_command_prints_and_sends(country: Country, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    done = country.after(whole_job)
    run = done["reconcile"]["run"]
    answer = CliRunner().invoke(app, ["openlineage", run, "--json"])
    assert answer.exit_code == 0, answer.output
    told = json.loads(answer.stdout)
    assert (told["run"], told["emitted"], len(told["events"])) == (run, False, 4)
    assert "publish.person" in CliRunner().invoke(app, ["openlineage", run]).stdout
    refused = CliRunner().invoke(app, ["openlineage", run, "--emit"])
    assert refused.exit_code == 1
    assert "OPENLINEAGE_URL" in refused.stderr
    sent = tmp_path / "sent.jsonl"
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT__TYPE", "file")
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT__LOG_FILE_PATH", str(sent))
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT__APPEND", "true")
    assert CliRunner().invoke(app, ["openlineage", run, "--emit"]).exit_code == 0
    again = [json.loads(line) for line in sent.read_text(encoding="utf-8").splitlines()]
    kept = ("eventTime", "eventType", "job", "inputs", "outputs")
    assert [[one[key] for key in kept] for one in again] == [[one[key] for key in kept] for one in told["events"]]


def test_what_began_a_run_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_parent() == {}
    run = "0192f9a5-1c3b-7c2e-8f00-000000000001"
    monkeypatch.setenv("OPENLINEAGE_PARENT_ID", f"scheduler/a_dag.a_task/{run}")
    assert find_parent() == {"namespace": "scheduler", "job": "a_dag.a_task", "run": run}
    monkeypatch.setenv("OPENLINEAGE_PARENT_ID", "no id at all")
    assert find_parent() == {}
