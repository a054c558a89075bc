"""A lake for a trial: what a trial run writes lies in a folder of its own, and what it reads is the lake with that beside.

Nothing is added to a table, no file is recorded, and no metadata are written: when the folder goes, nothing of the trial is left.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from motlan.lake.iceberg import TABLE_NAME, Lake, require_filled


class TrialLake(Lake):
    """A lake with what one trial run wrote.

    Args:
        lake: The lake.
        place: The trial's folder.
        run: The trial run.
    """

    def __init__(self, lake: Lake, place: Path, run: str) -> None:
        self.root, self._store, self._uri, self._catalog, self._moved = (
            lake.root,
            lake._store,
            lake._uri,
            lake._catalog,
            lake._moved,
        )
        self._place, self._run = place, run
        self._replaced: set[str] = set()

    def replace(self, table: str) -> None:
        """Show, of a table, what the trial writes alone, whichever run it is of."""
        assert TABLE_NAME.fullmatch(table), "a table's name"
        self._replaced.add(table)

    def folder(self, table: str, run: str) -> Path:
        """Return the trial's folder for what a run stages of a table, made where missing."""
        folder = self._place.joinpath(*table.split("."), f"run={run}")
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def commit(self, table: str, run: str) -> int | None:
        """Check what the trial staged as a commit would, and add it to nothing; there is no snapshot."""
        require_filled(table, sorted(self.folder(table, run).glob("*.parquet")))
        return None

    def files(self, table: str, runs: Collection[str]) -> list[str]:
        """Return the files that hold what these runs added to a table, the trial's among them, sorted."""
        if table in self._replaced:
            return sorted(path for run in runs for path in self._own(table, run))
        own = self._own(table, self._run) if self._run in runs else []
        return sorted([*super().files(table, set(runs) - {self._run}), *own])

    def base_and_deltas(self, table: str, runs: Collection[str]) -> list[str]:
        """Return the files from which the newest versions are read, the trial's behind them."""
        own = self._own(table, self._run) if self._run in runs else []
        return [*super().base_and_deltas(table, set(runs) - {self._run}), *own]

    def _own(self, table: str, run: str) -> list[str]:
        folder = self._place.joinpath(*table.split("."), f"run={run}")
        return sorted(map(str, folder.glob("*.parquet")))
