"""Lines out of chunks of bytes, for the formats that are made of lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from motlan.errors import ContractError

LINE_BYTES = 8 * 2**20
"""Bytes of one line. What has no line ends stops here, before it fills the memory."""


def read_lines(chunks: Iterable[bytes], where: str) -> Iterator[bytes]:
    """Give the lines without their line feed; the last one needs none.

    Raises:
        ContractError: A line is longer than `LINE_BYTES`.
    """
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines
        if len(rest) > LINE_BYTES:
            raise ContractError(f"a line is longer than {LINE_BYTES} bytes", where=where)
    if rest:
        yield rest
