"""What an erasure destroys in PostgreSQL: projected rows, quarantine, what people decided about a record, the watermark's key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from motlan.ledger.erasures import EVENT
from motlan.ledger.row_log import ROWS, commit_rows
from motlan.projection import digests
from motlan.projection.rows import columns_query
from motlan.projection.tables import Mirror, mirror_of
from motlan.stewardship.erased_rows import Erased
from motlan.store import roles, tables
from motlan.store.tables import PAIR
from motlan.workspace import Workspace

GONE = "(erased)"
"""What stands in the place of a person's words, which may name whom the record is about."""
SIDES = (("left_dataset", "left_key"), ("right_dataset", "right_key"))


def find_entries(connection: sa.Connection, erased: Erased) -> tuple[list[str], list[str]]:
    """Return the quarantine's entries about the record, and the payloads of what people said about them."""
    entry, decision = tables.quarantine_entries.c, tables.quarantine_decisions.c
    mine = (entry.dataset == erased.dataset, sa.or_(entry.ref.in_(erased.refs), entry.source_key.in_(erased.keys)))
    found = list(connection.execute(sa.select(entry.id, entry.fix).where(*mine)))
    ids = [row.id for row in found]
    said = connection.scalars(sa.select(decision.payload).where(decision.entry.in_(ids)))
    return ids, sorted({name for name in (*said, *(row.fix for row in found)) if name})


def erase(
    connection: sa.Connection, work: Workspace, erased: Erased, things: Mapping[str, Sequence[tuple[str, str]]]
) -> dict[str, str]:
    """Destroy what the store has of a record, in the caller's transaction.

    Args:
        connection: The publisher's.
        work: The open installation.
        erased: What is erased.
        things: Entity beside the linked one -> publication's run and id of each row that is erased.

    Returns:
        Decisions of people that were emptied, with their new commitments (see `motlan.ledger.row_log`).
    """
    roles.maintain(connection)
    _projected(connection, work, erased, things)
    _of_runs(connection, erased)
    bound = _quarantine(connection, erased)
    for table, keys in (
        (tables.value_decisions, (("dataset", "key"),)),
        (tables.link_decisions, SIDES),
    ):
        bound |= _decisions(connection, table, keys, erased)
    _pairs(connection, erased)
    return bound


def _projected(
    connection: sa.Connection, work: Workspace, erased: Erased, things: Mapping[str, Sequence[tuple[str, str]]]
) -> None:
    """Empty the feeds' events and remove the golden rows, as far as they are there."""
    known = set(sa.inspect(connection).get_table_names())
    mirror = mirror_of(work.registry.entity(erased.entity))
    nothing = ", ".join(f"{name} = null" for name in mirror.fields)
    emptied = f"set event = '{EVENT}', changed = '{{}}', {nothing}"
    if mirror.feed_table in known and erased.gone:
        values = {"ids": list(erased.gone)}
        mine = f"where {mirror.key} = any(cast(:ids as uuid[]))"
        connection.execute(sa.text(f"update {mirror.feed_table} {emptied} {mine}"), values)
        connection.execute(sa.text(f"delete from {mirror.golden_table} {mine}"), values)
        _digest_anew(connection, work, mirror, mine, values)
    if (corrections := f"corrections_{erased.entity}") in known:
        mine = "where dataset = :dataset and key = any(:keys)"
        by = {"dataset": erased.dataset, "keys": list(erased.keys)}
        connection.execute(sa.text(f"delete from {corrections} {mine}"), by)
    for related in work.registry.related_to(erased.entity):
        rows = things.get(related.name, ())
        beside = mirror_of(related)
        if not rows or beside.feed_table not in known:
            continue
        nothing = ", ".join(f"{name} = null" for name in beside.fields)
        mine = (
            "where (id, publication) in (select given.id, publications.number "
            "from unnest(cast(:runs as text[]), cast(:ids as uuid[])) as given(run, id) "
            "join publications on publications.run = given.run)"
        )
        values = {"runs": [run for run, _ in rows], "ids": [one for _, one in rows]}
        change = f"update {beside.feed_table} set event = '{EVENT}', changed = '{{}}', {nothing} {mine}"
        connection.execute(sa.text(change), values)
        _digest_anew(connection, work, beside, mine, values)
        mine = "where dataset = :dataset and key = any(:keys)"
        by = {"dataset": erased.dataset, "keys": list(erased.keys)}
        connection.execute(sa.text(f"delete from {beside.golden_table} {mine}"), by)


def _digest_anew(
    connection: sa.Connection, work: Workspace, mirror: Mirror, mine: str, values: Mapping[str, Any]
) -> None:
    """Give rows of a feed the digests of what they say now (see `motlan.projection.digests`)."""
    there = connection.execute(sa.text(columns_query(mirror.feed_table)))
    text = digests.store_text({name: kind for name, kind in there if name != digests.DIGEST})
    query = sa.text(f"select seq, {text} from {mirror.feed_table} {mine}")
    key = digests.key_of(work.settings)
    made = [{"seq": seq, "made": digests.digest_of(key, text)} for seq, text in connection.execute(query, values)]
    if made:
        change = f"update {mirror.feed_table} set {digests.DIGEST} = :made where seq = :seq"
        connection.execute(sa.text(change), made)


def _of_runs(connection: sa.Connection, erased: Erased) -> None:
    """Take the record's key out of watermarks: the next pull asks for all records of its cursor again."""
    mark, run = tables.watermarks, tables.runs
    mine = (mark.c.dataset == erased.dataset, mark.c.key.in_(erased.keys))
    connection.execute(sa.update(mark).where(*mine).values(key=""))
    key = run.c.steps["land"]["key"].astext
    values = {"steps": sa.func.jsonb_set(run.c.steps, sa.text("'{land,key}'"), sa.text("'\"\"'::jsonb"))}
    same = (run.c.kind == "sync", run.c.subject == erased.dataset, key.in_(erased.keys))
    connection.execute(sa.update(run).where(*same).values(**values))


def _quarantine(connection: sa.Connection, erased: Erased) -> dict[str, str]:
    ids, _ = find_entries(connection, erased)
    entry, decision = tables.quarantine_entries, tables.quarantine_decisions
    values = {"source_key": None, "locator": None, "moment": None, "fix": None, "state": "closed", "closed_as": EVENT}
    connection.execute(sa.update(entry).where(entry.c.id.in_(ids)).values(**values))
    said = {"reason": GONE, "payload": None}
    return _empty(connection, decision, decision.c.entry.in_(ids), said)


def _decisions(
    connection: sa.Connection, table: sa.Table, sides: Sequence[tuple[str, str]], erased: Erased
) -> dict[str, str]:
    """Empty what people decided about the record; who, when and what stay."""
    bound: dict[str, str] = {}
    for dataset, key in sides:
        said: dict[str, Any] = {key: erased.token, "reason": GONE}
        said |= {"digest": GONE} if "digest" in table.c else {}
        if "withdrawn_reason" in table.c:
            said["withdrawn_reason"] = sa.case((table.c.withdrawn_reason.is_not(None), GONE))
        bound |= _empty(connection, table, _is(table, dataset, key, erased), said)
    return bound


def _is(table: sa.Table, dataset: str, key: str, erased: Erased) -> sa.ColumnElement[bool]:
    return sa.and_(table.c[dataset] == erased.dataset, table.c[key].in_(erased.keys))


def _empty(
    connection: sa.Connection, table: sa.Table, mine: sa.ColumnElement[bool], said: Mapping[str, Any]
) -> dict[str, str]:
    """Empty rows that the log binds; their salt is another one, so that the old commitment tells nothing of what was there."""
    change = sa.update(table).where(mine).values(**said, salt=sa.func.gen_random_uuid()).returning(table.c.id)
    ids = list(connection.scalars(change))
    return commit_rows(connection, table, ids)[ROWS] if ids else {}


def _pairs(connection: sa.Connection, erased: Erased) -> None:
    """Remove pairs of the record that wait for an answer; assignments stay, because decisions name them."""
    assert len(PAIR) == 2 * len(SIDES)
    cases, given = tables.link_cases, tables.link_assignments
    for dataset, key in SIDES:
        connection.execute(sa.delete(cases).where(_is(cases, dataset, key, erased)))
        change = sa.update(given).where(_is(given, dataset, key, erased))
        connection.execute(change.values(**{key: erased.token}))
