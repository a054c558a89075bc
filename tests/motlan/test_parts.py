"""Parts of persons, and slices of rows: how many there are changes nothing.

A killed run goes on from the last part that it finished.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import wraps
from typing import Any

import duckdb
import pytest

from motlan import parts, pipeline, slices
from motlan.lake import read_parquet
from tests.conftest import Country
from tests.motlan.test_pipeline import BOTH, whole_job

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


@pytest.fixture
def landed(country: Country) -> Iterator[Country]:
    for dataset in BOTH:
        pipeline.sync(dataset)
    yield country


@pytest.mark.parametrize("count", [1, 2, 3, 7, 64])
def test_every_id_is_in_one_part_and_parts_follow_the_order_of_ids(count: int) -> None:
    ids = ", ".join(f"('{n * 2654435761 % 16**8:08x}-0000-4000-8000-000000000000')" for n in range(500))
    inside = ", ".join(parts.within("id", part, count) for part in range(count))
    query = f"select {parts.number('id', count)} as part, [{inside}] as inside from (values {ids}) as v(id) order by id"
    found = duckdb.sql(query).fetchall()
    assert [[part == place for place in range(count)] for part, _ in found] == [list(row[1]) for row in found]
    assert [part for part, _ in found] == sorted(part for part, _ in found)
    assert {part for part, _ in found} == set(range(count))


def test_two_numbers_of_parts_give_the_same_rows(landed: Country, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = staged(landed, reconcile())
    monkeypatch.setattr(parts, "PERSONS", 1)
    run = reconcile()
    assert staged(landed, run) == whole
    assert len(list(landed.open().lake.folder("golden.person", run).glob("*.parquet"))) > 1
    assert whole["golden.person"]
    assert whole["findings.person"]


def test_another_number_of_parts_changes_nothing_that_is_published(
    country: Country, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole_job()
    monkeypatch.setattr(parts, "PERSONS", 2)
    again = whole_job()
    assert again["reconcile"]["diff"]["versions"] == again["reconcile"]["diff"]["findings"] == 0
    assert again["publish"]["number"] is None


def in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slices, "ROWS", 3)
    monkeypatch.setattr(parts, "PERSONS", 1)
    monkeypatch.setattr(parts, "AT_A_TIME", 2)


def test_slices_of_few_rows_give_the_same_rows(landed: Country, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = staged(landed, reconcile())
    in_slices(monkeypatch)
    run = reconcile()
    assert staged(landed, run) == whole
    assert len(list(landed.open().lake.folder("links.person", run).glob("*.parquet"))) > 2
    assert whole["links.person"]
    assert whole["golden.person"]


def test_slices_of_few_rows_change_nothing_that_is_published(country: Country, monkeypatch: pytest.MonkeyPatch) -> None:
    whole_job()
    in_slices(monkeypatch)
    again = whole_job()["reconcile"]
    assert again["link"]["changed"] == again["diff"]["versions"] == again["diff"]["findings"] == 0


@pytest.mark.parametrize(
    ("step", "one_part"),
    [
        ("merge", "motlan.golden.merge._Merging.part"),
        ("cross_check", "motlan.quality.cross._Checking.part"),
        ("diff", "motlan.golden.diff._Comparing._create"),
    ],
)
def test_a_run_that_is_killed_between_parts_goes_on(
    landed: Country, step: str, one_part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "PERSONS", 2)
    whole = staged(landed, reconcile())
    place, name = one_part.rsplit(".", 1)
    module, owner = place.rsplit(".", 1)
    kind = getattr(__import__(module, fromlist=[owner]), owner)
    original, calls = getattr(kind, name), []

    @wraps(original)
    def killed(*given: Any) -> Any:
        calls.append(given[1:])
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(*given)

    monkeypatch.setattr(kind, name, killed)
    with pytest.raises(KeyboardInterrupt):
        reconcile()
    assert len(calls) == 3
    run = newest(landed)
    for again in STEPS[STEPS.index(step) :]:
        getattr(pipeline, again)(run)
    assert staged(landed, run) == whole
    assert calls[3] == calls[2], "it went on with the part at which it was killed"


def newest(country: Country) -> str:
    with country.open().store.engine.connect() as connection:
        return str(connection.exec_driver_sql("select max(id) from runs where kind = 'reconcile'").scalar_one())
