"""Payloads as received: kept compressed under their hash, undecodable bytes included, and never changed."""

from __future__ import annotations

import hashlib
import threading
from contextlib import suppress
from pathlib import Path

import pyarrow as pa

from motlan import processes
from motlan.errors import ContractError


def digest(payload: bytes) -> str:
    """Return the payload's name: SHA-256, hex."""
    return hashlib.sha256(payload).hexdigest()


def path(root: Path, name: str) -> Path:
    """Return where a payload lies."""
    return root / name[:2] / f"{name}.zst"


def keep(root: Path, payload: bytes) -> str:
    """Keep a payload (once, however often it comes); return its name."""
    name = digest(payload)
    target = path(root, name)
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        # Under this process's name: another one may keep the same bytes, and what a killed one leaves is swept.
        partial = root / processes.me().folder / f"{name}.{threading.get_ident()}"
        partial.parent.mkdir(exist_ok=True)
        with pa.CompressedOutputStream(str(partial), "zstd") as out:
            out.write(payload)
        partial.rename(target)
        with suppress(OSError):  # another thread writes there
            partial.parent.rmdir()
    return name


def read(root: Path, name: str) -> bytes:
    """Read a payload back, and check that it still is what its name says.

    Raises:
        ContractError: It is missing, or was altered.
    """
    try:
        with pa.CompressedInputStream(str(path(root, name)), "zstd") as stream:
            payload: bytes = stream.read()
    except (OSError, pa.ArrowException):
        payload = b""
    if digest(payload) != name:
        what = "was altered" if path(root, name).exists() else "is missing"
        file = path(Path(root.name), name)
        raise ContractError(f"payload file {file} {what}", next_step="restore it from a backup.")
    return payload
