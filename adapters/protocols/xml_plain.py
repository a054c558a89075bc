"""Plain XML records, taken from bytes by one pattern without backtracking.

A record is plain when it is an element without attributes, whose elements are declared, stand in the declared order and
hold text without signs of markup, escapes, carriage returns or control characters. Such bytes are well-formed by
themselves (XML 1.0, section 2.1) and mean what they say, so that no parser has to see them. The pattern checks all of it
but UTF-8, which the Arrow string that they become checks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

Row = tuple[bytes | None, ...]
"""A record's values in `PlainRecords.order`, null where absent, and one entry more, which says nothing."""

HEAD_BYTES = 256
"""Bytes in which an XML declaration ends, where there is one."""

_HEAD = re.compile(
    rb"(?:\xef\xbb\xbf)?(?:\s*<[^?\x00]|<\?xml\s(?:(?!encoding)[^>\x00])*(?:encoding\s*=\s*[\"']utf-8[\"'][^>\x00]*)?\?>)",
    re.I,
)
_TEXT = rb"([^\x00-\x08\x0b-\x1f<>&]*+)"
_SPACE = rb"[\x20\t\n]*+"
_REST = rb"|(?s:(.+))"
_NO_CHARACTERS = (b"\xef\xbf\xbe", b"\xef\xbf\xbf")
"""U+FFFE and U+FFFF: valid UTF-8, and no XML."""


def is_utf_8(head: bytes) -> bool:
    """Tell whether a document that starts so is surely UTF-8 (XML 1.0, appendix F).

    >>> is_utf_8(b"<a>"), is_utf_8(b"<?xml version='1.0' encoding='latin1'?><a>"), is_utf_8("<a>".encode("utf-16"))
    (True, False, False)
    """
    return _HEAD.match(head) is not None


class PlainRecords:
    """Takes plain records out of UTF-8.

    Args:
        record: Local name of the element that is a record.
        columns: Column name -> path of local names, such as `HoVaTen/Ho`.

    Attributes:
        order: The column names, in the order of a row.
        end: Finds the end tag of a record, of any prefix.
    """

    def __init__(self, record: str, columns: Mapping[str, str]) -> None:
        self._record, self._names = record, {path: name for name, path in columns.items()}
        self._tree: dict[str, Any] = {}
        for path in columns.values():
            node = self._tree
            for step in path.split("/"):
                node = node.setdefault(step, {})
        self.order: list[str] = []
        self._inside(self._tree, "", "", self.order)
        self.end = re.compile(rb"</(?:[^\s<>/:]+:)?%b\s*>" % re.escape(record.encode()))
        self._patterns: dict[str | None, re.Pattern[bytes]] = {}

    def take(self, data: bytes, prefix: str | None) -> tuple[list[Row], bytes]:
        """Take the plain records that the data starts with; return their rows and what follows.

        Args:
            data: What follows the end of a record.
            prefix: The namespace prefix that all elements of a record must carry.
        """
        if any(sign in data for sign in _NO_CHARACTERS):
            return [], data
        if prefix not in self._patterns:
            self._patterns[prefix] = self._compile(prefix)
        rows = list(map(re.Match.groups, self._patterns[prefix].finditer(data)))
        rest: bytes | None = rows[-1][-1] if rows else None
        return (rows, b"") if rest is None else (rows[:-1], rest)

    def _compile(self, prefix: str | None) -> re.Pattern[bytes]:
        before = f"{prefix}:" if prefix else ""
        tag = re.escape((before + self._record).encode())
        inside = self._inside(self._tree, "", before, [])
        return re.compile(rb"%b<%b>%b%b</%b>%b" % (_SPACE, tag, inside, _SPACE, tag, _REST))

    def _inside(self, tree: Mapping[str, Any], path: str, before: str, order: list[str]) -> bytes:
        """Make the pattern of an element's children, and note the columns that it finds."""
        parts = []
        for step, below in tree.items():
            place, tag = f"{path}{step}", re.escape((before + step).encode())
            if place in self._names:
                order.append(self._names[place])
                parts.append(rb"(?:%b<%b>%b</%b>)?+" % (_SPACE, tag, _TEXT, tag))
            if below:
                # Whitespace alone is the branch's own text, which a walk would show.
                children = self._inside(below, place + "/", before, order)
                parts.append(rb"(?:%b<%b>(?!\s++</)%b%b</%b>)?+" % (_SPACE, tag, children, _SPACE, tag))
        return b"".join(parts)
