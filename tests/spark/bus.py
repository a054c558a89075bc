"""A bus over simulated registers: the same runs and the same secrets in each, so that two engines must leave the same rows."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import duckdb
import pytest
import sqlalchemy as sa

from motlan import pipeline
from motlan.config.registry import Dataset
from motlan.expressions import literal, quote
from motlan.ingest.raw_columns import stored
from motlan.lake.tables import raw_table
from motlan.ledger import runs
from motlan.ledger.runs import Counts
from motlan.merge import related_entities, value_overrides
from motlan.store import tables
from motlan.workspace import Workspace, open_workspace

RECONCILE = "20260101T000000000000-ffff"
STEPS = ("link", "merge", "cross_check", "diff")


def run_of(dataset: str) -> str:
    """Return the id of a dataset's sync run: the same in every bus."""
    return f"20260101T000000000000-{dataset}"


def land(work: Workspace, world: Path, dataset: Dataset) -> None:
    """Put a simulated register's rows where landing leaves them."""
    run = begin("sync", dataset.name, run_of(dataset.name))
    table = raw_table(dataset.name)

    def write() -> Counts:
        landed = _write(
            world / "registers" / dataset.name / "rows.parquet", work.lake.folder(table, run.id), run.id, dataset
        )
        return {
            "landed": landed,
            "pulled": landed,
            "source_rows": landed,
            "source_total": landed,
            "drift": {},
            "profile": {},
            "cursor": "",
            "chunks": [],
        }

    runs.step(work.store, run.id, "land", lambda _: work.staged(run.id, "land", [table], write))


def _write(source: Path, folder: Path, run: str, dataset: Dataset) -> int:
    rows = f"read_parquet({literal(str(source))})"
    named = {dataset.key: "_key", dataset.moment: "_moment"}
    with duckdb.connect() as con:
        sent = {row[0] for row in con.execute(f"describe from {rows}").fetchall()}
        columns = [(named.get(name, name), name) for name in dataset.columns if named.get(name, name) in sent]
        own = ", ".join(f"{literal(64 * chr(48))} as {name}" for name in ("_payload", "_salt", "_commitment"))
        raw = ", ".join(f"{quote(here)} as {quote(stored(name))}" for here, name in columns)
        con.execute(
            f"""copy (select {literal(run + "/0/")} || (row_number() over (order by _pos) - 1) as _ref, {literal(run)} as _run,
                    _key, _moment as _cursor, _moment, 'page 0' as _locator, {own}, {raw} from {rows} order by _pos)
                to {literal(str(folder / "000000.parquet"))} (format parquet)"""
        )
        landed: int = con.execute(f"select count(*) from {rows}").fetchall()[0][0]
    return landed


def begin(kind: str, subject: str, run: str) -> runs.Run:
    """Open a run by an id of our own."""
    store = open_workspace().store
    with store.engine.begin() as connection:
        connection.execute(sa.insert(tables.runs).values(id=run, kind=kind, subject=subject, state="running"))
    return runs.get(store, run)


@contextmanager
def fixed_reconcile() -> Iterator[None]:
    """Let reconcile runs have the one id."""
    with patch.object(runs, "begin", lambda _store, kind, subject, *_, **__: begin(kind, subject, RECONCILE)):
        yield


def open_bus(world: Path) -> Workspace:
    """Open the bus of the environment, its secrets fixed and every register landed."""
    work = open_workspace()
    with work.store.engine.begin() as connection:
        for name in ("person ids", related_entities.SECRET, value_overrides.SECRET):
            connection.execute(sa.insert(tables.secrets).values(name=name, value=name.encode().ljust(32, b".")))
    for dataset in work.registry.datasets.values():
        land(work, world, dataset)
    return work


def clean(work: Workspace, by_engine: Collection[str]) -> dict[str, Counts]:
    """Clean and check every register, two at a time as tasks of Airflow's are, and make the runs visible in their order.

    Args:
        work: The bus.
        by_engine: Registers that the environment's engine cleans; DuckDB cleans the others.
    """
    names, counts = list(work.registry.datasets), {}
    with ThreadPoolExecutor(2) as pool, pytest.MonkeyPatch.context() as patch:
        some = [name for name in names if name in by_engine]
        counts |= dict(zip(some, pool.map(pipeline.clean, map(run_of, some)), strict=True))
        patch.setenv("MOTLAN_ENGINE", "duckdb")
        others = [name for name in names if name not in by_engine]
        counts |= dict(zip(others, pool.map(pipeline.clean, map(run_of, others)), strict=True))
    for name in names:
        pipeline.commit_sync(run_of(name))
    return counts


def reconcile() -> dict[str, Counts]:
    """Do the steps of a reconcile run."""
    with fixed_reconcile():
        run = pipeline.begin_reconcile()["run"]
    return {name: getattr(pipeline, name)(run) for name in STEPS}


def run_all(world: Path, environment: Mapping[str, str], by_engine: Collection[str]) -> tuple[dict[str, Counts], Path]:
    """Do all steps in a bus that an environment names; return their counts by name, and the lake's folder.

    Args:
        world: The simulated registers.
        environment: Its settings.
        by_engine: Registers that its engine cleans, as `clean` takes them.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        patch.setenv("MOTLAN_RANDOM_ROWS", "100")  # 10,000 random pairs: Spark compares names slowly
        work = open_bus(world)
        return clean(work, by_engine) | reconcile(), work.lake.root
