"""The rows of the projection as the lake has them: one query for whoever loads them, and for whoever compares them.

A run's golden files tell of each row that it changed: what it is now, and the place of the change in the feed (`_ordinal`).
"""

from __future__ import annotations

from collections.abc import Mapping

from motlan.expressions import literal, quote
from motlan.ledger.erasures import EVENT, TOKEN
from motlan.projection import digests
from motlan.projection.tables import Mirror

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


def sent(mirror: Mirror, sources: Mapping[str, str]) -> str:
    """Return the SQL list of every column as COPY has it, and both tables' digests. A UUID is sent as its 16 bytes.

    `seq` is null where the feed tells nothing.
    """
    ids = {mirror.key, mirror.owner}
    named = {name: f"unhex(replace({value}, '-', ''))" if name in ids else value for name, value in sources.items()}
    named |= {f"{table}_digest": digests.engine_digest(text) for table, text in texts_of(mirror, sources).items()}
    return ", ".join(f"{value} as {quote(name)}" for name, value in named.items())


def texts_of(mirror: Mirror, sources: Mapping[str, str]) -> dict[str, str]:
    """Return `golden` and `feed` -> the engine's SQL of the text of a row in this table."""
    return {
        table: digests.engine_text({name: sources[name] for name in kinds}, kinds)
        for table, kinds in (("golden", mirror.golden_kinds), ("feed", mirror.feed_kinds))
    }
