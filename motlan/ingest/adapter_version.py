"""Which adapter read a source, and in which version: so that years later it is known what made rows of a payload."""

from __future__ import annotations

import hashlib
import importlib
import json
from functools import cache
from pathlib import Path

from motlan import __version__
from motlan.config.registry import Dataset

DIGITS = 12
"""Hexadecimal digits of a digest that are kept: it tells versions apart, and proves nothing."""


def describe_adapter(dataset: Dataset) -> dict[str, str]:
    """Return what a pull's result says of its adapter.

    Returns:
        `class`, as `agencies.yaml` names it; `version`: the bus's, with a digest of the adapter's code; `declared`: a digest of
        the declared columns and options.
    """
    declared = json.dumps([dataset.columns, dataset.options], sort_keys=True, ensure_ascii=False, default=str)
    return {
        "class": dataset.adapter,
        "version": f"{__version__}+{_digest_of_code(dataset.adapter.partition(':')[0])}",
        "declared": hashlib.sha256(declared.encode()).hexdigest()[:DIGITS],
    }


@cache
def _digest_of_code(module: str) -> str:
    """Return a digest of all Python files in the folder of a module, and in the folders in it."""
    file = importlib.import_module(module).__file__
    folder, digest = Path(str(file)).parent, hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(f"{path.relative_to(folder)} {path.stat().st_size}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:DIGITS]
