"""Reclean: land again what stands of a dataset's records, so that today's mapping and rules clean and check it.

What lands again is, of each record that its register still has, the row that stands, and the rows that wait in quarantine.
Older versions keep the cleaning that they had: what a record said before, since when it says a value, and what people decided
about its values rest on them. A row that is held back now leaves the row before it standing, as any newer row in quarantine
does. Nothing is pulled, and no watermark moves. A row keeps its payload and its place in it, so that its lineage leads to what
the source sent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import sqlalchemy as sa

from motlan.config.registry import Dataset
from motlan.expressions import literal, one
from motlan.ingest import land as landing
from motlan.lake.newest import PLACE, newest
from motlan.lake.tables import raw_table
from motlan.ledger import runs
from motlan.ledger.results import Landed
from motlan.quality.exceptions import DRIFT, waived_file
from motlan.quarantine import LIVE
from motlan.quarantine.replay import as_declared
from motlan.settings import sizes
from motlan.store import bulk, tables
from motlan.workspace import Workspace, but_gone

SINCE = "since"
"""Name of what is asked for beside the dataset: the first sync run whose rows are cleaned anew; empty for all."""


@dataclass(frozen=True)
class Forecast:
    """What a reclean will land again.

    Attributes:
        rows: How many rows.
        standing: How many of them stand.
        waiting: How many of them wait in quarantine.
        left_out: Records left as they are, because a row of theirs is held back with the drift of its columns.
    """

    rows: int
    standing: int
    waiting: int
    left_out: int


def first_run(since: datetime | None) -> str:
    """Return what orders before every run that began at a moment or later, and behind the others."""
    return f"{since.astimezone(UTC):%Y%m%dT%H%M%S%f}" if since else ""


def forecast(work: Workspace, dataset: Dataset, first: str = "") -> Forecast:
    """Count what a reclean would land again."""
    with work.engine(f"counting rows of {dataset.name}") as engine, work.own_folder() as folder:
        return _pick(work, engine, dataset, first, folder / "waiting.csv")


def _pick(work: Workspace, engine: duckdb.DuckDBPyConnection, dataset: Dataset, first: str, listed: Path) -> Forecast:
    """Make the table `picked`: `_ref` of each row that lands again, and whether it was `waived`."""
    with work.store.engine.connect() as connection:
        seen = {dataset.name: runs.visible(connection, "sync", dataset.name)}
        bulk.copy_out(connection, _waiting(dataset.name), listed)
    columns = "ref varchar, key varchar, drifted boolean"
    engine.execute(f"create or replace temp table waiting ({columns})")
    if listed.stat().st_size:
        engine.execute(f"copy waiting from {literal(str(listed))} (format csv, header false, delimiter ',')")
    engine.execute(
        """create or replace temp table drifted as select distinct key from waiting where drifted and key is not null;
           create or replace temp table picked (_ref varchar, waived boolean)"""
    )
    since = f"_ref >= {literal(first)}" if first else "true"
    if files := work.clean_files(dataset.name, seen):
        waived = "list_contains(list_transform(_errors, lambda error: error.severity), 'blocking') as waived"
        rows = but_gone(newest(dataset, files, waived), work.gone_files(dataset.name, seen))
        engine.execute(
            f"""insert into picked select _ref, coalesce(waived, false) from ({_relation(rows)}) as rows
                anti join drifted on key = _key where {since}"""
        )
    standing = int(one(engine, "select count(*) from picked")[0])
    engine.execute(
        f"""insert into picked select ref, false from (select ref, ref as _ref, key from waiting where key is not null)
            where {since} and key not in (from drifted)"""
    )
    whole = int(one(engine, "select count(*) from picked")[0])
    return Forecast(whole, standing, whole - standing, int(one(engine, "select count(*) from drifted")[0]))


def _relation(rows: str) -> str:
    return rows if rows.lstrip().lower().startswith("select") else f"from {rows}"


def _waiting(dataset: str) -> sa.Select[tuple[str, str, bool]]:
    """Return the query of the rows that wait in quarantine: ref, key, whether drift held them back."""
    table = tables.quarantine_entries.c
    drifted = table.rules.contains([DRIFT.name])
    return sa.select(table.ref, table.source_key, drifted).where(table.dataset == dataset, table.state.in_(LIVE))


def land(work: Workspace, run: runs.Run, first: str = "") -> Landed:
    """Land what stands of the run's dataset again, in place of a pull; it earns no watermark.

    Args:
        work: The open installation.
        run: A sync run.
        first: As of `SINCE`.
    """
    dataset = work.registry.dataset(run.subject)
    table = raw_table(dataset.name)
    return Landed.read(work.staged(run.id, Landed.step, [table], lambda: _land(work, dataset, run.id, first)))


def _land(work: Workspace, dataset: Dataset, run: str, first: str) -> runs.Counts:
    digests: list[str] = []
    with work.engine(f"cleaning {dataset.name} anew") as engine:
        found = _pick(work, engine, dataset, first, work.scratch(run) / "waiting.csv")
        engine.execute("create temp table waived (_ref varchar)")
        for number, (raw, rows) in enumerate(_chunks(work, engine, dataset)):
            engine.register("places", landing.places(rows))
            engine.execute(
                "create or replace temp table fresh as select again.* exclude (_number), places.* "
                "from again join places on _position = _number order by _position"
            )
            engine.unregister("places")
            digests.append(landing.write_chunk(work, engine, dataset, run, number, raw))
            place = f"{literal(f'{run}/{number}/')} || _position"
            engine.execute(f"insert into waived select {place} from fresh where _waived")
        target = waived_file(work, run)
        target.unlink(missing_ok=True)
        if one(engine, "select count(*) from waived")[0]:
            engine.execute(f"copy waived to {literal(str(target))} (format parquet)")
    return {
        "pulled": found.rows,
        "landed": found.rows,
        "source_rows": found.rows,
        "source_total": None,
        "cursor": "",
        "key": "",
        "chunks": digests,
        "drift": {"added": [], "missing": [], "retyped": {}, "chunks": []},
        "profile": {"rows": 0, "filled": {}, "shapes": {}},
        "replayed": found.rows,
    }


def _chunks(
    work: Workspace, engine: duckdb.DuckDBPyConnection, dataset: Dataset
) -> Iterator[tuple[dict[str, str], int]]:
    """Make the table `again` of each chunk, in the order in which its rows came; give its raw columns and how many rows it has.

    It is made of some landed files at a time, so that memory is flat.
    """
    found = {row[0] for row in engine.execute("select distinct split_part(_ref, '/', 1) from picked").fetchall()}
    for paths in _groups(work.lake.files(raw_table(dataset.name), found)):
        raw, landed = as_declared(dataset, paths)
        place = ", ".join(part.format("landed._ref") for part in PLACE)
        engine.execute(
            f"""create or replace temp table again as
                select landed.* exclude (_ref, _run, _key, _cursor, _moment, _salt, _commitment), waived as _waived,
                       row_number() over (order by {place}) - 1 as _number
                from {landed} as landed join picked on picked._ref = landed._ref"""
        )
        if rows := int(one(engine, "select count(*) from again")[0]):
            yield raw, rows


def _groups(paths: list[str]) -> Iterator[list[str]]:
    """Group landed files, in their order, to chunks that are worth writing; a file is never larger than one."""
    group: list[str] = []
    rows = 0
    for path in paths:
        number = pq.read_metadata(path).num_rows
        if group and rows + number > sizes().landed_chunk_rows:
            yield group
            group, rows = [], 0
        group, rows = [*group, path], rows + number
    if group:
        yield group
