"""What a source may not do to us: addresses, names and sizes are checked here before they are used.

A source is not trusted. Every check raises; none repairs.
"""

from __future__ import annotations

import ipaddress
import re
import time
import zlib
from collections.abc import Iterable, Iterator
from decimal import Decimal

import httpx

from adapters.protocols.deadline import refuse_late, told_at, within
from motlan.adapter import Page, Source
from motlan.errors import ConfigurationError, ContractError

PIECE = 2**16
"""Bytes that are handed on at once while something is unpacked or parsed."""

MANY_PAGES = 100
"""Pages after which a pull must show that it gets on."""
LEAN_BYTES = 2**16
"""A page of fewer bytes should have more rows; one of more bytes may be a single row."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*", re.ASCII)
_NUMBER = re.compile(r"[+-]?\d{1,40}(\.\d{1,40})?([eE][+-]?\d{1,3})?", re.ASCII)
_COUNTS_END = 10**18
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z", re.ASCII)


def is_loopback(host: str) -> bool:
    """Tell whether a host is this very machine: 127.0.0.0/8, ::1 or the name `localhost`. Asks no name server."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def safe_endpoint(endpoint: str, where: str) -> httpx.URL:
    """Read an HTTP endpoint before anything is sent to it.

    Raises:
        ConfigurationError: It is no http(s) URL, carries a credential, or is plain http off loopback.
    """
    try:
        url = httpx.URL(endpoint)
    except (httpx.InvalidURL, TypeError):
        raise _unusable("the endpoint is not a URL", where) from None
    if url.scheme not in ("http", "https") or not url.host:
        raise _unusable("the endpoint is not an http(s) URL", where)
    if url.userinfo:
        raise _unusable("the endpoint carries a credential", where)
    if url.scheme == "http" and not is_loopback(url.host):
        raise _unusable("plain http is allowed on loopback only", where)
    return url


def _unusable(what: str, where: str) -> ConfigurationError:
    return ConfigurationError(what, where=where, next_step="mend `endpoint` in adapters/agencies.yaml or its variable.")


def same_origin(url: httpx.URL, origin: httpx.URL, where: str) -> httpx.URL:
    """Give the URL back if it stays on the origin (RFC 6454: scheme, host and port).

    Raises:
        ContractError: It leads elsewhere or carries a credential.
    """
    if (url.scheme, url.host, url.port) != (origin.scheme, origin.host, origin.port) or url.userinfo:
        raise ContractError("the source points to another origin", where=where, next_step="ask its owner.")
    return url


def plain_name(name: object, where: str) -> str:
    """Give the name back if it is a plain file or folder name: ASCII letters, digits, `.`, `_`, `-`, no `..`.

    Raises:
        ContractError: It is anything else, such as a path or a URL.
    """
    if isinstance(name, str) and len(name) <= 128 and _NAME.fullmatch(name):
        return name
    raise ContractError("a name in the listing is not a plain name", where=where, next_step="ask the source's owner.")


def moment(value: object, where: str) -> str:
    """Give the moment back if it is ISO 8601 in UTC, as `SourceCount.as_of` wants it.

    Raises:
        ContractError: It is something else.
    """
    if isinstance(value, str) and _MOMENT.fullmatch(value):
        return value
    raise ContractError("the source's own moment is not ISO 8601 in UTC", where=where)


def decimal_number(value: object) -> Decimal | None:
    """Read a number as JSON (RFC 8259) or XML Schema writes it, exactly; None where it is none, or too long to be one.

    >>> decimal_number("1.2E2"), decimal_number(" 12 "), decimal_number(True), decimal_number("1_0")
    (Decimal('1.2E+2'), Decimal('12'), None, None)
    """
    text = str(value).strip(" \t\r\n") if isinstance(value, str | int | float | Decimal) else ""
    return Decimal(text) if _NUMBER.fullmatch(text) else None


def whole_number(value: object, where: str) -> int:
    """Read a count out of an answer, sent as text or as a JSON number: `120`, `120.0` and `1.2E2` are the same one.

    Raises:
        ContractError: It is absent, no number, not whole, negative or 10^18 and more.
    """
    number = decimal_number(value)
    if number is not None and 0 <= number < _COUNTS_END and number == number.to_integral_value():
        return int(number)
    what = "absent" if value is None else "no number" if number is None else "negative, broken or too large"
    raise ContractError(
        f"a count is not a whole number: it is {what}", where=where, next_step="ask the source's owner."
    )


def bounded(chunks: Iterable[bytes], limit: int, where: str) -> Iterator[bytes]:
    """Pass the chunks on until they are more than `limit` bytes together.

    Raises:
        ContractError: They are.
    """
    total = 0
    for chunk in chunks:
        total += len(chunk)
        if total > limit:
            step = "ask the source's owner, or raise the limit in adapters/agencies.yaml."
            raise ContractError(f"more than {limit} bytes", where=where, next_step=step)
        yield chunk


def gunzip(chunks: Iterable[bytes], limit: int, where: str) -> Iterator[bytes]:
    """Unpack gzip (RFC 1952) in small pieces, so that a bomb never stands in memory.

    Several members are one text, and zeros behind a member are padding, as gzip itself has it.

    Raises:
        ContractError: It unpacks to more than `limit` bytes, or is damaged or cut short.
    """
    return bounded(_inflate(chunks, where), limit, f"{where} (unpacked)")


def _inflate(chunks: Iterable[bytes], where: str) -> Iterator[bytes]:
    inflater, fresh, behind = zlib.decompressobj(wbits=31), True, False
    try:
        for chunk in chunks:
            while chunk:
                if inflater.eof:
                    chunk, behind = chunk.lstrip(b"\0"), True  # blocks of a tape or a disk are filled up with zeros
                    if not chunk:
                        break
                    inflater = zlib.decompressobj(wbits=31)
                yield inflater.decompress(chunk, PIECE)
                fresh = False
                chunk = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
        yield inflater.flush()
    except zlib.error:
        what = "what stands behind the gzip data is neither zeros nor gzip data" if behind else "damaged gzip data"
        raise ContractError(what, where=where, next_step="ask the source's owner.") from None
    if fresh or not inflater.eof:
        raise ContractError("gzip data that ends too early", where=where, next_step="ask the source's owner.")


def slices(body: bytes) -> Iterator[bytes]:
    """Cut bytes into pieces, so that a parser can clear behind itself."""
    for start in range(0, len(body), PIECE):
        yield body[start : start + PIECE]


def capped(pages: Iterable[Page], source: Source) -> Iterator[Page]:
    """Pass the pages of a pull on within its limits of rows and time.

    Only the time that the source needs for its pages counts, not what is done with them between.

    Raises:
        ContractError: They hold more than `Limits.rows` rows together.
        TransientError: They took longer than `Pace.pull_timeout`.
    """
    limit, seconds, where = source.limits.rows, source.pace.pull_timeout, source.dataset
    left, total, coming = seconds, 0, iter(pages)
    while True:
        started = time.monotonic()
        with told_at(where), within(left, "pull_timeout", told=seconds):
            refuse_late()
            page = next(coming, None)
        left -= time.monotonic() - started
        if page is None:
            return
        total += page.rows.num_rows
        if total > limit:
            step = "ask the source's owner, or raise rows in adapters/agencies.yaml."
            raise ContractError(f"more than {limit} rows in one pull", where=where, next_step=step)
        yield page
        del page


def full_enough(pages: Iterable[Page], source: Source) -> Iterator[Page]:
    """Pass the pages on that a source cuts itself, as long as they get on: ever-new pages of one row each have no end.

    Raises:
        ContractError: Many pages are small in bytes and hold fewer than `Limits.least_page_rows` rows on average.
    """
    least = min(source.limits.least_page_rows, (source.page_rows + 1) // 2)
    lean = rows = 0
    for page in pages:
        if page.rows.nbytes + len(page.payload or b"") < LEAN_BYTES:
            lean, rows = lean + 1, rows + page.rows.num_rows
        if lean >= MANY_PAGES and rows < lean * least:
            step = "ask the source's owner for fuller pages, or lower least_page_rows in adapters/agencies.yaml."
            what = f"{lean} pages hold {rows} rows, where {source.page_rows} a page were asked for"
            raise ContractError(what, where=f"{source.dataset} {page.name}", next_step=step)
        yield page
        del page
