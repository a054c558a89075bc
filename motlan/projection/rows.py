"""The rows of the projection as the lake has them: one query for whoever loads them, and for whoever compares them.

A run's golden files tell of each row that it changed: what it is now, and the place of the change in the feed (`_ordinal`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from motlan.expressions import literal, quote
from motlan.ledger.erasures import EVENT, TOKEN
from motlan.projection import digests
from motlan.projection.tables import Mirror

Orders = dict[str, list[str]]
"""Table of the store -> its declared columns, in its order."""
_EVENT = "coalesce(_event, case when len(_others) > 0 then case _op when 'removed' then 'merged' else 'split' end else _op end)"
"""What the feed calls a change, as the comparison said, or as it follows where an earlier version did not say it."""
_SOURCES = {
    "key": "_key",
    "ref": "_ref",
    "as_of": "_moment",
    "changed": "case when _op = 'updated' then _changed else [] end",
    "others": "_others",
    "standing": "_standing",
}
"""Column of the store -> the lake's, where they are called otherwise."""


def sources_of(mirror: Mirror, number: str, first_seq: str) -> dict[str, str]:
    """Return column -> the engine's SQL of its value in a row of the lake, for every column of both tables.

    Args:
        mirror: The tables.
        number: SQL of the publication's number.
        first_seq: SQL of the first number that it has in the entity's feed.
    """
    # Of an erased row what every row has is gone (see `motlan.stewardship.erased_rows`).
    erased = "_merge_version is null" if mirror.owner == mirror.key else f"starts_with(_key, {literal(TOKEN)})"
    own = {
        "event": f"case when {erased} then {literal(EVENT)} else {_EVENT} end",
        mirror.owner: "entity_id",
        "seq": f"{first_seq} - 1 + _ordinal::bigint",
        "publication": f"({number})::bigint",
    }
    columns = dict.fromkeys((*mirror.feed, *mirror.golden, *mirror.fields))
    return {column: (_SOURCES | own).get(column, quote(column)) for column in columns}


def with_late_columns(mirror: Mirror, relation: str) -> str:
    """Return rows with the columns that publications lack from before a field was declared, or merges and splits were told."""
    late = ", ".join(
        (
            "null::varchar[] as _others",
            "null::varchar as _event",
            "null::varchar as _standing",
            *(f"null::varchar as {quote(field)}" for field in mirror.fields),
        )
    )
    return f"(from {relation} union all by name select {late} where false)"


def sent(sources: Mapping[str, str], mirror: Mirror, order: Orders) -> str:
    """Return the SQL list of every column as COPY has it, and both tables' digests. A UUID is sent as its 16 bytes.

    `seq` is null where the feed tells nothing.
    """
    ids = {mirror.key, mirror.owner}
    named = {name: f"unhex(replace({value}, '-', ''))" if name in ids else value for name, value in sources.items()}
    texts = texts_of(sources, mirror, order)
    named |= {f"{table}_digest": digests.engine_digest(text) for table, text in texts.items()}
    return ", ".join(f"{value} as {quote(name)}" for name, value in named.items())


def texts_of(sources: Mapping[str, str], mirror: Mirror, order: Orders) -> dict[str, str]:
    """Return `golden` and `feed` -> the engine's SQL of the text of a row in this table."""
    both = {"golden": mirror.golden_kinds, "feed": mirror.feed_kinds}
    return {
        table: digests.engine_text({name: sources[name] for name in order[f"{table}_{mirror.name}"]}, kinds)
        for table, kinds in both.items()
    }


def read_orders(ask: Callable[[str], Iterable[Sequence[Any]]], mirrors: Iterable[Mirror]) -> Orders:
    """Return the declared columns of the tables, in the order in which the store has them: later ones stand last.

    Args:
        ask: Runs a query in the store, in the schema of the tables.
        mirrors: The tables.
    """
    found: Orders = {}
    for mirror in mirrors:
        for table, kinds in ((mirror.golden_table, mirror.golden_kinds), (mirror.feed_table, mirror.feed_kinds)):
            there = [str(row[0]) for row in ask(columns_query(table))]
            found[table] = [name for name in there if name in kinds]
    return found


def columns_query(table: str) -> str:
    """Return PostgreSQL's SQL of a table's columns, in its order: the name and the type."""
    return (
        "select attname::text, format_type(atttypid, null)::text from pg_attribute "
        f"where attrelid = to_regclass('{table}') and attnum > 0 and not attisdropped order by attnum"
    )
