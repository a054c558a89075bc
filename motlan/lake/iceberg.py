"""The lake: Apache Iceberg tables whose catalog lives in our PostgreSQL.

The engine writes Parquet files under `<table>/run=<id>/`; one commit adds them. Nobody reads them until the run is
visible (see `motlan.ledger.runs`): a reader names the runs that it may see, and gets just their files. So a run that was
killed leaves orphans that no one reads.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlparse

import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa
from pyiceberg.catalog.sql import IcebergTables, SqlCatalog
from pyiceberg.exceptions import NoSuchTableError
from pyiceberg.table import StaticTable, Table
from sqlalchemy.exc import IntegrityError, ProgrammingError, SQLAlchemyError

from motlan.errors import ConfigurationError, ContractError, InternalError, TransientError
from motlan.expressions import constant, literal, quote
from motlan.lake import digests
from motlan.lake.moved import Moved
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
KEPT_FEW = {"commit.manifest-merge.enabled": "true", "commit.manifest.min-count-to-merge": "10"}
"""Properties of a table: each commit adds a manifest, and a reader of the table's files reads all of them."""
CATALOG = "motlan"
"""Name of the catalog, which a database of ours has one of."""
RUN_OF_PATH = re.compile(r"/run=([^/]+)/")
BASES = "bases"
"""Namespace of the published rows of tables of appended versions that were written anew: `bases.golden_person` of
`golden.person`, as they stood after the run that its files bear."""
_BASE_OF_PATH = re.compile(rf"/{BASES}/[^/]+/run=[^/]+/[^/]+$")
_PLANS: dict[tuple[str, str], tuple[str, list[Added]]] = {}
"""Database and table -> where its newest metadata lie, and the files that they name: metadata that are written never change."""
_DIGESTS: dict[tuple[str, str], tuple[str, dict[str, digests.Recorded]]] = {}
"""Likewise, and what is recorded of the table's files."""


class Added(NamedTuple):
    """A file that a run added to a table: its path, the run, and how many rows it has."""

    path: str
    run: str | None
    rows: int


def base_table(table: str) -> str:
    """Return the name of the table that keeps the bases of a table of appended versions."""
    return f"{BASES}.{table.replace('.', '_')}"


def _is_base(path: str) -> bool:
    """Tell whether a file is of a base that was written anew."""
    return bool(_BASE_OF_PATH.search(path))


def read_parquet(files: Collection[str]) -> str:
    """Return the engine's SQL that reads files as one relation, columns matched by name."""
    return f"read_parquet([{', '.join(map(literal, files))}], union_by_name = true, hive_partitioning = false)"


def staging(query: str, run: str, target: str | Path) -> str:
    """Return the SQL that writes a query's rows to a file that a run stages, with `_run`."""
    return f"copy (select *, {constant(run)} as _run from ({query})) to {literal(str(target))} ({PARQUET})"


@dataclass(frozen=True)
class Versions:
    """The files of a table of appended versions, of which one run wrote the base and the others deltas.

    Such a table has `_run` (sorts by time), `_op` (`created`, `updated`, `removed`) and `_changed`; of a run one version of a
    row. The base has one version of each row: what the earliest run wrote, or a base that was written anew (`BASES`), which has
    `_since` beside, the run that created the row, and keeps removed rows. Deltas are few rows: what stands is found by a hash of
    their keys alone, so that its cost does not grow with the number of runs.

    Attributes:
        base: Files of the base.
        deltas: Files of all later runs.
    """

    base: list[str]
    deltas: list[str]

    @classmethod
    def of(cls, files: Collection[str]) -> Versions:
        """Tell the base from the deltas, by the paths."""
        runs = {path: found.group(1) for path in files if (found := RUN_OF_PATH.search(path))}
        first = {path for path in files if _is_base(path)} or {
            path for path in files if runs.get(path) == min(runs.values(), default=None)
        }
        return cls(sorted(first), sorted(set(files) - first))

    @property
    def own(self) -> list[str]:
        """The columns of the table's own that no reader of rows is given."""
        return ["_op", "_run", "_changed", *(["_since"] if any(map(_is_base, self.base)) else [])]

    def newest(self, key: Collection[str], where: str = "true") -> str:
        """Return the SQL of the newest version of each row, removed ones too, with the table's own columns.

        Args:
            key: Columns that identify a row.
            where: A condition on the key, the same for all versions of a row.
        """
        rows = f"select * from {read_parquet([*self.base, *self.deltas])} where {where}"
        if not self.deltas:
            return f"({rows})"
        names = ", ".join(map(quote, key))
        return (
            f"(select * exclude (_newest) from ({rows}) as rows left join (select {names}, max(_run) as _newest "
            f"from {read_parquet(self.deltas)} where {where} group by {names}) as deltas using ({names}) "
            "where _newest is null or _run = _newest)"
        )

    def since(self, key: Collection[str], where: str = "true") -> str:
        """Return the SQL of each row, removed ones too: the key, `_since` (the run that created it last) and `_op`.

        Args:
            key: Columns that identify a row.
            where: A condition on the key, the same for all versions of a row.
        """
        names = ", ".join(map(quote, key))
        first = "_since" if "_since" in self.own else "_run"
        base = f"(select {names}, {first} as began, _op as was from {read_parquet(self.base)} where {where})"
        if not self.deltas:
            return f"(select {names}, began as _since, was as _op from {base})"
        return (
            f"(select {names}, coalesce(again, began) as _since, coalesce(became, was) as _op from {base} as base full join "
            f"(select {names}, max(_run) filter (_op = 'created') as again, arg_max(_op, _run) as became "
            f"from {read_parquet(self.deltas)} where {where} group by {names}) as deltas using ({names}))"
        )

    def rewritten(self, key: Collection[str], where: str = "true") -> str:
        """Return the SQL of a base that is written anew: the newest version of each row, removed ones too, with `_since`."""
        names = ", ".join(map(quote, key))
        exclude = "exclude (_since)" if "_since" in self.own else ""
        return (
            f"(select * from (select * {exclude} from {self.newest(key, where)}) as rows "
            f"join (select {names}, _since from {self.since(key, where)}) as since using ({names}))"
        )


def current(files: Collection[str], key: Collection[str], where: str = "true") -> str:
    """Return the SQL of the newest version of each row of a table of appended versions, removed ones left out.

    Args:
        files: The table's files: a base and its deltas (`Lake.base_and_deltas`), or all that its runs wrote.
        key: Columns that identify a row.
        where: A condition on the key, the same for all versions of a row.
    """
    versions = Versions.of(files)
    own = ", ".join(versions.own)
    return f"(select * exclude ({own}) from {versions.newest(key, where)} where _op != 'removed')"


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
        moved: Where it lay before; by default as a file in its folder says.
    """

    def __init__(self, settings: Settings, store: Store, moved: Moved | None = None) -> None:
        self.root = settings.lake
        self.root.mkdir(parents=True, exist_ok=True)
        self._moved = moved or Moved.read(self.root)
        self._store = store
        self._uri = sqlalchemy_url(store.url)
        self._catalog = _catalog(self._uri, self.root.as_uri(), self._moved)

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
        known = {added.path for added in self.added(table)}
        new = [str(path) for path in staged if str(path) not in known]
        with self._store.engine.begin() as connection:
            digests.record(connection, self.root, table, run, staged, unnamed=new)
        target = self._table(table, staged[0])
        if new:
            with target.update_schema() as update:
                for schema in dict.fromkeys(map(_schema, staged)):  # few differ, and each takes a while
                    update.union_by_name(schema)
            target.add_files(new, check_duplicate_files=False)  # looked for above, without reading all manifests
        self.record_metadata(table, target)
        snapshot = target.current_snapshot()
        return snapshot.snapshot_id if snapshot else None

    def record_metadata(self, name: str, table: Table) -> None:
        """Record the digests of the metadata that a table names, as far as they are new."""
        earlier = {self._path(entry.metadata_file) for entry in table.metadata.metadata_log}
        paths = sorted(earlier.union(self._metadata_of(table)))
        with self._store.engine.begin() as connection:
            digests.record(connection, self.root, name, None, [path for path in paths if Path(path).exists()])

    def _metadata_of(self, table: Table) -> list[str]:
        """Return the paths of the metadata that a reader of a table needs."""
        named = [table.metadata_location]
        if snapshot := table.current_snapshot():
            named += [snapshot.manifest_list, *(one.manifest_path for one in snapshot.manifests(table.io))]
        return list(map(self._path, named))

    def _path(self, address: str) -> str:
        """Return the path of a file of which metadata give the address."""
        return self._moved.path(unquote(urlparse(address).path))

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
        if target:
            self.record_metadata(table, self._catalog.load_table(table))
        folder = self.folder(table, run)
        gone = sorted(folder.glob("*.parquet"))
        shutil.rmtree(folder, ignore_errors=True)
        self.forget(gone)

    def forget(self, paths: Iterable[Path]) -> None:
        """Record that the bus itself has removed files."""
        with self._store.engine.begin() as connection:
            digests.forget(connection, self.root, paths)

    def files(self, table: str, runs: Collection[str]) -> list[str]:
        """Return the paths of the files that these runs added to a table, sorted. Empty where there is no table.

        Raises:
            InternalError: One is missing, was altered, or is not of this bus.
        """
        paths = [added.path for added in self.added(table) if added.run in runs]
        self._require_unaltered(table, paths)
        return paths

    def _require_metadata(self, name: str, table: Table) -> None:
        """Hold a table's metadata to their digests; those of a commit that was killed are recorded by its retry."""
        with self._store.engine.connect() as connection:
            known = digests.recorded(connection, name, metadata=True)
        paths = [path for path in self._metadata_of(table) if os.path.relpath(path, self.root) in known]
        digests.require_unaltered(self.root, name, known, paths)

    def _require_unaltered(self, table: str, paths: list[str]) -> None:
        """Hold files to their digests."""
        place = (self._uri, table)
        location = _PLANS[place][0] if place in _PLANS else ""
        known = _DIGESTS.get(place)
        if paths and (known is None or known[0] != location):
            with self._store.engine.connect() as connection:
                known = _DIGESTS[place] = (location, digests.recorded(connection, table))
        if not paths or known is None:
            return
        if read := self._read_again(table, known[1], paths):
            known[1].update({name: digests.Recorded(known[1][name].sha256, now) for name, now in read.items()})
            with suppress(SQLAlchemyError), self._store.engine.begin() as connection:
                digests.refresh(connection, read)

    def _read_again(self, table: str, known: dict[str, digests.Recorded], paths: list[str]) -> dict[str, str]:
        """Do as `digests.require_unaltered`, but tell of an erasure that replaces files now, or was stopped."""
        try:
            return digests.require_unaltered(self.root, table, known, paths)
        except InternalError:
            with self._store.engine.connect() as connection:
                if not digests.is_erasing(connection):
                    raise
        raise TransientError(
            "files are being replaced: an erasure is under way, or was stopped",
            where=table,
            next_step="wait for its end; where it was stopped, `motlan erase --resume` goes on with it.",
        ) from None

    def base_and_deltas(self, table: str, runs: Collection[str]) -> list[str]:
        """Return the files from which the newest versions of a table of appended versions are read, as these runs left them.

        They are the newest base that was written up to one of the runs, and what later ones of them added; all that the runs
        added where there is no base. Empty where there is no table.
        """
        known = set(runs)
        if base := self.find_base(table, known):
            deltas = [added.path for added in self.added(table) if added.run in known and str(added.run) > base]
            self._require_unaltered(table, deltas)
            return [*self.files(base_table(table), {base}), *deltas]
        return self.files(table, known)

    def find_base(self, table: str, runs: Collection[str]) -> str | None:
        """Return the newest of some runs up to which a base of a table was written; None where there is none."""
        return max(
            (added.run for added in self.added(base_table(table)) if added.run and added.run in runs), default=None
        )

    def added(self, table: str) -> list[Added]:
        """Return the files of a table, sorted by their paths. Empty where there is no table.

        Metadata are read once: where a table's are the same as before, its files are.

        Raises:
            ContractError: A file of the table's metadata is missing or damaged.
        """
        location = self._metadata_location(table)
        if location is None:
            return []
        known = _PLANS.get((self._uri, table))
        if known is None or known[0] != location:
            known = _PLANS[self._uri, table] = (location, self._plan(table))
        return known[1]

    def tables(self, connection: sa.Connection) -> dict[str, str]:
        """Return the tables that a connection's snapshot has: name -> where their newest metadata lie."""
        mine = IcebergTables.catalog_name == self._catalog.name
        columns = (IcebergTables.table_namespace, IcebergTables.table_name, IcebergTables.metadata_location)
        found = connection.execute(sa.select(*columns).where(mine).order_by(*columns))
        return {f"{namespace}.{name}": str(location) for namespace, name, location in found if location}

    def reach(self, metadata: str) -> tuple[int, list[str]]:
        """Return how many rows a table's metadata name, and the paths of all files that they need, their own among them.

        Snapshots before the newest one are left out: earlier states are read by the runs that files bear.
        """
        table = StaticTable.from_metadata(metadata, dict(self._catalog.properties))
        paths, rows = self._metadata_of(table), 0
        for task in table.scan().plan_files():
            paths.append(self._path(task.file.file_path))
            rows += task.file.record_count
        return rows, paths

    def _metadata_location(self, table: str) -> str | None:
        """Return where the newest metadata of a table lie; None where there is no table."""
        namespace, name = table.split(".")
        mine = (IcebergTables.catalog_name == self._catalog.name, IcebergTables.table_namespace == namespace)
        query = sa.select(IcebergTables.metadata_location).where(*mine, IcebergTables.table_name == name)
        with self._catalog.engine.connect() as connection:
            return connection.execute(query).scalar_one_or_none()

    def _plan(self, table: str) -> list[Added]:
        try:
            found = self._catalog.load_table(table)
            self._require_metadata(table, found)
            tasks = list(found.scan().plan_files())
        except NoSuchTableError:
            return []
        except OSError as error:
            named = Path(unquote(urlparse(str(error.filename or "")).path)).name or "a file of its metadata"
            raise ContractError(
                f"{named} of the lake's table {table} is missing or damaged", next_step="restore it from a backup."
            ) from None
        files = (task.file for task in tasks)
        paths = ((self._path(file.file_path), file.record_count) for file in files)
        return sorted(Added(path, _run_of(path), rows) for path, rows in paths)

    def _table(self, table: str, example: Path) -> Table:
        with suppress(IntegrityError):  # another run makes it at this very moment
            self._catalog.create_namespace_if_not_exists(table.split(".")[0])
        location = self.root.joinpath(*table.split(".")).as_uri()
        return self._catalog.create_table_if_not_exists(
            table, schema=_schema(example), location=location, properties=KEPT_FEW
        )


def _run_of(path: str) -> str | None:
    """Return the run that staged a file, by its path or its address."""
    found = RUN_OF_PATH.search(unquote(path))
    return found.group(1) if found else None


@cache
def _catalog(uri: str, warehouse: str, moved: Moved) -> SqlCatalog:
    """Open a catalog once in a process: each has connections of its own."""
    properties = {"uri": uri, "warehouse": warehouse, "echo": "false", **moved.properties()}
    with suppress(IntegrityError, ProgrammingError):  # another process makes the catalog's tables at this very moment
        return SqlCatalog(CATALOG, **properties)
    return SqlCatalog(CATALOG, **properties)


def _schema(path: Path) -> pa.Schema:
    """Read a file's schema, every column optional.

    The engine calls a column "not null" where this file happens to have no null, which would bind every later file, and
    a new column could not be added.
    """
    return pa.schema([column.with_nullable(True) for column in pq.read_schema(path)])
