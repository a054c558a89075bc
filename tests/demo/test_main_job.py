"""`make demo` as a user meets it: real agencies, a real PostgreSQL, the real DAGs, started from the working folder `/`."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import traversable_folder
from tests.privacy.leaks import Known

pytestmark = pytest.mark.slow
PEOPLE = 1000
"""The fewest of a world with days."""
DAYS = int(os.environ.get("MOTLAN_DEMO_DAYS", "1"))
"""Days of changes; `make soak` takes 3."""


@pytest.fixture(scope="module")
def demo() -> Iterator[tuple[subprocess.CompletedProcess[str], Path]]:
    with traversable_folder() as folder:
        command = [
            sys.executable,
            "-m",
            "demo",
            "--people",
            str(PEOPLE),
            "--seed",
            "11",
            "--days",
            str(DAYS),
            "--var",
            str(folder),
        ]
        # Not measured: the steps are elsewhere, and to trace Airflow takes long.
        others = ("MOTLAN_", "COV_CORE", "COVERAGE_")
        environment = {name: value for name, value in os.environ.items() if not name.startswith(others)}
        done = subprocess.run(command, cwd="/", env=environment, capture_output=True, text=True, check=False)
        yield done, folder


@pytest.fixture(scope="module")
def report(demo: tuple[subprocess.CompletedProcess[str], Path]) -> dict[str, Any]:
    done, folder = demo
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads((folder / "report.json").read_text(encoding="utf-8"))


def test_every_dag_run_succeeds(report: dict[str, Any]) -> None:
    assert len(report["airflow"]) == 7 * (2 + DAYS)
    assert {run["state"] for run in report["airflow"]} == {"success"}


def test_every_row_is_accounted_for(report: dict[str, Any]) -> None:
    for counts in report["agencies"].values():
        assert counts["pulled_equals_source"] is True
        assert counts["pulled"] == counts["landed"] == counts["accepted"] + counts["quarantined"] > 0


def test_the_truth_is_met(report: dict[str, Any]) -> None:
    assert report["linking"]["precision"] >= 0.995
    assert report["linking"]["recall"] >= 0.90
    assert report["golden"]["accuracy"] >= 0.97


def test_the_same_job_again_changes_nothing(report: dict[str, Any]) -> None:
    assert report["second_run_changes"] == 0


def test_each_day_pulls_only_what_changed(report: dict[str, Any]) -> None:
    assert [day["day"] for day in report["days"]] == list(range(1, DAYS + 1))
    for day in report["days"]:
        for counts in day["agencies"].values():
            assert counts["pulled_equals_source"] is True
            assert counts["pulled"] < counts["in_register"] / 10
    assert report["feed"]["last_seq"] == report["feed"]["changes"] > report["golden"]["persons"]


def test_lineage_replays_and_every_alteration_is_noticed(report: dict[str, Any]) -> None:
    lineage = report["lineage"]
    assert lineage["fields_checked"] == lineage["fields_replayed_equal"] == 1000
    assert lineage["controls_tried"] == lineage["controls_caught"] == 60


def test_what_ids_mean_over_the_days_is_told(report: dict[str, Any]) -> None:
    told = report["identity"]
    assert {figure: told[figure] for figure in ("ids_shared", "ids_reused", "persons_lost")} == {
        "ids_shared": 0, "ids_reused": 0, "persons_lost": 0,
    }  # fmt: skip
    assert len(told["histories"]) > 5, "each day has its kinds"
    assert told["decisions"]["same"] + told["decisions"]["different"] > told["decisions"]["wrong"]
    assert told["decisions"]["wrong"] == told["decisions"]["undone"]
    assert (told["decisions"]["wrong"] > 0) is (DAYS > 1), "nobody errs at the last sitting"


def test_no_personal_value_reaches_a_log(
    demo: tuple[subprocess.CompletedProcess[str], Path], report: dict[str, Any]
) -> None:
    import duckdb

    done, folder = demo
    numbers = "personal_id, cmnd, tax_code, social_insurance_code, health_card, education_id"
    people = duckdb.sql(
        f"select full_name, {numbers} from read_parquet('{folder}/world/truth/persons.parquet')"
    ).fetchall()
    known = Known(value for person in people for value in person if value)
    assert len(known) > 2 * PEOPLE
    logs = [*folder.rglob("*.log"), folder / "store" / "log", folder / "world" / "education" / "log"]
    texts = [done.stdout, done.stderr, *(path.read_text(errors="replace") for path in logs if path.is_file())]
    assert len(texts) > 3
    assert report["people"] == PEOPLE
    assert not known.leaked(*texts)
