"""Content codings (RFC 9110, section 8.4): what was put on an answer on its way, in the order in which it was put on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from adapters.protocols.charsets import describe, peek
from adapters.protocols.guard import gunzip
from motlan.errors import ContractError

GZIP_MAGIC = b"\x1f\x8b"
MOST_CODINGS = 3
"""Codings on top of one another: each is a further round of unpacking."""

_GZIP = ("gzip", "x-gzip")
"""Section 8.4.1.3: a recipient considers `x-gzip` to be equivalent to `gzip`."""
_KNOWN = ("br", "compress", "dcb", "dcz", "deflate", "x-compress", "zstd")


def codings_of(header: str) -> tuple[str, ...]:
    """Read the `Content-Encoding` of an answer: names in small letters, without `identity`, which is none.

    >>> codings_of("X-GZIP, identity"), codings_of("")
    (('x-gzip',), ())
    """
    names = (name.strip().lower() for name in header.split(","))
    return tuple(name for name in names if name not in ("", "identity"))


def undo(chunks: Iterable[bytes], codings: tuple[str, ...], limit: int, where: str) -> Iterator[bytes]:
    """Take the codings off. No bytes at all are no bytes, whatever was put on them.

    Raises:
        ContractError: There is a coding that nobody asked for, or too many; or what comes out is more than `limit` bytes,
            damaged or cut short.
    """
    if len(codings) > MOST_CODINGS:
        raise ContractError(f"more than {MOST_CODINGS} content codings", where=where, next_step=_NEXT_STEP)
    for coding in codings:
        if coding not in _GZIP:
            name = f"the content coding {coding}" if coding in _KNOWN else "an unknown content coding"
            raise ContractError(f"{name} came, where gzip or none was asked for", where=where, next_step=_NEXT_STEP)
    head, body = peek(chunks, len(GZIP_MAGIC))
    if codings and head and not head.startswith(GZIP_MAGIC):
        what = (
            f"the content coding {codings[-1]} is said, and what came is not gzip data: it starts as {describe(head)}"
        )
        raise ContractError(what, where=where, next_step=_NEXT_STEP)
    for _ in codings if head else ():
        body = gunzip(body, limit, where)
    return body


_NEXT_STEP = "ask the source's owner, or mend the proxy before it."
