"""OAuth 2.0 client credentials (RFC 6749 section 4.4): a token is fetched, kept in memory, renewed before its end.

A token whose end is not told is used until it is refused.
"""

from __future__ import annotations

import dataclasses
import math
import time
from urllib.parse import quote_plus

from adapters.protocols.auth import Basic, user_and_secret
from adapters.protocols.guard import decimal_number
from adapters.protocols.http import Answer, HttpLine, judge_status
from adapters.protocols.json import at_path, parse
from motlan.adapter import Source
from motlan.errors import AccessError, ContractError

_LEEWAY = 30.0
"""Seconds before its end, at most, at which a token is not used any more."""
_LONGEST = 10 * 365 * 86_400.0
"""Seconds of a lifetime, at most: some servers write the greatest number that they know for "no end"."""

TOKEN_LENGTH = 16_384
"""Characters of a token: it goes into a header field of every question, and servers take few kilobytes there."""


class ClientCredentials:
    """A bearer token (RFC 6750) of an agency's own token endpoint.

    Args:
        source: The dataset, with its credential.
        token_path: Path of the token endpoint under the source's endpoint; another origin is refused.
    """

    def __init__(self, source: Source, token_path: str) -> None:
        user, secret = user_and_secret(source)
        self._where = f"{source.dataset} {token_path}"
        # Section 2.3.1: both are form-encoded before they go into the Basic header. One attempt: the request that
        # needs the token is the one that is tried again.
        once = dataclasses.replace(source, pace=dataclasses.replace(source.pace, attempts=1))
        self._line = HttpLine(once, Basic(quote_plus(user), quote_plus(secret)))
        self._url = self._line.url(token_path)
        self._token, self._until = "", 0.0

    def header(self) -> str:
        """Give the header's value, with a fresh token where the old one ends soon.

        Raises:
            AccessError: The credential is refused.
            ContractError: The answer is no bearer token.
        """
        if time.monotonic() >= self._until:
            self._fetch()
        return f"Bearer {self._token}"

    def expire(self) -> bool:
        """Forget the token; the next header has a new one."""
        self._until = 0.0
        return True

    def _fetch(self) -> None:
        form = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        answer = self._line.post(self._url, b"grant_type=client_credentials", form, judge=_judge)
        document = parse(answer.body, self._where)
        token, kind = at_path(document, "access_token"), at_path(document, "token_type")
        if not (isinstance(token, str) and token.isascii() and token.isprintable() and token):
            raise ContractError("the answer has no access token", where=self._where)
        if len(token) > TOKEN_LENGTH:
            raise ContractError(f"the access token is longer than {TOKEN_LENGTH} characters", where=self._where)
        if str(kind).lower() != "bearer":
            raise ContractError("the token is no bearer token", where=self._where)
        seconds = _lifetime(at_path(document, "expires_in"), self._where)
        self._token = token
        self._until = time.monotonic() + seconds - min(_LEEWAY, seconds / 10)


def _lifetime(value: object, where: str) -> float:
    """Read a token's lifetime in seconds; endless where none is told (section 5.1 only recommends it), or less than none.

    Raises:
        ContractError: It is no number.
    """
    if value is None or value == "":
        return math.inf
    seconds = decimal_number(value)
    if seconds is None:
        raise ContractError("the token's lifetime (expires_in) is no number of seconds", where=where)
    return math.inf if seconds < 0 else min(float(seconds), _LONGEST)


def _judge(answer: Answer, where: str) -> None:
    if answer.status == 400:  # section 5.2: an unknown client may be told so with 400 as well as with 401
        raise AccessError("the token endpoint refuses the credential", where=where)
    judge_status(answer, where)
