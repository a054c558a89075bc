"""Bases: published rows that are written anew say what the files of all publications say, and nothing is lost of these."""

from __future__ import annotations

import duckdb
import pytest

from motlan import pipeline
from motlan.lake.iceberg import Lake, base_table, current, read_parquet
from motlan.lake.tables import KEYS, findings_table, golden_table, key_of, links_table
from motlan.ledger import runs
from motlan.publication import bases
from motlan.workspace import Workspace
from tests.conftest import SPINE, Country, spine_record


def _published(work: Workspace) -> list[str]:
    with work.store.engine.connect() as connection:
        return runs.visible(connection, "reconcile", "person")


def _job(country: Country, *changed: str) -> None:
    """Let the spine name some people anew, and bring that from pull to projection."""
    rows = [(*row[:2], changed[-1] if row[0] in changed else row[2], *row[3:]) for row in SPINE]
    moment = f"2026-09-{len(changed) + 10:02d}T00:00:00.000000Z"
    country.write(
        "alpha_people",
        [spine_record(row, moment if row[0] in changed else "2026-09-01T00:00:00.000000Z") for row in rows],
    )
    for dataset in ("alpha_people", "beta_cards"):
        pipeline.sync(dataset)
    run = pipeline.reconcile()["run"]
    pipeline.publish(run)


def _rows(files: list[str], key: tuple[str, ...]) -> list[tuple[object, ...]]:
    return duckdb.sql(f"from {current(files, key)} order by all").fetchall()


def _tables(work: Workspace) -> list[str]:
    return [f"{namespace}.person" for namespace in KEYS if work.lake.added(f"{namespace}.person")]


def test_a_base_says_what_all_publications_say_and_later_ones_are_read_after_it(country: Country) -> None:
    _job(country)
    first = _published(country.open())
    _job(country, "a1", "Nguyễn Văn Ánh")
    work, told = country.open(), list[str]()
    before = {table: work.lake.files(table, _published(work)) for table in _tables(work)}
    found = bases.rewrite_bases(work, "person", percent=0, watch=told.append)
    assert golden_table("person") in told
    assert {state.table for state in found if state.written} == set(told)
    assert not [state for state in bases.rewrite_bases(work, "person", percent=0) if state.written], "once is enough"

    _job(country, "a2", "Trần Thị Bích")
    work = country.open()
    runs_now = _published(work)
    for table in _tables(work):
        every, read = work.lake.files(table, runs_now), work.lake.base_and_deltas(table, runs_now)
        assert _rows(read, key_of(table)) == _rows(every, key_of(table)), table
        assert set(before[table]) <= set(every), "nothing is taken out"
        if table in told:
            assert base_table(table).replace(".", "/") in read[0]
            assert not set(read) & set(before[table])
    assert work.lake.base_and_deltas(golden_table("person"), first) == work.lake.files(golden_table("person"), first)

    # Nothing changed: by a base and its deltas the next run finds what it would find by all files.
    counts = pipeline.reconcile()
    assert (counts["link"]["changed"], counts["diff"]["versions"]) == (0, 0)
    assert (counts["diff"]["corrections"], counts["diff"]["findings"]) == (0, 0)


def test_what_a_killed_try_left_is_written_again_and_old_bases_go(country: Country) -> None:
    for number in range(4):
        _job(country, *([f"a{number}", f"Nguyễn Văn Ánh {'B' * number}"] if number else []))
        work = country.open()
        half = work.lake.folder(base_table(links_table("person")), _published(work)[-1])
        (half / "000009.parquet").write_text("half")
        (half / "000000.parquet").write_text("half")
        bases.rewrite_bases(work, "person", percent=0)
    kept = {added.run for added in work.lake.added(base_table(golden_table("person")))}
    assert kept == set(_published(work)[-2:])
    links, names = links_table("person"), _published(work)
    every, read = work.lake.files(links, names), work.lake.base_and_deltas(links, names)
    assert _rows(read, key_of(links)) == _rows(every, key_of(links))


def test_a_finding_is_open_since_the_run_that_created_it_also_in_a_base(country: Country) -> None:
    from motlan.quality.deadlines import open_changes

    _job(country)
    _job(country, "a1", "Nguyễn Văn Ánh")
    work = country.open()
    table = findings_table("person")
    every = work.lake.files(table, _published(work))
    wanted = duckdb.sql(f"from {open_changes(every, KEYS['findings'])} order by all").fetchall()
    bases.rewrite_bases(work, "person", percent=0)
    read = work.lake.base_and_deltas(table, _published(work))
    assert wanted
    assert duckdb.sql(f"from {open_changes(read, KEYS['findings'])} order by all").fetchall() == wanted


def test_metadata_are_read_once_for_each_state_of_a_table(country: Country, monkeypatch: pytest.MonkeyPatch) -> None:
    _job(country)
    planned, plan = list[str](), Lake._plan
    monkeypatch.setattr(Lake, "_plan", lambda lake, table: planned.append(table) or plan(lake, table))
    golden = golden_table("person")
    for _ in range(3):
        work = country.open()
        files = work.lake.files(golden, _published(work))
    assert files and len(planned) <= 1
    _job(country, "a1", "Nguyễn Văn Ánh")
    planned.clear()
    assert len(country.open().lake.files(golden, _published(country.open()))) > len(files)
    assert len(planned) <= 1
    assert duckdb.sql(f"select count(*) from {read_parquet(files)}").fetchall()[0][0]
