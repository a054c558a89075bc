"""Salted commitments of rows, and the one hash that the log keeps of a file of them.

A commitment binds a row without telling it: a bare hash of twelve digits and a birth date could be guessed. The commitments of
a file, in its order, are cut into blocks of 64; the hash of a block is that of a leaf (RFC 9162) over its commitments in hex,
and the file's root is the tree head over its blocks. So one row is proved by its own values, its salt, the commitments of 63
others, which tell nothing of them, and a logarithm of hashes.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from motlan.expressions import literal, quote
from motlan.ledger.merkle import hash_leaf, tree_head

BLOCK = 64
"""Rows of a block."""
WIDTH = 64
"""Characters of a commitment: SHA-256 in hex."""


def commitment(columns: Mapping[str, str], salt: str = "_salt", *, cast: bool = False) -> str:
    """Return the SQL of a row's salted commitment, SHA-256 (hex): of as few bytes as bind the row, for it costs by the byte.

    It is of the salt (32 characters), the first 32 of the SHA-256 (hex) of the source's names (as a JSON list, in the order of
    the stored ones), and of each column, in this order, the value's length in bytes, `:` and the value. A null has no length,
    so that no two rows give one text.

    Args:
        columns: Stored name -> the source's name.
        salt: SQL of the salt.
        cast: Whether columns are other than text, and are committed to as the engine writes them.
    """
    ordered = sorted(columns)
    text = {column: f"{quote(column)}::varchar" if cast else quote(column) for column in ordered}
    parts = (f"strlen({text[column]}), ':', {text[column]}" for column in ordered)
    return f"sha256(concat({salt}, {literal(hash_names([columns[column] for column in ordered]))}, {', '.join(parts)}))"


def hash_names(names: list[str]) -> str:
    """Return what a commitment has of the names of a row's columns, in the order of the stored names."""
    return hashlib.sha256(json.dumps(names).encode()).hexdigest()[:32]


def make_salts(count: int) -> pa.StringArray:
    """Return so many salts: 128 random bits each, in 32 hexadecimal digits. Erasing a row's salt erases its link to the hash."""
    digits = pa.py_buffer(secrets.token_hex(16 * count).encode("ascii"))
    ends = pa.arange(0, 32 * count + 1, 32).cast(pa.int32())
    return pa.StringArray.from_buffers(count, ends.buffers()[1], digits)


def hash_blocks(commitments: pa.StringArray) -> list[bytes]:
    """Return the hashes of the blocks of a file's commitments, in its order."""
    joined = pc.binary_join(pa.ListArray.from_arrays(pa.array([0, len(commitments)]), commitments), "")
    text = memoryview(joined[0].as_buffer())
    return [hash_leaf(bytes(text[first : first + BLOCK * WIDTH])) for first in range(0, len(text), BLOCK * WIDTH)]


def root_of(commitments: pa.StringArray) -> str:
    """Return the root over a file's commitments, in hex."""
    return tree_head(hash_blocks(commitments)).hex()
