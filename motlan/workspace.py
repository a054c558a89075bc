"""What every step is given: the declared half, the store, the lake and an engine that may read just our own files."""

from __future__ import annotations

import json
import re
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar, cast

import duckdb

from motlan import processes
from motlan import settings as environment
from motlan.config import registry as declared
from motlan.config.registry import Dataset, Registry
from motlan.errors import ConfigurationError, ContractError
from motlan.expressions import (
    DUCKDB,
    Dialect,
    abreast,
    code_lists,
    code_lists_digest,
    connect,
    failure,
    fingerprint,
    literal,
    load_code_lists,
    quote,
)
from motlan.expressions.duckdb.named import NAMED, named_calls
from motlan.expressions.duckdb.session import Session
from motlan.lake.iceberg import Lake, read_parquet
from motlan.lake.newest import newest
from motlan.lake.tables import clean_table, gone_table, published
from motlan.ledger import runs
from motlan.ledger.runs import Counts
from motlan.settings import Settings
from motlan.store import Store, open_store
from motlan.store.folders import make_private

T = TypeVar("T")
R = TypeVar("R")
_PATH = re.compile(r"(/[^'\"\n]*?\.parquet)")
INTERRUPTED = "Query interrupted"
"""What the engine says of Ctrl-C in the middle of a query, in the place of `KeyboardInterrupt`."""
RESTORING = "restoring"
"""File in the installation's folder while a backup is brought back into it."""
PART_BYTES = 2 * 10**9
"""Memory that the engine needs for a part of persons."""


@dataclass(frozen=True)
class Workspace:
    """One opened installation."""

    settings: Settings
    registry: Registry
    store: Store
    lake: Lake

    @contextmanager
    def engine(self, where: str, *, of: int = 1) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open an engine connection with the code lists loaded.

        Its errors are wrapped, because they quote values.

        Args:
            where: The step and its subject, named in errors.
            of: How many of them share the installation's memory and threads.

        Raises:
            ContractError: A query failed on the data.
            EngineError: Memory or disk ran out.
            InternalError: A query of ours is wrong.
        """
        with self.own_folder() as spilled:
            connection = connect(
                temp_dir=spilled,
                allowed=[self.settings.lake, self.registry.code_lists, self.settings.scratch],
                **self.settings.share(of),
            )
            try:
                with self._engine_errors(where):
                    load_code_lists(connection, self.registry.code_lists)
                    yield connection
            finally:
                connection.close()

    @contextmanager
    def small_engine(self, where: str) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open an engine connection for few rows: nothing spills, and what queries call by name is made once in a process.

        Its tables must be temporary; errors are as of `engine`.

        Args:
            where: What is done, named in errors.
        """
        lists = tuple((path, path.stat().st_mtime_ns) for path in sorted(self.registry.code_lists.glob("*.csv")))
        allowed = (self.settings.lake, self.registry.code_lists, self.settings.scratch)
        with self._engine_errors(where):
            kept = _small(allowed, lists, fingerprint(), **self.settings.share(1))
            with kept.beside() as session:
                yield cast(duckdb.DuckDBPyConnection, session)

    @contextmanager
    def _engine_errors(self, where: str) -> Iterator[None]:
        """Wrap the engine's errors, because they quote values."""
        try:
            yield
        except RuntimeError as error:
            if str(error) == INTERRUPTED:
                raise KeyboardInterrupt from None
            raise
        except duckdb.Error as error:
            if self.settings.debug_sql:
                raise
            if known := failure(error, where):
                raise known from None
            if file := self._file_of(error):
                raise ContractError(
                    f"the file {file} is missing or damaged", where=where, next_step="restore it from a backup."
                ) from None
            raise ContractError(
                f"the engine refused a query on this data ({type(error).__name__})",
                where=where,
                next_step="run the step again with MOTLAN_DEBUG_SQL=1 on synthetic data to see the query.",
            ) from None

    @contextmanager
    def own_folder(self) -> Iterator[Path]:
        """Make a folder of the scratch folder for this block alone, under this process's name, and remove it at the end.

        Sessions that share a folder would remove each other's spilled files. What a killed process leaves in its folder is
        known by the name, and swept by the next run.
        """
        process = self.settings.scratch / processes.me().folder
        folder = process / secrets.token_hex(8)
        while not folder.is_dir():
            with suppress(FileNotFoundError):  # the last one of this process just removed the folder around it
                folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            with suppress(OSError):  # others of this process are at work
                process.rmdir()

    def _file_of(self, error: duckdb.Error) -> str | None:
        """Return which of our own files an engine's error is about, by its path under the installation's folder."""
        if not isinstance(error, (duckdb.IOException, duckdb.InvalidInputException, duckdb.SerializationException)):
            return None
        for path in _PATH.findall(str(error)):
            if Path(path).is_relative_to(self.settings.var):
                return str(Path(path).relative_to(self.settings.var))
        return None

    @contextmanager
    def bulk_engine(self, where: str) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open the engine that runs the steps: DuckDB as `engine` does, or the one that `MOTLAN_ENGINE` names.

        Another engine's session has the part of a DuckDB connection's face that steps use, and reads their SQL, which inside
        is written with calls by name.

        Args:
            where: The step and its subject, named in errors.

        Raises:
            ConfigurationError: The other engine is not installed, or does not know what a step asks.
            ContractError: A query failed on the data.
        """
        if self.settings.engine == "duckdb":
            with self.engine(where) as engine:
                yield engine
            return
        try:
            from motlan.expressions.spark.session import SparkEngine
        except ImportError as error:
            raise ConfigurationError(
                f"{error.name} is not installed",
                where="MOTLAN_ENGINE=spark",
                next_step="uv pip install -e '.[spark]', or unset MOTLAN_ENGINE.",
            ) from None
        master, codes, debug = self.settings.spark_master, self.registry.code_lists, self.settings.debug_sql
        with (
            self.own_folder() as folder,
            SparkEngine(master, folder, codes, where, debug=debug) as spark,
            self.calls(),
        ):
            yield cast(duckdb.DuckDBPyConnection, spark)

    def side_by_side(
        self, where: str, tasks: Sequence[T], do: Callable[[duckdb.DuckDBPyConnection, T], R], *, need: int = PART_BYTES
    ) -> Iterator[R]:
        """Do tasks that know nothing of each other, as many at a time as the limits let; give results in the tasks' order.

        Args:
            where: The step and its subject, named in errors.
            tasks: What to do.
            do: Does one on an engine session of its own, of those that `bulk_engine` opens; see `abreast`.
            need: The memory that the engine needs for one, in bytes.

        Raises:
            ContractError: A query failed on the data.
        """
        if not tasks:
            return
        fit = self.settings.abreast(len(tasks), need)
        if fit == 1 or self.settings.engine != "duckdb":  # Spark runs its tasks side by side itself
            sessions = [self.bulk_engine(where)]
        else:
            sessions = [self.engine(where, of=fit) for _ in range(fit)]
        yield from abreast(sessions, tasks, do)

    @property
    def dialect(self) -> Dialect:
        """How expressions are written in the SQL that `bulk_engine` runs: in full, or with calls by name for another engine."""
        return NAMED if self.settings.engine == "spark" else DUCKDB

    def calls(self) -> AbstractContextManager[None]:
        """Let expressions be written as the engine of the steps reads them."""
        return named_calls(self.settings.engine == "spark")

    def scratch(self, run: str) -> Path:
        """Return the folder for what passes between the steps of one run, made where missing."""
        folder = self.settings.scratch / run
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def kept(self, run: str, name: str) -> str:
        """Return the SQL of the rows that a step kept by a name in a run's scratch folder."""
        return read_parquet(sorted(map(str, (self.settings.scratch / run / name).rglob("*.parquet"))))

    def facts(self, entity: str, inputs: Mapping[str, Sequence[str]]) -> str:
        """Return the SQL of what the registers say now of an entity: each source record's newest accepted row.

            Columns: `dataset`, `_key`, `_ref`, `_moment`, `_version`, `_errors`, and the entity's fields, null where a
        register does not know one. A newer row in quarantine does not hide the older accepted one. Records that their register
        no longer has are left out.

        Args:
            entity: The entity's name.
            inputs: Dataset -> the sync runs to read.
        """
        parts = [
            but_gone(newest(dataset, files, f"_version, _errors, {said}"), self.gone_files(dataset.name, inputs))
            for dataset, files, said in self._accepted(entity, inputs)
        ]
        if not parts:
            raise ContractError(
                f"no rows of {entity} are landed", next_step="run `motlan sync` for its datasets first."
            )
        return "(" + "\nunion all\n".join(f"from ({part})" for part in parts) + ")"

    def values(self, entity: str, inputs: Mapping[str, Sequence[str]]) -> str:
        """Return the SQL of the values that the registers ever said of an entity: its fields, of every accepted row."""
        parts = [f"select {said} from {read_parquet(files)}" for _, files, said in self._accepted(entity, inputs)]
        return f"({' union all '.join(parts)})"

    def accepted(self, entity: str, inputs: Mapping[str, Sequence[str]]) -> str:
        """Return the SQL of every accepted row of an entity, older ones and those that were taken back too.

        Columns: `dataset`, `_key`, `_ref`, and the fields.
        """
        parts = [
            f"select {literal(dataset.name)} as dataset, _key, _ref, {said} from {read_parquet(files)}"
            for dataset, files, said in self._accepted(entity, self.with_retracted(inputs))
        ]
        return f"({' union all '.join(parts)})"

    def with_retracted(self, inputs: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
        """Return sync runs by dataset, and those that were taken back: what links before rest on."""
        with self.store.engine.connect() as connection:
            taken = runs.retracted(connection, list(inputs))
        return {name: sorted({*read, *taken.get(name, ())}) for name, read in inputs.items()}

    def _accepted(self, entity: str, inputs: Mapping[str, Sequence[str]]) -> Iterator[tuple[Dataset, list[str], str]]:
        """Give the datasets of an entity of which rows were accepted, the files of these, and the SQL of its fields in them."""
        for dataset in self.registry.datasets_of(entity):
            if files := self.clean_files(dataset.name, inputs):
                fields = self.registry.entity(entity).fields
                known = (quote(name) if name in dataset.fields else f"null::varchar as {name}" for name in fields)
                yield dataset, files, ", ".join(known)

    def clean_files(self, dataset: str, inputs: Mapping[str, Sequence[str]]) -> list[str]:
        """Return the files of a dataset's accepted rows that some sync runs added; none where it has no table yet."""
        return self.lake.files(clean_table(dataset), set(inputs.get(dataset, ())))

    def gone_files(self, dataset: str, inputs: Mapping[str, Sequence[str]]) -> list[str]:
        """Return the files that name the records which a register no longer had, as some sync runs found."""
        return self.lake.files(gone_table(dataset), set(inputs.get(dataset, ())))

    def published_rows(self, entity: str, table: str) -> str | None:
        """Return the SQL of the published rows of one of a linked entity's tables (see `motlan.lake.tables`); None where it has
        none.
        """
        with self.store.engine.connect() as connection:
            return published(self.lake, table, runs.visible(connection, "reconcile", entity))

    def staged(
        self, run: str, step: str, tables: Sequence[str], write: Callable[[], Counts], *, resumes: bool = False
    ) -> Counts:
        """Let a step write its files, mark them as finished, and add them to their tables: a kill at any point is harmless.

        Before its completion marker, a retry begins anew; after it, a retry only commits. What was committed is never rewritten.

        Args:
            run: The run's id.
            step: The step's name.
            tables: The lake's tables that it writes.
            write: Writes the files; returns small counts.
            resumes: Whether it marks files as finished by itself, and writes every other one again under its name.

        Returns:
            The counts, with `snapshots`: table -> the lake's snapshot id.
        """
        marker = self.scratch(run) / f"{step}.done.json"
        if not marker.exists() and not resumes:
            for table in tables:
                for partial in self.lake.folder(table, run).glob("*.parquet"):
                    partial.unlink()
        counts = run_once(marker, write)
        snapshots = {table: self.lake.commit(table, run) for table in tables}
        return {**counts, "snapshots": {table: snapshot for table, snapshot in snapshots.items() if snapshot}}

    def sweep(self, run: str) -> None:
        """Remove what passed between the steps of a finished run."""
        shutil.rmtree(self.settings.scratch / run, ignore_errors=True)

    def engine_version(self) -> dict[str, str]:
        """Describe what a version must pin beside its query: the engine, and the contents of the code lists."""
        folder = self.registry.code_lists
        return {"engine": fingerprint(), "code_lists": code_lists_digest(folder, code_lists(folder))}


@lru_cache(maxsize=1)
def _small(allowed: tuple[Path, ...], _lists: tuple[tuple[Path, int], ...], _made: str, **limits: Any) -> Session:
    """Keep one session of a process, for as long as code lists and macros stay as they are; others are opened beside it."""
    connection = cast(Session, connect(allowed=allowed, **limits))
    load_code_lists(cast(duckdb.DuckDBPyConnection, connection), allowed[1])
    return connection


def run_once(marker: Path, do: Callable[[], Counts]) -> Counts:
    """Do something, and leave its counts in a completion marker; where there is one, just read them."""
    if not marker.exists():
        draft = marker.with_suffix(".draft")
        draft.write_text(json.dumps(do()), encoding="utf-8")
        draft.rename(marker)
    counts: Counts = json.loads(marker.read_text(encoding="utf-8"))
    return counts


def but_gone(rows: str, gone: Sequence[str]) -> str:
    """Return the SQL of rows without those that were landed before their record was gone.

    Args:
        rows: Query or relation with `_key` and `_ref`.
        gone: Files of the dataset's `gone_table`.
    """
    if not gone:
        return rows
    return (
        f"(select rows.* from ({_relation(rows)}) as rows anti join {gone_marks(gone)} as marks "
        "on gone_key = rows._key and rows._ref < gone_run)"
    )


def gone_marks(gone: Sequence[str]) -> str:
    """Return the SQL of the records that some files name: `gone_key`, and `gone_run`, the last run that found it so."""
    return f"(select _key as gone_key, max(_run) as gone_run from {read_parquet(gone)} group by _key)"


def _relation(rows: str) -> str:
    return rows if rows.lstrip().lower().startswith("select") else f"from {rows}"


def open_workspace() -> Workspace:
    """Open the installation that the environment names."""
    settings = environment.load()
    if (settings.var / RESTORING).exists():
        raise ConfigurationError(
            "a restore into this folder is under way, or was stopped",
            where=str(settings.var),
            next_step="wait for its end; where nobody is at work on it, remove the folder and run `motlan restore` again.",
        )
    make_private(*settings.private)
    store = open_store(settings)
    return Workspace(settings, declared.load(settings.home), store, Lake(settings, store))
