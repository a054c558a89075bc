"""What a source's columns are called in the lake: a form of their own, which no name can leave.

A source may call a field as it likes: like a column of ours, like another field but for its case, by a text that means
something to SQL, or by nothing at all. An engine takes names that differ in case for one, and our own columns begin as any
word may. So every column that came from a source is stored under `raw:` and its name, in which small ASCII letters, digits
and `_` stand for themselves, a capital is `^` and the small letter, and any other character is `~`, its number in
hexadecimal digits, and `~`:

    FullName -> raw:^full^name      _salt -> raw:_salt      né le -> raw:n~e9~~20~le

Two names never become one, in no engine's eyes, and each leads back to the source's. A name that would be too long is cut,
with its SHA-256 behind it, and recorded in the file (see `of_file`). Here alone this is decided: who reads raw columns asks
here.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from motlan.adapter import LOCATOR
from motlan.errors import InternalError
from motlan.expressions import literal, quote

PREFIX = "raw:"
"""How every column of a source begins in the lake. No column of ours, and no canonical field, can begin so."""
LONGEST = 240
"""Characters of a stored name at the most."""
CUT = 120
"""Characters that are left of one that is cut."""
RECORDED = "motlan_columns"
"""Key in a Parquet file's metadata: pairs of stored name and source's name (JSON), of those that were cut."""
RECORDED_CHARACTERS = 8192
"""Characters of a source's name that are kept at the most; the payload has the rest."""
IN_RULES = "raw_"
"""How rules name a raw column: `raw_` and the source's name."""

_ODD = re.compile(r"[^a-z0-9_]")
_ESCAPED = re.compile(r"\^([a-z])|~([0-9a-f]+)~")
_AGAIN = re.compile(r"\^[0-9]+\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def _escape(found: re.Match[str]) -> str:
    char = found.group()
    return f"^{char.lower()}" if "A" <= char <= "Z" else f"~{ord(char):x}~"


def stored(name: str, number: int = 1) -> str:
    """Return what a source's column is called in the lake.

    Args:
        name: As the source calls it.
        number: Which of the columns of this name it is, where a page has more than one.

    >>> stored("FullName"), stored("_salt"), stored("a.b"), stored(""), stored("x", 2)
    ('raw:^full^name', 'raw:_salt', 'raw:a~2e~b', 'raw:', 'raw:x^2')
    """
    return _kept(name, number) if len(name) <= LONGEST else _made(name, number)


def _made(name: str, number: int) -> str:
    made = PREFIX + _ODD.sub(_escape, name) + (f"^{number}" if number > 1 else "")
    if len(made) <= LONGEST:
        return made
    return f"{made[:CUT]}^~{hashlib.sha256(made.encode()).hexdigest()}"


_kept = lru_cache(maxsize=4096)(_made)
"""Likewise, of names that come again and again."""


def is_stored(column: str) -> bool:
    """Tell whether a column of the lake came from a source."""
    return column.startswith(PREFIX)


def source_name(column: str) -> str:
    """Return how the source calls a stored column; of one that is cut only its beginning (the file has the whole).

    >>> source_name("raw:^full^name"), source_name("raw:a~2e~b"), source_name("raw:x^2")
    ('FullName', 'a.b', 'x')
    """
    name = _AGAIN.sub("", column.removeprefix(PREFIX).partition("^~")[0])
    return _ESCAPED.sub(lambda found: found[1].upper() if found[1] else chr(int(found[2], 16)), name)


def names(columns: Iterable[str]) -> dict[str, str]:
    """Return, of a source's columns, stored name -> the source's."""
    return {stored(name): name for name in columns}


def received(rows: pa.RecordBatch) -> tuple[pa.Table, dict[str, str]]:
    """Take a page's rows in: every column but the locator, which stands last, gets its stored name. No value is copied.

    Returns:
        The rows, and stored name -> the source's name.

    Raises:
        InternalError: The page has no locator.
    """
    *sent, last = rows.schema.names or [""]
    if last != LOCATOR:
        raise InternalError("a page came without the places of its rows", next_step="report this.")
    found: dict[str, str] = {}
    times: dict[str, int] = {}
    for name in sent:
        times[name] = times.get(name, 0) + 1
        found[stored(name, times[name])] = name[:RECORDED_CHARACTERS]
    return pa.Table.from_batches([rows]).rename_columns([*found, LOCATOR]), found


def recording(found: Mapping[str, str]) -> str:
    """Return what a file's writer is told so that names which are cut can be read back; empty where none is."""
    cut = [[column, name] for column, name in found.items() if "^~" in column]
    return f", kv_metadata {{{RECORDED}: {literal(json.dumps(cut))}}}" if cut else ""


def of_file(path: str | Path) -> dict[str, str]:
    """Return the source's columns of a landed file, in its order: stored name -> the source's name."""
    metadata = pq.read_metadata(path)
    cut = dict(json.loads((metadata.metadata or {}).get(RECORDED.encode(), b"[]")))
    return {name: cut.get(name, source_name(name)) for name in metadata.schema.names if is_stored(name)}


def of_files(paths: Sequence[str | Path]) -> dict[str, str]:
    """Return the source's columns of several landed files."""
    found: dict[str, str] = {}
    for path in paths:
        found |= of_file(path)
    return found


def sql_names(columns: Iterable[str]) -> dict[str, str]:
    """Return, for expressions over a source's own names, name -> the stored column, quoted for the built-in engine."""
    return {name: quote(stored(name)) for name in columns}


def rule_names(fields: Iterable[str]) -> dict[str, str]:
    """Return likewise, for rules, which name raw columns `raw_<name>`, of the names among some fields that do."""
    return {field: quote(stored(field.removeprefix(IN_RULES))) for field in fields if field.startswith(IN_RULES)}


def absent(columns: Iterable[str], sent: Iterable[str]) -> str:
    """Return the SQL of the declared columns that did not come, as nulls, each after a comma.

    Args:
        columns: The source's names.
        sent: Names of the columns in the lake.
    """
    there = set(sent)
    return "".join(f", null::varchar as {quote(name)}" for name in map(stored, columns) if name not in there)


def labels(found: Mapping[str, str], taken: Iterable[str] = (), *, folded: bool = False) -> dict[str, str]:
    """Return a name for people of each stored column: the source's own, with a number behind where another has it already.

    Args:
        found: Stored name -> the source's name.
        taken: Names that are in use for something else; a column that is called so gets `raw_` before its name.
        folded: Whether names that differ in case only count as one, and empty ones and control characters are replaced:
            what the built-in engine asks of a table's columns.
    """
    fold = str.casefold if folded else str
    others = set(map(fold, taken))
    used, made = set(others), {}
    for column, name in found.items():
        stem = (_CONTROL.sub("\N{REPLACEMENT CHARACTER}", name) or "(no name)") if folded else name
        stem = shown = f"{IN_RULES}{stem}" if fold(stem) in others else stem
        number = 1
        while fold(shown) in used:
            number += 1
            shown = f"{stem} ({number})"
        used.add(fold(shown))
        made[column] = shown
    return made
