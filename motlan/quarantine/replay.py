"""Replay: land waiting rows again, so that today's mapping and rules clean and check them like any other run's rows.

An unchanged row keeps its payload and its place in it. A row that a person fixed lands with the fix document as its
payload and the locator `fix:<entry>`: a pointer of lineage leads to the fix, and from there to what the source sent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import duckdb
import pyarrow as pa
import sqlalchemy as sa

from motlan.adapter import LOCATOR
from motlan.config.registry import Dataset
from motlan.expressions import literal, one, quote
from motlan.ingest import land as landing
from motlan.ingest import payloads
from motlan.ingest.raw_columns import labels, names, of_files, stored
from motlan.lake.iceberg import read_parquet
from motlan.lake.tables import raw_table
from motlan.ledger import runs
from motlan.ledger.results import Landed
from motlan.quality.exceptions import DRIFT, waived_file
from motlan.quarantine import LIVE
from motlan.quarantine.entries import replayed_file
from motlan.settings import sizes
from motlan.store import bulk, tables
from motlan.workspace import Workspace

_PICKED = "{'id': 'varchar', 'ref': 'varchar', 'state': 'varchar', 'fix': 'varchar', 'drifted': 'boolean'}"


def waiting(dataset: str, rules: Sequence[str] = ()) -> sa.Select[tuple[str, str, str, str, bool]]:
    """Return the query of the entries that a replay takes in: id, ref, state, fix, whether drift held them back.

    Args:
        dataset: Whose entries.
        rules: Only those that broke one of these rules; all where empty.
    """
    table = tables.quarantine_entries.c
    drifted = table.rules.contains([DRIFT.name])
    query = sa.select(table.id, table.ref, table.state, table.fix, drifted).where(
        table.dataset == dataset, table.state.in_(LIVE)
    )
    return query.where(table.rules.overlap(list(rules))) if rules else query


def waits(work: Workspace, dataset: str, rules: Sequence[str] = ()) -> bool:
    """Tell whether there is anything to replay."""
    with work.store.engine.connect() as connection:
        return connection.execute(waiting(dataset, rules).limit(1)).first() is not None


def land(work: Workspace, run: runs.Run, rules: Sequence[str] = ()) -> Landed:
    """Land the waiting rows of the run's dataset again, in place of a pull; it earns no watermark."""
    dataset = work.registry.dataset(run.subject)
    table = raw_table(dataset.name)
    return Landed.read(work.staged(run.id, Landed.step, [table], lambda: _land(work, dataset, run.id, rules)))


def _land(work: Workspace, dataset: Dataset, run: str, rules: Sequence[str]) -> runs.Counts:
    listed = work.scratch(run) / "waiting.csv"
    with work.store.engine.connect() as connection:
        bulk.copy_out(connection, waiting(dataset.name, rules), listed)
    digests: list[str] = []
    held: list[int] = []
    count = 0
    with work.engine(f"replaying the quarantine of {dataset.name}") as engine:
        engine.execute(
            f"create temp table picked as from read_csv({literal(str(listed))}, header = false, delim = ',', columns = {_PICKED})"
        )
        engine.execute("create temp table replayed (entry varchar, _ref varchar, state varchar, fix varchar)")
        if one(engine, "select count(*) from picked")[0]:
            raw = _gather(work, engine, dataset)
            for number, (first, size, is_held) in enumerate(_chunks(engine)):
                _fresh(engine, first, size)
                digests.append(landing.write_chunk(work, engine, dataset, run, number, raw))
                engine.execute(
                    f"insert into replayed select _entry, {literal(f'{run}/{number}/')} || _position, _state, _fix from fresh"
                )
                held += [number] if is_held else []
                count += size
        mapping, waived = replayed_file(work, run), waived_file(work, run)
        engine.execute(f"copy replayed to {literal(str(mapping))} (format parquet)")
        waived.unlink(missing_ok=True)
        if one(engine, "select count(*) from replayed where state = 'waived'")[0]:
            engine.execute(
                f"copy (select _ref from replayed where state = 'waived') to {literal(str(waived))} (format parquet)"
            )
    return {
        "pulled": count,
        "landed": count,
        "source_rows": count,
        "source_total": None,
        "cursor": "",
        "key": "",
        "chunks": digests,
        "drift": {"added": [], "missing": [], "retyped": {}, "chunks": held},
        "profile": {"rows": 0, "filled": {}, "shapes": {}},
        "replayed": count,
    }


def _gather(work: Workspace, engine: duckdb.DuckDBPyConnection, dataset: Dataset) -> dict[str, str]:
    """Make the table `again`: the waiting rows as landed or as fixed, numbered, held ones last.

    Returns:
        Its raw columns: stored name -> the source's.
    """
    refs = engine.execute("select distinct split_part(ref, '/', 1), drifted and state = 'open' from picked").fetchall()
    paths = work.lake.files(raw_table(dataset.name), {run for run, _ in refs})
    raw, landed = as_declared(dataset, paths)
    held = [run for run, drifted in refs if drifted and _still_drifted(work, dataset, run)]
    listed = ", ".join(map(literal, held)) or "null"
    engine.register("fixes", _fixes(work, engine, raw))
    columns = ", ".join(
        f"case when fixes._entry is null then landed.{quote(name)} else fixes.{quote(name)} end as {quote(name)}"
        for name in raw
    )
    is_held = f"coalesce(drifted and state = 'open' and split_part(ref, '/', 1) in ({listed}), false)"
    engine.execute(
        f"""create temp table again as
            select {columns}, coalesce(fixes._payload, landed._payload) as _payload,
                   case when fixes._entry is null then landed.{LOCATOR} else 'fix:' || picked.id end as {LOCATOR},
                   picked.id as _entry, picked.state as _state, picked.fix as _fix, {is_held} as _held,
                   row_number() over (order by {is_held}, landed._ref, picked.id) - 1 as _number
            from picked join {landed} as landed on landed._ref = picked.ref
            left join fixes on fixes._entry = picked.id"""
    )
    engine.unregister("fixes")
    return raw


def as_declared(dataset: Dataset, paths: Sequence[str]) -> tuple[dict[str, str], str]:
    """Return landed rows with all columns that are declared by now.

    Args:
        dataset: Whose rows they are.
        paths: Their files.

    Returns:
        Their raw columns (stored name -> the source's), and the SQL of the rows with landing's own columns.
    """
    raw, files = of_files(paths), read_parquet(paths)
    unsent = {column: name for column, name in names(dataset.columns).items() if column not in raw}
    late = (f"{_meanwhile(dataset, name, raw)} as {quote(column)}" for column, name in unsent.items())
    return raw | unsent, f"(select {', '.join(['*', *late])} from {files})"


def _meanwhile(dataset: Dataset, name: str, raw: Mapping[str, str]) -> str:
    """Return the SQL of a declared column that did not come under its name: what came at its path, before it was declared."""
    at_path = stored(dataset.columns[name])
    return quote(at_path) if at_path in raw else "null::varchar"


def _fixes(work: Workspace, engine: duckdb.DuckDBPyConnection, raw: Mapping[str, str]) -> pa.Table:
    """Read the waiting fixes: the rows as persons left them, each with its payload. Made by hand, so never many."""
    asked = engine.execute("select id, fix from picked where state = 'fixed'").fetchall()
    rows, shown = [], labels(raw)
    for entry, payload in asked:
        after = json.loads(payloads.read(work.settings.payloads, payload))["after"]
        rows.append(
            {column: after.get(name) for column, name in shown.items()} | {"_entry": entry, "_payload": payload}
        )
    return pa.Table.from_pylist(rows, pa.schema([(name, pa.string()) for name in (*raw, "_entry", "_payload")]))


def _chunks(engine: duckdb.DuckDBPyConnection) -> list[tuple[int, int, bool]]:
    """Return each chunk's first number, its size, and whether its rows are still held back."""
    free, held = one(engine, "select count(*) filter (not _held), count(*) filter (_held) from again")
    size = sizes().landed_chunk_rows
    return [(first, min(size, free - first), False) for first in range(0, free, size)] + [
        (first, min(size, free + held - first), True) for first in range(free, free + held, size)
    ]


def _fresh(engine: duckdb.DuckDBPyConnection, first: int, size: int) -> None:
    engine.register("places", landing.places(size))
    engine.execute(
        f"""create or replace temp table fresh as select again.* exclude (_number, _held), places.*
            from again join places on _position = _number - {first} order by _position"""
    )
    engine.unregister("places")


def _still_drifted(work: Workspace, dataset: Dataset, run: str) -> bool:
    """Tell whether what drifted in a run is still not what is declared."""
    if dataset.contract != "quarantine":
        return False
    drift = runs.get(work.store, run).result(Landed).drift
    declared = set(dataset.columns)
    return bool(set(drift["added"]) - declared or set(drift["missing"]) & declared or drift["retyped"])
