"""Two ways to read the files of a drop: over HTTP, and in a folder that somebody fills."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from adapters.protocols.auth import Basic, user_and_secret
from adapters.protocols.codings import GZIP_MAGIC, undo
from adapters.protocols.http import HttpLine
from motlan.adapter import Source
from motlan.errors import ConfigurationError, ContractError, TransientError


@dataclass(frozen=True)
class Sent:
    """A file as it was sent, within `Limits.payload_bytes`."""

    body: bytes = field(repr=False)
    codings: tuple[str, ...] = ()
    """Content codings that the server said are on the body."""

    def unpack(self, limit: int, where: str) -> bytes:
        """Give the body without its content codings.

        Raises:
            ContractError: It cannot be unpacked, or to more than `limit` bytes.
        """
        return b"".join(undo([self.body], self.codings, limit, where)) if self.codings else self.body

    def find(self, sha256: str, limit: int, where: str) -> bytes:
        """Give the stored bytes, which are those that have this hash.

        A server that marks a stored gzip file by a content coding sends it as it lies; one that packs on the way does not.

        Raises:
            ContractError: Neither what was sent nor what it unpacks to has the hash.
        """
        if _hash(self.body) == sha256:
            return self.body
        with suppress(ContractError):
            if self.codings and _hash(body := self.unpack(limit, where)) == sha256:
                return body
        what = "the file's SHA-256 is not the manifest's"
        if self.codings:
            what += ", neither as sent nor without the content coding that the server says"
        elif where.endswith((".gz", ".gzip")) and not self.body.startswith(GZIP_MAGIC):
            what += ": it is named .gz and came unpacked, perhaps by a proxy on the way"
        raise ContractError(what, where=where, next_step="ask its owner.")


def _hash(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


class Opener(Protocol):
    """Reads a whole file by its path under the endpoint, within `Limits.payload_bytes`."""

    def read(self, path: str) -> Sent:
        """Give the file as it is sent."""


def opener_for(source: Source) -> Opener:
    """Choose by the endpoint's scheme: `file:` is a folder, everything else goes over HTTP with HTTP Basic.

    Raises:
        ConfigurationError: The endpoint or the credential cannot be used.
    """
    return FolderOpener(source) if source.endpoint.startswith("file:") else HttpOpener(source)


class HttpOpener:
    """Files over HTTP, with HTTP Basic."""

    def __init__(self, source: Source) -> None:
        self._line = HttpLine(source, Basic(*user_and_secret(source)))

    def read(self, path: str) -> Sent:
        """GET a file.

        Raises:
            AccessError, ContractError, TransientError: See `http.judge_status`.
        """
        # The stored bytes are what a manifest vouches for, so no coding should be put on or taken off on the way.
        answer = self._line.get(self._line.url(path), coding="identity")
        return Sent(answer.body, answer.codings)


class FolderOpener:
    """Files in a local folder.

    Raises:
        ConfigurationError: The endpoint is not `file:///` and an absolute path.
    """

    def __init__(self, source: Source) -> None:
        parts = urlsplit(source.endpoint)
        if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
            raise ConfigurationError("the endpoint is not file:///folder", where=source.dataset)
        self._root = Path(unquote(parts.path)).resolve()
        self._limit, self._where = source.limits.payload_bytes, source.dataset

    def read(self, path: str) -> Sent:
        """Read a file that lies in the folder, also after every symbolic link was followed.

        Raises:
            ContractError: It leads out of the folder, is absent or too large.
            TransientError: It could not be read.
        """
        where = f"{self._where} {path}"
        try:
            file = (self._root / path).resolve()
            ours = file.is_relative_to(self._root) and file.is_file()
        except (RuntimeError, OSError, ValueError):  # a link to itself, a name too long, NUL
            ours = False
        if not ours:
            raise ContractError("no such file in the folder", where=where, next_step="ask the source's owner.")
        try:
            with file.open("rb") as stream:
                body = stream.read(self._limit + 1)
        except OSError:
            raise TransientError("the file cannot be read", where=where) from None
        if len(body) > self._limit:
            raise ContractError(f"more than {self._limit} bytes", where=where, next_step="ask the source's owner.")
        return Sent(body)
