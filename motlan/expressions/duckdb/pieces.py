"""Pieces of DuckDB SQL that the dialect's parts share."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

from motlan.expressions.dialect import Stage, fill

_INVISIBLE = r"[\p{Cf}\x00-\x08\x0E-\x1B\x7F-\x{84}\x{86}-\x{9F}]"
_SPACES = r"[\s\p{Z}\x0B\x1C-\x1F\x{85}]+"


def chain(stages: Sequence[Stage], x: str = "@1") -> str:
    """Return the SQL of all stages in order: a cleaner is nothing but them. One that reads `@1` twice must bind it."""
    return reduce(lambda made, stage: fill(stage.sql, (made, "@2", "@3?")), stages, x)


def text(value: str) -> str:
    """Return a text literal."""
    return "'" + value.replace("'", "''") + "'"


def let(value: str, body: str, name: str = "v") -> str:
    """Return SQL that computes `value` once and puts it into `body` by a name.

    Mind what else the body names: an argument of a macro may be a `v` of its caller, so there bind another name.
    """
    return f"list_transform([{value}], lambda {name}: {body})[1]"


def unbound(sql: str) -> str:
    """Return SQL of `@1` as SQL of a column `v`: what binds `@1` by that name needs no binding there."""
    before, after = let("@1", "\n").split("\n")
    if sql.startswith(before) and sql.endswith(after):
        return sql[len(before) : -len(after)]
    return fill(sql, ("v",))


CLEAN = (
    Stage("invisible characters dropped", f"regexp_replace(@1, '{_INVISIBLE}', '', 'g')"),
    Stage("Unicode NFC", "nfc_normalize(@1)"),
    Stage("every kind of space made one, none at the ends", f"trim(regexp_replace(@1, '{_SPACES}', ' ', 'g'))"),
    Stage("nothing left is null", "nullif(@1, '')"),
)
"""Steps that make any text plain."""


def clean(x: str) -> str:
    """Return SQL of the text without invisible characters, with single plain spaces, in NFC; null when blank."""
    return chain(CLEAN, x)
