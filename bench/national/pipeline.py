"""The bus's own way from landed rows to a publication and its load into PostgreSQL, step by step, resumable.

Some ranges of a dataset are one sync run; one reconcile run follows all of them. Which of them exist, and which steps they
finished, the store remembers: nothing is done twice. Only the step that lands is the benchmark's own, because the rows come
from the generator's files instead of an agency's line: in chunks as landing cuts them, watched for drift, written by
landing's own `write_chunks`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import sqlalchemy as sa

from bench.national.watch import Steps
from motlan import pipeline
from motlan.adapter import LOCATOR
from motlan.config.registry import Dataset
from motlan.ingest import drift
from motlan.ingest.land import write_chunks
from motlan.ingest.raw_columns import names, stored
from motlan.lake.tables import raw_table
from motlan.ledger import runs
from motlan.ledger.results import Linked
from motlan.ledger.runs import Counts
from motlan.settings import sizes
from motlan.store import Store, tables
from motlan.workspace import Workspace, open_workspace

RECONCILE = ("link", "merge", "cross_check", "diff", "publish")
SYNC = ("land", "clean", "commit")
PAYLOAD = "0" * 64
PAGE_ROWS = 5_000


@dataclass(frozen=True)
class Setting:
    """Where a benchmark works, and under which limits.

    Attributes:
        folder: The work folder.
        memory_limit: The engine's limit, such as `4GB`.
        threads: The engine's threads.
        load: Whether the publication is loaded into PostgreSQL.
        lean: Whether a file of the generator goes as soon as its rows are in the lake.
        ranges_a_run: Ranges that one sync run lands and cleans: each run costs about a second of its own.
    """

    folder: Path
    memory_limit: str
    threads: int
    load: bool = True
    lean: bool = False
    ranges_a_run: int = 5

    @property
    def var(self) -> Path:
        """The installation's state."""
        return self.folder / "var"

    @property
    def landed(self) -> Path:
        """The generator's rows, by dataset and range."""
        return self.folder / "world" / "landed"

    @property
    def truth(self) -> Path:
        """The generator's truth, by kind and range."""
        return self.folder / "world" / "truth"

    def files(self, dataset: str) -> list[Path]:
        """Return a dataset's files, a range each."""
        return sorted((self.landed / dataset).glob("*.parquet"))

    def count(self) -> None:
        """Write down how many rows each file has, once all are made."""
        counts = {
            folder.name: [pq.read_metadata(path).num_rows for path in self.files(folder.name)]
            for folder in sorted(self.landed.iterdir())
        }
        (self.folder / "rows.json").write_text(json.dumps(counts), encoding="utf-8")

    def rows(self, dataset: str) -> list[int]:
        """Return how many rows a dataset has in each range."""
        counts: dict[str, list[int]] = json.loads((self.folder / "rows.json").read_text(encoding="utf-8"))
        return counts[dataset]

    def enter(self) -> None:
        """Let this process work on the installation in the work folder."""
        os.environ.pop("MOTLAN_DATABASE_URL", None)
        os.environ |= {
            "MOTLAN_VAR": str(self.var),
            "MOTLAN_MEMORY_LIMIT": self.memory_limit,
            "MOTLAN_THREADS": str(self.threads),
        }


def run(steps: Steps, setting: Setting) -> dict[str, Any]:
    """Land, clean, link, merge, check across, compare, publish and load.

    Returns:
        `run` (the reconcile run), `rows`, `accepted`, `quarantined`, `persons`.
    """
    setting.enter()
    work = open_workspace()
    totals = {"rows": 0, "accepted": 0, "quarantined": 0}
    for dataset in work.registry.datasets.values():
        begun = _runs(work.store, "sync", dataset.name)
        counts = setting.rows(dataset.name)
        for number, first in enumerate(range(0, len(counts), setting.ranges_a_run)):
            name = begun[number] if number < len(begun) else pipeline.begin_sync(dataset.name)["run"]
            ranges = range(len(counts))[first : first + setting.ranges_a_run]
            paths = [setting.landed / dataset.name / f"{place:06d}.parquet" for place in ranges]
            done = _sync(steps, work, name, paths, sum(counts[place] for place in ranges), sum(counts))
            for path in paths if setting.lean else ():
                path.unlink(missing_ok=True)
            totals["rows"] += done["land"]["landed"]
            totals["accepted"] += done["clean"]["accepted"]
            totals["quarantined"] += done["clean"]["quarantined"]
    name = _reconcile_run(work.store)
    _reconcile(steps, work.store, name, totals["rows"])
    if setting.load:
        with steps.step("project", rows=totals["rows"]):
            pipeline.project(name)
    return {"run": name, **totals, "persons": runs.get(work.store, name).result(Linked).persons}


def _runs(store: Store, kind: str, subject: str) -> list[str]:
    """Return the runs that were begun, oldest first: the first is the first range's, and so on."""
    table = tables.runs.c
    query = sa.select(table.id).where(table.kind == kind, table.subject == subject).order_by(table.id)
    with store.engine.connect() as opened:
        return list(opened.scalars(query))


def _reconcile_run(store: Store) -> str:
    for name in _runs(store, "reconcile", open_workspace().registry.linked().name):
        if "begin" in runs.get(store, name).steps:
            return name
    return str(pipeline.begin_reconcile()["run"])


def _sync(steps: Steps, work: Workspace, run: str, paths: list[Path], rows: int, announced: int) -> dict[str, Counts]:
    found = runs.get(work.store, run)
    calls = {
        "land": lambda: land(steps, work, run, paths, announced),
        "clean": lambda: pipeline.clean(run),
        "commit": lambda: pipeline.commit_sync(run),
    }
    for name in SYNC:
        if name not in found.steps:
            with steps.step(name, f"{found.subject} {paths[0].stem}", rows):
                calls[name]()
    return runs.get(work.store, run).steps


def _reconcile(steps: Steps, store: Store, run: str, rows: int) -> None:
    done = runs.get(store, run).steps
    for name in RECONCILE:
        if name not in done:
            with steps.step(name, rows=rows):
                getattr(pipeline, name)(run)


def land(steps: Steps, work: Workspace, run: str, paths: list[Path], announced: int) -> Counts:
    """Land files of the generator as a sync run's rows; counts as `motlan.ingest.land.land` returns them."""

    def do(current: runs.Run) -> Counts:
        dataset = work.registry.dataset(current.subject)
        return work.staged(run, "land", [raw_table(dataset.name)], lambda: _write(steps, work, dataset, run, paths))

    counts = {"source_total": announced, "source_as_of": None}
    return runs.step(work.store, run, "land", lambda current: {**do(current), **counts})


def _write(steps: Steps, work: Workspace, dataset: Dataset, run: str, paths: list[Path]) -> Counts:
    watcher = drift.Watcher(work.store, dataset)
    landed, newest = 0, ("", "")

    raw = names(dataset.columns)

    def chunks() -> Iterator[tuple[pa.Table, dict[str, str]]]:
        nonlocal landed, newest
        for number, batch in enumerate(_batches(paths)):
            rows = _as_pulled(pa.Table.from_batches([batch]), dataset, run)
            if watcher.see(rows, raw):
                watcher.drift.chunks.append(number)
            newest = max(newest, _newest(rows, dataset))
            landed += rows.num_rows
            yield _as_paged(rows), raw
            steps.at(landed)

    total = sum(pq.read_metadata(path).num_rows for path in paths)
    with work.engine(f"landing {dataset.name}") as engine:
        digests = write_chunks(work, engine, dataset, run, chunks(), total)
    return {
        "pulled": landed,
        "landed": landed,
        "source_rows": landed,
        "cursor": newest[0],
        "key": newest[1],
        "chunks": digests,
        "drift": watcher.drift.counts(),
        "profile": watcher.profile.counts(),
    }


def _newest(rows: pa.Table, dataset: Dataset) -> tuple[str, str]:
    """Return the greatest cursor, and the greatest key that has it."""
    keys, cursors = rows[stored(dataset.key)], rows[stored(dataset.cursor)]
    cursor = pc.max(cursors)
    return cursor.as_py(), pc.max(keys.filter(pc.equal(cursors, cursor))).as_py()


def _batches(paths: list[Path]) -> Iterator[pa.RecordBatch]:
    for path in paths:
        yield from pq.ParquetFile(path).iter_batches(sizes().landed_chunk_rows)


def _as_pulled(rows: pa.Table, dataset: Dataset, drop: str) -> pa.Table:
    """Name the generator's columns as landing does; what it never sends is null, and a run is a drop."""
    named = {dataset.key: "_key", dataset.moment: "_moment"}
    sent = {name: rows[column] for name in dataset.columns if (column := named.get(name, name)) in rows.column_names}
    absent = {dataset.cursor: pa.repeat(pa.scalar(drop), rows.num_rows)} if dataset.cursor not in sent else {}
    nothing = pa.nulls(rows.num_rows, pa.string())
    return pa.table({stored(name): sent.get(name, absent.get(name, nothing)) for name in dataset.columns})


def _as_paged(rows: pa.Table) -> pa.Table:
    """Tell where rows came from, as pages of a payload."""
    pages = [
        pa.repeat(pa.scalar(f"page {first // PAGE_ROWS}"), min(PAGE_ROWS, rows.num_rows - first))
        for first in range(0, rows.num_rows, PAGE_ROWS)
    ]
    payload = pa.repeat(pa.scalar(PAYLOAD), rows.num_rows)
    return rows.append_column("_payload", payload).append_column(LOCATOR, pa.chunked_array(pages, pa.string()))
