"""Numbers have histories: a number that was cancelled and established anew is its record's still, for rows that bear it.

A register of persons gives somebody another number where the first one carried a wrong sex, year or place. Which numbers a
record bore is told by its earlier accepted rows; where a register keys its records by the number, by a record that is gone
since. Few records have such a history, so it is gathered apart from all rows.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import pyarrow.parquet as pq

from motlan.config.registry import Dataset
from motlan.expressions import literal, quote
from motlan.lake import tables
from motlan.lake.iceberg import read_parquet
from motlan.lake.newest import MOMENT, newest_first
from motlan.lake.tables import gone_table
from motlan.lake.tables import identifiers_table as identifiers_table
from motlan.workspace import Workspace

PERIOD_KEY = tables.KEYS[tables.IDENTIFIERS]
"""What identifies a row of `identifiers_table`: a record, an identifier, and its how-manieth value of it, from 1."""
PERIOD_COLUMNS = ("entity_id", "value", "since", "until")
"""The person, the value, the moment of the record's first row that has it, and of the first that has another; null of a value
that stands."""
NAMES = "numbers"
"""What a linking leaves in its run's scratch folder of the numbers that a thing may be named by: see `named_query`."""
OLDER = 1_000_000
"""What is added to the age of a row of a record that is gone, where it is told of the one that came after it."""


def histories(
    work: Workspace, entity: str, inputs: Mapping[str, Sequence[str]], records: int, spine: str
) -> str | None:
    """Return the SQL of all accepted rows of the spine's records that bore another number once, or are gone.

    Columns: `dataset`, `_key`, `_ref`, `_moment`, the entity's fields; `_stands`, whether the row is what its register says now;
    and `_age`: 1 of the newest row, which is the one that stands where any does, 2 of the one before.

    Args:
        work: The open installation.
        entity: The entity's name.
        inputs: Dataset -> the sync runs to read.
        records: How many records the spine has. With no more rows than that, no record has a history.
        spine: Relation with `dataset`, `_key` and `_ref` of the spine's rows that stand.

    Returns:
        None where there is no such record.
    """
    matching, fields = work.registry.entity(entity).matching, work.registry.entity(entity).fields
    parts, rows = [], 0
    for dataset in work.registry.datasets_of(entity):
        followed = [name for name in matching.followed if name in dataset.fields]
        if dataset.name in matching.spine and followed and (files := work.clean_files(dataset.name, inputs)):
            rows += sum(pq.read_metadata(path).num_rows for path in files)
            gone = work.lake.files(gone_table(dataset.name), set(inputs.get(dataset.name, ())))
            said = [quote(name) if name in dataset.fields else f"null::varchar as {quote(name)}" for name in fields]
            parts.append(_moved(dataset, files, gone, said, followed, spine))
    return f"({' union all '.join(parts)})" if parts and rows > records else None


def _moved(
    dataset: Dataset,
    files: Collection[str],
    gone: Collection[str],
    said: Collection[str],
    followed: Collection[str],
    spine: str,
) -> str:
    """Return the SQL of the rows of a register's records that had two values of an identifier, or one and then none, or went."""
    rows, again, moved = read_parquet(files), quote(f"several_{dataset.name}"), quote(f"moved_{dataset.name}")
    changed = " or ".join(
        f"(min({name}) != max({name}) or count({name}) between 1 and count(*) - 1)" for name in map(quote, followed)
    )
    standing = (
        f"(select _ref as standing_ref, _key as standing_key from {spine} where dataset = {literal(dataset.name)})"
    )
    went = (
        f"""union select _key from {read_parquet(gone)} as marks
               anti join {standing} as stood on stood.standing_key = marks._key"""
        if gone
        else ""
    )
    age = f"row_number() over (partition by _key order by standing_ref is not null desc, {newest_first(dataset)})"
    return f"""select * from (
        with {again} as materialized (select hash(_key) as hashed from {rows} group by hashed having count(*) > 1),
        {moved} as materialized (
            select rows._key from {rows} as rows semi join {again} as again on again.hashed = hash(rows._key)
            group by rows._key having {changed} {went})
        select {literal(dataset.name)} as dataset, _key, _ref, {MOMENT} as _moment, {", ".join(said)},
               standing_ref is not null as _stands,
               {age} as _age
        from {rows} as rows semi join {moved} as moved using (_key)
        left join {standing} as stood on stood.standing_key = rows._key and stood.standing_ref = rows._ref)"""


def former_query(histories: str, followed: Sequence[str]) -> str:
    """Return the SQL of the earlier rows of `histories` by which a record is known still: the newest of each number.

    Of a record that is gone they are the newest of each number that it bore, with `_stands` false of all its rows.
    """
    names = [quote(name) for name in followed]
    other = " or ".join(f"(was.{name} is not null and was.{name} is distinct from now.{name})" for name in names)
    return f"""(
        select was.*, now._key is null as gone
        from {histories} as was left join (select * from {histories} where _stands) as now
        on now.dataset = was.dataset and now._key = was._key
        where not was._stands and ({other})
        qualify row_number() over (
            partition by was.dataset, was._key, {", ".join(f"was.{name}" for name in names)} order by was._age) = 1)"""


def periods_query(histories: str, followed: Sequence[str], links: str) -> str:
    """Return the SQL of the numbers that persons bore, with periods: `PERIOD_KEY` and `PERIOD_COLUMNS`.

    Args:
        histories: Relation as `histories` gives it.
        followed: The identifiers.
        links: Relation with `dataset`, `_key`, `entity_id`.
    """
    told = " union all ".join(
        f"select dataset, _key, _moment, _age, {literal(name)} as field, {quote(name)} as value from {histories}"
        for name in followed
    )
    record = "partition by dataset, _key, field order by"
    return f"""
        with told as ({told}),
        turned as (select *, value is distinct from lag(value) over ({record} _age desc) as turns from told),
        placed as (select *, count(*) filter (turns) over ({record} _age desc) as place from turned),
        spans as (
            select dataset, _key, field, place, any_value(value) as value, min(_moment) as since
            from placed group by all),
        ended as (select *, lead(since) over ({record} place) as until from spans),
        known as (select *, row_number() over ({record} place) as period from ended where value is not null)
        select dataset, _key, field, period::bigint as period, entity_id, value, since, until
        from known join {links} as links using (dataset, _key)"""


def named_query(histories: str, former_rows: str, former: str, followed: Sequence[str]) -> str:
    """Return the SQL of what names one person by its numbers: `field`, `value` -> `first` and `last`, of which it is one.

    A number that a record bore once names its person still, where it holds: so a thing that is named by somebody's number goes
    on being one thing. `first` stays whatever comes; `last` is the one that stands.

    Args:
        histories: Relation as `histories` gives it.
        former_rows: Relation with `n` and `_ref` of earlier rows.
        former: Relation with `n`, `holds`: whether a record is known by an earlier row still.
        followed: The identifiers.
    """
    told = " union all ".join(
        f"""select dataset, _key, _ref, _stands, _age, {literal(name)} as field, {quote(name)} as value from {histories}
            where {quote(name)} is not null"""
        for name in followed
    )
    return f"""
        with told as ({told}),
        holding as (
            select distinct dataset, _key, field, value from told
            where _stands or _ref in (
                select f._ref from {former_rows} as f join {former} as h using (n) where holds)),
        own as (select * from holding qualify count(*) over (partition by field, value) = 1),
        borne as (select * from told semi join own using (dataset, _key, field, value)),
        ends as (
            select dataset, _key, field, arg_max(value, _age) as first, arg_min(value, _age) as last from borne group by all)
        select field, value, first, last from own join ends using (dataset, _key, field)"""
