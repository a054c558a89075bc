"""Parts of persons, and slices of rows: how many there are changes nothing.

A killed run goes on from the last part that it finished.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

import duckdb
import pytest

from motlan import partitioning, pipeline
from motlan.lake.iceberg import read_parquet
from motlan.ledger import runs
from motlan.merge.golden_rows import Compared
from tests.conftest import Country
from tests.motlan.test_pipeline import BOTH, sync_both, whole_job

STEPS = ("link", "merge", "cross_check", "diff")
TABLES = ("links.person", "golden.person", "corrections.person", "findings.person")


def reconcile() -> str:
    """Reconcile part by part, and publish nothing; return the run."""
    run = str(pipeline.begin_reconcile()["run"])
    for step in STEPS:
        getattr(pipeline, step)(run)
    return run


def staged(country: Country, run: str, tables: Sequence[str] = TABLES) -> dict[str, list[tuple[Any, ...]]]:
    """Return what a run staged, in order."""
    work, found = country.open(), {}
    for table in tables:
        files = sorted(map(str, work.lake.folder(table, run).glob("*.parquet")))
        rows = f"select * exclude (_run) from {read_parquet(files)} order by all"
        found[table] = duckdb.sql(rows).fetchall() if files else []
    return found


@pytest.fixture(autouse=True)
def two_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTLAN_THREADS", "2")


@pytest.fixture
def landed(country: Country) -> Iterator[Country]:
    country.after(sync_both)
    yield country


@pytest.mark.parametrize("count", [1, 2, 3, 7, 64])
def test_every_id_is_in_one_part_and_parts_follow_the_order_of_ids(count: int) -> None:
    ids = ", ".join(f"('{n * 2654435761 % 16**8:08x}-0000-4000-8000-000000000000')" for n in range(500))
    inside = ", ".join(partitioning.in_range("id", part, count) for part in range(count))
    part = partitioning.range_number("id", count)
    query = f"select {part} as part, [{inside}] as inside from (values {ids}) as v(id) order by id"
    found = duckdb.sql(query).fetchall()
    assert [[part == place for place in range(count)] for part, _ in found] == [list(row[1]) for row in found]
    assert [part for part, _ in found] == sorted(part for part, _ in found)
    assert {part for part, _ in found} == set(range(count))


def test_two_numbers_of_parts_give_the_same_rows(landed: Country, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = staged(landed, reconcile())
    monkeypatch.setenv("MOTLAN_RANGE_PERSONS", "1")
    run = reconcile()
    assert staged(landed, run) == whole
    assert len(list(landed.open().lake.folder("golden.person", run).glob("*.parquet"))) > 1
    assert whole["golden.person"]
    assert whole["findings.person"]


def test_another_number_of_parts_changes_nothing_that_is_published(
    country: Country, monkeypatch: pytest.MonkeyPatch
) -> None:
    country.after(whole_job)
    monkeypatch.setenv("MOTLAN_RANGE_PERSONS", "2")
    again = whole_job()
    assert again["reconcile"]["diff"]["versions"] == again["reconcile"]["diff"]["findings"] == 0
    assert again["publish"]["number"] is None


def in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTLAN_BUCKET_ROWS", "3")
    monkeypatch.setenv("MOTLAN_RANGE_PERSONS", "1")
    monkeypatch.setenv("MOTLAN_RANGES_AT_A_TIME", "2")


def test_slices_of_few_rows_give_the_same_rows(landed: Country, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = staged(landed, reconcile())
    in_slices(monkeypatch)
    run = reconcile()
    assert staged(landed, run) == whole
    assert len(list(landed.open().lake.folder("links.person", run).glob("*.parquet"))) > 2
    assert whole["links.person"]
    assert whole["golden.person"]


def test_files_of_few_rows_are_read_in_slices_and_give_the_same_rows(
    country: Country, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOTLAN_LANDED_CHUNK_ROWS", "2")
    monkeypatch.setenv("MOTLAN_CLEANED_CHUNK_ROWS", "2")
    sync_both()
    whole = staged(country, reconcile())
    in_slices(monkeypatch)
    assert staged(country, reconcile()) == whole
    work = country.open()
    with work.store.engine.connect() as connection:
        seen = {dataset: runs.visible(connection, "sync", dataset) for dataset in BOTH}
    files = {dataset: work.clean_files(dataset, seen) for dataset in BOTH}
    assert max(len(partitioning.file_ranges(paths, "_ref")) for paths in files.values()) > 1


@pytest.mark.parametrize("most", [1, 5, 12, 40, 100])
def test_slices_of_files_have_each_file_once_and_tell_what_may_be_in_them(
    most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOTLAN_BUCKET_ROWS", str(most))
    counts = {"run-b/0": 6, "run-a/10": 7, "run-a/9": 9, "run-a/1": 5, "run-b/1": 8, "run-c/0": 0}
    for name, count in counts.items():
        path = tmp_path / f"{name.replace('/', '-')}.parquet"
        duckdb.sql(f"select '{name}/' || range as _ref, [1, 2] as many from range({count})").write_parquet(str(path))
    files = sorted(map(str, tmp_path.glob("*.parquet")))
    found = partitioning.file_ranges(files, "_ref")
    assert sorted(path for paths, _ in found for path in paths) == files
    for paths, inside in found:
        mine = duckdb.sql(f"select count(*), count(*) filter ({inside}) from {read_parquet(paths)}").fetchall()[0]
        assert mine[0] == mine[1]
        assert mine[0] <= max(most, *(counts.values())) or len(paths) == 1
    asked = sum(
        duckdb.sql(f"select 1 from {read_parquet(files)} where {inside}").count("*").fetchall()[0][0]
        for _, inside in found
    )
    assert asked == sum(counts.values()), "of rising values, each is asked for once"
    assert [inside for _, inside in found] == ["true"] or len(found) > 1


def test_slices_of_few_rows_change_nothing_that_is_published(country: Country, monkeypatch: pytest.MonkeyPatch) -> None:
    country.after(whole_job)
    in_slices(monkeypatch)
    again = whole_job()["reconcile"]
    assert again["link"]["changed"] == again["diff"]["versions"] == again["diff"]["findings"] == 0


@pytest.mark.parametrize(
    ("step", "one_part"),
    [
        ("merge", "motlan.merge.merge._Merging.part"),
        ("cross_check", "motlan.quality.cross_register.Checking.part"),
        ("diff", "motlan.publication.diff._Comparing._create"),
    ],
)
def test_a_run_that_is_killed_between_parts_goes_on(
    landed: Country, step: str, one_part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOTLAN_RANGE_PERSONS", "2")
    whole = staged(landed, reconcile())
    place, name = one_part.rsplit(".", 1)
    module, owner = place.rsplit(".", 1)
    kind = getattr(__import__(module, fromlist=[owner]), owner)
    original, begun, done = getattr(kind, name), [], set()

    @wraps(original)
    def killed(*given: Any) -> Any:
        part = tuple(one for one in given if isinstance(one, int | Compared))
        begun.append(part)
        if len(begun) == 3:
            raise KeyboardInterrupt
        told = original(*given)
        done.add(part)
        return told

    monkeypatch.setattr(kind, name, killed)
    with pytest.raises(KeyboardInterrupt):
        reconcile()
    before, first = {*done}, [*begun]
    assert before
    run = newest(landed)
    for again in STEPS[STEPS.index(step) :]:
        getattr(pipeline, again)(run)
    assert staged(landed, run) == whole
    assert not before & {*begun[len(first) :]}, "what was finished is not done again"
    assert first[2] in begun[len(first) :], "it went on with the part at which it was killed"


def newest(country: Country) -> str:
    with country.open().store.engine.connect() as connection:
        return str(connection.exec_driver_sql("select max(id) from runs where kind = 'reconcile'").scalar_one())
