"""A source that went back: it restored an old backup, and changes that were pulled from it are there no more.

Two things show it. The source's own moment ("as of") lies before the one of an earlier pull. Or a pull that begins before the
watermark brings nothing from the watermark on, and everything once more shows the record that the watermark was earned by under
an older cursor. Where that record is gone, it was deleted, and its register is followed (see `motlan.ingest.deletions`).

Nobody but its owner knows whether the old state holds. So the run ends, nothing of it is kept, and the next step is told.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa

from motlan.adapter import SourceCount
from motlan.config.registry import Dataset
from motlan.errors import ContractError
from motlan.ingest.completeness import Census
from motlan.ingest.cursors import canonical_moment, moment_of
from motlan.ingest.pull_window import Earning
from motlan.ingest.watermark import Stored
from motlan.ledger import runs
from motlan.store import Store, tables

_NEXT = (
    "ask its owner whether it was restored from a backup; if its state holds, `motlan watermark reset {}` and sync again: all of "
    "it is pulled, and what went back is followed. `motlan compare {}` counts the difference before."
)


@dataclass(frozen=True)
class GoneBack:
    """What a pull is held against: the watermark that an earlier one earned.

    Attributes:
        store: The open store.
        dataset: What is pulled.
        earning: What this pull earns.
    """

    store: Store
    dataset: Dataset
    earning: Earning

    @property
    def _earned(self) -> Stored | None:
        """The watermark, where a pull earned it: one that a person set, or none, is held against nothing."""
        found = self.earning.stored
        return found if found and found.run and self.earning.since is not None else None

    def require_moment(self, count: SourceCount) -> None:
        """Stop where the source's own moment lies before that of an earlier pull.

        Args:
            count: The source's newest count.

        Raises:
            ContractError: It does, by more than clocks may differ.
        """
        before = self._last_moment() if self._earned and count.as_of else None
        now = self.earning.read_moment(count.as_of) if before else None
        if before and now:
            slack = timedelta(seconds=self.dataset.clock_difference)
            if now < canonical_moment(moment_of(before) - slack):
                raise self._refusal(f"the source is as of {now}, and an earlier pull was as of {before}")

    def _last_moment(self) -> str | None:
        """Return the greatest moment of the source that an earlier pull was of."""
        table = tables.runs.c
        told = table.steps["land"]["source_as_of"].astext
        query = sa.select(told).where(table.kind == "sync", table.subject == self.dataset.name, told.is_not(None))
        query = query.where(table.state.in_((*runs.SEEN, "unchanged"))).order_by(table.id.desc()).limit(1)
        with self.store.engine.connect() as connection:
            found = connection.execute(query).scalar_one_or_none()
        return self.earning.read_moment(found) if found else None

    def is_behind(self, census: Census) -> bool:
        """Tell whether the watermark's record did not come, nor anything newer: then everything has to be looked at.

        Where it came under an older cursor, within the lag that is declared, it is followed. A source that does not keep its
        records (`absent: kept` of the dataset) need not have it.

        Args:
            census: What came of what was asked for from before the watermark on.
        """
        earned = self._earned
        if not earned or not earned.run or not earned.key or not self.dataset.lag or self.dataset.absent == "kept":
            return False
        return self.earning.is_behind() and not census.came(earned.key) and not self._looked_at(earned.run)

    def _looked_at(self, since: str) -> bool:
        """Tell whether everything was pulled since a run earned the watermark: its record is gone then, and that is known."""
        table = tables.runs.c
        query = sa.select(table.id).where(table.kind == "sync", table.subject == self.dataset.name, table.id > since)
        query = query.where(table.steps["land"].has_key("surplus"), table.state.in_((*runs.SEEN, "unchanged")))
        with self.store.engine.connect() as connection:
            return connection.execute(query.limit(1)).scalar_one_or_none() is not None

    def require_record(self, census: Census) -> None:
        """Stop where everything was pulled, and the record of the watermark is there under an older cursor.

        Args:
            census: What came.

        Raises:
            ContractError: It is.
        """
        earned = self.earning.stored
        if earned and self.earning.is_behind() and census.came(earned.key):
            what = f"its newest change is of {self.earning.newest_cursor or 'no moment'}, and it was pulled up to {earned.cursor}"
            raise self._refusal(what)

    def _refusal(self, what: str) -> ContractError:
        name = self.dataset.name
        return ContractError(f"the source went back: {what}", where=name, next_step=_NEXT.format(name, name))
