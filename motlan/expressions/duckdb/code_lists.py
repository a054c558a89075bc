"""Code lists: the tables behind `code`, `code_at` and other functions that look into them.

A list is a CSV file named as the list, with a column `code` and `value`, or `successors` (the codes that replaced this
one, `;` between, the default first; empty where the code still holds, which then means itself). `valid_from`,
`valid_to` (days, empty for open), `name` and the columns that functions of the declared half read may stand beside them;
other columns are for people.
"""

from __future__ import annotations

import csv
import hashlib
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

import duckdb
import pyarrow as pa

from motlan.errors import ConfigurationError
from motlan.expressions.catalogue import Catalogue, installed
from motlan.expressions.duckdb.session import Session

_COLUMNS = (
    "cl_list",
    "cl_code",
    "cl_value",
    "cl_valid_from",
    "cl_valid_to",
    "cl_name",
    "cl_candidates",
)
"""Of a list's line: `cl_code` folded, `cl_value` the first successor; `cl_candidates` all of them where there are several.
Behind them stand the columns that packages of functions declare."""


def code_lists(folder: Path) -> frozenset[str]:
    """Return the names of the lists in a folder."""
    return frozenset(path.stem for path in folder.glob("*.csv"))


def load_code_lists(con: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """Create (or replace) the tables of `code_tables` from every list in a folder; in a session when a query names one.

    Args:
        con: Connection to fill.
        folder: Folder of the CSV files.

    Raises:
        ConfigurationError: The folder has no list, or a list lacks a column or says one thing twice.
    """

    def make(con: duckdb.DuckDBPyConnection) -> None:
        with con.cursor() as cursor:  # the caller's own may still be reading a result
            for name, table in code_tables(folder).items():
                cursor.register(f"{name}_arrow", table)
                cursor.execute(f"CREATE OR REPLACE TABLE {name} AS SELECT * FROM {name}_arrow")

    if isinstance(con, Session):
        con.make_when_named(("motlan_codes", *installed().duckdb.tables), make)
    else:
        make(con)


def code_tables(folder: Path) -> dict[str, pa.Table]:
    """Return every list in a folder by line, as `motlan_codes`, and the tables that look-ups read.

    Raises:
        ConfigurationError: As `load_code_lists`.
    """
    paths = sorted(folder.glob("*.csv"))
    if not paths:
        raise ConfigurationError("no code list here", where=str(folder), next_step="point at mapping/codes")
    return _tables(tuple((path, path.stat().st_mtime_ns) for path in paths), installed())


@lru_cache(maxsize=4)
def _tables(files: tuple[tuple[Path, int], ...], catalogue: Catalogue) -> dict[str, pa.Table]:
    """Read the lists once for as long as their files stay as they are."""
    more = catalogue.code_list_columns
    rows = [row for path, _ in files for row in _read(path, more)]
    columns = [pa.array(column, pa.string()) for column in zip(*rows, strict=True)]
    lines = pa.table(columns, names=[*_COLUMNS, *(f"cl_{column}" for column in more)])
    with duckdb.connect() as con:
        con.register("motlan_codes", lines)
        for definition in catalogue.duckdb.macros.values():
            con.execute(f"CREATE MACRO {definition}")
        made = {
            name: con.sql(f"{query} ORDER BY ALL").to_arrow_table() for name, query in catalogue.duckdb.tables.items()
        }
    return {"motlan_codes": lines, **made}


def code_lists_digest(folder: Path, names: Iterable[str]) -> str:
    """Return the SHA-256 of the contents of the named lists: what lineage keeps beside a query that uses them.

    Raises:
        ConfigurationError: A list is not there.
    """
    digest = hashlib.sha256()
    for name in sorted(set(names)):
        path = folder / f"{name}.csv"
        if not path.is_file():
            raise ConfigurationError(f"there is no code list {name}", where=str(folder), next_step=f"add {path.name}")
        content = path.read_bytes()
        digest.update(f"{name}\n{len(content)}\n".encode() + content)
    return digest.hexdigest()


def _read(path: Path, more: Sequence[str]) -> list[tuple[str, ...]]:
    with path.open(encoding="utf-8", newline="") as lines:
        reader = csv.DictReader(lines)
        header = set(reader.fieldnames or ())
        if "code" not in header or not header & {"value", "successors"}:
            raise ConfigurationError(
                "a code list needs the columns code and value (or successors)", where=path.name, next_step="add them"
            )
        rows = [_row(path.stem, line, more) for line in reader]
    keys = [(row[1], row[3]) for row in rows]
    twice = {key for key in keys if keys.count(key) > 1} if len(set(keys)) < len(keys) else ()
    if twice:
        raise ConfigurationError(
            f"code {min(twice)[0]} stands twice with one valid_from", where=path.name, next_step="drop one of them"
        )
    return rows


def _row(name: str, line: dict[str, str], more: Sequence[str]) -> tuple[str, ...]:
    code = line["code"].strip()
    successors = line.get("successors", "")
    value = line["value"] if "value" in line else successors.split(";")[0] or code
    folded = unicodedata.normalize("NFC", code).lower()
    valid_from, valid_to, title, *rest = (line.get(column, "") for column in ("valid_from", "valid_to", "name", *more))
    return (name, folded, value, valid_from, valid_to, title, successors if ";" in successors else "", *rest)
