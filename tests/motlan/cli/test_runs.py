"""`motlan runs`: what was tried, gone on with, or ended."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from motlan import pipeline
from motlan.errors import ContractError, TransientError
from motlan.ledger import control, runs
from motlan.quarantine import decisions
from motlan.store import Store
from tests.conftest import SPINE, Country, spine_record
from tests.motlan.cli.conftest import Command
from tests.motlan.ledger.test_holds import DEAD, held_by, put
from tests.motlan.quarantine.test_quarantine import ME, only
from tests.motlan.test_pipeline import BOTH, rows, whole_job


def broken_sync(country: Country) -> str:
    """Let a sync fail before its landing is done; return the run. The source is whole again."""
    country.write("alpha_people", "down")
    with pytest.raises(TransientError):
        pipeline.sync("alpha_people")
    country.write("alpha_people", [spine_record(row) for row in SPINE])
    return str(control.listed(country.open().store, control.Wanted(limit=1))[0]["run"])


@pytest.mark.quick
def test_runs_are_listed_newest_first_and_by_what_is_asked_for(country: Country, command: Command) -> None:
    done = country.after(whole_job)
    listed = command("runs", "list")
    assert [(row["kind"], row["subject"], row["state"], row["rows"]) for row in listed] == [
        ("reconcile", "person", "published", 10),
        ("sync", "beta_cards", "visible", 6),
        ("sync", "alpha_people", "visible", 5),
    ]
    assert all(row["seconds"] >= 0 for row in listed)
    for words, number in (
        (["--kind", "sync"], 2),
        (["--subject", "beta_cards"], 1),
        (["--state", "published"], 1),
        (["--limit", "2"], 2),
        (["--since", "1d"], 3),
        (["--since", "2999-01-01"], 0),
    ):
        assert len(command("runs", "list", *words)) == number, words
    assert "write 2026" in command("runs", "list", "--since", "yesterday", code=1)["message"]
    assert "no run has the state lost" in command("runs", "list", "--state", "lost", code=1)["message"]
    shown = command("runs", "show", done["reconcile"]["run"])
    assert [(step["step"], step["done"]) for step in shown["steps"]] == [
        (name, True) for name in ("begin", "link", "merge", "cross_check", "diff", "publish")
    ]
    assert (shown["publication"], shown["projected"], shown["why_full"]) == (1, True, "it is the first run")
    assert shown["snapshots"]["golden.person"]
    assert shown["next"] == "nothing: it is done"


def test_a_table_of_runs_fits_and_shows_ids_whole(country: Country, printed: Callable[..., str]) -> None:
    store, name = country.open().store, "a_dataset_whose_name_is_as_long_as_names_of_datasets_may_well_be"
    run = runs.begin(store, "sync", name).id
    put(store, run, holder=held_by(DEAD, f"sync:{name}"))
    assert run in (listed := printed("runs", "list"))
    assert "abandoned" in listed
    shown = printed("runs", "show", run)
    assert f"motlan runs retry {run}" in shown.replace("\n", " ")


def test_a_failed_run_is_gone_on_with_from_its_first_undone_step(country: Country, command: Command) -> None:
    run = broken_sync(country)
    (row,) = command("runs", "list")
    assert (row["run"], row["state"]) == (run, "failed")
    done = command("runs", "retry", run)
    assert (done["land"]["landed"], done["commit"]["state"]) == (5, "visible")
    told = command("runs", "retry", run, code=1)["message"]
    assert "this run is visible: it needs nobody to go on with it. Next: nothing: it is done." in told


def test_a_reconcile_run_is_gone_on_with_after_each_step(
    country: Country, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    for dataset in BOTH:
        pipeline.sync(dataset)
    with monkeypatch.context() as patch:
        patch.setattr("motlan.merge.merge.merge", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            pipeline.reconcile(full=True)
    (row,) = command("runs", "list", "--state", "failed")
    assert row["error"] == "a person stopped it (Ctrl-C)"
    shown = command("runs", "show", row["run"])
    assert [step["step"] for step in shown["steps"] if not step["done"]] == ["merge", "cross_check", "diff", "publish"]
    assert shown["asked"] == {"full": True}
    assert command("runs", "retry", row["run"])["diff"]["created"] == 6
    assert pipeline.publish()["run"] == row["run"]


def test_a_run_that_a_newer_one_replaced_is_not_gone_on_with(country: Country, command: Command) -> None:
    run = broken_sync(country)
    newer = pipeline.sync("alpha_people")["run"]
    told = command("runs", "retry", run, code=1)["message"]
    assert f"run {newer} took its place" in told
    assert command("runs", "show", run)["replaced_by"] == newer


def test_a_replay_is_gone_on_with_as_a_replay(
    country: Country, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    country.after(whole_job)
    work = country.open()
    decisions.fix(work, only(country)["id"], ME, "seen", {"name": "Hoàng Thị Hòa"})
    with monkeypatch.context() as patch:
        patch.setattr("motlan.quarantine.replay.land", lambda *_: (_ for _ in ()).throw(TransientError("later")))
        with pytest.raises(TransientError):
            pipeline.replay("beta_cards")
    run = command("runs", "list", "--state", "failed")[0]["run"]
    country.write("beta_cards", "broken")  # a pull would fail
    done = command("runs", "retry", run)
    assert (done["land"]["replayed"], done["commit"]["replayed"]) == (1, 1)


def test_what_an_aborted_run_does_is_not_kept(country: Country, command: Command) -> None:
    store = country.open().store
    run = str(pipeline.begin_sync("alpha_people")["run"])
    pipeline.land(run)
    pipeline.clean(run)
    told = command("runs", "abort", run, why=json.dumps({"why": "wrong day of Nguyễn Văn An"}))
    assert (told["state"], told["was"]) == ("aborted", "running")
    with pytest.raises(ContractError, match="a person aborted it"):
        pipeline.commit_sync(run)
    pipeline.fail(run, ContractError("the task's last words"))
    shown = command("runs", "show", run)
    assert (shown["state"], shown["decisions"][0]["reason"]) == ("aborted", "wrong day of Nguyễn Văn An")
    assert shown["error"].startswith("aborted by user:")
    assert "a person aborted it" in command("runs", "retry", run, code=1)["message"]
    assert rows(country, "select body->>'action', body->>'run' from log_entries where kind = 'run'") == [
        ("aborted", run)
    ]
    assert not any("Nguyễn" in json.dumps(row) for row in bodies(store)), "the log keeps no reason"
    assert pipeline.sync("alpha_people")["land"]["landed"] == 5, "the next one begins anew"
    assert not country.open().lake.files("raw.alpha_people", {run}), "and removes what the aborted one staged"


def bodies(store: Store) -> list[Any]:
    with store.engine.connect() as connection:
        return [row[0] for row in connection.exec_driver_sql("select body from log_entries")]


def test_a_commit_under_way_is_refused_when_its_run_is_aborted(
    country: Country, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = country.open().store
    run = str(pipeline.begin_sync("alpha_people")["run"])
    pipeline.land(run)
    pipeline.clean(run)

    def aborting(*_: object) -> None:
        control.abort(store, run, "user:an", "seen")

    monkeypatch.setattr("motlan.quarantine.entries.prepare", aborting)
    with pytest.raises(ContractError, match="it was closed while this step was at work"):
        pipeline.commit_sync(run)
    assert runs.get(store, run).state == "aborted"


def test_what_is_visible_or_published_cannot_be_aborted_and_it_is_said_how_to_go_on(
    country: Country, command: Command
) -> None:
    done = country.after(whole_job)
    told = command("runs", "abort", done["alpha_people"]["run"], why="no JSON", code=1)["message"]
    assert "this run is visible and cannot be aborted. Next: what it landed stays" in told
    told = command("runs", "abort", done["reconcile"]["run"], why="no JSON", code=1)["message"]
    assert "motlan hold publish" in told
    assert (
        "there is no run nosuch. Next: see `motlan runs list`." in command("runs", "abort", "nosuch", code=1)["message"]
    )


def test_a_reconciled_run_that_is_aborted_is_not_published(country: Country, command: Command) -> None:
    for dataset in BOTH:
        pipeline.sync(dataset)
    run = str(pipeline.reconcile()["run"])
    command("runs", "abort", run)
    with pytest.raises(ContractError, match="a person aborted it"):
        pipeline.publish(run)
    assert pipeline.publish(str(pipeline.reconcile()["run"]))["number"] == 1
