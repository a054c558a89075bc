"""One small world and its running agencies for all tests of the simulators."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from simulators import Agencies, make_world


@pytest.fixture(scope="session")
def world() -> Iterator[tuple[Path, dict[str, Any]]]:
    """A world of 3,000 people with two days of changes, and its counts."""
    # Not pytest's own folder: PostgreSQL runs as another user and must be able to walk to its data.
    folder = Path(tempfile.mkdtemp(prefix="motlan-simulators-"))
    yield folder, make_world(folder, people=3000, seed=11, days=2)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def agencies(world: tuple[Path, dict[str, Any]]) -> Iterator[Agencies]:
    """The four agencies of the world, on day 0, with a capacity that only its own test reaches."""
    with Agencies(world[0], insurance_capacity=500) as running:
        yield running


@pytest.fixture
def sql(world: tuple[Path, dict[str, Any]]) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection with views `persons`, `truth_rows`, `dirt`, `histories` and one for each dataset's served rows."""
    folder, counts = world
    with duckdb.connect() as con:
        con.execute(f"CREATE VIEW persons AS FROM read_parquet('{folder}/truth/persons.parquet')")
        con.execute(f"CREATE VIEW truth_rows AS FROM read_parquet('{folder}/truth/rows.parquet')")
        con.execute(f"CREATE VIEW dirt AS FROM read_parquet('{folder}/truth/dirt.parquet')")
        con.execute(f"CREATE VIEW histories AS FROM read_parquet('{folder}/truth/histories.parquet')")
        for dataset in counts["rows"]:
            con.execute(f"CREATE VIEW {dataset} AS FROM read_parquet('{folder}/registers/{dataset}/rows.parquet')")
        yield con
