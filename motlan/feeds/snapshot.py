"""A snapshot of an entity for a reader: what is published now, page by page, and the number after which changes go on.

Pages are read one after another while others publish: a row of a later page may be newer than the first page's number. So a
reader keeps the number of the first page, and reads the changes after it: each says every value that a row has.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from motlan.config.registry import Entity, Grant, RelatedEntity
from motlan.feeds import guard
from motlan.projection.tables import mirror_of
from motlan.publication import epochs
from motlan.workspace import Workspace


@dataclass(frozen=True)
class Page:
    """A page of a snapshot.

    Attributes:
        lines: A row each: the bus's own ids, `standing` where the person is disputed, and `values`, those that are granted.
        seq: The number of the feed at which the rows stand.
        last: The id of the last row; None where no rows are left behind it.
        keys: The rows' own ids, in order.
    """

    lines: list[dict[str, Any]]
    seq: int
    last: str | None
    keys: list[str]


def read(work: Workspace, entity: Entity | RelatedEntity, grant: Grant, after: UUID | None, limit: int) -> Page:
    """Read a page of what is published of an entity, within a grant.

    Args:
        work: The open installation.
        entity: The entity.
        grant: Which fields may be read.
        after: The id of the last row of the page before; None for the first page.
        limit: Rows at the most.
    """
    mirror = mirror_of(entity)
    own = [*dict.fromkeys((mirror.key, mirror.owner)), *(["standing"] if "standing" in mirror.golden else [])]
    golden = sa.table(mirror.golden_table, *(sa.column(name) for name in (*own, *grant.fields)))
    key = golden.c[mirror.key]
    query = sa.select(golden).order_by(key).limit(limit + 1)
    if after is not None:
        query = query.where(key > after)
    connect = work.store.engine.connect().execution_options(isolation_level="REPEATABLE READ")
    with connect as connection:
        seq = epochs.projected(connection, entity.name)
        found = connection.execute(query.add_columns(*guard.guarding(connection, mirror.golden_table))).all()
    guard.require_published(work.settings, mirror.golden_table, found)
    rows = [row._mapping for row in found]
    lines = [_line(row, own, grant) for row in rows[:limit]]
    keys = [line[mirror.key] for line in lines]
    return Page(lines, seq, keys[-1] if len(rows) > limit else None, keys)


def _line(row: sa.RowMapping, own: list[str], grant: Grant) -> dict[str, Any]:
    ids = {name: str(row[name]) for name in own if row[name] is not None}
    return {**ids, "values": {name: row[name] for name in grant.fields if row[name]}}
