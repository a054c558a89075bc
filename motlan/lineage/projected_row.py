"""The row of a person that the store serves, compared with the lake's: a value that was altered there is told loudly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from motlan.projection.tables import mirror_of
from motlan.workspace import Workspace

NO_ROW = "the database that agencies are served from lacks a row of this person"
ALTERED = "the database that agencies are served from says something else than what was published"
ALTERED_FEED = "the change feed that agencies are served from says something else than what was published"
MOST = 20
"""Persons that an index is asked for at the most."""


def find_projected(work: Workspace, entity: str, identifier: str) -> list[str]:
    """Return the ids of the persons that the store has under an identifier, or under this id of the bus's own."""
    of = work.registry.entity(entity)
    mirror, identifiers = mirror_of(of), of.matching.identifiers
    golden = sa.table(mirror.golden_table, *(sa.column(name) for name in (mirror.key, *identifiers)))
    query = sa.select(golden.c[mirror.key]).where(
        sa.or_(sa.false(), *(golden.c[name] == identifier for name in identifiers))
    )
    with work.store.engine.connect() as connection:
        if not connection.execute(sa.text(f"select to_regclass('{mirror.golden_table}') is not null")).scalar_one():
            return []
        return [str(found) for found in connection.scalars(query.limit(MOST))]


def compare_projection(
    work: Workspace, entity: str, golden: Mapping[str, Any], changes: Sequence[Mapping[str, Any]]
) -> dict[str, str]:
    """Compare the store's row of a person, and its lines of the feed, with what the lake says was published.

    Args:
        work: The open installation.
        entity: The entity's name.
        golden: The lake's newest row.
        changes: The person's numbers of the feed (see `value_history.Published.feed_numbers`).

    Returns:
        Field -> what is wrong; the empty name where a whole row is missing.
    """
    of = work.registry.entity(entity)
    mirror = mirror_of(of)
    columns: list[sa.ColumnClause[Any]] = [sa.column(name) for name in of.fields]
    mine = sa.column(mirror.key) == sa.cast(golden["entity_id"], sa.Uuid)
    numbers = [change["seq"] for change in changes]
    pending = sa.text("select exists (select from publications where entity = :entity and projected_at is null)")
    with work.store.engine.connect() as connection:
        if connection.execute(pending, {"entity": entity}).scalar_one():
            return {}  # what was published is not loaded yet: the older row is no alteration
        rows = sa.select(*columns).select_from(sa.table(mirror.golden_table)).where(mine)
        served = connection.execute(rows).mappings().one_or_none()
        seq = sa.column("seq", sa.BigInteger)
        lines = sa.select(seq, *columns).select_from(sa.table(mirror.feed_table)).where(seq.in_(numbers), mine)
        fed = {row["seq"]: dict(row) for row in connection.execute(lines).mappings()}
    if served is None:
        return {"": NO_ROW}
    found = {
        name: ALTERED_FEED
        for change in changes
        for name in _differing(fed.get(change["seq"]), change["row"], of.fields)
    }
    return found | dict.fromkeys(_differing(dict(served), golden, of.fields), ALTERED)


def _differing(stored: Mapping[str, Any] | None, lake: Mapping[str, Any], fields: Sequence[str]) -> list[str]:
    """Return the fields that differ; what the store cannot hold (U+0000), a projection may have left out."""
    if stored is None:
        return [""]
    return [
        name for name in fields if stored[name] != lake[name] and stored[name] != (lake[name] or "").replace("\0", "")
    ]
