"""Which of a record's rows is its newest: the one definition, by which everybody picks the row that stands.

Within one source the order is declared (`order` of agencies.yaml), because only its owner knows whose word to take:

- by arrival, what it sent last counts, by run and by the place in the run, whatever its clock says. So it is where a register
  is asked for its state: an answer is newer than the one before.
- by moment, a late delivery never undoes newer news: the record's own moment counts, and of equals what was sent last. So it is
  where files are dropped, which may come late.

A moment that is not known, or that had not come when the record was pulled, counts as the pull's (see `pull_moment`): a record of
the year 2062 is replaced by the next one.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from motlan.expressions import literal, quote
from motlan.lake.iceberg import read_parquet

if TYPE_CHECKING:
    from motlan.config.registry import Dataset

PLACE = ("split_part({}, '/', 1)", "split_part({}, '/', 2)::integer", "split_part({}, '/', 3)::integer")
"""What orders references by arrival: the run, the chunk, the place in it. Runs' ids sort by start."""


PULLED = "_pulled"
"""Column of accepted rows: what a moment that is not known counts as."""
MOMENT = f"coalesce(_moment, {PULLED})"
"""SQL of what an accepted row's moment counts as."""


def newest_first(dataset: Dataset, moment: str = MOMENT) -> str:
    """Return the SQL that orders a record's rows, the one that stands first.

    Args:
        dataset: Whose record it is.
        moment: SQL of what a row's moment counts as.
    """
    arrived = ", ".join(f"{part.format('_ref')} desc" for part in PLACE)
    return arrived if dataset.succession == "arrival" else f"{moment} desc nulls last, {arrived}"


def newest(dataset: Dataset, files: Sequence[str], columns: str) -> str:
    """Return the SQL of the row that stands of each record of a dataset: `dataset`, `_key`, `_ref`, `_moment`, and more.

    Most records have one row alone: those with more are found first, by a hash of their keys, and no other row is sorted.
    """
    kept = f"{literal(dataset.name)} as dataset, _key, _ref, {MOMENT} as _moment{', ' if columns else ''}{columns}"
    rows, again = read_parquet(files), quote(f"again_{dataset.name}")
    return f"""select * from (
        with {again} as materialized (select hash(_key) as hashed from {rows} group by hashed having count(*) > 1)
        select {kept} from {rows} as rows anti join {again} as again on again.hashed = hash(rows._key)
        union all
        select {kept} from (
            select *, row_number() over (partition by _key order by {newest_first(dataset)}) as _newest
            from {rows} as rows semi join {again} as again on again.hashed = hash(rows._key)) where _newest = 1)"""


def pull_moment(run: str, as_of: str | None) -> str:
    """Return the moment that a pull's own counts as, in canonical form: the source's, or ours where that is earlier or unknown.

    Args:
        run: The id of the run that pulled, which tells when it began.
        as_of: The source's own moment when it was asked, in ISO 8601.
    """
    began = datetime.strptime(run.partition("-")[0], "%Y%m%dT%H%M%S%f").replace(tzinfo=UTC)
    try:
        told = datetime.fromisoformat(as_of or "")
    except ValueError:
        return _canonical(began)
    return _canonical(min(told if told.tzinfo else told.replace(tzinfo=UTC), began))


def _canonical(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ").zfill(27)
