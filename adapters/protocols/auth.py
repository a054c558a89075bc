"""Credentials as HTTP wants them. None of these can be printed with its secret."""

from __future__ import annotations

import base64
from typing import Protocol

from motlan.adapter import Source
from motlan.errors import ConfigurationError


class Credential(Protocol):
    """Makes the `Authorization` header of a request."""

    def header(self) -> str:
        """Give the header's value for now."""

    def expire(self) -> bool:
        """Take note that the source refused the header. True if a new one may do better."""


class Basic:
    """HTTP Basic (RFC 7617): the same header every time."""

    def __init__(self, user: str, secret: str) -> None:
        self._header = "Basic " + base64.b64encode(f"{user}:{secret}".encode()).decode()

    def header(self) -> str:
        """Give the header's value."""
        return self._header

    def expire(self) -> bool:
        """Nothing better is to be had."""
        return False


def user_and_secret(source: Source) -> tuple[str, str]:
    """Give the credential of a source that cannot do without one.

    Raises:
        ConfigurationError: There is none.
    """
    if source.credential is None:
        name = f"MOTLAN_CREDENTIAL_{source.agency.upper()}"
        raise ConfigurationError("no credential", where=source.dataset, next_step=f"set {name} to user:secret.")
    return source.credential
