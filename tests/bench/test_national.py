"""The national benchmark on a very small country: its figures exist, a kill changes nothing, and a small disk is told."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from typer.testing import CliRunner

from bench.national import disk, score
from bench.national.journal import Entry, Journal
from bench.national.pipeline import Setting
from motlan.cli.main import app
from tests.conftest import ROOT, traversable_folder

ASKED = [
    "bench",
    "national",
    "--people",
    "1800",
    "--people-a-range",
    "1200",
    "--ranges-a-run",
    "2",
    "--seed",
    "5",
    "--peer-people",
    "0",
    "--json",
]
STEPS = ("land", "clean", "commit", "link", "merge", "cross_check", "diff", "publish", "project")
SAME = [
    "rows",
    "accepted",
    "quarantined",
    "persons",
    "links",
    "precision",
    "recall",
    "f1",
    "golden_accuracy",
    "reviews",
]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with traversable_folder() as made, pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOTLAN_HOME", str(ROOT))
        patch.setenv("MOTLAN_VAR", str(made))
        yield made


def bench(work: Path) -> dict[str, Any]:
    answer = CliRunner().invoke(app, [*ASKED, "--work", str(work)])
    assert answer.exit_code == 0, answer.output
    return json.loads(answer.stdout)


@pytest.fixture(scope="module")
def result(folder: Path) -> dict[str, Any]:
    return bench(folder / "whole")


@pytest.mark.slow
def test_one_object_tells_all(result: dict[str, Any]) -> None:
    figures = result["figures"]
    assert (result["bench"], result["args"]["people"], set(result["steps"])) == ("national", 1800, set(STEPS))
    assert figures["accepted"] + figures["quarantined"] == figures["rows"] > 3600
    assert all(figures[f"{step}_{what}"] > 0 for step in STEPS for what in ("seconds", "rows_s", "peak_rss_mb"))
    assert (
        min(figures[name] for name in ("floor_ratio", "pydantic_ratio", "ns_per_row", "disk_mb", "floor_seconds")) > 0
    )
    assert figures["seconds"] == pytest.approx(sum(figures[f"{step}_seconds"] for step in STEPS[:-1]))
    assert (figures["splink_ratio"], figures["resumed"], figures["interrupted_seconds"]) == (None, 0, 0)


@pytest.mark.slow
def test_links_are_right_and_golden_values_true(result: dict[str, Any]) -> None:
    figures = result["figures"]
    assert figures["precision"] >= 0.999
    assert figures["recall"] >= 0.97
    assert 0.99 * figures["golden_ceiling"] <= figures["golden_accuracy"] <= figures["golden_ceiling"]


def begun(whole: Path, work: Path) -> Path:
    """A folder whose world is made and whose floor and peer are measured, but whose pipeline has not begun."""
    shutil.copytree(whole / "world", work / "world")
    for name in ("national.json", "rows.json"):
        shutil.copy(whole / name, work / name)
    lines = (whole / "steps.jsonl").read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if json.loads(line).get("phase") in ("world", "floor", "pydantic")]
    (work / "steps.jsonl").write_text("\n".join(kept) + "\n", encoding="utf-8")
    return work


@pytest.fixture(scope="module")
def killed(folder: Path, result: dict[str, Any]) -> tuple[dict[str, Any], Journal]:
    """A run that is killed in its third range, and begun again."""
    work = begun(folder / "whole", folder / "killed")
    process = subprocess.Popen([sys.executable, "-m", "motlan", *ASKED, "--work", str(work)], cwd=ROOT)
    while (work / "steps.jsonl").read_text().count('"step": "land"') < 3:
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    return bench(work), Journal(work)


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_result(
    killed: tuple[dict[str, Any], Journal], result: dict[str, Any]
) -> None:
    figures = killed[0]["figures"]
    assert {name: figures[name] for name in SAME} == {name: result["figures"][name] for name in SAME}
    assert figures["resumed"] == 2, "once by the test's own copy, once after the kill"


@pytest.mark.slow
def test_what_was_done_before_a_kill_is_not_done_again(killed: tuple[dict[str, Any], Journal]) -> None:
    told, journal = killed
    finished = [(entry.step, entry.subject) for entry in journal.of("pipeline") if entry.finished]
    assert len(finished) == len(set(finished)) <= 3 * 5 + 6
    assert told["steps"]["link"]["rows"] == told["figures"]["rows"]


def test_a_step_that_was_killed_counts_as_a_try(tmp_path: Path) -> None:
    Journal(tmp_path).beat(Entry("pipeline", "link", rows=10, seconds=3.0))
    first = Journal(tmp_path)
    first.add(Entry("pipeline", "link", rows=10, seconds=2.0, finished=True))
    tries = Journal(tmp_path).of("pipeline", "link")
    assert [(entry.seconds, entry.finished) for entry in tries] == [(3.0, False), (2.0, True)]
    assert (first.resumed, Journal(tmp_path).resumed) == (1, 3)


def test_too_small_a_disk_is_refused_before_anything_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = shutil._ntuple_diskusage(10**12, 10**12 - 10**9, 10**9)
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _path: free)
    asked = ["bench", "national", "--people", "1000000", "--work", str(tmp_path / "w"), "--json"]
    answer = CliRunner().invoke(app, asked)
    message = json.loads(answer.stdout)["message"]
    assert answer.exit_code == 1
    needed = float(re.findall(r"need ([0-9.]+) GB", message)[0])
    assert needed == pytest.approx(disk.needed(Setting(tmp_path, "4GB", 2), 1_000_000) / 1e9, abs=0.1)
    assert "1.0 GB are free" in message
    assert not (tmp_path / "w" / "world").exists()


def test_a_folder_of_another_world_is_refused(tmp_path: Path) -> None:
    (tmp_path / "national.json").write_text('{"people": 7}')
    answer = CliRunner().invoke(app, [*ASKED, "--work", str(tmp_path)])
    assert answer.exit_code == 1
    assert "another world" in json.loads(answer.stdout)["message"]


def test_a_row_of_splink_is_right_at_its_person_or_at_nobody_where_the_spine_lacks_him(tmp_path: Path) -> None:
    said = [("s/1", "a/1", 0.99), ("s/1", "a/2", 0.4), ("s/2", "a/2", 0.97), ("s/1", "a/3", 0.6)]
    values = ", ".join(f"('{left}', '{right}', {p}, {p})" for left, right, p in said)
    with duckdb.connect() as con:
        pairs = tmp_path / "splink.parquet"
        con.execute(f"copy (from (values {values}) as t(l, r, weight, probability)) to '{pairs}'")
        rows = "('s/1', 1, true), ('s/2', 2, true), ('a/1', 1, false), ('a/2', 2, false), ('a/3', 3, false)"
        con.execute(
            f"create table ours as select hash(i) as n, true_id, is_spine from (values {rows}) as t(i, true_id, is_spine)"
        )
        con.execute("create table known as select distinct true_id from ours where is_spine")
        found = score.score_splink(con, pairs)
    assert (found["splink_precision"], found["splink_f1"], found["splink_f1_fixed"]) == (1, 1, 1)
    assert 0.6 < found["splink_threshold"] <= 0.97
