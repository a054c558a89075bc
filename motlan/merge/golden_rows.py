"""What a publication compares of its golden rows, and how rows of which nothing is published are staged for the lake at once."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass

import duckdb
import pyarrow.parquet as pq

from motlan.config.registry import Entity
from motlan.expressions import quote
from motlan.lake.iceberg import created, staging
from motlan.lake.tables import GOLDEN, KEYS, golden_table
from motlan.ledger import runs
from motlan.merge.provenance import DECIDED, SOURCES
from motlan.partitioning import PersonRanges
from motlan.workspace import Workspace


@dataclass(frozen=True)
class Compared:
    """What is compared: the lake's table, the name in the scratch folder, the key, and the columns that are kept.

    Attributes:
        marked: Columns whose changes are told.
        others: Whether merges and splits are told.
    """

    table: str
    name: str
    key: Sequence[str]
    columns: Sequence[str]
    marked: Sequence[str] = ()
    others: bool = False

    def created(self, fresh: str) -> str:
        """Return the SQL of rows (with `_ordinal`) of which nothing is published: all of them are created."""
        others = ", null::varchar[] as _others" if self.others else ""
        return f"select *{others} from ({created(fresh, self.key, (*self.columns, '_ordinal'))})"

    def ordinals(self, keys: str, told: int, *first: str) -> str:
        """Return the SQL of keys with `_ordinal`: their places, counted on from a number.

        Args:
            keys: Relation with the keys.
            told: The number.
            first: Columns by which they are ordered before they are by the keys.
        """
        key = quote(self.key[0])
        order = ", ".join((*map(quote, first), key))
        return f"select {key}, row_number() over (order by {order}) + {told} as _ordinal from {keys}"


def compared(entity: Entity) -> Compared:
    """Return what is compared of an entity's golden rows."""
    columns = (*entity.fields, SOURCES, DECIDED, "_merge_version")
    return Compared(golden_table(entity.name), "golden", KEYS[GOLDEN], columns, entity.fields, others=True)


@dataclass(frozen=True)
class Stage:
    """Where a run leaves rows for the lake before it compares them, because nothing of them is published."""

    work: Workspace
    run: runs.Run
    parts: PersonRanges

    def write(self, engine: duckdb.DuckDBPyConnection, what: Compared, part: int, rows: str) -> int:
        """Stage rows (with `_ordinal`) of a part, and show them in the scratch folder too; return how many they are.

        Args:
            engine: Where the rows are.
            what: What they are.
            part: Of which part.
            rows: Their SQL.
        """
        target = self.parts.path(what.name, part)
        target.unlink(missing_ok=True)
        lasting = self.work.lake.staged_file(what.table, self.run.id, part)
        engine.execute(staging(what.created(rows), self.run.id, lasting))
        count: int = pq.read_metadata(lasting).num_rows
        if count:
            target.symlink_to(lasting)
        else:
            shutil.move(lasting, target)
        return count
