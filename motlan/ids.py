"""Ids that nobody can guess: UUIDs drawn by a keyed hash of what they stand for, the same in every run and on every engine."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable

from motlan.expressions import literal


def of_text(secret: bytes, kind: str, text: str) -> str:
    """Return the SQL of a thing's id, by the text that names it: SHA-256, cut to 128 bits, under a key.

    Args:
        secret: What keys are derived from.
        kind: What the text names: texts of another kind get other ids.
        text: Its SQL; never null. With up to 23 characters it takes a single block of the hash.
    """
    return _drawn(literal(_key(secret, kind)), text)


def of_record(secret: bytes, kind: str, datasets: Iterable[str], row: str = "") -> str:
    """Return the SQL of the id of what a source record stands for, as `of_text` does, the register being a part of the kind.

    Args:
        secret: What keys are derived from.
        kind: What records stand for.
        datasets: The registers that they may be in.
        row: Alias with a dot of the row that has `dataset` and `_key`.
    """
    keys = " ".join(f"when {literal(name)} then {literal(_key(secret, f'{kind}/{name}'))}" for name in datasets)
    return _drawn(f"(case {row}dataset {keys} end)", f"{row}_key")


def of_record_again(secret: bytes, kind: str, datasets: Iterable[str], often: str, row: str = "") -> str:
    """Return the SQL of a further id of what a source record stands for: it stood for others before.

    Args:
        secret: As `of_record` takes it, and so `kind`, `datasets` and `row`.
        kind: What records stand for.
        datasets: The registers that they may be in.
        often: SQL of how many it stood for before, 1 or more: no two of a record's ids are the same.
        row: Alias with a dot.
    """
    keys = " ".join(f"when {literal(name)} then {literal(_key(secret, f'{kind} again/{name}'))}" for name in datasets)
    return _drawn(f"(case {row}dataset {keys} end)", f"({often})::varchar || ' ' || {row}_key")


def _key(secret: bytes, kind: str) -> str:
    """Return the key of a kind: 128 bits of its HMAC, as 32 characters."""
    return hmac.new(secret, kind.encode(), hashlib.sha256).hexdigest()[:32]


def _drawn(key: str, text: str) -> str:
    return f"substr(sha256({key} || {text}), 1, 32)::uuid::varchar"
