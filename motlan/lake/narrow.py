"""A lake of which some tables show a part of their rows alone: what an incremental run gives to the steps after linking.

The rows stand in files of their own, by the run that they are of, so that readers that ask for the files of runs find them as in
the lake. Everything else is read and written where it is.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import duckdb

from motlan.expressions import literal
from motlan.lake.iceberg import SCRATCH, Lake, read_parquet


class NarrowLake(Lake):
    """A lake with some tables narrowed.

    Args:
        lake: The lake.
        folder: Where the narrowed tables' files are.
        tables: Which tables are narrowed.
    """

    def __init__(self, lake: Lake, folder: Path, tables: Collection[str]) -> None:
        self.root, self._store, self._uri, self._catalog, self._moved = (
            lake.root,
            lake._store,
            lake._uri,
            lake._catalog,
            lake._moved,
        )
        self._folder, self._tables = folder, frozenset(tables)

    def files(self, table: str, runs: Collection[str]) -> list[str]:
        """Return the files that hold what these runs added to a table, as far as it is shown, sorted."""
        if table not in self._tables:
            return super().files(table, runs)
        folders = (self._folder / table / f"run={run}" for run in runs)
        return sorted(str(path) for folder in folders for path in folder.glob("*.parquet"))

    def base_and_deltas(self, table: str, runs: Collection[str]) -> list[str]:
        """Return the files from which the newest versions are read; of what is narrowed they are all that is shown."""
        return self.files(table, runs) if table in self._tables else super().base_and_deltas(table, runs)


def write_narrow(
    engine: duckdb.DuckDBPyConnection, folder: Path, table: str, files: Collection[str], rows: str
) -> None:
    """Write rows of a table into files by the run that they are of, and an empty one beside where there are none of its newest.

    Args:
        engine: A session.
        folder: Where narrowed tables are.
        table: The table's name.
        files: The files that the rows are of.
        rows: What follows the relation `rows` of all columns of these files: joins and conditions.
    """
    target = folder / table
    target.mkdir(parents=True, exist_ok=True)
    relation = f"{read_parquet(files)} as rows"
    engine.execute(
        f"copy (select rows.*, rows._run as run from {relation} {rows}) to {literal(str(target))} "
        f"({SCRATCH}, partition_by (run), overwrite_or_ignore)"
    )
    for run in {Path(path).parent.name for path in files}:
        own = target / run
        if not own.exists():
            own.mkdir()
            engine.execute(f"copy (from {relation} limit 0) to {literal(str(own / 'none.parquet'))} ({SCRATCH})")
