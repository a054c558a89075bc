"""Spark leaves what DuckDB leaves: the bus's own steps over simulated registers, once by each, and every row of them compared."""

from __future__ import annotations

import math
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest

from motlan.config import registry
from motlan.lake.tables import ROW_KEYS
from motlan.ledger.runs import Counts
from simulators import make_world
from tests.spark import bus

PEOPLE = int(os.environ.get("MOTLAN_PARITY_PEOPLE", "600"))
"""Of the simulated country; `make soak` takes 20,000."""
CLEANED = ("population_citizens", "tax_taxpayers")
"""Registers that Spark cleans: the spine, whose rows come in the order of arrival, and one whose rows have an order of their own.

To clean one costs Spark half a minute of planning, however few rows it has. `make soak` lets it clean all; what their mappings
call is tested on both engines function by function.
"""
ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Left:
    """What an engine left: the steps' counts by name, and the lake's folder."""

    counts: dict[str, Counts]
    lake: Path

    def tables(self) -> list[str]:
        """Return the names of the lake's tables, but for the hashes by which DuckDB alone finds what changed."""
        found = {str(path.parent.parent.relative_to(self.lake)) for path in self.lake.glob("*/*/run=*/*.parquet")}
        return sorted(name for name in found if not name.startswith(f"{ROW_KEYS}/"))

    def rows(self, table: str) -> tuple[list[tuple[str, str]], list[tuple[Any, ...]]]:
        """Return a table's columns with their types, and its rows, sorted; columns in the order of their names."""
        files = f"read_parquet('{self.lake / table}/run=*/*.parquet', hive_partitioning = false)"
        with duckdb.connect() as con:
            columns = sorted((row[0], row[1]) for row in con.execute(f"describe from {files}").fetchall())
            names = sorted((kind == "DOUBLE", f'"{name}"') for name, kind in columns)
            asked = ", ".join(f'"{name}"' for name, _ in columns)
            order = ", ".join(name for _, name in names)
            return columns, con.execute(f"select {asked} from {files} order by {order}").fetchall()


@pytest.fixture(scope="module")
def left(
    spark: object, tmp_path_factory: pytest.TempPathFactory, store_server: Callable[[str], str]
) -> dict[str, Left]:
    """Do all steps by each engine, each with a database and a lake of its own: DuckDB in a process beside this one."""
    world = tmp_path_factory.mktemp("world")
    make_world(world, people=PEOPLE, seed=7)
    environments = {
        engine: {
            "MOTLAN_DATABASE_URL": store_server(f"parity_{engine}"),
            "MOTLAN_ENGINE": engine,
            "MOTLAN_HOME": str(ROOT),
            "MOTLAN_THREADS": "2",
            "MOTLAN_VAR": str(tmp_path_factory.mktemp(engine)),
        }
        for engine in ("duckdb", "spark")
    }
    cleaned = registry.load(ROOT).datasets if PEOPLE >= 20_000 else CLEANED
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as beside:
        duckdb_side = beside.submit(bus.run_all, world, environments["duckdb"], tuple(cleaned))
        spark_side = bus.run_all(world, environments["spark"], tuple(cleaned))
        return {"duckdb": Left(*duckdb_side.result()), "spark": Left(*spark_side)}


def test_both_engines_count_alike(left: dict[str, Left]) -> None:
    kept = {
        engine: {
            step: {name: count for name, count in counts.items() if name not in ("seconds", "snapshots", "base")}
            for step, counts in of.counts.items()
        }
        for engine, of in left.items()
    }
    for counts in kept.values():  # roots are over salted rows, whose salts are random
        counts["diff"]["rows"] = {
            table: sum(rows for _, rows, _ in files) for table, files in counts["diff"]["rows"].items()
        }
    assert kept["spark"] == kept["duckdb"]


def test_both_engines_leave_the_same_rows(left: dict[str, Left]) -> None:
    here, there = left["duckdb"], left["spark"]
    assert there.tables() == here.tables()
    for table in here.tables():
        if table.startswith("salts/"):
            continue
        (columns, ours), (their_columns, theirs) = here.rows(table), there.rows(table)
        assert their_columns == columns, table
        assert len(theirs) == len(ours) > 0, table
        different = [(a, b) for a, b in zip(ours, theirs, strict=True) if not _same(a, b)]
        assert different[:3] == [], f"{table}: {len(different)} of {len(ours)}"


def _same(left: object, right: object) -> bool:
    if isinstance(left, float) and isinstance(right, float):
        return math.isclose(left, right, rel_tol=1e-9, abs_tol=1e-12)
    if isinstance(left, tuple) and isinstance(right, tuple):
        return len(left) == len(right) and all(map(_same, left, right))
    return left == right
