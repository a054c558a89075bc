"""Lines out of chunks of bytes or text, for the formats that are made of lines."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from motlan.errors import ContractError

LINE_BYTES = 8 * 2**20
"""Bytes of one line. What has no line ends stops here, before it fills the memory."""

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)")


def read_lines(chunks: Iterable[bytes], where: str) -> Iterator[bytes]:
    """Give the lines without their line feed; the last one needs none.

    Raises:
        ContractError: A line is longer than `LINE_BYTES`.
    """
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines
        _refuse_endless(rest, where)
    if rest:
        yield rest


def read_text_lines(texts: Iterable[str], where: str) -> Iterator[str]:
    """Give the lines with their ends, which are CR LF, LF or CR; the last one needs none.

    Raises:
        ContractError: A line is longer than `LINE_BYTES` characters.
    """
    rest = ""
    for text in texts:
        text = rest + text
        if "\r" not in text or text.count("\r") == text.count("\r\n"):
            *lines, rest = text.split("\n")
            yield from [line + "\n" for line in lines]
        else:
            held = text[-1:] == "\r"  # a line feed may follow
            lines = _LINE.findall(text[:-1] if held else text)
            yield from lines
            rest = text[sum(map(len, lines)) :]
        _refuse_endless(rest, where)
    if rest:
        yield rest


def _refuse_endless(rest: str | bytes, where: str) -> None:
    if len(rest) > LINE_BYTES:
        raise ContractError(f"a line is longer than {LINE_BYTES} bytes", where=where)
