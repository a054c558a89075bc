"""The check of everything: quiet over all that the bus does by itself, and incremental from an earlier checkpoint."""

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from motlan import pipeline
from motlan.cli.main import app
from motlan.errors import InternalError
from motlan.lake import expire
from motlan.proof import checkpoints, verify
from motlan.proof.log_check import Pins
from tests.conftest import SPINE, Country, spine_record
from tests.motlan.test_pipeline import LATER, rows, sync_both, whole_job


def findings(country: Country, *kept: checkpoints.Checkpoint, since: checkpoints.Checkpoint | None = None) -> list:
    work = country.open()
    return list(verify.verify(work, Pins(checkpoints.key_of(work.settings).public, kept, since)))


def a_day(country: Country, name: str) -> None:
    renamed = spine_record(("a3", "001080000003", name, "1980-07-08", "male", "2026-09-01"), LATER)
    country.write("alpha_people", [*(spine_record(row) for row in SPINE if row[0] != "a3"), renamed])
    pipeline.sync("alpha_people")
    pipeline.project(pipeline.publish(pipeline.reconcile()["run"])["run"])


def test_nothing_is_told_of_what_the_bus_does_by_itself(country: Country, monkeypatch: pytest.MonkeyPatch) -> None:
    country.after(whole_job)
    kept = [checkpoints.sign(country.open().store, country.open().settings)]
    assert findings(country, *kept) == []
    a_day(country, "Lê Văn Hùng")
    monkeypatch.setenv("MOTLAN_REBASE_PERCENT", "1")
    pipeline.care()
    monkeypatch.setattr(expire, "UNSURE_S", -1.0)
    assert pipeline.expire(0)["files"] > 0
    pipeline.replay("beta_cards")
    pipeline.retract(rows(country, "select max(id) from runs where subject = 'alpha_people'")[0][0], "uid:7", "a test")
    run = pipeline.begin_reconcile()["run"]
    pipeline.link(run)
    assert findings(country, *kept) == [], "a run that is under way, and one that nobody published"
    checkpoints.replace_key(country.open().store, country.open().settings)
    assert findings(country) == []


def test_only_what_came_since_an_earlier_checkpoint_is_read_again(country: Country) -> None:
    country.after(whole_job)
    work = country.open()
    since = checkpoints.sign(work.store, work.settings)
    a_day(country, "Lê Văn Hùng")
    assert findings(country, since, since=since) == []
    path = max(work.lake.root.glob("golden/person/run=*/*.parquet"))
    content = path.read_bytes()
    path.write_bytes(content[:-1] + b"x")
    assert [one.place for one in findings(country, since, since=since)] == [os.path.relpath(path, work.lake.root)]


def test_a_step_that_reads_an_altered_file_stops_and_names_it(country: Country) -> None:
    country.after(sync_both)
    (path,) = country.open().lake.root.glob("clean/alpha_people/run=*/*.parquet")
    content = path.read_bytes()
    os.utime(path)
    path.write_bytes(content.replace("Cường".encode(), "Cương!".encode()))
    with pytest.raises(InternalError, match=rf"lake/clean/alpha_people/{path.parent.name}/{path.name} was altered"):
        pipeline.reconcile()
    assert rows(country, "select count(*) from publications") == [(0,)]
    path.write_bytes(content)
    pipeline.publish(pipeline.reconcile()["run"])


def test_a_file_that_is_not_the_buss_stops_a_step_and_is_named(country: Country) -> None:
    country.after(sync_both)
    work = country.open()
    (path,) = work.lake.root.glob("clean/alpha_people/run=*/*.parquet")
    foreign = path.with_name("foreign.parquet")
    foreign.write_bytes(path.read_bytes())
    work.lake._catalog.load_table("clean.alpha_people").add_files([str(foreign)], check_duplicate_files=False)
    with pytest.raises(InternalError, match=r"foreign\.parquet is not of this bus"):
        pipeline.reconcile()


def test_the_command_tells_what_was_found_and_exits_with_1(country: Country, tmp_path: Path) -> None:
    country.after(whole_job)
    run = CliRunner().invoke
    kept = tmp_path / "kept.checkpoint"
    assert run(app, ["audit", "checkpoint", "--out", str(kept)]).exit_code == 0
    key = json.loads(run(app, ["audit", "key", "show", "--json"]).stdout)["key"]
    done = run(app, ["audit", "verify", "--key", key, "--checkpoint", str(kept), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["holds"] is True
    with country.open().store.engine.begin() as connection:
        connection.exec_driver_sql("update publications set changes = 77")
    done = run(app, ["audit", "verify", "--since", str(kept), "--json"])
    assert done.exit_code == 1
    assert json.loads(done.stdout)["findings"][0]["place"] == "publication 1"
    assert "not as the log says" in run(app, ["audit", "verify"]).output


def test_the_command_writes_a_proof_and_checks_it(country: Country, tmp_path: Path) -> None:
    country.after(whole_job)
    run = CliRunner().invoke
    ((person,),) = rows(country, "select person_id::text from golden_person where full_name = 'Trần Thị Bình'")
    proof = tmp_path / "name.tlog-proof"
    done = run(app, ["audit", "prove", "full_name", "--person", person, "--out", str(proof), "--json"])
    assert done.exit_code == 0, done.output
    key = run(app, ["audit", "key", "show"]).stdout.strip()
    done = run(app, ["audit", "check", str(proof), "--key", key, "--json"])
    assert json.loads(done.stdout)["value"] == "Trần Thị Bình"
    proof.write_text(proof.read_text().replace("index ", "index 1"))
    done = run(app, ["audit", "check", str(proof), "--key", key])
    assert done.exit_code == 1
    assert "does not hold" in done.output
