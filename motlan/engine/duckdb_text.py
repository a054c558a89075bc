"""Pieces of DuckDB SQL that the dialect's parts share."""

from __future__ import annotations

_INVISIBLE = r"[\p{Cf}\x00-\x08\x0E-\x1B\x7F-\x{84}\x{86}-\x{9F}]"
_SPACES = r"[\s\p{Z}\x0B\x1C-\x1F\x{85}]+"


def text(value: str) -> str:
    """Return a text literal."""
    return "'" + value.replace("'", "''") + "'"


def let(value: str, body: str, name: str = "v") -> str:
    """Return SQL that computes `value` once and puts it into `body` by a name.

    Mind what else the body names: an argument of a macro may be a `v` of its caller, so there bind another name.
    """
    return f"list_transform([{value}], lambda {name}: {body})[1]"


def clean(x: str) -> str:
    """Return SQL of the text without invisible characters, with single plain spaces, in NFC; null when blank."""
    visible = f"regexp_replace({x}, '{_INVISIBLE}', '', 'g')"
    return f"nullif(trim(regexp_replace(nfc_normalize({visible}), '{_SPACES}', ' ', 'g')), '')"
