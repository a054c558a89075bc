"""Records that a register no longer has: told by a pull of everything that does not bring them.

A pull of what changed cannot tell that a record was deleted. But the source counts its whole register: where it has fewer
records than are held here after such a pull, everything is pulled, and what does not come is gone. `gone.<dataset>` keeps the key
and the run. What was landed of the record before that run counts no longer; where the record comes again, even as it was, it
lands again.
"""

from __future__ import annotations

from dataclasses import dataclass

import duckdb
import sqlalchemy as sa

from motlan.config.registry import Dataset
from motlan.config.scoring import Breaker
from motlan.errors import ContractError
from motlan.expressions import one
from motlan.ingest.completeness import Census
from motlan.lake.iceberg import read_parquet, staging
from motlan.lake.tables import gone_table, raw_table
from motlan.ledger import runs
from motlan.store import tables
from motlan.workspace import Workspace, but_gone, gone_marks


@dataclass(frozen=True)
class Held:
    """The records of a dataset that are held, on the session of a pull.

    Attributes:
        work: The open installation.
        engine: The session.
        dataset: Whose.
        raw: Files of its raw rows that are visible.
        gone: Files of what went.
    """

    work: Workspace
    engine: duckdb.DuckDBPyConnection
    dataset: Dataset
    raw: list[str]
    gone: list[str]

    @classmethod
    def of(cls, work: Workspace, engine: duckdb.DuckDBPyConnection, dataset: Dataset) -> Held:
        """Find the files."""
        with work.store.engine.connect() as connection:
            seen = set(runs.visible(connection, "sync", dataset.name))
        files = (work.lake.files(table, seen) for table in (raw_table(dataset.name), gone_table(dataset.name)))
        return cls(work, engine, dataset, *files)

    def count(self) -> int:
        """Return how many records are held."""
        return int(one(self.engine, f"select count(*) from {self.keys()}")[0]) if self.raw else 0

    def keys(self, run: str | None = None) -> str:
        """Return the SQL of the keys that are held, each once, those that a run staged among them where one is named."""
        folder = self.work.lake.folder(raw_table(self.dataset.name), run) if run else None
        staged = sorted(map(str, folder.glob("*.parquet"))) if folder else []
        rows = f"(select _key, _ref from {read_parquet([*self.raw, *staged])} where _key is not null)"
        return f"(select distinct _key from {but_gone(rows, self.gone)})"

    def exceed(self, census: Census, run: str) -> bool:
        """Tell whether more is held, after a pull of what changed, than the source counts, so that everything is to be pulled.

        It is so where the difference has grown since everything was pulled the last time.
        """
        count = census.count
        if census.since is None or self.dataset.absent == "kept" or count.of_lines or not self.raw:
            return False
        held = int(one(self.engine, f"select count(*) from {self.keys(run)}")[0])
        return held - count.total > self._surplus()

    def _surplus(self) -> int:
        """How many more records were held than the source counted, once everything was pulled."""
        table = tables.runs.c
        told = table.steps["land"]["surplus"]
        query = sa.select(told.as_integer()).where(table.kind == "sync", table.subject == self.dataset.name)
        query = query.where(table.steps["land"].has_key("surplus"), table.state.in_((*runs.SEEN, "unchanged")))
        with self.work.store.engine.connect() as connection:
            return int(connection.execute(query.order_by(table.id.desc()).limit(1)).scalar_one_or_none() or 0)

    @property
    def still(self) -> str:
        """The SQL of whether a landed row (`_key`, `_ref`) is of no record that was gone since: such land again as they were."""
        if not self.gone:
            return "true"
        return f"not exists (from {gone_marks(self.gone)} as marks where gone_key = _key and _ref < gone_run)"

    def stage(self, census: Census, run: str, breaker: Breaker) -> runs.Counts:
        """Write which records a pull of everything did not bring.

        Returns:
            `gone`, how many; `surplus`, how many more are left than the source counts. Nothing where it cannot be told.

        Raises:
            ContractError: They are too many to believe that all of them were deleted.
        """
        if census.since is not None or census.count.of_lines or self.dataset.absent == "kept" or not self.raw:
            return {}
        self.engine.execute(f"create or replace temp table held as from {self.keys(run)}")
        self.engine.execute(f"create or replace temp table went as {census.missing('held')}")
        held, gone = (int(one(self.engine, f"select count(*) from {table}")[0]) for table in ("held", "went"))
        if held >= breaker.minimum_rows and gone > breaker.gone_share * held:
            raise ContractError(
                f"{gone:,} of {held:,} records are gone at once, more than a share of {breaker.gone_share}",
                where=self.dataset.name,
                next_step="ask its owner; if they were deleted, raise gone_share in scoring.yaml and pull again.",
            )
        if gone and census.count.rows < census.count.total:
            raise ContractError(
                f"the source counts {census.count.total:,} records, and {census.count.rows:,} where it is asked for everything: "
                f"nobody can say whether {gone:,} are gone",
                where=self.dataset.name,
                next_step="ask its owner which number is right, and pull again.",
            )
        if gone:
            target = self.work.lake.staged_file(gone_table(self.dataset.name), run)
            self.engine.execute(staging("from went", run, target))
        return {"gone": gone, "surplus": held - gone - census.count.total}
