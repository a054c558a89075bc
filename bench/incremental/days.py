"""The steps of a day and of a full run on an installation of the benchmark's own, measured."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import duckdb
import psutil
import pyarrow.parquet as pq
import yaml

from bench.incremental.changes import files_of
from bench.national.pipeline import land
from bench.national.watch import Steps
from bench.states import open_findings, scores, written
from motlan import pipeline
from motlan import settings as environment
from motlan.expressions.duckdb.session import Session
from motlan.ledger.runs import Counts
from motlan.store import server
from motlan.workspace import open_workspace

ENTITY = "person"
Measured = dict[str, Any]
"""`seconds` and `bytes` (step -> what it took and asked to read), and what else was found out."""
STEPS = ("link", "merge", "cross_check", "diff")


class _Unwatched(Steps):
    """What `bench.national.pipeline.land` reports its progress to: nobody."""

    def __init__(self) -> None:
        pass

    def at(self, rows: int) -> None:
        """Do nothing."""


class Installation:
    """A bus with a folder of its own.

    Args:
        folder: The benchmark's folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    @contextmanager
    def opened(cls, folder: Path, memory_limit: str, threads: int) -> Iterator[Installation]:
        """Let this process work on the installation in the benchmark's folder; its server ends with the block."""
        home = _declare(folder / "home")
        given = {
            "MOTLAN_HOME": str(home),
            "MOTLAN_VAR": str(folder / "var"),
            "MOTLAN_MEMORY_LIMIT": memory_limit,
            "MOTLAN_THREADS": str(threads),
        }
        with patch.dict(os.environ, given):
            os.environ.pop("MOTLAN_DATABASE_URL", None)
            try:
                yield cls(folder)
            finally:
                server.stop(replace(environment.load(), database_url=None))

    def sync_all(self, day: int | None) -> Measured:
        """Land, clean and commit what all registers send on a day; nothing where there is none."""
        measured: Measured = {"seconds": {}, "bytes": {}, "rows": 0}
        work = open_workspace()
        for name in work.registry.datasets:
            paths = [] if day is None else files_of(self.folder, name, day)
            rows = sum(pq.read_metadata(path).num_rows for path in paths)
            total = sum(pq.read_metadata(path).num_rows for path in files_of(self.folder, name, 0))
            measured["rows"] += rows
            run = _timed(measured, "land", partial(pipeline.begin_sync, name))["run"]
            _timed(measured, "land", partial(land, _Unwatched(), work, run, paths, total))
            _timed(measured, "clean", partial(pipeline.clean, run))
            _timed(measured, "commit", partial(pipeline.commit_sync, run))
        return measured

    def day(self, day: int | None) -> Measured:
        """Bring what the registers send on a day from landing to projection."""
        return self._publish(self.sync_all(day), full=False)

    def first(self) -> Measured:
        """Bring everything from landing to projection."""
        return self._publish(self.sync_all(0), full=True)

    def profiled(self, day: int) -> Measured:
        """Do a day under the engine's profiler: `scanned`, the rows that its scans gave from the reconcile's begin to its end."""
        measured = self.sync_all(day)
        with _profiled() as scanned:
            return self._publish(measured, full=False, inside=scanned)

    def full(self) -> Measured:
        """Reconcile everything once more, under the profiler; `equal` where it wrote no row, and scored as the last run did."""
        work = open_workspace()
        before, last = open_findings(work), json.loads((self.folder / "last.json").read_text(encoding="utf-8"))
        measured: Measured = {"seconds": {}, "bytes": {}}
        with _profiled() as scanned:
            run, counts = self._reconcile(measured, full=True)
            measured["scanned"] = scanned()
        added = written(work, run, ENTITY)
        diff, link = counts["diff"], counts["link"]
        changed = [link["changed"], *(diff[name] for name in ("versions", "corrections", "findings"))]
        changed += [beside["versions"] for beside in diff["related_entities"].values()]
        pipeline.publish(run)
        same = scores(work, run) == scores(work, last["run"]) and open_findings(work) == before
        measured |= {"equal": not added and not any(changed) and same, "same_scores": same}
        measured |= {"written": {table: len(files) for table, files in added.items()}, "changed": changed}
        return measured

    def _publish(self, measured: Measured, *, full: bool, inside: Callable[[], int] = lambda: 0) -> Measured:
        run, counts = self._reconcile(measured, full=full)
        measured["scanned"] = inside()
        _timed(measured, "publish", lambda: pipeline.publish(run))
        _timed(measured, "project", lambda: pipeline.project(run))
        _timed(measured, "care", lambda: pipeline.care(entity=ENTITY))
        measured["scope"] = counts["link"]["scope"]
        measured["why"] = counts["link"]["why"]
        if counts["diff"]["changes"]:
            (self.folder / "last.json").write_text(json.dumps({"run": run}), encoding="utf-8")
        return measured

    def _reconcile(self, measured: Measured, *, full: bool) -> tuple[str, dict[str, Counts]]:
        run = str(_timed(measured, "begin", partial(pipeline.begin_reconcile, ENTITY, full=full))["run"])
        return run, {name: _timed(measured, name, partial(getattr(pipeline, name), run)) for name in STEPS}


def _timed(measured: Measured, step: str, do: Callable[[], Counts]) -> Counts:
    """Do something, and add its seconds and the bytes that the process asked to read."""
    process = psutil.Process()
    before, began = process.io_counters().read_chars, time.perf_counter()
    done = do()
    seconds, read = time.perf_counter() - began, process.io_counters().read_chars - before
    measured["seconds"][step] = measured["seconds"].get(step, 0.0) + seconds
    measured["bytes"][step] = measured["bytes"].get(step, 0) + read
    return done


@contextmanager
def _profiled() -> Iterator[Callable[[], int]]:
    """Let the engine's sessions count the rows that scans give; gives what returns them, of all queries until then."""
    total, connect, execute = [0], duckdb.connect, Session.execute

    def opened(*given: Any, **named: Any) -> duckdb.DuckDBPyConnection:
        connection = connect(*given, **named)
        connection.execute("set enable_profiling = 'no_output'")
        return connection

    def counted(connection: duckdb.DuckDBPyConnection) -> None:
        try:
            told = json.loads(connection.get_profiling_information())
        except (duckdb.Error, ValueError):  # it is closed, or did nothing yet
            return
        total[0] += int(told.get("query", {}).get("total_rows_scanned", 0))

    def executed(self: Session, query: str, parameters: object = None) -> duckdb.DuckDBPyConnection:
        result = execute(self, query, parameters)
        counted(self.connection)
        return result

    with patch.object(duckdb, "connect", opened), patch.object(Session, "execute", executed):
        yield lambda: total[0]


def _declare(home: Path) -> Path:
    """Make the declared half in a folder: as it is, but for the limits of change."""
    if home.exists():
        return home
    real, draft = environment.declared_home(), home.with_suffix(".draft")
    shutil.rmtree(draft, ignore_errors=True)
    for name in ("adapters", "mapping"):
        shutil.copytree(real / name, draft / name, ignore=shutil.ignore_patterns("__pycache__"))
    path = draft / "mapping" / "breakers.yaml"
    limits = yaml.safe_load(path.read_text(encoding="utf-8"))
    for entity in limits.values():
        entity["minimum"] = 10**9
    path.write_text(yaml.safe_dump(limits, allow_unicode=True), encoding="utf-8")
    draft.rename(home)
    return home
