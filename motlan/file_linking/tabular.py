"""Read a CSV or Parquet file into the engine as text columns whose names expressions can say.

An error has the file and the line, never a value.
"""

from __future__ import annotations

import keyword
import re
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from motlan.errors import ConfigurationError, ContractError, EngineError
from motlan.expressions import failure, literal, one, quote
from motlan.settings import debugging

_OTHERS = {
    b"PK\x03\x04": "a spreadsheet or ZIP file",
    b"%PDF": "a PDF file",
    b"\xd0\xcf\x11\xe0": "an old spreadsheet file",
}

TAKEN = frozenset({"n", "dataset", "exact_key"})
"""Names that the stages of linking use for themselves."""


@contextmanager
def wrapped(what: str, where: str, next_step: str) -> Iterator[None]:
    """Tell of the engine's errors in our words: its own quote values.

    Raises:
        ContractError: The engine failed on the data.
        EngineError: Memory or disk ran out.
    """
    try:
        yield
    except duckdb.Error as error:
        if debugging():
            raise
        known = failure(error, where)
        if isinstance(known, EngineError):
            raise known from None
        line = re.search(r"Line: (\d+)", str(error))
        raise ContractError(what, where=f"{where}, line {line[1]}" if line else where, next_step=next_step) from None


def load(engine: duckdb.DuckDBPyConnection, path: Path, table: str) -> list[str]:
    """Make a temporary table of a file: its columns as text, in order of its rows, and `_row` counting them from 1.

    A column's name is its header in lower case without diacritics, anything else a `_`: `Año 1` is `ano_1`. One that
    expressions cannot say, or that is taken, gets a `c_` before it.

    Returns:
        The names of the columns, without `_row`.

    Raises:
        ConfigurationError: There is no such file.
        ContractError: It is neither CSV nor Parquet, or two headers have one name.
    """
    source = _source(path)
    mend = "check that every line has as many columns as the header, in UTF-8, or save it as Parquet."
    with wrapped("this cannot be read as CSV or Parquet", path.name, mend):
        found = engine.execute(f"describe select * from {source}").fetchall()
        names = [named(row[0]) for row in found]
        _check_names(names, path)
        columns = ", ".join(
            f"{_as_text(row[0], row[1])} as {quote(name)}" for row, name in zip(found, names, strict=True)
        )
        engine.execute(
            f"create or replace temp table {table} as select row_number() over () as _row, {columns} from {source}"
        )
    if not one(engine, f"select count(*) from {table}")[0]:
        raise ContractError(
            "there is no row under the header", where=path.name, next_step="check that it is the right file."
        )
    return names


def named(header: str) -> str:
    """Return the name under which expressions read a column."""
    plain = unicodedata.normalize("NFD", header)
    letters = "".join(map(_bare, (char for char in plain if not unicodedata.combining(char)))).lower()
    name = re.sub(r"[^a-z0-9]+", "_", letters).strip("_") or "column"
    return f"c_{name}" if name[0].isdigit() or keyword.iskeyword(name) or name in TAKEN else name


def _bare(char: str) -> str:
    """Return the Latin letter that one with a stroke is made of, which Unicode does not take apart; others as they are."""
    stroked = re.fullmatch("LATIN (?:SMALL|CAPITAL) LETTER ([A-Z]) WITH STROKE", unicodedata.name(char, ""))
    return stroked[1] if stroked else char


def _source(path: Path) -> str:
    """Return the SQL that reads a file, recognised by its first bytes."""
    if not path.is_file():
        raise ConfigurationError("there is no such file", where=str(path), next_step="check the path.")
    with path.open("rb") as file:
        start = file.read(65536)
    if start.startswith(b"PAR1"):
        return f"read_parquet({literal(str(path.resolve()))}, hive_partitioning=false)"
    other = next((name for magic, name in _OTHERS.items() if start.startswith(magic)), None)
    if other is None and b"\0" in start:
        other = "not text"
    if other is None and not start.strip():
        other = "empty"
    if other:
        raise ContractError(
            f"this is {other}, not CSV or Parquet", where=path.name, next_step="save the rows as CSV in UTF-8."
        )
    # Nothing is guessed but the separator: the engine's own guess skips lines that do not fit.
    return (
        f"read_csv({literal(str(path.resolve()))}, delim={literal(_separator(start))}, quote='\"', escape='\"', skip=0, "
        "comment='', header=true, all_varchar=true, null_padding=false, hive_partitioning=false)"
    )


def _separator(start: bytes) -> str:
    """Return the character that parts the header, what stands in quotes left out."""
    header = re.sub(r'"[^"]*"', "", start.decode("utf-8-sig", "replace").splitlines()[0])
    return max(",;\t|", key=header.count)


def _check_names(names: list[str], path: Path) -> None:
    if len(names) < 2:
        raise ContractError(
            "this has one column only, so it is no table",
            where=path.name,
            next_step="separate its columns by comma, semicolon, tab or |, under a header.",
        )
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ContractError(
            f"several headers are read as {', '.join(twice)}",
            where=path.name,
            next_step="give each column its own name.",
        )


def _as_text(column: str, kind: str) -> str:
    """Return the SQL of a column as text; a whole number in a floating column is written without its point."""
    name = quote(column)
    if kind in ("DOUBLE", "FLOAT"):
        return f"case when {name} = trunc({name}) then try_cast({name} as hugeint)::varchar else {name}::varchar end"
    return f"{name}::varchar"
