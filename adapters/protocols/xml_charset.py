"""Which charset an XML document is in, where what is said about it and what it is do not agree.

A byte order mark goes first, then a label from outside (the charset of `Content-Type`), then the document's own
declaration (RFC 7303, section 3). But servers label by default: where label and declaration differ, bytes that are UTF-8
are read as UTF-8 if either says so, as they are hardly ever both.
"""

from __future__ import annotations

import codecs
import re
from contextlib import suppress

from lxml import etree

from adapters.protocols.charsets import codec_of
from motlan.errors import ConfigurationError, ContractError

_DECLARED = re.compile(rb"\s*<\?xml\s[^>]*?encoding\s*=\s*[\"']([A-Za-z][A-Za-z0-9._-]{0,39})[\"']")
_WIDE = re.compile(r"(?i)utf-?(16|32)|ucs|iso-10646|unicode")
"""Names of charsets of two or four bytes a letter, in which a document cannot start by `<` and another letter."""
_NEXT_STEP = "ask the source's owner, or set `encoding` in adapters/agencies.yaml for a dataset of files."


def parser_encoding(head: bytes, body: bytes | None, label: str, where: str) -> str:
    """Choose the charset that the parser is told; empty where it finds the right one by itself.

    Args:
        head: The first bytes of the document.
        body: All of it, where it is at hand.
        label: The charset that is said outside of the document; empty where none is.
        where: The place, for errors.

    Raises:
        ContractError: It is UTF-32; or declares a charset of two or four bytes a letter, and has one byte a letter.
    """
    if head.startswith((codecs.BOM_UTF32_BE, codecs.BOM_UTF32_LE, b"\0\0\0<", b"<\0\0\0")):
        raise ContractError("the XML is UTF-32, where UTF-8 was expected", where=where, next_step=_NEXT_STEP)
    if head.startswith((codecs.BOM_UTF16_BE, codecs.BOM_UTF16_LE)):
        return ""
    if head.startswith(codecs.BOM_UTF8):
        return "utf-8"
    if head.startswith((b"\0<", b"<\0")):
        return "UTF-16BE" if head.startswith(b"\0") else "UTF-16LE"
    found = _DECLARED.match(head)
    declared = found.group(1).decode() if found else ""
    label = "" if _WIDE.match(label) else usable(label)
    if _WIDE.match(declared):
        if label:
            return label
        what = "UTF-8" if is_utf_8_text(head if body is None else body) else "a charset of one byte a letter"
        raise ContractError(f"the XML declares {declared} and is {what}", where=where, next_step=_NEXT_STEP)
    if not label or body is None or codec_of(label) == codec_of(declared or "utf-8"):
        return label if body is None else ""
    return _settle(body, label, declared)


def _settle(body: bytes, label: str, declared: str) -> str:
    """Choose between a label and a declaration that differ. A document that declares nothing is UTF-8."""
    said = {codec_of(label), codec_of(declared or "utf-8")}
    if said & {"utf-8", "ascii"} and is_utf_8_text(body):
        return "utf-8"
    if codec_of(label) in ("utf-8", "ascii") and declared:
        return ""
    return label


def charset_of(head: bytes, body: bytes | None, label: str) -> str:
    """Give the charset in which a document is read, by the arguments of `parser_encoding`; UTF-8 for what is refused."""
    if head.startswith((codecs.BOM_UTF16_BE, codecs.BOM_UTF16_LE)):
        return "utf-16"
    found = _DECLARED.match(head)
    told = ""
    with suppress(ContractError):
        told = parser_encoding(head, body, label, "")
    return (told or (found.group(1).decode() if found else "utf-8")).lower()


def is_utf_8_text(data: bytes) -> bool:
    """Tell whether bytes are UTF-8, which may be cut in the middle of a letter."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(data)
    except UnicodeDecodeError:
        return False
    return True


def usable(name: str) -> str:
    """Give the name under which the parser knows a charset; empty where it knows none."""
    for known in (name, codec_of(name) or ""):
        with suppress(LookupError, ValueError):
            if known:
                etree.XMLParser(encoding=known)
                return known
    return ""


def usable_option(name: str, where: str) -> str:
    """As `usable`, of a dataset's declared `encoding`; empty where it has none.

    Raises:
        ConfigurationError: The parser knows no such charset.
    """
    if name and not usable(name):
        raise ConfigurationError(
            "`encoding` is no charset of XML", where=where, next_step="mend adapters/agencies.yaml."
        )
    return usable(name)
