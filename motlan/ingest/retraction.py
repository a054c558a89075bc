"""A delivery that is taken back: what a sync run landed counts no longer, and nothing of it is lost.

Taking it back is a run of its own. It pulls nothing and lands nothing. The run that is taken back gets the state `retracted`, so
that nobody reads its rows any more: each of its records is again what its register said before or has said since, a record that
it alone brought is gone, and one that it found gone is there again. Its rows, payloads and entries of the log stay, and what was
published stands as published. The next reconcile run notices which records turned, and the publication after it tells of them.

The watermark goes back to where the run began, so that the source sends again what it has of that time. Rows of the run that come
again land as new: the bus does not hold it against a row that it was taken back once.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import duckdb
import sqlalchemy as sa

from motlan.config.registry import Dataset
from motlan.errors import ConfigurationError, ContractError
from motlan.expressions import one
from motlan.ingest import watermark, watermark_reset
from motlan.ingest.cursors import Cursors
from motlan.ingest.watermark import Stored
from motlan.lake.iceberg import read_parquet
from motlan.lake.newest import newest
from motlan.lake.tables import clean_table, gone_table, raw_table
from motlan.ledger import log, runs
from motlan.ledger.results import Landed, SyncBegun
from motlan.store import tables
from motlan.workspace import Workspace, but_gone

ASKED = "retract"
"""Name of what is asked for of a run that takes another one back: `run`, `principal`, `reason`."""
KIND = "retraction"
"""The kind of the log's entries."""
_NUMBERS = re.compile(r"\d{6,}")


@dataclass(frozen=True)
class Forecast:
    """What taking a run back will do.

    Attributes:
        run: The run.
        dataset: Its dataset.
        rows: Rows that it landed.
        restored: Records that are again what their register said before.
        ended: Records that it alone brought: they are gone.
        returned: Records that it found gone: they are there again.
        unmoved: Records of which newer rows stand, or its row never stood: they stay as they are.
        closed: Reconcile runs that read it and are not published: they are closed.
        published: The number of publications that rest on it: the next one is the reversal.
        watermark: The cursor that the next sync begins at; empty for everything.
        watermark_moves: Whether that is another one than now.
    """

    run: str
    dataset: str
    rows: int
    restored: int
    ended: int
    returned: int
    unmoved: int
    closed: list[str]
    published: int
    watermark: str
    watermark_moves: bool


def check_reason(why: str) -> str:
    """Return a reason as it is kept.

    Raises:
        ConfigurationError: It is missing, or may name somebody.
    """
    if not why.strip():
        raise ConfigurationError("a delivery is taken back for a reason", next_step="say why by --reason.")
    if _NUMBERS.search(why):
        what = "the reason stands in the log for ever, and has a number that may be somebody's"
        raise ConfigurationError(what, next_step="say why without it.")
    return why.strip()


def require_retractable(work: Workspace, run: str) -> runs.Run:
    """Return a run that can be taken back.

    Raises:
        ConfigurationError: There is no such run, it landed nothing that is read, or it was taken back before.
        ContractError: A later run landed rows of it again. It is named.
    """
    found = runs.get(work.store, run)
    if found.state == runs.RETRACTED:
        by = _retracted_by(work, run)
        raise ConfigurationError(
            f"this run was taken back before, by run {by}",
            where=run,
            next_step="`motlan reconcile` and `motlan publish` carry that on; `motlan sync` pulls what its source has now.",
        )
    asked = found.steps.get(runs.ASKED, {})
    if found.kind != "sync" or found.state != "visible" or ASKED in asked:
        what = "takes another one back" if ASKED in asked else f"is a {found.kind} run, {found.state}"
        raise ConfigurationError(
            f"only a delivery can be taken back: this run {what}",
            where=run,
            next_step="`motlan runs list --kind sync --state visible` lists them; `motlan runs abort` ends what is not visible.",
        )
    if later := _landed_again(work, found):
        raise ContractError(
            f"run {later} landed rows of it again (a reclean, or a replay of the quarantine)",
            where=run,
            next_step=f"take that one back first: `motlan retract {later}`.",
        )
    return found


def _retracted_by(work: Workspace, run: str) -> str:
    table = tables.runs.c
    query = sa.select(sa.func.max(table.id)).where(table.steps[runs.ASKED][ASKED]["run"].astext == run)
    with work.store.engine.connect() as connection:
        return str(connection.execute(query).scalar_one() or "unknown")


def _landed_again(work: Workspace, run: runs.Run) -> str | None:
    """Return the newest visible run that landed rows of a run again, by its payloads and the places in them."""
    with work.store.engine.connect() as connection:
        seen = set(runs.visible(connection, "sync", run.subject)) & set(runs.replays(connection, run.subject))
    table, later = raw_table(run.subject), {one_ for one_ in seen if one_ > run.id}
    again, own = work.lake.files(table, later), work.lake.files(table, {run.id})
    if not again or not own:
        return None
    with work.engine(f"looking for rows of {run.subject}") as engine:
        query = f"""select max(_run) from {read_parquet(again)} as later
            semi join {read_parquet(own)} as own using (_payload, _locator, _key)"""
        found: str | None = one(engine, query)[0]
        return found


def forecast(work: Workspace, run: runs.Run) -> Forecast:
    """Count what taking a run back will do. Nothing is changed."""
    dataset = work.registry.dataset(run.subject)
    with work.store.engine.connect() as connection:
        seen = runs.visible(connection, "sync", dataset.name)
        stored = watermark.read(connection, dataset.name)
        closed = _open_readers(connection, dataset, run.id)
        published = _publications(connection, dataset, run.id)
    with work.engine(f"counting records of {dataset.name}") as engine:
        counts = _count(work, engine, dataset, run.id, seen)
    moved = _moved(run, dataset, stored)
    return Forecast(
        run=run.id,
        dataset=dataset.name,
        rows=run.result(Landed).landed,
        **counts,
        closed=closed,
        published=published,
        watermark=moved.cursor if moved else "",
        watermark_moves=moved != stored,
    )


def _count(
    work: Workspace, engine: duckdb.DuckDBPyConnection, dataset: Dataset, run: str, seen: Sequence[str]
) -> dict[str, int]:
    """Count what becomes of the records that a run tells of."""
    files = [work.lake.files(table(dataset.name), {run}) for table in (clean_table, gone_table)]
    parts = [f"select _key from {read_parquet(some)}" for some in files if some]
    engine.execute(
        f"create temp table mine as select distinct _key from ({' union all '.join(parts) or _NO_KEY}) where _key is not null"
    )
    for name, read in (("stands", list(seen)), ("will", [one_ for one_ in seen if one_ != run])):
        some = {dataset.name: read}
        clean = work.clean_files(dataset.name, some)
        rows = but_gone(newest(dataset, clean, ""), work.gone_files(dataset.name, some)) if clean else _NO_ROW
        relation = rows if rows.lstrip().startswith("select") else f"from {rows}"
        engine.execute(
            f"create temp table {name} as select _key, _ref from ({relation}) as rows semi join mine using (_key)"
        )
    found = one(
        engine,
        """select count(*) filter (was is not null and now is not null and was != now),
                  count(*) filter (was is not null and now is null), count(*) filter (was is null and now is not null),
                  count(*) filter (was is not distinct from now)
           from mine left join (select _key, _ref as was from stands) using (_key)
           left join (select _key, _ref as now from will) using (_key)""",
    )
    return dict(zip(("restored", "ended", "returned", "unmoved"), found, strict=True))


_NO_KEY = "select null::varchar as _key where false"
_NO_ROW = "select null::varchar as _key, null::varchar as _ref where false"


def landed() -> Landed:
    """Return what a run that takes another one back landed: nothing, and it pulled nothing."""
    return Landed(
        pulled=0,
        landed=0,
        source_rows=0,
        source_total=None,
        chunks=[],
        drift={"added": [], "missing": [], "retyped": {}, "chunks": []},
        profile={"rows": 0, "filled": {}, "shapes": {}},
        replayed=0,
    )


def apply(connection: sa.Connection, run: runs.Run, dataset: Dataset, asked: dict[str, str]) -> runs.Counts:
    """Take a run back, in the publisher's transaction.

    Args:
        connection: The publisher's.
        run: The run that does it.
        dataset: Its dataset.
        asked: As of `ASKED`.

    Returns:
        `retracted` (the run), `reopened` and `closed_entries` (of the quarantine), `closed_runs`, `watermark`.

    Raises:
        ConfigurationError: Somebody else took it back meanwhile.
    """
    table, taken = tables.runs, asked["run"]
    mine = (table.c.id == taken, table.c.state == "visible")
    values = {"state": runs.RETRACTED, "error": f"taken back by run {run.id}"}
    row = connection.execute(sa.update(table).where(*mine).values(**values).returning(table)).mappings().one_or_none()
    if row is None:
        raise ConfigurationError("this run was taken back meanwhile", where=taken, next_step="see `motlan runs show`.")
    was = runs.Run(row["id"], row["kind"], row["subject"], row["state"], row["steps"])
    closed = _close_readers(connection, dataset, taken)
    entries = _turn_quarantine(connection, run.id, taken, row["started_at"])
    before, after = _move_watermark(connection, was, dataset, asked)
    body = {
        "run": run.id,
        "retracted": taken,
        "dataset": dataset.name,
        "rows": was.result(Landed).landed,
        "closed_runs": closed,
        "watermark": {"before": before, "after": after},
        "principal": asked["principal"],
        "reason": asked["reason"],
    }
    log.append(connection, KIND, body)
    return {"retracted": taken, **entries, "closed_runs": len(closed), "watermark": after}


def _reads(dataset: Dataset, run: str) -> tuple[sa.ColumnElement[bool], ...]:
    table = tables.runs.c
    read = table.steps["begin"]["inputs"][dataset.name].contains([run])
    return (table.kind == "reconcile", table.subject == dataset.entity, read)


def _open_readers(connection: sa.Connection, dataset: Dataset, run: str) -> list[str]:
    """Return the reconcile runs that read a run and may be gone on with or published still."""
    table = tables.runs.c
    states = ("running", *runs.WAITING, *runs.STOPPED)
    query = sa.select(table.id).where(*_reads(dataset, run), table.state.in_(states))
    return list(connection.scalars(query.order_by(table.id)))


def _close_readers(connection: sa.Connection, dataset: Dataset, run: str) -> list[str]:
    table = tables.runs
    found = _open_readers(connection, dataset, run)
    values = {"state": runs.ABORTED, "error": f"aborted: sync run {run}, which it reads, was taken back"}
    if found:
        ended = {**values, "ended_at": sa.func.now()}
        connection.execute(sa.update(table).where(table.c.id.in_(found)).values(**ended))
    return found


def _publications(connection: sa.Connection, dataset: Dataset, run: str) -> int:
    query = sa.select(sa.func.count()).where(*_reads(dataset, run), tables.runs.c.state == "published")
    return int(connection.execute(query).scalar_one())


def _turn_quarantine(connection: sa.Connection, run: str, taken: str, began: Any) -> runs.Counts:
    """Close the entries that a run alone saw, and open those again that it closed."""
    entry = tables.quarantine_entries
    of_run = sa.func.split_part(entry.c.ref, "/", 1) == taken
    only = sa.and_(of_run, entry.c.first_seen >= began)
    values = {"state": "closed", "closed_as": "retracted", "closed_by": run}
    closed = connection.execute(sa.update(entry).where(only, entry.c.state != "closed").values(**values)).rowcount
    again = sa.case((entry.c.fix.is_not(None), "fixed"), (entry.c.waived, "waived"), else_="open")
    opened = {"state": again, "closed_as": None, "closed_by": None}
    reopened = sa.update(entry).where(entry.c.closed_by == taken, sa.not_(only)).values(**opened)
    return {"closed_entries": closed, "reopened": connection.execute(reopened).rowcount}


def _moved(run: runs.Run, dataset: Dataset, stored: Stored | None) -> Stored | None:
    """Return where the watermark goes when a run is taken back; None where everything is to be pulled again.

    One that a person set since, or that lies before the run, stays. A run that pulled everything, or from a cursor that a person
    gave, may have brought rows of any time: then everything is pulled again.
    """
    found, begun = run.result(Landed), run.find_result(SyncBegun) or SyncBegun()
    if found.replayed is not None or stored is None or stored.run is None or stored.run < run.id:
        return stored
    if begun.full or begun.since or found.surplus is not None or not found.began_at:
        return None
    rank = Cursors(dataset.cursor_kind).rank
    if (rank(stored.cursor),) <= (rank(found.began_at),):
        return stored
    return Stored(found.began_at, written=found.written or stored.written)


def _move_watermark(
    connection: sa.Connection, was: runs.Run, dataset: Dataset, asked: dict[str, str]
) -> tuple[str | None, str | None]:
    """Move the watermark; return the cursor before and after."""
    stored = watermark.read(connection, dataset.name)
    moved = _moved(was, dataset, stored)
    before, after = (found.cursor if found else None for found in (stored, moved))
    if moved == stored:
        return before, after
    if moved is None:
        connection.execute(sa.delete(tables.watermarks).where(tables.watermarks.c.dataset == dataset.name))
    else:
        watermark.keep(connection, dataset.name, moved)
    body = {"dataset": dataset.name, "action": "retract", "before": before, "after": after}
    told = {"principal": asked["principal"], "reason": asked["reason"]}
    log.append(connection, watermark_reset.KIND, body | told)
    return before, after


def counts(found: Forecast) -> runs.Counts:
    """Return a forecast as plain values."""
    return asdict(found)
