"""Epochs of the feeds: numbers that were given out once are never given out again, also after a restore that lost some.

The first epoch is 1. A restore that is behind what was published begins the next one: its numbers continue after the last that
readers can have seen, and readers of an earlier epoch are sent to a snapshot, because what they saw may not have happened here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from motlan.ledger import log
from motlan.store import tables

_KIND = "feed epoch"


@dataclass(frozen=True)
class GivenOut:
    """The last numbers that were given out.

    Attributes:
        publication: Of publications; 0 where there is none.
        seqs: Entity -> of its feed.
    """

    publication: int
    seqs: dict[str, int]

    def or_later(self, other: GivenOut) -> GivenOut:
        """Return the greater number of each."""
        names = {*self.seqs, *other.seqs}
        seqs = {name: max(self.seqs.get(name, 0), other.seqs.get(name, 0)) for name in sorted(names)}
        return GivenOut(max(self.publication, other.publication), seqs)


def current(connection: sa.Connection) -> int:
    """Return the number of the epoch."""
    return int(connection.execute(sa.select(sa.func.coalesce(sa.func.max(tables.feed_epochs.c.epoch), 1))).scalar_one())


def before(connection: sa.Connection) -> GivenOut:
    """Return the last numbers that were given out before the epoch began; none in the first epoch."""
    table = tables.feed_epochs.c
    query = sa.select(table.publication, table.seqs).order_by(table.epoch.desc()).limit(1)
    found = connection.execute(query).one_or_none()
    return GivenOut(found.publication, dict(found.seqs)) if found else GivenOut(0, {})


def given_out(connection: sa.Connection) -> GivenOut:
    """Return the last numbers that were ever given out, in this epoch or before it."""
    published, related = tables.publications.c, tables.related_publications.c
    seqs: dict[str, int] = {}
    for table in (published, related):
        last = sa.func.max(table.first_seq + table.changes) - 1
        seqs |= {
            name: int(seq) for name, seq in connection.execute(sa.select(table.entity, last).group_by(table.entity))
        }
    number = connection.execute(sa.select(sa.func.coalesce(sa.func.max(published.number), 0))).scalar_one()
    return GivenOut(int(number), seqs).or_later(before(connection))


def projected(connection: sa.Connection, entity: str) -> int:
    """Return the number at which an entity's golden rows in PostgreSQL stand: reading changes goes on after it."""
    published, related = tables.publications.c, tables.related_publications.c
    loaded = published.projected_at.is_not(None)
    own = sa.select(sa.func.max(published.first_seq + published.changes) - 1).where(published.entity == entity, loaded)
    beside = sa.select(sa.func.max(related.first_seq + related.changes) - 1).where(
        related.entity == entity, published.number == related.publication, loaded
    )
    found = [connection.execute(query).scalar_one() or 0 for query in (own, beside)]
    return max(*map(int, found), before(connection).seqs.get(entity, 0))


def begin(connection: sa.Connection, given: GivenOut, reason: str, after: int = 1) -> int:
    """Begin the next epoch, in the publisher's transaction; return its number.

    Args:
        connection: In the publisher's transaction.
        given: The last numbers that readers can have seen.
        reason: Why, in words for the operator.
        after: The last epoch that readers can have seen.
    """
    epoch = max(current(connection), after) + 1
    known = given_out(connection).or_later(given)
    values: dict[str, Any] = {"epoch": epoch, "publication": known.publication, "seqs": known.seqs}
    connection.execute(sa.insert(tables.feed_epochs).values(**values, reason=reason))
    log.append(connection, _KIND, values)
    return epoch
