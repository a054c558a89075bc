"""The lake's tables, and runs that make them at the same time."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.catalog.sql import SqlCatalog

from motlan.lake.iceberg import created, read_parquet, staging
from tests.conftest import Country


def test_two_runs_make_the_first_tables_of_a_namespace_at_one_moment(
    country: Country, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = country.open().lake
    asked, exists = threading.Barrier(2, timeout=600), SqlCatalog.namespace_exists

    def both(catalog: SqlCatalog, namespace: Any) -> bool:
        found = exists(catalog, namespace)
        if not found:
            asked.wait()  # neither goes on before the other has looked
        return found

    def commit(table: str) -> int | None:
        duckdb.connect().sql("select 1 as one").write_parquet(str(lake.folder(table, "run-1") / "0.parquet"))
        return lake.commit(table, "run-1")

    tables = ["fresh.left", "fresh.right"]
    with monkeypatch.context() as patch, ThreadPoolExecutor(2) as pool:
        patch.setattr(SqlCatalog, "namespace_exists", both)
        snapshots = list(pool.map(commit, tables))
    assert all(snapshots)
    assert [len(lake.files(table, {"run-1"})) for table in tables] == [1, 1]


def test_what_all_rows_have_is_plain_text_in_files_of_which_some_lack_a_column(country: Country) -> None:
    lake, run = country.open().lake, "run-it's"
    folder = lake.folder("fresh.texts", run)
    for number, rows in enumerate(
        ("(select 'a' as one, 1 as two)", "(select 'b' as one)", "(select 'c' as one, 3 as two)")
    ):
        columns = ["two"] if "two" in rows else []
        duckdb.execute(staging(created(rows, ["one"], columns), run, folder / f"{number}.parquet"))
    lake.commit("fresh.texts", run)
    files = lake.files("fresh.texts", {run})
    assert [pq.read_schema(path).field(name).type for path in files for name in ("_op", "_run")] == [pa.string()] * 6
    told = duckdb.sql(f"select one, two, _op, _changed, _run from {read_parquet(files)} order by one").fetchall()
    assert told == [(one, two, "created", [], run) for one, two in (("a", 1), ("b", None), ("c", 3))]
