"""Real DAG files run by `demo.runner` against a bus without an engine, on a real PostgreSQL."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from demo.runner import DagRunResult, Runner
from motlan.errors import MotlanError

SECRET = "Nguyễn"
ESCAPED = json.dumps(SECRET).strip('"')
FAILURES = {"land": ["ContractError", 1], "clean": ["TransientError", 1], "link": ["ValueError", 2]}


class Played:
    """What a few runs left behind: results, calls of the pipeline, Airflow's rows and log."""

    def __init__(self, env: dict[str, str], log: Path) -> None:
        self.env = env
        with Runner(env, log) as runner:
            runner.add_env({"FAKE_FAILURES": json.dumps(FAILURES)})
            order = ["sync_toy_people", "sync_toy_members", "reconcile_toy", "publish_toy", "no_such_dag"]
            self.results: dict[str, DagRunResult] = {dag_id: runner.run_dag(dag_id) for dag_id in order}
        self.calls = [json.loads(line) for line in Path(env["FAKE_JOURNAL"]).read_text().splitlines()]
        self.log = log.read_text()
        url = env["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].replace("+psycopg", "")
        files = Path(env["AIRFLOW_HOME"], "logs").rglob("*.log")
        self.files = "".join(path.read_text(errors="replace") for path in files)
        with psycopg.connect(url) as airflow:
            names = airflow.execute("select tablename from pg_tables where schemaname = 'public'").fetchall()
            rows = [
                airflow.execute(sql.SQL("select t::text from {} as t").format(sql.Identifier(name))).fetchall()
                for (name,) in names
            ]
            self.database = "\n".join(text for table in rows for (text,) in table)
            self.xcoms = airflow.execute("select dag_id, task_id, key, value from xcom").fetchall()
            self.events = airflow.execute(
                "select uri, e.extra from asset_event e join asset a on a.id = e.asset_id"
            ).fetchall()


@pytest.fixture(scope="module")
def played(home_of: Any, tmp_path_factory: pytest.TempPathFactory) -> Played:
    patience = {"MOTLAN_TASK_RETRIES": "1", "MOTLAN_TASK_RETRY_SECONDS": "0.1", "FAKE_RECONCILED": "1"}
    return Played(home_of.migrated("runner", **patience), tmp_path_factory.mktemp("log") / "worker.log")


@pytest.mark.slow
class TestRuns:
    def test_a_broken_contract_fails_the_run_at_its_first_try(self, played: Played) -> None:
        result = played.results["sync_toy_people"]
        assert (result.state, result.task, result.error) == (
            "failed",
            "land",
            "ContractError: land failed. Next: ask the source's owner.",
        )
        assert played.calls.count(["land", "run-of-toy_people"]) == 1

    def test_a_broken_line_is_tried_again_and_the_run_ends_well(self, played: Played) -> None:
        assert played.results["sync_toy_members"].state == "success"
        assert played.calls.count(["clean", "run-of-toy_members"]) == 2

    def test_only_the_last_failure_reaches_the_ledger(self, played: Played) -> None:
        failed = [call[1:3] for call in played.calls if call[0] == "fail"]
        assert failed == [["run-of-toy_people", "ContractError"], ["reconcile-1", "MotlanError"]]

    def test_a_librarys_message_goes_nowhere(self, played: Played) -> None:
        result = played.results["reconcile_toy"]
        assert "unforeseen ValueError" in (result.error or "")
        assert SECRET not in played.log + json.dumps(played.calls, ensure_ascii=False) + str(result)

    def test_airflows_own_tables_and_files_hold_no_value(self, played: Played) -> None:
        assert "run-of-toy_members" in played.database, "what travels between tasks is found there"
        told = played.database + played.files + played.log
        assert not [secret for secret in (SECRET, ESCAPED, "001099000001") if secret in told]

    def test_between_tasks_travel_run_ids_and_numbers_only(self, played: Played) -> None:
        first = {"begin", "publish"}
        links = {"_link_RunLink", "_link_QualityLink", "_link_LineageLink"}
        results = [row[1::2] for row in played.xcoms if row[2] == "return_value" and row[1] != "check_limits"]
        assert {row[2] for row in played.xcoms} == {"return_value", "skipmixin_key", *links}
        assert {json.dumps(row[3]) for row in played.xcoms if row[2] in links} == {'""'}, "there is no console here"
        assert all(isinstance(value, str) for task_id, value in results if task_id in first)
        rest = [value for task_id, value in results if task_id not in first]
        assert {json.dumps(value) for value in rest} == {'{"rows": 7}'}

    def test_an_assets_event_names_the_run(self, played: Played) -> None:
        assert played.events == [("motlan://datasets/toy_members", {"run": "run-of-toy_members"})]

    def test_publish_started_by_hand_leaves_the_choice_to_the_pipeline(self, played: Played) -> None:
        assert ["publish", "None"] in played.calls
        assert ["project", "reconcile-1"] in played.calls

    def test_an_unknown_dag_is_an_answer(self, played: Played) -> None:
        result = played.results["no_such_dag"]
        assert result.state == "failed"
        assert "sync_toy_people" in (result.error or "")


def test_a_dead_worker_is_an_error_that_names_its_log(tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    with Runner({}, log) as runner, pytest.raises(MotlanError, match=str(log)):
        runner.run_dag("reconcile_toy")


@pytest.mark.slow
def test_what_a_killed_worker_left_running_does_not_hold_up_the_next(played: Played, tmp_path: Path) -> None:
    with psycopg.connect(played.env["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].replace("+psycopg", "")) as airflow:
        assert airflow.execute("update dag_run set state = 'running'").rowcount == 4
    with Runner(played.env, tmp_path / "log") as runner:
        assert runner.run_dag("reconcile_toy").state == "success"
