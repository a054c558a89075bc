"""Checks of the machine and of what is set: disk, memory, who may read secrets, credentials."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import psutil

from motlan.config.registry import Registry, resolve_credential
from motlan.errors import ConfigurationError
from motlan.operations.findings import Finding
from motlan.settings import Settings

LEAST_FREE = 10**9
"""Bytes below which a disk counts as full: PostgreSQL alone keeps up to four times as much in its log."""
MOST_MEMORY = 0.8
"""Share of the machine's memory that the engine may have; the rest is PostgreSQL's, Airflow's and the system's."""
SECRETS = ("passwords", "sessions", "keys")
"""Folders of the state that hold secrets."""


def disk(settings: Settings) -> Iterator[Finding]:
    """Compare what is free with the lake: a run that does everything anew writes about as much as is published."""
    there = next((path for path in (settings.var, *settings.var.parents) if path.exists()), Path("/"))
    free, lake = shutil.disk_usage(there).free, _size(settings.lake)
    told = f"{_size_words(free)} are free where {settings.var} lies, and the lake has {_size_words(lake)}"
    if free < LEAST_FREE:
        yield Finding("disk-full", "broken", told, f"free some space under {settings.var}, or move it.", "disk-full")
    elif free < lake:
        yield Finding(
            "disk-small",
            "warning",
            told,
            "make room for as much as the lake has, before a full run needs it.",
            "disk-full",
        )


def _size(folder: Path) -> int:
    found = 0
    for place, _, files in os.walk(folder):
        for name in files:
            try:
                found += (Path(place) / name).lstat().st_size
            except OSError:  # removed meanwhile
                continue
    return found


def _size_words(number: float) -> str:
    unit = next(unit for unit in (10**12, 10**9, 10**6, 1) if number >= unit or unit == 1)
    return f"{number / unit:,.1f} {({10**12: 'TB', 10**9: 'GB', 10**6: 'MB', 1: 'bytes'})[unit]}"


def memory(settings: Settings) -> Iterator[Finding]:
    """Compare the engine's limit with the machine's memory."""
    whole, limit = psutil.virtual_memory().total, settings.memory
    if limit is not None and limit > MOST_MEMORY * whole:
        told = f"the engine may use {settings.memory_limit}, and the machine has {_size_words(whole)}"
        step = f"set MOTLAN_MEMORY_LIMIT to {int(MOST_MEMORY * whole) // 10**6}MB or less."
        yield Finding("memory", "warning", told, step, "disk-full")


def permissions(settings: Settings) -> Iterator[Finding]:
    """Find what other accounts may read of the state's secrets."""
    if not settings.var.exists():
        return
    if stat.S_IMODE(settings.var.stat().st_mode) & 0o077:
        yield _open_to_others(settings.var, "700")
    for folder in (settings.var / name for name in SECRETS):
        for path in sorted(folder.rglob("*")) if folder.is_dir() else []:
            if path.is_file() and stat.S_IMODE(path.lstat().st_mode) & 0o077:
                yield _open_to_others(path, "600")


def _open_to_others(path: Path, mode: str) -> Finding:
    return Finding(
        "permissions", "broken", f"other accounts have access to {path}", f"`chmod {mode} {path}`.", "lost-key"
    )


def credentials(registry: Registry) -> Iterator[Finding]:
    """Find the credentials that are declared and not there, each by the variable that is meant."""
    told = {dataset.credential: dataset for dataset in registry.datasets.values() if dataset.credential}
    for name, dataset in told.items():
        try:
            resolve_credential(name, dataset.agency)
        except ConfigurationError as error:
            variable = f"MOTLAN_CREDENTIAL_{name}"
            what = f"{variable}, the credential for {dataset.agency}, is not set in this environment"
            yield Finding("credential-missing", "warning", what, error.next_step, "lost-key")
