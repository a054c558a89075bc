"""Compare a source with what the bus holds of it: everything is pulled, nothing is landed, and the difference is counted.

A pull of changes trusts the source's cursor. A source that corrects a record and forgets to say so, restores a backup, or deletes
without a count drifts away in silence. This finds it: of each record the content (all declared columns but the cursor and the
moment) is held against the newest landed row of its key, by a hash.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import duckdb

from motlan.adapter import Page
from motlan.config.registry import Dataset
from motlan.expressions import literal, one, quote
from motlan.ingest.completeness import Census
from motlan.ingest.land import Watch, canonical_row
from motlan.ingest.raw_columns import received, stored
from motlan.ingest.refusals import naming_the_credential
from motlan.ingest.watermark import cursor as canonical_cursor
from motlan.ingest.watermark import cursors_of, read
from motlan.lake.iceberg import read_parquet
from motlan.lake.newest import newest_first
from motlan.lake.tables import gone_table, raw_table
from motlan.ledger import runs
from motlan.workspace import Workspace, but_gone


@dataclass(frozen=True)
class Compared:
    """What a comparison found. Numbers of records, by their keys.

    Attributes:
        dataset: Of which dataset.
        there: Records of the source.
        here: Records that are held and not known to be gone.
        same: Those of both with the same content.
        different: Those of both with another content.
        missing_here: Records of the source that were never landed, though they changed before the watermark.
        missing_there: Records that are held, and that the source does not have.
        not_pulled_yet: Records of the source that changed after the watermark: the next sync brings them.
        without_key: Rows of the source without a key, which are not compared.
        drift: Share of all records that are different or missing, 0 to 1.
    """

    dataset: str
    there: int
    here: int
    same: int
    different: int
    missing_here: int
    missing_there: int
    not_pulled_yet: int
    without_key: int
    drift: float

    def counts(self) -> runs.Counts:
        """Return it as plain JSON values."""
        return asdict(self)


def compare(work: Workspace, name: str, watch: Watch | None = None) -> Compared:
    """Pull everything of a dataset, and count in what it differs from what is held. Nothing is kept of it.

    Args:
        work: The open installation.
        name: The dataset.
        watch: Is given how many rows came, and how many the source announced.

    Raises:
        ConfigurationError: There is no such dataset.
        ContractError: The source broke its word, such as by fewer rows than it counts.
        TransientError: The line failed.
    """
    dataset = work.registry.dataset(name)
    with work.engine(f"comparing {name}") as engine, naming_the_credential(dataset):
        _load_held(work, engine, dataset)
        _pull(work, engine, dataset, watch)
        without_key = int(one(engine, "select count(*) from source_rows where _key is null")[0])
        found = one(engine, _COUNTS)
    there, here, same, different, missing_here, missing_there, later = map(int, found)
    drifted = different + missing_here + missing_there
    share = round(drifted / max(there + missing_there, 1), 6)
    return Compared(name, there, here, same, different, missing_here, missing_there, later, without_key, share)


_COUNTS = """
    with source as (
        select _key, list(content) as contents, bool_or(later) as later from source_rows where _key is not null group by _key),
    both_sides as (
        select source._key is not null as there, held._key is not null as here, coalesce(later, false) as later,
               list_contains(contents, held.content) as same
        from source full join held using (_key))
    select count(*) filter (there), count(*) filter (here), count(*) filter (same),
           count(*) filter (there and here and not same and not later), count(*) filter (there and not here and not later),
           count(*) filter (here and not there), count(*) filter (there and later and not coalesce(same, false))
    from both_sides"""
"""A source may give several versions of a record in one answer: it agrees where one of them is the one that is held."""


def _content(columns: Sequence[str], sent: Sequence[str]) -> str:
    """Return the SQL of the number by which a record's content is known; a column that was not sent is null."""
    return f"md5_number({canonical_row(column for column in columns if column in sent)})"


def _columns(dataset: Dataset) -> list[str]:
    return [stored(column) for column in dataset.columns if column not in (dataset.cursor, dataset.moment)]


def _load_held(work: Workspace, engine: duckdb.DuckDBPyConnection, dataset: Dataset) -> None:
    """Make `held`: `_key` and `content` of the newest landed row of each record that is not gone."""
    with work.store.engine.connect() as connection:
        seen = set(runs.visible(connection, "sync", dataset.name)) - set(runs.replays(connection, dataset.name))
    files = work.lake.files(raw_table(dataset.name), seen)
    if not files:
        engine.execute("create temp table held (_key varchar, content uhugeint)")
        return
    sent = [row[0] for row in engine.execute(f"describe from {read_parquet(files)}").fetchall()]
    rows = (
        f"select _key, _ref, {_content(_columns(dataset), sent)} as content from {read_parquet(files)} where _key is not null "
        f"qualify row_number() over (partition by _key order by {newest_first(dataset, '_moment')}) = 1"
    )
    standing = but_gone(rows, work.lake.files(gone_table(dataset.name), seen))
    engine.execute(f"create temp table held as select _key, content from ({standing})")


def _pull(work: Workspace, engine: duckdb.DuckDBPyConnection, dataset: Dataset, watch: Watch | None) -> None:
    """Make `source_rows`: `_key`, `content` and `later` (whether it changed after the watermark) of each row of the source."""
    with work.store.engine.connect() as connection:
        watermark = read(connection, dataset.name)
    cursors = cursors_of(dataset)
    bound = literal(watermark.cursor) if watermark else "''"
    later = "true"
    if watermark and cursors.kind == "sequence":
        later = f"try_cast({canonical_cursor(dataset)} as hugeint) > {int(watermark.cursor)}"
    elif watermark:
        later = f"{canonical_cursor(dataset)} > {bound}"
    census = Census(dataset.open(), None, engine, stored(dataset.key))
    engine.execute("create temp table source_rows (_key varchar, content uhugeint, later boolean)")
    for asked in census.asked():
        if asked is None:
            engine.execute("delete from source_rows")
        for page in census.adapter.pull(asked):
            _add(engine, dataset, census, page, later)
            if watch:
                watch(census.rows, census.count.rows)


def _add(engine: duckdb.DuckDBPyConnection, dataset: Dataset, census: Census, page: Page, later: str) -> None:
    rows, names = received(page.rows)
    census.add(rows.select(list(names)))
    sent, key = list(names), stored(dataset.key)
    known = later if stored(dataset.cursor) in sent else "false"
    engine.register("page", rows)
    engine.execute(
        f"insert into source_rows select {quote(key)}, {_content(_columns(dataset), sent)}, coalesce({known}, false) from page"
    )
    engine.unregister("page")
