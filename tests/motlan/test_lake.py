"""The lake's tables, and runs that make them at the same time."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import duckdb
import pytest
from pyiceberg.catalog.sql import SqlCatalog

from tests.conftest import Country


def test_two_runs_make_the_first_tables_of_a_namespace_at_one_moment(
    country: Country, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = country.open().lake
    asked, exists = threading.Barrier(2, timeout=20), SqlCatalog.namespace_exists

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
