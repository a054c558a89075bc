"""Rows that a source sends again: which of them are known, and which say that a record is again as it was.

A row is known by a hash of all that it says. Where what came last counts (see `motlan.lake.newest`), a known row of a record of
which another row came later is news: the record has returned to what it was. It lands once more, as what was sent last. A source
that gives all versions of a record in each answer returns to nothing: of a record's rows in one chunk only the last is asked.
"""

from __future__ import annotations

from collections.abc import Sequence

import duckdb
import pyarrow as pa

from motlan.config.registry import Dataset
from motlan.expressions import one, quote
from motlan.ingest.raw_columns import stored
from motlan.lake.iceberg import RUN_OF_PATH, read_parquet
from motlan.lake.newest import PLACE

_PLACE = f"row({', '.join(part.format('_ref') for part in PLACE)})"


def create(engine: duckdb.DuckDBPyConnection) -> None:
    """Make the empty tables: `landed_before`, and `touched`, the keys of the records of which this pull landed rows.

    Columns of `landed_before`: `row_hash`, `of_this_run` (a try before this one landed it), `passed` (another row of its record
    came later).
    """
    engine.execute(
        "create or replace temp table landed_before (row_hash uhugeint, of_this_run boolean, passed boolean);"
        "create or replace temp table touched (key varchar)"
    )


def remember(
    engine: duckdb.DuckDBPyConnection, dataset: Dataset, files: Sequence[str], hashed: str, sent: str, may_come: str
) -> None:
    """Load the rows landed before that the source may send again into `landed_before`.

    Args:
        engine: A session with the tables that `create` made.
        dataset: Whose rows they are.
        files: All landed files.
        hashed: SQL of the number by which a row is known.
        sent: SQL of whether a row came from the source.
        may_come: SQL of whether the source may send it again.
    """
    window = f"from {read_parquet(files)} where {sent} and {may_come}"
    if dataset.succession == "moment":
        engine.execute(f"insert into landed_before select {hashed}, false, false {window}")
        return
    engine.execute(f"create or replace temp table sent_before as select {hashed} as row_hash, _key, _ref {window}")
    first = one(engine, "select min(split_part(_ref, '/', 1)) from sent_before")[0]
    later = [path for path in files if (found := RUN_OF_PATH.search(path)) and first and found.group(1) >= first]
    # Only what came with these rows or after them can have taken their places.
    last = f"""select _key, max({_PLACE}) as last from {read_parquet(later)} where {sent} and _key in (
                   select _key from sent_before) group by _key having count(*) > 1"""
    if later:
        engine.execute(
            f"""insert into landed_before select row_hash, false, coalesce({_PLACE} < last, false)
                from sent_before left join ({last}) using (_key)"""
        )
    engine.execute("drop table sent_before")


def unseen(engine: duckdb.DuckDBPyConnection, dataset: Dataset, rows: pa.Table, known: str) -> pa.Table:
    """Return the rows of `pulled` that were not landed before, or that say that a record is as it was before its last row.

    Rows without a key may be alike: as many as landed are left out.

    Args:
        engine: A session with `pulled`, `landed_before`, `touched` and `keyless` (see `motlan.ingest.land`).
        dataset: Whose rows they are.
        rows: The rows of `pulled`.
        known: SQL of the number by which a row is known.
    """
    key = quote(stored(dataset.key))
    if dataset.succession == "moment":
        keyed = engine.sql(
            f"select * from pulled where {key} is not null and {known} not in (select row_hash from landed_before)"
        ).to_arrow_table()
    else:
        keyed = _newer(engine, rows, key, known)
    if not rows[stored(dataset.key)].null_count:
        return keyed
    counted = """select row_hash as "row hash", count(*) - coalesce((select sum("how often") from keyless
                      where "row hash" = row_hash), 0) as "how often" from landed_before group by row_hash"""
    left = engine.sql(
        f"""select pulled.* from pulled left join ({counted}) as known on "row hash" = {known}
            where {key} is null qualify row_number() over (partition by {known}) > coalesce("how often", 0)"""
    ).to_arrow_table()
    engine.execute(f"insert into keyless select {known}, count(*) from pulled where {key} is null group by all")
    return pa.concat_tables([keyed, left])


def _newer(engine: duckdb.DuckDBPyConnection, rows: pa.Table, key: str, known: str) -> pa.Table:
    """Return the keyed rows that are new, or that are not what their record said last, in their order."""
    engine.register("placed", rows.append_column("_place", pa.array(range(rows.num_rows), pa.int64())))
    engine.execute(
        f"""create or replace temp table looked_at as
            with told as (select row_hash, bool_or(of_this_run) as of_this_run, bool_and(passed) as passed
                          from landed_before group by row_hash),
            seen as (select _place, {key} as key, coalesce(of_this_run, false) as of_this_run, passed,
                            passed is null as fresh
                     from placed left join told on row_hash = {known} where {key} is not null),
            asked as (select *, _place = max(_place) over (partition by key) as is_last,
                             bool_or(fresh) over (partition by key) as has_fresh from seen)
            select _place, key from asked where fresh or (is_last and not of_this_run
                and (passed or has_fresh or key in (from touched)))"""
    )
    found = engine.sql(
        "select placed.* exclude (_place) from placed semi join looked_at using (_place) order by placed._place"
    ).to_arrow_table()
    engine.execute("insert into touched select distinct key from looked_at; drop table looked_at")
    engine.unregister("placed")
    return found
