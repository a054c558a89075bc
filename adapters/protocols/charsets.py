"""What bytes are before they are read: the charset of text, and the kind of what came instead of what was expected.

A byte order mark tells, then the zeros between the first letters; a label beside the bytes is often a server's default
and is asked last, if at all.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from json import detect_encoding

from motlan.errors import ConfigurationError, ContractError

_CODEC = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}", re.ASCII | re.IGNORECASE)
_KINDS = (
    (rb"\x1f\x8b", "gzip data"),
    (rb"PK\x03\x04", "a ZIP archive"),
    (rb"%PDF", "a PDF document"),
    (rb"(?i)(<!doctype\s+html|<html)", "an HTML page"),
    (rb"<", "XML"),
    (rb"[{\[]", "JSON, perhaps cut short"),
)


def describe(body: bytes) -> str:
    """Say what kind of thing bytes look like, for an error; never what they hold.

    >>> describe(b""), describe(b"<!DOCTYPE html><p>"), describe(b"?")
    ('nothing', 'an HTML page', 'something else')
    """
    if not body.strip():
        return "nothing"
    head = body[:64].removeprefix(codecs.BOM_UTF8).lstrip()
    return next((kind for pattern, kind in _KINDS if re.match(pattern, head)), "something else")


def codec_of(name: str) -> str | None:
    """Give the plain name under which Python knows a charset of text; None where it knows none.

    >>> codec_of("UTF8"), codec_of("Windows-1258"), codec_of("utf8mb4"), codec_of("base64")
    ('utf-8', 'cp1258', None, None)
    """
    try:
        found = codecs.lookup(name) if _CODEC.fullmatch(name) else None
        "".encode(found.name if found else "")
    except LookupError:
        return None
    return found.name if found else None


def declared_codec(name: str, where: str) -> str:
    """Give the name of the charset that a dataset's options declare; an empty one stays empty.

    Raises:
        ConfigurationError: There is no such charset.
    """
    if not name:
        return ""
    if codec := codec_of(name):
        return codec
    raise ConfigurationError("`encoding` is no charset", where=where, next_step="mend it in adapters/agencies.yaml.")


def charset_of(head: bytes, declared: str = "") -> str:
    """Tell the charset of a text by how it starts.

    Args:
        head: Its first bytes, four or more where it has them.
        declared: What it is where no byte order mark says otherwise; by default it is told by the zeros between its
            first letters (RFC 4627, section 3), and is UTF-8 without any.

    >>> charset_of(b'{"a"'), charset_of('{"a'.encode("utf-16")), charset_of('{"'.encode("utf-16-be"))
    ('utf-8', 'utf-16', 'utf-16-be')
    """
    if declared and not head.startswith((codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return declared
    return detect_encoding(head[:4]).removesuffix("-sig")


def peek(chunks: Iterable[bytes], size: int) -> tuple[bytes, Iterator[bytes]]:
    """Look at the first bytes: give `size` of them or more, where there are so many, and all chunks from the start."""
    rest = iter(chunks)
    head = b""
    while len(head) < size and (chunk := next(rest, None)) is not None:
        head += chunk
    return head, chain((head,) if head else (), rest)


def to_text(chunks: Iterable[bytes], charset: str, where: str) -> Iterator[str]:
    """Decode the chunks of a text, without byte order marks before it. Undecodable bytes stay visible as escapes.

    Raises:
        ContractError: The charset has two or four bytes a letter, and the bytes are none of its letters.
    """
    # An escape of a byte in the middle of a letter of two bytes would shift all that follows.
    errors = "surrogatepass" if charset.startswith(("utf-16", "utf-32")) else "backslashreplace"
    decoder = codecs.getincrementaldecoder(charset)(errors)
    started = False
    try:
        for chunk in chain(chunks, (b"",)):
            text = decoder.decode(chunk, final=not chunk)
            if not started:
                text = text.lstrip("\ufeff")
                started = bool(text)
            yield text
    except UnicodeError:
        what = f"the text is not {charset}, though it starts so"
        raise ContractError(what, where=where, next_step="ask the source's owner.") from None


def as_utf_8(chunks: Iterable[bytes], where: str) -> Iterator[bytes]:
    """Give the chunks of a text as they are where it is UTF-8, and turned into it where its first bytes say UTF-16 or 32.

    Raises:
        ContractError: As `to_text`.
    """
    head, chunks = peek(chunks, 4)
    charset = charset_of(head)
    if charset == "utf-8":
        return iter(chunks)
    return (text.encode("utf-8", "surrogatepass") for text in to_text(chunks, charset, where))
