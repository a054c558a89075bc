"""Commitments of published golden rows: a salt a row in a table of its own, and a root a file in the log.

They bind each version of a golden row as the lake has it, whatever the feed's tables say later. The salts lie beside the rows
and not in them: whoever knows every field of a person, and not the salt, can confirm nothing by the log.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from motlan.expressions import literal, quote
from motlan.lake.tables import salts_table
from motlan.ledger.row_commitments import WIDTH, commitment, make_salts, root_of
from motlan.workspace import Workspace

MARK = 16
"""Characters of a commitment that are kept beside the salt, by which a row that was altered is found."""
KEPT = "_commitment"
"""Column of a file of salts, where some were erased: the whole commitment of each such row, so that the root can be computed."""
Roots = dict[str, list[tuple[str, int, str]]]
"""Table -> name, number of rows and root of each of a run's files, in the order of the names."""


def stage_salts(work: Workspace, run: str, tables: Iterable[str]) -> Roots:
    """Give each row that a run staged for golden tables a salt, stage the salts, and return the roots.

    A file of salts has the name of the file of rows, and in its order: `_salt`, and `_mark`, the first `MARK` characters of the
    row's commitment.
    """
    found: Roots = {}
    with work.engine("committing to golden rows") as engine:
        for table in tables:
            for path in sorted(work.lake.folder(table, run).glob("*.parquet")):
                count = pq.read_metadata(path).num_rows
                if not count:
                    continue
                salts = make_salts(count)
                commitments = commit_rows(engine, path, salts)
                target = work.lake.folder(salts_table(table), run) / path.name
                marks = pa.array(commitments).cast(pa.string())
                rows = pa.table({"_salt": salts, "_mark": pc.utf8_slice_codeunits(marks, 0, MARK)})
                pq.write_table(rows, target, compression="zstd", use_dictionary=False)
                found.setdefault(table, []).append((path.name, count, root_of(commitments)))
    return found


def commit_rows(engine: duckdb.DuckDBPyConnection, path: Path | str, salts: pa.StringArray) -> pa.StringArray:
    """Return the commitments of a file's rows under their salts, in the file's order."""
    names = columns_of(path)
    engine.register("salts", pa.table({"_place": pa.arange(0, len(salts)), "_salt": salts}))
    rows = f"read_parquet({literal(str(path))}, file_row_number = true, hive_partitioning = false)"
    # Rows are hashed where they are read, and only the hashes are put in order.
    text = commitment({name: name for name in names}, cast=True)
    query = f"select {text} as c from {rows} join salts on _place = file_row_number order by file_row_number"
    table = engine.sql(query).to_arrow_table()
    engine.unregister("salts")
    column = table["c"].combine_chunks()
    assert len(column) == len(salts) and (not len(column) or len(column[0].as_py()) == WIDTH)
    return column if isinstance(column, pa.StringArray) else column.cast(pa.string())


def kept_commitments(engine: duckdb.DuckDBPyConnection, path: Path | str, salts: Path | str) -> pa.StringArray:
    """Return the commitments of a file's rows, in the file's order; of rows whose salt was erased they are kept beside.

    Args:
        engine: A session.
        path: The file of rows.
        salts: The file of their salts.
    """
    kept = pq.read_table(salts)
    made = commit_rows(engine, path, kept["_salt"].combine_chunks())
    if KEPT not in kept.column_names:
        return made
    return pc.coalesce(kept[KEPT].combine_chunks().cast(pa.string()), made.cast(pa.string()))


def erase_salts(salts: Path | str, target: Path, commitments: pa.StringArray, erased: pa.BooleanArray) -> None:
    """Write a file of salts anew without those of some rows, whose whole commitments are kept in their place.

    Args:
        salts: The file.
        target: Where to.
        commitments: Of all rows of the file.
        erased: Which rows.
    """
    before = pq.read_table(salts)
    nothing = pa.scalar(None, pa.string())
    kept = pc.if_else(erased, commitments.cast(pa.string()), nothing)
    if KEPT in before.column_names:
        kept = pc.coalesce(before[KEPT].combine_chunks().cast(pa.string()), kept)
    columns = {
        "_salt": pc.if_else(erased, nothing, before["_salt"].combine_chunks().cast(pa.string())),
        "_mark": before["_mark"].combine_chunks().cast(pa.string()),
        KEPT: kept,
    }
    others = {name: before[name] for name in before.column_names if name not in columns}
    pq.write_table(pa.table({**columns, **others}), target, compression="zstd", use_dictionary=False)


def columns_of(path: Path | str) -> list[str]:
    """Return the columns of a file, sorted by their names."""
    return sorted(pq.read_schema(path).names)


def row_as_text(engine: duckdb.DuckDBPyConnection, path: Path | str, where: str) -> dict[str, str | None] | None:
    """Return a row of a file as it is committed to: column -> the engine's text; `file_row_number` beside. None where none is."""
    names = columns_of(path)
    parts = ", ".join(f"{quote(name)}::varchar as {quote(name)}" for name in names)
    rows = f"read_parquet({literal(str(path))}, file_row_number = true, hive_partitioning = false)"
    query = f"select {parts}, file_row_number::varchar as file_row_number from {rows} where {where} limit 1"
    found = engine.execute(query).fetchall()
    return dict(zip([*names, "file_row_number"], found[0], strict=True)) if found else None
