"""What is served is what was published: each row's digest is computed again before it is given to anybody.

A row that was altered in PostgreSQL, by whatever role, is not served, and neither is its page. What a digest cannot show, a row
that was removed or put back as it was once, `motlan audit verify` finds (see `motlan.projection.verify`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from motlan.projection import digests
from motlan.projection.rows import columns_query
from motlan.settings import Settings


class AlteredError(Exception):
    """Rows are not those that were published.

    Attributes:
        table: The store's table.
        rows: Their numbers in the feed, or the bus's own ids.
    """

    def __init__(self, table: str, rows: list[str]) -> None:
        super().__init__(table)
        self.table, self.rows = table, rows


def guarding(connection: sa.Connection, table: str) -> list[sa.ColumnElement[Any]]:
    """Return the two columns that a query on a table gives beside, last: a row's text, and its digest."""
    kinds = connection.execute(sa.text(columns_query(table))).all()
    columns = {f"{table}.{name}": kind for name, kind in kinds if name != digests.DIGEST}
    digest = sa.literal_column(f"{table}.{digests.DIGEST}", sa.LargeBinary)
    return [sa.literal_column(digests.store_text(columns)).label("_text"), digest.label("_digest")]


def require_published(settings: Settings, table: str, rows: Iterable[Sequence[Any]]) -> None:
    """Stop where a row is not the one that was published.

    Args:
        settings: Where the key of digests is.
        table: The store's table.
        rows: Rows of a query: the number or id first, the two columns of `guarding` last.

    Raises:
        AlteredError: There are such rows.
    """
    key = digests.key_of(settings)
    altered = [str(row[0]) for row in rows if digests.digest_of(key, row[-2]) != row[-1]]
    if altered:
        raise AlteredError(table, altered)
