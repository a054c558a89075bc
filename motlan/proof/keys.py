"""The keys of the log and of a witness: Ed25519, in the forms of C2SP signed-note, each in a file only its owner may read.

A private key is `PRIVATE+KEY+name+id+base64`; the public one, which goes to auditors and agencies, `name+id+base64`. Of a key
that was replaced only the public half stays, in the log: what it signed can be checked, and it signs no more.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from motlan.errors import ConfigurationError

LOG, WITNESS = 1, 4
"""Kinds of signatures: of a note, and a timestamped cosignature of a checkpoint."""
_PREFIX = "PRIVATE+KEY+"
_NAME = re.compile(r"[^\s+]{1,200}")


@dataclass(frozen=True)
class Key:
    """A private key.

    Attributes:
        name: The log's origin, or the witness's name: best an address without its scheme, such as `bus.example/log`.
        kind: `LOG` or `WITNESS`.
        seed: The private key's 32 bytes.
    """

    name: str
    kind: int
    seed: bytes

    def __repr__(self) -> str:
        return f"Key({self.public})"

    @property
    def _private(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.seed)

    @property
    def _blob(self) -> bytes:
        return bytes([self.kind]) + self._private.public_key().public_bytes_raw()

    @property
    def id(self) -> bytes:
        """The four bytes by which a signature names its key."""
        return hashlib.sha256(self.name.encode() + b"\n" + self._blob).digest()[:4]

    @property
    def public(self) -> str:
        """The public key, as auditors pin it."""
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(self._blob).decode()}"

    def sign(self, text: str) -> str:
        """Return the line that signs a note's text; a witness's tells when it was made, in seconds since 1970."""
        if self.kind == WITNESS:
            now = int(time.time())
            signature = now.to_bytes(8, "big") + self._private.sign(f"cosignature/v1\ntime {now}\n{text}".encode())
        else:
            signature = self._private.sign(text.encode())
        return f"— {self.name} {base64.b64encode(self.id + signature).decode()}\n"


def make_key(name: str, kind: int = LOG) -> Key:
    """Make a new key.

    Raises:
        ConfigurationError: The name has a space or a plus, or is empty.
    """
    if not _NAME.fullmatch(name):
        raise ConfigurationError(
            "not a key's name", next_step="use one without spaces and `+`, such as bus.example/log."
        )
    return Key(name, kind, secrets.token_bytes(32))


def save_key(key: Key, path: Path) -> None:
    """Write a key to a file that only this account may read; a file that is there is kept.

    Raises:
        ConfigurationError: There is one.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    blob = base64.b64encode(bytes([key.kind]) + key.seed).decode()
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(f"{_PREFIX}{key.name}+{key.id.hex()}+{blob}\n")
    except FileExistsError:
        raise ConfigurationError("there is a key already", where=str(path), next_step="move it away first.") from None


def read_key(path: Path) -> Key | None:
    """Read a key from its file; None where there is no file.

    Raises:
        ConfigurationError: It holds no key, or others than its owner may read it.
    """
    try:
        mode, text = path.stat().st_mode, path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None
    if mode & 0o077:
        raise ConfigurationError(
            "others may read the key",
            where=str(path),
            next_step="chmod 600; where others were on the machine, replace it: `motlan audit key replace`.",
        )
    try:
        name, number, blob = text.removeprefix(_PREFIX).split("+", 2)
        raw = base64.b64decode(blob, validate=True)
        key = Key(name, raw[0], raw[1:])
        if not text.startswith(_PREFIX) or len(raw) != 33 or key.id.hex() != number:
            raise ValueError
    except (ValueError, IndexError):
        raise ConfigurationError(
            "this is no key", where=str(path), next_step="restore it from where it is kept."
        ) from None
    return key
