"""The lake: Apache Iceberg tables whose catalog lives in our PostgreSQL.

The engine writes Parquet files under `<table>/run=<id>/`; one commit adds them. Nobody reads them until the run is
visible (see `motlan.ledger.runs`): a reader names the runs that it may see, and gets just their files. So a run that was
killed leaves orphans that no one reads.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection, Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlparse

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import NoSuchTableError
from pyiceberg.table import Table
from sqlalchemy.exc import IntegrityError

from motlan.errors import ConfigurationError, ContractError, InternalError
from motlan.expressions import constant, literal, quote
from motlan.settings import Settings
from motlan.store.session import Store, sqlalchemy_url

TABLE_NAME = re.compile(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*")
PARQUET = (
    "format parquet, parquet_version v2, compression zstd, compression_level 1, dictionary_size_limit 4000, "
    "write_bloom_filter false"
)
"""How big files are written. A dictionary of nearly as many values as rows costs the writer a quarter of its time, and saves no
byte; a Bloom filter is only ever made of the few values that have one. Version 2 keeps texts' lengths apart from their letters:
a tenth less to write and a quarter less to read."""
SCRATCH = "format parquet, parquet_version v2, dictionary_size_limit 4000, write_bloom_filter false"
"""How what passes between steps is written: likewise, but lightly compressed."""
RUN_OF_PATH = re.compile(r"/run=([^/]+)/")


def read_parquet(files: Collection[str]) -> str:
    """Return the engine's SQL that reads files as one relation, columns matched by name."""
    return f"read_parquet([{', '.join(map(literal, files))}], union_by_name = true, hive_partitioning = false)"


def staging(query: str, run: str, target: str | Path) -> str:
    """Return the SQL that writes a query's rows to a file that a run stages, with `_run`."""
    return f"copy (select *, {constant(run)} as _run from ({query})) to {literal(str(target))} ({PARQUET})"


def current(files: Collection[str], key: Collection[str], where: str = "true") -> str:
    """Return the SQL of the newest version of each row of a table of appended versions, removed ones left out.

    Such a table has `_run` (sorts by time), `_op` (`created`, `updated`, `removed`) and `_changed`; of a run one version of a
    row.

    Args:
        files: The table's files.
        key: Columns that identify a row.
        where: A condition on the key, the same for all versions of a row.
    """
    rows = f"{read_parquet(files)} where {where}"
    if len({found.group(1) for path in files if (found := RUN_OF_PATH.search(path))}) == 1:
        return f"(select * exclude (_op, _run, _changed) from (select * from {rows}) where _op != 'removed')"
    return (
        f"(select * exclude (_newest, _op, _run, _changed) from (select *, row_number() over (partition by {', '.join(key)} "
        f"order by _run desc) as _newest from {rows}) where _newest = 1 and _op != 'removed')"
    )


def created(new: str, key: Collection[str], columns: Collection[str]) -> str:
    """Return the SQL of what `changes` tells where there was nothing: every row is created."""
    kept = ", ".join(map(quote, (*key, *columns)))
    return f"select {kept}, {constant('created')} as _op, []::varchar[] as _changed from {new}"


def changes(new: str, old: str, key: Collection[str], columns: Collection[str], marked: Collection[str] = ()) -> str:
    """Return the SQL of what turns one relation into another: `_op`, `_changed`, the key and the columns.

    Args:
        new: Name of the relation as it should be.
        old: Name of the relation as it was.
        key: Columns that identify a row on both sides; never null.
        columns: Columns compared and kept. A removed row keeps its last values.
        marked: Those whose changes are told in `_changed`, the names of changed columns; none of a created or removed row.
    """
    differs = {column: f"new.{quote(column)} is distinct from old.{quote(column)}" for column in columns}
    names = ", ".join(f"case when {differs[column]} then {literal(column)} end" for column in marked)
    first = quote(next(iter(key)))
    kept = ", ".join(
        f"case when new.{first} is null then old.{quote(column)} else new.{quote(column)} end as {quote(column)}"
        for column in columns
    )
    return f"""
        select {", ".join(map(quote, key))}, {kept},
               case when old.{first} is null then 'created' when new.{first} is null then 'removed'
                    else 'updated' end as _op,
               case when old.{first} is null or new.{first} is null then []::varchar[]
                    else list_filter([{names}]::varchar[], lambda name: name is not null) end as _changed
        from {new} as new full join {old} as old using ({", ".join(map(quote, key))})
        where old.{first} is null or new.{first} is null or {" or ".join(differs.values())}"""


FILLED = {
    "raw": ("_ref", "_run", "_payload", "_locator", "_salt", "_commitment"),
    "clean": ("_ref", "_run", "_version"),
    "quarantine": ("_ref", "_run", "_version"),
    "gone": ("_key", "_run"),
    "links": ("_ref", "_key", "_run", "dataset", "entity_id"),
    "identities": ("_run", "_op", "entity_id", "founded_by", "state"),
    "golden": ("_run", "_op"),
    "corrections": ("_ref", "_key", "_run", "_op", "dataset", "field", "entity_id"),
    "findings": ("_key", "_run", "_op", "dataset", "rule"),
}
"""Namespace of the lake's tables -> columns of the bus's own without which a row leads nowhere: none of them may be null. A
finding about a person of whom a register has no row has no reference."""


def require_filled(table: str, files: Iterable[str | Path]) -> None:
    """Stop where a row of some files has none of what the bus itself gives every row. Only the files' statistics are read.

    Args:
        table: The lake's table that they are for.
        files: Parquet files.

    Raises:
        InternalError: There is such a row, or a column is missing.
    """
    wanted = FILLED.get(table.split(".")[0], ())
    for path in files:
        metadata = pq.read_metadata(path)
        for name in wanted:
            if nulls := _nulls(path, metadata, name):
                raise InternalError(
                    f"{nulls:,} of {metadata.num_rows:,} rows have no {name}",
                    where=table,
                    next_step="report this with the run's id: nothing of the run is kept or published.",
                )


def _nulls(path: str | Path, metadata: pq.FileMetaData, column: str) -> int:
    """Count a column's nulls in a file, every row where there is no such column; values are read where no count is kept."""
    if column not in metadata.schema.names:
        return int(metadata.num_rows)
    place = metadata.schema.names.index(column)
    found = [metadata.row_group(group).column(place).statistics for group in range(metadata.num_row_groups)]
    if all(one and one.has_null_count for one in found):
        return sum(one.null_count for one in found)
    return int(pq.read_table(path, columns=[column]).column(0).null_count)


class Lake:
    """The Iceberg tables of one installation.

    Args:
        settings: Where the files lie.
        store: Whose database holds the catalog.
    """

    def __init__(self, settings: Settings, store: Store) -> None:
        self.root = settings.lake
        self.root.mkdir(parents=True, exist_ok=True)
        self._catalog = _catalog(sqlalchemy_url(store.url), self.root.as_uri())

    def folder(self, table: str, run: str) -> Path:
        """Return the folder in which a run stages its files of a table, made where missing."""
        if not TABLE_NAME.fullmatch(table):
            raise ConfigurationError(f"not a table's name: {table}", next_step="use namespace.name in lower case.")
        folder = self.root.joinpath(*table.split("."), f"run={run}")
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def staged_file(self, table: str, run: str, number: int = 0) -> Path:
        """Return the path of a file, by its number, that a run stages of a table."""
        return self.folder(table, run) / f"{number:06d}.parquet"

    def commit(self, table: str, run: str) -> int | None:
        """Add the files that a run staged to its table, in one commit; return the snapshot's id.

        Done before (a retry after a kill), it changes nothing. New columns are added to the table. Returns None where
        the run staged no rows.

        Raises:
            InternalError: A row has none of what the bus gives every row (see `FILLED`).
        """
        staged = sorted(self.folder(table, run).glob("*.parquet"))
        if not staged:
            return None
        require_filled(table, staged)
        known = set(self.files(table, {run}))
        new = [str(path) for path in staged if str(path) not in known]
        target = self._table(table, staged[0])
        if new:
            with target.update_schema() as update:
                for schema in dict.fromkeys(map(_schema, staged)):  # few differ, and each takes a while
                    update.union_by_name(schema)
            target.add_files(new)
        snapshot = target.current_snapshot()
        return snapshot.snapshot_id if snapshot else None

    def discard(self, table: str, run: str) -> None:
        """Take the files of a run that never becomes visible out of a table, and remove them, staged ones too.

        Killed between the two, it is done again: the files that no table names are removed then.
        """
        try:
            target = self._catalog.load_table(table)
        except NoSuchTableError:
            target = None
        named = (
            [task.file for task in target.scan().plan_files() if _run_of(task.file.file_path) == run] if target else []
        )
        if target and named:
            with target.transaction() as change, change.update_snapshot().overwrite() as snapshot:
                for file in named:
                    snapshot.delete_data_file(file)
        shutil.rmtree(self.folder(table, run), ignore_errors=True)

    def files(self, table: str, runs: Collection[str]) -> list[str]:
        """Return the paths of the files that these runs added to a table, sorted. Empty where there is no table."""
        try:
            tasks = list(self._catalog.load_table(table).scan().plan_files())
        except NoSuchTableError:
            return []
        except OSError as error:
            named = Path(unquote(urlparse(str(error.filename or "")).path)).name or "a file of its metadata"
            raise ContractError(
                f"{named} of the lake's table {table} is missing or damaged", next_step="restore it from a backup."
            ) from None
        paths = (unquote(urlparse(task.file.file_path).path) for task in tasks)
        return sorted(path for path in paths if _run_of(path) in runs)

    def _table(self, table: str, example: Path) -> Table:
        with suppress(IntegrityError):  # another run makes it at this very moment
            self._catalog.create_namespace_if_not_exists(table.split(".")[0])
        location = self.root.joinpath(*table.split(".")).as_uri()
        return self._catalog.create_table_if_not_exists(table, schema=_schema(example), location=location)


def _run_of(path: str) -> str | None:
    """Return the run that staged a file, by its path or its address."""
    found = RUN_OF_PATH.search(unquote(path))
    return found.group(1) if found else None


@cache
def _catalog(uri: str, warehouse: str) -> SqlCatalog:
    """Open a catalog once in a process: each has connections of its own."""
    return SqlCatalog("motlan", uri=uri, warehouse=warehouse, echo="false")


def _schema(path: Path) -> pa.Schema:
    """Read a file's schema, every column optional.

    The engine calls a column "not null" where this file happens to have no null, which would bind every later file, and
    a new column could not be added.
    """
    return pa.schema([column.with_nullable(True) for column in pq.read_schema(path)])
