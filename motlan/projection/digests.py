"""Digests of projected rows: each row of a golden table or a feed keeps one, keyed with a secret that the database never has.

The engine computes it from the lake's row when the row is projected; who serves a row computes it again from what the database
gives. A row that was altered, by whatever role, is so found before anybody is given it. What a digest cannot show is a row that
was removed, or put back as an earlier publication had it: `motlan.projection.verify` compares all rows with the lake.
"""

from __future__ import annotations

import base64
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
_AT_ONCE = 90
"""Arguments of one call: PostgreSQL takes 100."""
_VARIABLE = "motlan_row_key"


def key_of(settings: Settings) -> str:
    """Return the secret of digests, 32 hexadecimal digits of `keys/rows.key` in the state's folder; made where there is none.

    Raises:
        ConfigurationError: The file holds something else, or others may read it.
    """
    path = settings.var / "keys" / "rows.key"
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


def mark_of(key: str, tables: Iterable[Iterable[str]]) -> str:
    """Return what marks tables of these columns whose rows have digests under a key; it tells nothing of the key."""
    told = f"{key} {' '.join('short' if _short(columns) else 'long' for columns in tables)}"
    return f"rows digested under {hashlib.sha256(told.encode()).hexdigest()[:16]}"


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

    It has of each column that has a value a name of three characters, the length in bytes, `:` and the value; columns that are
    null have no part, so that a field that is declared later changes no earlier row's text.

    Args:
        columns: Column -> the SQL of its value.
        kinds: Column -> its type in the store.
    """
    parts = []
    for name, code in _codes(columns).items():
        value, kind = columns[name], kinds[name]
        text = f"array_to_string({value}, ',')" if kind.startswith(("text[]", "uuid[]")) else f"({value})::varchar"
        parts.append(f"{literal(code)} || strlen({text}) || ':' || {text}")
    return _joined(parts)


def store_text(kinds: Mapping[str, str], columns: Mapping[str, str] | None = None) -> str:
    """Return PostgreSQL's SQL of the same text, of a table's columns with their types.

    Args:
        kinds: Column -> its type.
        columns: Column -> the SQL of its value, where this is not its name.
    """
    parts = []
    for name, code in _codes(kinds).items():
        kind, value = kinds[name], (columns or {}).get(name, name)
        if kind.startswith(("text[]", "uuid[]")):
            text = f"array_to_string({value}, ',')"
        else:
            text = value if kind.startswith("text") else f"{value}::text"
        parts.append(f"'{code}' || octet_length({text}) || ':' || {text}")
    return _joined(parts)


def _joined(parts: list[str]) -> str:
    several = [f"concat({', '.join(parts[first : first + _AT_ONCE])})" for first in range(0, len(parts), _AT_ONCE)]
    return several[0] if len(several) == 1 else f"concat({', '.join(several)})"


def _codes(names: Iterable[str]) -> dict[str, str]:
    """Return what stands for each column, in the order of their names: three characters; all names where two have the same."""
    ordered = sorted(names)
    return _short(ordered) or {name: f"{name} " for name in ordered}


def _short(names: Iterable[str]) -> dict[str, str]:
    made = {name: base64.b64encode(hashlib.sha256(name.encode()).digest())[:3].decode() for name in names}
    return made if len(set(made.values())) == len(made) else {}
