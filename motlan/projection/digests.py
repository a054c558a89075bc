"""Digests of projected rows: each row of a golden table or a feed keeps one, keyed with a secret that the database never has.

The engine computes it from the lake's row when the row is projected; who serves a row computes it again from what the database
gives. A row that was altered, by whatever role, is so found before anybody is given it. What a digest cannot show is a row that
was removed, or put back as an earlier publication had it: `motlan.projection.verify` compares all rows with the lake.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path

import duckdb

from motlan.errors import ConfigurationError
from motlan.expressions import literal
from motlan.settings import Settings

DIGEST = "digest"
"""The column of golden tables and feeds."""
WIDTH = 16
"""Bytes of a digest: the first half of a SHA-256."""
_EMPTY = "''"
_AT_ONCE = 90
"""Arguments of one call: PostgreSQL takes 100."""
_VARIABLE = "motlan_row_key"


def key_of(settings: Settings) -> str:
    """Return the secret of digests, 32 hexadecimal digits of `keys/rows.key` in the state's folder; made where there is none.

    Raises:
        ConfigurationError: The file holds something else, or others may read it.
    """
    path = settings.keys / "rows.key"
    if not path.exists():
        _make(path)
    text = path.read_text(encoding="ascii", errors="replace").strip()
    if path.stat().st_mode & 0o077 or len(text) != 32 or set(text) - set("0123456789abcdef"):
        raise ConfigurationError(
            "this is no key of rows, or others may read it",
            where=str(path),
            next_step="remove it, and run `motlan project`: a new one is made, and what is served is built anew.",
        )
    return text


def _make(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".rows.{secrets.token_hex(8)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(f"{secrets.token_hex(16)}\n")
    try:
        os.link(draft, path)  # the first of several processes makes it
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def mark_of(key: str, left: Iterable[str]) -> str:
    """Return what marks tables whose rows have digests under a key; it tells nothing of the key.

    Args:
        key: The key.
        left: Columns that are in the tables and not declared any more: texts are of the declared ones.
    """
    return f"rows digested under {hashlib.sha256(' '.join((key, *sorted(left))).encode()).hexdigest()[:16]}"


def set_key(engine: duckdb.DuckDBPyConnection, key: str) -> None:
    """Give a session the key: queries name it and do not hold it."""
    engine.execute(f"set variable {_VARIABLE} = {literal(key)}")


def engine_digest(text: str) -> str:
    """Return the engine's SQL of a row's digest, of the SQL of its text."""
    return f"unhex(left(sha256(concat(getvariable('{_VARIABLE}'), {text})), {2 * WIDTH}))"


def digest_of(key: str, text: str) -> bytes:
    """Return a row's digest, of its text.

    Who does not know the key cannot extend the text either: the bytes between would be none that a text can have.
    """
    return hashlib.sha256((key + text).encode("utf-8", "surrogatepass")).digest()[:WIDTH]


def engine_text(columns: Mapping[str, str], kinds: Mapping[str, str]) -> str:
    """Return the engine's SQL of a row's text, by which rows of lake and store are compared.

    It has the values, the last column's first, joined by U+001F, without those characters at its beginning: a column that is
    added later, and null, changes no row's text. Behind it stands how many bytes the values have, by which U+001F in a value is
    told from one between two. A null is as an empty value here, and where rows are served: `engine_given` tells them apart.

    Args:
        columns: Column -> the SQL of its value, in the order of the table's columns.
        kinds: Column -> its type in the store.
    """
    return _joined([_as_text(value, kinds[name], "varchar") for name, value in columns.items()], "strlen")


def engine_given(columns: Mapping[str, str], kinds: Mapping[str, str]) -> str:
    """Return the engine's SQL of a number that changes where a null becomes an empty value, or the other way round."""
    return _given([_as_text(value, kinds[name], "varchar") for name, value in columns.items()], "strlen")


def store_text(columns: Mapping[str, str]) -> str:
    """Return PostgreSQL's SQL of the same text, of the SQL of each value with its type, in the order of the table's columns."""
    return _joined([_as_text(value, kind, "text") for value, kind in columns.items()], "octet_length")


def store_given(columns: Mapping[str, str]) -> str:
    """Return PostgreSQL's SQL of the number of `engine_given`."""
    return _given([_as_text(value, kind, "text") for value, kind in columns.items()], "octet_length")


def _as_text(value: str, kind: str, text: str) -> str:
    if kind.startswith(("text[]", "uuid[]")):
        # As JSON: joined by commas, a null, an empty text and a text with a comma in it would be what they are not.
        return f"array_to_json({value})::text" if text == "text" else f"to_json({value})::varchar"
    return value if kind.startswith("text") else f"({value})::{text}"


def _joined(values: list[str], length: str) -> str:
    groups = _groups(values[::-1])
    every = [f"concat_ws(chr(31), {', '.join(f'coalesce({value}, {_EMPTY})' for value in group)})" for group in groups]
    bare = [f"{length}(concat({', '.join(group)}))" for group in groups]
    text = every[0] if len(every) == 1 else f"concat_ws(chr(31), {', '.join(every)})"
    return f"concat(ltrim({text}, chr(31)), chr(31), {' + '.join(bare)})"


def _given(values: list[str], length: str) -> str:
    return " + ".join(f"{length}(concat_ws(chr(31), {', '.join(group)}))" for group in _groups(values))


def _groups(values: list[str]) -> list[list[str]]:
    return [values[first : first + _AT_ONCE] for first in range(0, len(values), _AT_ONCE)]
