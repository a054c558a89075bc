"""How much disk a benchmark needs, told before it begins."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from bench.national.pipeline import Setting
from motlan.errors import ConfigurationError

LANDED, TRUTH, LAKE, STORE, ASIDE = 130, 120, 1_000, 1_600, 1_100
"""Bytes on disk for each person of a country: the generator's rows and truth, the lake's tables, PostgreSQL with its log, and
what steps put aside at their highest (what passes between them, and the engine's spill)."""
RESERVE = 1_000_000_000
"""Bytes that every size needs, and that are left free."""


def needed(setting: Setting, people: int) -> int:
    """Return the bytes that a work folder grows to at its highest."""
    each = TRUTH + LAKE + ASIDE
    each += STORE if setting.load else 0
    each += 0 if setting.lean else LANDED
    return people * each + RESERVE


def used(folder: Path) -> int:
    """Return the bytes that a folder takes on disk."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(parent) / name).lstat().st_blocks * 512
            except FileNotFoundError:
                continue
    return total


def require(setting: Setting, people: int) -> tuple[float, float]:
    """Refuse to begin where the disk is too small; return the bytes that are needed still, and those that are free.

    Raises:
        ConfigurationError: It is.
    """
    folder = setting.folder
    missing, free = max(needed(setting, people) - used(folder), 0), shutil.disk_usage(folder).free
    if missing > free:
        raise ConfigurationError(
            f"{people:,} people need {missing / 1e9:.1f} GB more on disk, and {free / 1e9:.1f} GB are free",
            where=str(folder),
            next_step="name a folder on a larger disk with --work, or give --lean, --no-load or fewer --people.",
        )
    return missing, free
