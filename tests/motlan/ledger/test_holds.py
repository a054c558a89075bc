"""Who works on what: a second one is told who the first is, and a run whose process is gone is closed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
import sqlalchemy as sa

from motlan import pipeline, processes, sweep
from motlan.errors import ConfigurationError, ContractError, TransientError
from motlan.ledger import holds, runs
from motlan.settings import patience
from motlan.status import status
from motlan.store import Store, tables
from tests.conftest import ROOT, SPINE, Country, spine_record

DEAD = processes.Process(processes.me().host, processes.me().boot, 2**22 + 1, 1)
WORK: dict[str, Callable[[], Any]] = {
    "sync": lambda: pipeline.sync("alpha_people"),
    "begin_sync": lambda: pipeline.begin_sync("alpha_people"),
    "reconcile": pipeline.reconcile,
    "begin_reconcile": pipeline.begin_reconcile,
}


@pytest.fixture
def store(country: Country) -> Store:
    return country.open().store


def put(store: Store, run: str, **values: Any) -> None:
    with store.engine.begin() as connection:
        connection.execute(sa.update(tables.runs).where(tables.runs.c.id == run).values(**values))


def held_by(process: processes.Process, lock: str = "sync:alpha_people", **said: Any) -> dict[str, Any]:
    return {**process.as_dict(), "by": "user:an", "lock": lock, "step": "land", "job": None, "rests": False, **said}


def error_of(store: Store, run: str) -> str:
    with store.engine.connect() as connection:
        return connection.execute(sa.select(tables.runs.c.error).where(tables.runs.c.id == run)).scalar_one() or ""


@pytest.mark.parametrize("second", WORK)
def test_the_second_is_told_who_is_at_work(store: Store, second: str) -> None:
    kind, subject = ("sync", "alpha_people") if "sync" in second else ("reconcile", "person")
    began, end = threading.Event(), threading.Event()

    def first() -> None:
        with runs.alone(store, kind, subject):
            runs.begin(store, kind, subject)
            began.set()
            end.wait()

    thread = threading.Thread(target=first)
    thread.start()
    began.wait()
    try:
        with pytest.raises(
            TransientError, match=rf"{kind} of {subject} is under way: run \S+, since .* process {os.getpid()} on"
        ):
            WORK[second]()
    finally:
        end.set()
        thread.join()


def test_the_second_waits_where_it_is_asked_to(country: Country, store: Store) -> None:
    order = []

    def first() -> None:
        with runs.alone(store, "sync", "alpha_people"):
            began.set()
            time.sleep(0.5)
            order.append("first")

    began = threading.Event()
    thread = threading.Thread(target=first)
    thread.start()
    began.wait()
    with holds.patient(3000):
        assert pipeline.sync("alpha_people")["commit"]["state"] == "visible"
    order.append("second")
    thread.join()
    assert order == ["first", "second"]


def test_how_long_to_wait_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTLAN_WAIT", "7.5")
    assert holds.patience() == 7.5
    monkeypatch.setenv("MOTLAN_WAIT", "a while")
    with pytest.raises(ConfigurationError, match="MOTLAN_WAIT"):
        patience()


def test_two_publishers_are_told_of_each_other(country: Country, store: Store) -> None:
    for dataset in ("alpha_people", "beta_cards"):
        pipeline.sync(dataset)
    run, began, end = pipeline.reconcile()["run"], threading.Event(), threading.Event()

    def first() -> None:
        with runs.working(store, runs.get(store, run), "project", lock="publish"):
            began.set()
            end.wait()

    thread = threading.Thread(target=first)
    thread.start()
    began.wait()
    for second in (pipeline.publish, pipeline.project):
        with pytest.raises(TransientError, match=f"publish of person is under way: run {run}, at project"):
            second(run)
    end.set()
    thread.join()
    assert pipeline.publish(run)["changes"] == 6


def test_between_two_tasks_of_a_scheduler_a_run_is_under_way(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    first = pipeline.begin_sync("alpha_people", "airflow sync_alpha_people")["run"]
    pipeline.land(first)
    with pytest.raises(TransientError, match=f"run {first}, between two tasks .* for airflow sync_alpha_people"):
        pipeline.sync("alpha_people")
    assert runs.close_abandoned(store) == []
    pipeline.clean(first)
    assert pipeline.commit_sync(first)["state"] == "visible"


@pytest.mark.parametrize("begin", [lambda: pipeline.begin_sync("alpha_people"), pipeline.begin_reconcile])
def test_a_run_whose_first_task_has_ended_rests(store: Store, begin: Callable[[], dict[str, Any]]) -> None:
    run = begin()["run"]
    with store.engine.begin() as connection:
        query = sa.select(tables.runs.c.holder).where(tables.runs.c.id == run)
        held = connection.execute(query).scalar_one()
    assert (held["rests"], held["step"]) == (True, None)
    put(store, run, holder=held | {"pid": DEAD.pid})
    assert runs.abandoned(store) == {}


def test_a_new_run_of_the_same_job_takes_the_place_of_the_earlier(country: Country, store: Store) -> None:
    first = pipeline.begin_sync("alpha_people", "airflow sync_alpha_people")["run"]
    pipeline.land(first)
    second = pipeline.begin_sync("alpha_people", "airflow sync_alpha_people")["run"]
    assert runs.get(store, first).state == "abandoned"
    with pytest.raises(ContractError, match=f"run {second} took its place"):
        pipeline.clean(first)
    for step in (pipeline.land, pipeline.clean, pipeline.commit_sync):
        counts = step(second)
    assert counts["state"] == "visible"
    work = country.open()
    with store.engine.connect() as connection:
        assert runs.visible(connection, "sync", "alpha_people") == [second]
    assert not list(work.lake.root.glob(f"*/*/run={first}")), "what it had landed is removed"


def test_a_run_that_waits_long_for_its_next_try_gives_way(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    first = pipeline.begin_sync("alpha_people", "airflow sync_alpha_people")["run"]
    monkeypatch.setenv("MOTLAN_REST_SECONDS", "0")
    assert pipeline.sync("alpha_people")["commit"]["state"] == "visible"
    assert runs.get(store, first).state == "abandoned"


def test_a_run_that_nobody_went_on_with_is_abandoned(store: Store) -> None:
    run = pipeline.begin_sync("alpha_people", "airflow sync_alpha_people")["run"]
    put(store, run, held_at=sa.func.now() - timedelta(hours=3))
    assert "nobody went on with it for 180 minutes" in runs.abandoned(store)[run]
    assert runs.get(store, run).state == "running", "it is only told"
    assert runs.close_abandoned(store) == [run]
    assert "abandoned: nobody went on" in error_of(store, run)


def test_a_run_of_an_earlier_version_is_closed_in_the_end(store: Store) -> None:
    run = runs.begin(store, "sync", "alpha_people").id
    put(store, run, holder=None, held_at=None, started_at=sa.func.now() - timedelta(days=1))
    assert runs.close_abandoned(store) == [run]


def test_a_retry_finishes_a_run_that_was_given_up(store: Store) -> None:
    run = pipeline.begin_sync("alpha_people", "airflow sync_alpha_people")["run"]
    put(store, run, holder=held_by(DEAD, job="airflow sync_alpha_people"))
    assert runs.close_abandoned(store) == [run]
    assert "its process is gone (at land since" in error_of(store, run)
    for step in (pipeline.land, pipeline.clean, pipeline.commit_sync):
        counts = step(run)
    assert counts["state"] == "visible"
    assert error_of(store, run) == ""


def test_why_a_try_failed_is_told_while_the_next_one_is_waited_for(country: Country, store: Store) -> None:
    run = pipeline.begin_sync("alpha_people")["run"]
    country.write("alpha_people", "down")
    with pytest.raises(TransientError):
        pipeline.land(run)
    assert runs.get(store, run).state == "running"
    assert [row["run"] for row in status(country.open())["retries"]] == [run]
    country.write("alpha_people", [spine_record(row) for row in SPINE])
    pipeline.land(run)
    assert error_of(store, run) == ""


def test_a_step_that_ends_after_its_run_was_closed_keeps_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    run = pipeline.begin_sync("alpha_people")["run"]
    pipeline.land(run)
    pipeline.clean(run)
    prepare = pipeline.entries.prepare

    def closed(*given: Any) -> Any:
        put(store, run, state="abandoned")
        return prepare(*given)

    monkeypatch.setattr(pipeline.entries, "prepare", closed)
    with pytest.raises(ContractError, match="closed while this step was at work"):
        pipeline.commit_sync(run)
    with store.engine.connect() as connection:
        assert runs.visible(connection, "sync", "alpha_people") == []


def test_who_lost_its_lock_to_a_restart_of_postgresql_and_lives_is_still_at_work(store: Store) -> None:
    run = runs.begin(store, "sync", "alpha_people").id
    parent = processes.called(os.getppid())
    put(store, run, holder=held_by(parent))
    with pytest.raises(TransientError, match=f"process {parent.pid} on"):
        pipeline.sync("alpha_people")
    assert runs.close_abandoned(store) == []


def test_a_retry_does_not_begin_a_step_that_another_process_is_still_at(store: Store) -> None:
    run = pipeline.begin_sync("alpha_people")["run"]
    parent = processes.called(os.getppid())
    put(store, run, holder=held_by(parent))
    with pytest.raises(TransientError, match=f"run {run}, at land .* process {parent.pid} on"):
        pipeline.land(run)
    put(store, run, holder=held_by(DEAD))
    assert pipeline.land(run)["landed"] == len(SPINE)


@pytest.mark.parametrize("where", [{"host": "elsewhere"}, {"boot": "earlier.1"}])
def test_a_process_that_cannot_be_seen_lives_as_long_as_its_lock(store: Store, where: dict[str, str]) -> None:
    run = runs.begin(store, "sync", "alpha_people").id
    put(store, run, holder=held_by(DEAD) | where)
    ended = threading.Event()
    began = threading.Event()

    def far() -> None:
        with holds.hold(store, "sync:alpha_people"):
            began.set()
            ended.wait()

    thread = threading.Thread(target=far)
    thread.start()
    began.wait()
    assert runs.close_abandoned(store) == []
    ended.set()
    thread.join()
    assert runs.close_abandoned(store) == [run]


def test_a_command_that_is_killed_is_told_closed_and_swept(country: Country, store: Store) -> None:
    register = country.home / "registers" / "alpha_people.json"
    register.unlink()
    os.mkfifo(register)  # reading it lasts for ever
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "motlan", "sync", "alpha_people"]
    with subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as first:
        try:
            while not (run := holds.named(store, "sync:alpha_people")) or run["holder"]["step"] != "land":
                assert first.poll() is None
                time.sleep(0.2)
            with pytest.raises(TransientError, match=f"run {run['id']}, at land since .* process {first.pid} on"):
                pipeline.sync("alpha_people")
            assert runs.abandoned(store) == {}
        finally:
            first.send_signal(signal.SIGKILL)
    scratch = country.open().settings.scratch
    assert list(scratch.iterdir()), "it left something"
    assert f"process {first.pid}" in runs.abandoned(store)[run["id"]]
    told = status(country.open())["datasets"]["alpha_people"]
    assert (told["state"], told["error"][:10]) == ("abandoned", "abandoned:")
    assert runs.at_work(store)[0]["abandoned"]
    register.unlink()
    country.write("alpha_people", [spine_record(row) for row in SPINE])
    assert pipeline.sync("alpha_people")["land"]["landed"] == len(SPINE)
    assert runs.get(store, run["id"]).state == "abandoned"
    assert list(scratch.iterdir()) == []


def test_a_sweep_takes_what_is_left_and_nothing_else(country: Country, store: Store) -> None:
    work = country.open()
    open_run = pipeline.begin_sync("alpha_people")["run"]
    failed = pipeline.begin_sync("beta_cards")["run"]
    pipeline.fail(failed, ContractError("the source sent something else"))
    done = runs.begin(store, "sync", "beta_cards_before").id
    put(store, done, state="visible")
    live, old = processes.me().folder, time.time() - 2 * sweep.UNSURE_S
    for name in (
        open_run,
        failed,
        done,
        live,
        DEAD.folder,
        "duckdb_temp_storage_DEFAULT-0.tmp",
        "spark-" + "0" * 32,
        "mine",
    ):
        (work.settings.scratch / name).mkdir(parents=True)
        (work.settings.scratch / name / "spilled").write_text("x")
    for name in ("duckdb_temp_storage_DEFAULT-0.tmp", "spark-" + "0" * 32):
        for path in (work.settings.scratch / name / "spilled", work.settings.scratch / name):
            os.utime(path, (old, old))
    (work.settings.payloads / DEAD.folder).mkdir(parents=True)
    assert sweep.sweep(work) == 5
    assert {path.name for path in work.settings.scratch.iterdir()} == {open_run, failed, live, "mine"}
    assert not list(work.settings.payloads.glob("process-*"))


def test_what_a_run_put_into_the_lake_and_never_made_visible_is_taken_out(country: Country, store: Store) -> None:
    first = pipeline.begin_sync("alpha_people", "a job")["run"]
    pipeline.land(first)
    pipeline.clean(first)
    second = pipeline.begin_sync("alpha_people", "a job")["run"]
    for step in (pipeline.land, pipeline.clean, pipeline.commit_sync):
        step(second)
    work = country.open()
    whole = work.lake._catalog.load_table("raw.alpha_people").scan()
    assert whole.to_arrow().num_rows == len(SPINE), "another engine that reads the whole table finds each row once"
    assert not list(work.lake.root.glob(f"*/*/run={first}"))


def test_sessions_side_by_side_do_not_share_where_they_spill(country: Country) -> None:
    work = country.open()
    setting = "select value from duckdb_settings() where name = 'temp_directory'"
    with work.engine("one") as one, work.engine("two") as two:
        places = {Path(engine.execute(setting).fetchall()[0][0]) for engine in (one, two)}
        assert len(places) == 2
        assert {place.parent.name for place in places} == {processes.me().folder}
    assert list(work.settings.scratch.iterdir()) == []


def test_a_process_is_known_again_by_its_folder_and_a_number_given_again_is_not_it() -> None:
    me = processes.me()
    assert processes.of_folder(me.folder) == me
    assert me.lives()
    assert processes.Process(me.host, me.boot, me.pid, me.born + 1).lives() is False
    assert processes.of_folder("process-1") is None
    ended = subprocess.Popen(["true"])
    while psutil.Process(ended.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    assert not processes.Process(me.host, me.boot, ended.pid, me.born).lives(), "nobody waited for it, and it is gone"
    ended.wait()
    assert json.loads(json.dumps(me.as_dict())) == me.as_dict()
