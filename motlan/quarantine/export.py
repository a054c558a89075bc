"""Quarantined rows as a file for the agency that owns them: CSV, XLSX, or NDJSON (exactly as they were sent).

A spreadsheet takes a cell that begins with = + - @, a tab or a line's end for a formula (CWE-1236, OWASP "CSV
injection"), and a source can send one, as a value or as a column's name. In CSV and XLSX an apostrophe goes before such a
text, and before one that has apostrophes there already, so that taking one away gives what was sent (`as_sent`). In CSV
every text is quoted: a spreadsheet that also takes ; or a tab for a separator finds one cell.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from glob import escape
from pathlib import Path
from typing import IO, Literal

import duckdb
import sqlalchemy as sa

from motlan import processes
from motlan.errors import ConfigurationError
from motlan.expressions import literal, one, quote
from motlan.ingest.raw_columns import labels, of_files
from motlan.lake.iceberg import read_parquet
from motlan.lake.tables import raw_table
from motlan.ledger import accesses
from motlan.quarantine.listing import Wanted, reasons
from motlan.store import bulk, tables
from motlan.workspace import Workspace

Format = Literal["csv", "xlsx", "ndjson"]
SHEET_ROWS = 1_000_000
"""Rows of one sheet; XLSX itself ends at 1,048,576."""
_DANGEROUS = r"^'*\s*[=+\-@＝＋－＠]|^'*[\t\r\n]"
_ENTRY = ("id", "source_key", "state", "ref", "locator", "rules", "first_seen", "last_seen", "times_seen")


def export(work: Workspace, wanted: Wanted, form: Format, out: Path, principal: str) -> int:
    """Write a dataset's entries to a file that only its owner may read. The look is written down first.

    Columns: `entry`, `key`, `state`, `rules`, `reason_vi`, `reason_en`, `first_seen`, `last_seen`, `times_seen`,
    `locator`, `due_date` (the last day, UTC, on which a corrected row is in time), and every raw column of the rows under
    its own name (with `raw_` before it where that is taken).

    Args:
        work: The open installation.
        wanted: Which entries, of one dataset.
        form: The format.
        out: The file; replaced where it is.
        principal: Who looks.

    Returns:
        How many rows.
    """
    dataset = work.registry.dataset(wanted.dataset or "").name
    told = ", ".join(f"{name} {value}" for name, value in vars(wanted).items() if value)
    accesses.record(work.store, principal, "quarantine.export", told)
    with work.own_folder() as folder, work.engine(f"exporting the quarantine of {dataset}") as engine:
        count = _gather(work, engine, dataset, wanted, folder)
        with _private(out) as file:
            if form == "xlsx":
                _write_xlsx(engine, file)
            else:
                _write_text(engine, form, folder / "rows", file)
    return count


def _gather(work: Workspace, engine: duckdb.DuckDBPyConnection, dataset: str, wanted: Wanted, folder: Path) -> int:
    """Make the table `exported`; return its rows."""
    table = tables.quarantine_entries.c
    texts = [sa.func.array_to_string(table.rules, ", ") if name == "rules" else table[name] for name in _ENTRY]
    with work.store.engine.connect() as connection:
        query = sa.select(*texts).where(*wanted.conditions()).order_by(table.first_seen, table.id)
        bulk.copy_out(connection, query, folder / "entries.csv")
        pairs = sa.select(sa.func.unnest(table.rules), sa.func.unnest(table.fingerprints)).distinct()
        rules = {row[0]: row[1] for row in connection.execute(pairs.where(*wanted.conditions()))}
    days = work.registry.scoring.due_days
    columns = ", ".join(f"{literal(name)}: 'varchar'" for name in _ENTRY)
    entries = f"read_csv({literal(str(folder / 'entries.csv'))}, header = false, delim = ',', columns = {{{columns}}})"
    engine.execute(f"create temp table entries as select *, row_number() over () as number from {entries}")
    runs = {row[0] for row in engine.execute("select distinct split_part(ref, '/', 1) from entries").fetchall()}
    engine.execute("create temp table said (rule varchar, vi varchar, en varchar)")
    for reason in reasons(work, rules):
        engine.execute("insert into said values (?, ?, ?)", [reason["rule"], reason["vi"], reason["en"]])
    own = (
        "entries.id as entry, source_key as key, state, rules, "
        + ", ".join(f"{_said(language)} as reason_{language}" for language in ("vi", "en"))
        + ", first_seen, last_seen, times_seen, locator, "
        + f"(try_cast(first_seen as timestamptz)::date + {days.verify + days.fix})::varchar as due_date"
    )
    taken = {
        "entry",
        "key",
        "state",
        "rules",
        "reason_vi",
        "reason_en",
        "first_seen",
        "last_seen",
        "times_seen",
        "locator",
        "due_date",
    }
    if not runs:
        engine.execute(f"create temp table exported as select {own} from entries")
        return 0
    files = work.lake.files(raw_table(dataset), runs)
    landed, shown = read_parquet(files), labels(of_files(files), taken, folded=True)
    raw = ", ".join(f"landed.{quote(column)} as {quote(name)}" for column, name in shown.items())
    engine.execute(
        f"create temp table exported as select {own}, {raw} from entries join {landed} as landed "
        "on landed._ref = entries.ref order by number"
    )
    return int(one(engine, "select count(*) from exported")[0])


def _said(language: str) -> str:
    return (
        f"(select string_agg(said.{language}, '; ' order by said.rule) from said "
        "where list_contains(string_split(rules, ', '), said.rule))"
    )


def as_sent(cell: str) -> str:
    """Return the text of a cell of an exported CSV or XLSX file as the source sent it."""
    return cell[1:] if cell.startswith("'") and re.search(_DANGEROUS, cell[1:]) else cell


def _named(name: str) -> str:
    return f"'{name}" if re.search(_DANGEROUS, name) else name


def _harmless(engine: duckdb.DuckDBPyConnection) -> str:
    """Return the query of all cells as text that no spreadsheet takes for a formula."""
    names = [row[0] for row in engine.execute("describe exported").fetchall()]
    cells = (
        f"case when regexp_matches({quote(name)}, {literal(_DANGEROUS)}) then '''' || {quote(name)} "
        f"else {quote(name)} end as {quote(_named(name))}"
        for name in names
    )
    return f"select {', '.join(cells)} from exported"


def _write_text(engine: duckdb.DuckDBPyConnection, form: Format, scratch: Path, file: IO[bytes]) -> None:
    if form == "csv":
        file.write("\N{ZERO WIDTH NO-BREAK SPACE}".encode())  # else Excel reads the file as Windows-1252
        engine.execute(
            f"copy ({_harmless(engine)}) to {literal(str(scratch))} (format csv, header true, force_quote *)"
        )
    else:
        engine.execute(f"copy exported to {literal(str(scratch))} (format json)")
    with scratch.open("rb") as written:
        shutil.copyfileobj(written, file)


def _write_xlsx(engine: duckdb.DuckDBPyConnection, file: IO[bytes]) -> None:
    from xlsxwriter import Workbook

    settings = {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    rows = engine.execute(_harmless(engine))
    names = [column[0] for column in rows.description or ()]
    with Workbook(file, settings) as book:
        sheet = None
        for number, row in enumerate(_rows(rows)):
            if number % SHEET_ROWS == 0:
                sheet = book.add_worksheet()
                _write_row(sheet, 0, names)
            _write_row(sheet, number % SHEET_ROWS + 1, row)
        if sheet is None:
            _write_row(book.add_worksheet(), 0, names)


def _rows(result: duckdb.DuckDBPyConnection) -> Iterator[Sequence[str | None]]:
    while batch := result.fetchmany(10_000):
        yield from batch


def _write_row(sheet: object, number: int, cells: Sequence[str | None]) -> None:
    for column, cell in enumerate(cells):
        if cell is not None and sheet.write_string(number, column, cell):  # type: ignore[attr-defined]
            raise ConfigurationError(
                "a value is longer than a cell of XLSX may be", next_step="export it as csv or ndjson."
            )


@contextmanager
def _private(out: Path) -> Iterator[IO[bytes]]:
    """Open a file that nobody else may read, beside the asked one, and put it there when it is whole."""
    for left in out.parent.glob(f".{escape(out.name)}.*.partial"):
        number = left.name.split(".")[-2]
        if number.isdigit() and not processes.called(int(number)).born:
            left.unlink(missing_ok=True)  # of an export that was killed
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise ConfigurationError(
            f"the file cannot be written ({type(error).__name__})", where=str(out), next_step="name another --out."
        ) from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
        partial.rename(out)
    finally:
        partial.unlink(missing_ok=True)
