"""A Spark session with the part of a DuckDB connection's face that the steps use.

Statements come in DuckDB's SQL with calls by name, and are written in Spark's by `spark_steps`. Each table is computed once,
when it is made, and kept as a checkpoint; a view is computed by whoever reads it.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from motlan.errors import ConfigurationError, ContractError
from motlan.expressions.duckdb.code_lists import code_tables
from motlan.expressions.failures import failure
from motlan.expressions.spark import steps
from motlan.expressions.spark.dialect import SPARK
from motlan.expressions.spark.parse import UnreadableError
from motlan.expressions.spark.start import settings, start
from motlan.expressions.spark.views import in_parts
from motlan.telemetry import traces

KEPT = "kept_query"
"""Name of the table of a query of Spark's own SQL."""


class SparkEngine:
    """One step's session: its tables and views are its own.

    Args:
        master: Where Spark runs.
        folder: A folder of the installation for what passes between, which a cluster's workers reach too.
        code_lists: Folder of the code lists.
        where: The step and its subject, named in errors.
        debug: Whether Spark's own errors are shown, which quote values.
    """

    def __init__(self, master: str, folder: Path, code_lists: Path, where: str, *, debug: bool = False) -> None:
        self.master, self.folder, self.where, self.debug = master, folder / f"spark-{uuid.uuid4().hex}", where, debug
        self.code_lists = code_lists
        self.session: Any = None
        self.tables: dict[str, Any] = {}
        self.views: set[str] = set()
        self.files: dict[tuple[str, ...], str] = {}
        self.parts = 0
        self.answer: Any = None

    def __enter__(self) -> SparkEngine:
        """Open a session of the process's Spark, with the code lists loaded."""
        self.session = start(self.master).newSession()
        for name, value in settings(self.master).items():
            if self.session.conf.isModifiable(name):
                self.session.conf.set(name, value)
        self.folder.mkdir(parents=True)
        for name, table in code_tables(self.code_lists).items():
            self.register(name, table)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Forget everything."""
        for name in [*self.tables, *self.views]:
            self.session.catalog.dropTempView(name)
        self.tables.clear()
        shutil.rmtree(self.folder, ignore_errors=True)

    def execute(self, sql: str, parameters: Sequence[str] | None = None) -> SparkEngine:
        """Run statements of DuckDB's SQL with calls by name; the last one's answer is fetched from what is returned.

        Raises:
            ConfigurationError: They have something that has no counterpart on Spark.
            ContractError: A query failed on the data.
        """
        with self._private(), traces.query("spark", sql):
            for statement in steps.statements(sql, self, list(parameters or ())):
                self._run(statement)
        return self

    def sql(self, query: str) -> SparkEngine:
        """Answer a query."""
        return self.execute(query)

    def fetchall(self) -> list[tuple[Any, ...]]:
        """Return the rows of the last answer."""
        with self._private():
            return self.answer if isinstance(self.answer, list) else [tuple(row) for row in self.answer.collect()]

    def to_arrow_table(self) -> pa.Table:
        """Return the last answer as an Arrow table."""
        with self._private():
            return self.answer.toArrow()

    def register(self, name: str, table: pa.Table) -> None:
        """Let queries see an Arrow table."""
        path = self.folder / f"{name}-{uuid.uuid4().hex}.parquet"
        pq.write_table(table, path)
        self._see(name, self.session.read.parquet(str(path)), view=False)

    def unregister(self, name: str) -> None:
        """Forget an Arrow table."""
        self._run(steps.Drop(name))

    def _run(self, statement: steps.Statement) -> None:
        match statement:
            case steps.Make(name, query, view):
                made = self.session.sql(query)
                self._see(name, made if view else self._kept(made), view=view)
            case steps.Empty(name, columns):
                self._see(name, self.session.createDataFrame([], columns), view=False)
            case steps.Append(name, query):
                table = self.tables[name]
                new = self.session.sql(query).toDF(*table.columns)
                typed = [new[field.name].cast(field.dataType) for field in table.schema]
                self._see(name, table.unionAll(self._kept(new.select(*typed))), view=False)
            case steps.Drop(name):
                self.session.catalog.dropTempView(name)
                self.tables.pop(name, None)
                self.views.discard(name)
            case steps.Rename(name, new):
                self._see(new, self.tables[name], view=False)
                self._run(steps.Drop(name))
            case steps.Write(query, path, compression, by):
                self._write(self.session.sql(query), Path(path), compression, by)
            case steps.Describe(query):
                self.answer = [(field.name, field.dataType.simpleString()) for field in self.session.sql(query).schema]
            case steps.Answer(query):
                self.answer = self.session.sql(query)

    def _see(self, name: str, rows: Any, *, view: bool) -> None:
        rows.createOrReplaceTempView(name)
        if view:
            self.views.add(name)
            self.tables.pop(name, None)
        else:
            self.tables[name] = rows
            self.views.discard(name)

    def _kept(self, rows: Any) -> Any:
        """Compute rows now; what is planned over them begins there."""
        return rows.localCheckpoint()

    def keep(self, query: str) -> str:
        """Compute a query of Spark's own SQL now; return the name of its result, which holds until the next one."""
        self._see(KEPT, self._kept(self.session.sql(in_parts(query, self._part))), view=False)
        return KEPT

    def _part(self, query: str) -> str:
        """Make a view of a part of a query; return its name."""
        name = f"part_{self.parts}"
        self.parts += 1
        self._see(name, self.session.sql(query), view=True)
        return name

    def read(self, paths: Sequence[str]) -> str:
        """Make a view of Parquet files, columns matched by name; return its name."""
        key = tuple(paths)
        if key not in self.files:
            self.files[key] = f"files_{len(self.files)}"
            several = "true" if len(paths) > 1 else "false"
            self.session.read.option("mergeSchema", several).parquet(*paths).createOrReplaceTempView(self.files[key])
        return SPARK.quote(self.files[key])

    def _write(self, rows: Any, target: Path, compression: str, by: str) -> None:
        """Write rows as the one file that readers know, or into a folder with one for each value of a column."""
        if by:
            rows.repartition(by).write.option("compression", compression).partitionBy(by).parquet(str(target))
        else:
            folder = self.folder / uuid.uuid4().hex
            rows.coalesce(1).write.option("compression", compression).parquet(str(folder))
            next(folder.glob("part-*.parquet")).replace(target)
            shutil.rmtree(folder)
        self.files.clear()

    @contextmanager
    def _private(self) -> Iterator[None]:
        """Let no error of Spark's out: they quote values."""
        from py4j.protocol import Py4JError
        from pyspark.errors import AnalysisException, PySparkException

        try:
            yield
        except UnreadableError as error:
            raise ConfigurationError(
                f"this step asks what Spark is not known to answer alike: {error}",
                where=self.where,
                next_step="run it without MOTLAN_ENGINE=spark.",
            ) from None
        except (PySparkException, Py4JError) as error:
            if self.debug:
                raise
            if known := failure(error, self.where):
                raise known from None
            kind = ConfigurationError if isinstance(error, AnalysisException) else ContractError
            raise kind(
                f"Spark refused a query ({type(error).__name__})",
                where=self.where,
                next_step="run the step again with MOTLAN_DEBUG_SQL=1 on synthetic data to see the query.",
            ) from None
