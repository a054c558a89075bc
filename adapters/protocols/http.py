"""A polite and suspicious HTTP client: paced, retried, bounded, and kept on one origin.

It follows no redirect, reads no proxy or netrc from the environment, and puts no credential into a URL, a log or an
error. Errors name the path that was asked, never the query and never the answer.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from io import BytesIO

import httpx

from adapters.protocols.auth import Credential
from adapters.protocols.codings import codings_of, undo
from adapters.protocols.deadline import OutOfBoundsError, Rate
from adapters.protocols.guard import bounded, safe_endpoint, same_origin
from adapters.protocols.pace import Throttle, with_retries
from adapters.protocols.stream import HEAD_BYTES, BoundedTransport, rated
from motlan.adapter import Source
from motlan.errors import AccessError, ContractError, TransientError

for _library in ("httpx", "httpcore"):  # they would log every URL with its query, and the headers of answers
    logging.getLogger(_library).setLevel(logging.WARNING)


@cache
def _trusted() -> ssl.SSLContext:
    """Load the system's certificates once a process: it takes longer than a small pull."""
    return ssl.create_default_context()


@dataclass(frozen=True)
class Answer:
    """An answer, read to its end within the limits."""

    status: int
    media_type: str
    charset: str
    """The parameter of `Content-Type`, as it was sent; empty without one."""
    retry_after: float | None
    body: bytes = field(repr=False)
    codings: tuple[str, ...] = ()
    """Content codings that are still on the body."""


Judge = Callable[[Answer, str], None]
"""Raises what an answer deserves, told the place; returns when it can be used."""


def judge_status(answer: Answer, where: str) -> None:
    """Sort an answer by its status (RFC 9110 section 15, RFC 6585 for 429).

    Raises:
        AccessError: 401 or 403.
        TransientError: 408, 425, 429 or 5xx.
        ContractError: Anything else that is no success, redirects too.
    """
    status = answer.status
    if 200 <= status < 300:
        return
    what = f"HTTP status {status}"
    if status in (401, 403):
        raise AccessError(
            what,
            where=where,
            next_step="check the agency's credential: `credential` in adapters/agencies.yaml names its variable.",
        )
    if status in (408, 425, 429) or status >= 500:
        raise TransientError(what, where=where, next_step="try again later.", retry_after=answer.retry_after)
    if 300 <= status < 400:
        raise ContractError(f"{what}: redirects are not followed", where=where, next_step="mend the endpoint.")
    raise ContractError(what, where=where, next_step="ask the source's owner.")


class HttpLine:
    """The line to one agency's HTTP endpoint.

    Args:
        source: The dataset; its endpoint, pace and limits rule.
        credential: Makes the `Authorization` header; None where the message itself carries the credential.

    Raises:
        ConfigurationError: The endpoint may not be used (see `guard.safe_endpoint`).
    """

    def __init__(self, source: Source, credential: Credential | None = None) -> None:
        self._limits, self._pace, self._where = source.limits, source.pace, source.dataset
        self.endpoint = safe_endpoint(source.endpoint, source.dataset)
        self._folder = self.endpoint.copy_with(path=self.endpoint.path.rstrip("/") + "/", query=None, fragment=None)
        self._credential = credential
        self._throttle = Throttle(source.pace.requests_per_second)
        self._transport = BoundedTransport(_trusted())
        self._client = httpx.Client(
            timeout=httpx.Timeout(source.pace.read_timeout, connect=source.pace.connect_timeout),
            transport=self._transport,
            trust_env=False,
            headers={"User-Agent": "motlan", "Accept-Encoding": "gzip"},
        )

    def url(self, path: str) -> httpx.URL:
        """Find a path or a query under the endpoint; an absolute URL stays as it is.

        Raises:
            ContractError: It leaves the origin.
        """
        base = self.endpoint if path.startswith("?") else self._folder
        try:
            url = base.join(path)
        except httpx.InvalidURL:
            raise ContractError("the source names an address that is none", where=self._where) from None
        return same_origin(url, self.endpoint, self._where)

    def get(self, url: httpx.URL, params: Mapping[str, str] | None = None, coding: str = "gzip") -> Answer:
        """GET, until it is answered well; `coding` is the content coding that we accept (RFC 9110 section 8.4).

        Where it is `identity`, the body is left as it was sent: some servers mark a stored gzip file by the content coding.

        Raises:
            AccessError, ContractError, TransientError: As `judge_status` sorts them; ContractError for a limit, too.
        """
        try:
            asked = url.copy_merge_params(dict(params or {}))
        except UnicodeEncodeError:  # JSON can send half a surrogate pair as a cursor; the error quotes it
            raise ContractError("the source names a parameter that is no text", where=self._where) from None
        request = self._client.build_request("GET", asked, headers={"Accept-Encoding": coding})
        return self._ask(request, judge_status)

    def post(self, url: httpx.URL, content: bytes, headers: Mapping[str, str], judge: Judge = judge_status) -> Answer:
        """POST a question: one that changes nothing at the source, as it may be sent again.

        Raises:
            AccessError, ContractError, TransientError: As `judge` sorts them; ContractError for a limit, too.
        """
        return self._ask(self._client.build_request("POST", url, content=content, headers=dict(headers)), judge)

    def _ask(self, request: httpx.Request, judge: Judge) -> Answer:
        where = f"{self._where} {request.method} {request.url.path}"

        def attempt() -> Answer:
            answer = self._send(request, where)
            if answer.status == 401 and self._credential and self._credential.expire():
                answer = self._send(request, where)
            judge(answer, where)
            return answer

        return with_retries(self._pace, attempt)

    def _send(self, request: httpx.Request, where: str) -> Answer:
        if self._credential:
            request.headers["Authorization"] = self._credential.header()
        self._throttle.wait()
        rate = Rate(self._pace.least_bytes_per_second, self._pace.grace, HEAD_BYTES)
        with _line_errors(where), rated(rate):
            # Not through the client, which would take cookies and read where a redirect leads.
            response = self._transport.handle_request(request)
            response.request = request
            rate.in_head = False
            try:
                return self._read(response, where)
            finally:
                response.close()

    def _read(self, response: httpx.Response, where: str) -> Answer:
        chunks = bounded(response.iter_raw(), self._limits.payload_bytes, where)
        codings = codings_of(response.headers.get("Content-Encoding", ""))
        if response.request.headers["Accept-Encoding"] != "identity":
            chunks, codings = self._undo(chunks, codings, response, where), ()
        body = BytesIO()  # what it gives is no second copy
        body.writelines(chunks)
        media_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        charset = response.charset_encoding or ""
        waits = _retry_after(response.headers)
        return Answer(response.status_code, media_type, charset, waits, body.getvalue(), codings)

    def _undo(
        self, chunks: Iterator[bytes], codings: tuple[str, ...], response: httpx.Response, where: str
    ) -> Iterator[bytes]:
        limit = min(self._limits.decompressed_bytes, self._limits.page_bytes)
        try:
            yield from undo(chunks, codings, limit, where)
        except ContractError:
            if not response.is_error:
                raise
            # The status of a failure says more than a body that cannot be unpacked.


@contextmanager
def _line_errors(where: str) -> Iterator[None]:
    """Turn what httpx raises into a TransientError; its own texts may quote what was sent or received."""
    try:
        yield
    except OutOfBoundsError as error:
        raise error.at(where) from None
    except httpx.TimeoutException:
        step = "try again later, or raise read_timeout in adapters/agencies.yaml."
        raise TransientError("time-out", where=where, next_step=step) from None
    except httpx.TransportError as error:
        what = f"the line failed ({type(error).__name__})"
        raise TransientError(what, where=where, next_step="check the endpoint, try again later.") from None


def _retry_after(headers: httpx.Headers) -> float | None:
    """Read `Retry-After` (RFC 9110 section 10.2.3): seconds or a date; None where it is neither."""
    value = headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None
