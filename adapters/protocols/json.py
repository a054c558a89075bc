"""JSON documents (RFC 8259) and JSON lines, to text columns.

Numbers stay the text that was sent: `1.50` is not `1.5` to somebody who has to prove what arrived. JSON is UTF-8, whatever
a label beside it says (RFC 8259, section 8.1: there is no charset parameter); the UTF-16 and UTF-32 of before show by
their first bytes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from operator import itemgetter
from typing import Any, NoReturn

import pyarrow as pa

from adapters.protocols.charsets import as_utf_8, charset_of, describe
from adapters.protocols.columns import Columns, check_extra, column_name
from adapters.protocols.doubled import keep_all, may_be_doubled
from adapters.protocols.lines import read_lines
from motlan.adapter import Limits
from motlan.errors import ConfigurationError, ContractError


class _Number(str):
    """A JSON number, kept as its text."""

    __slots__ = ()


PAGE_VALUES = 2_000_000
"""Values in a document, which is parsed at once: each takes a hundred bytes of memory or more for as few as two sent."""

_LESS = "ask the source's owner, or lower page_rows in adapters/agencies.yaml."
_BLANK = b" \t\r\n\x1a\xef\xbb\xbf"
"""Bytes of which a line consists that says nothing: DOS ended files by 0x1A, and a mark of UTF-8 may stand alone."""

_SPECIAL, _ESCAPES = re.compile("[~.[\ud800-\udfff]"), {"~": "~0", ".": "~1", "[": "~2"}
_PLAIN = {str, _Number, type(None)}


def _refuse_constant(_: str) -> NoReturn:
    raise ValueError


_PARSING: dict[str, Any] = {"parse_int": _Number, "parse_float": _Number, "parse_constant": _refuse_constant}
_DECODER = json.JSONDecoder(**_PARSING)
_KEEPING = json.JSONDecoder(object_pairs_hook=keep_all, **_PARSING)
"""For documents of which an object may name a field twice."""


def parse(body: bytes, where: str) -> Any:
    """Parse a document. Bytes that are no UTF-8 survive as lone surrogates, visible in the row.

    Raises:
        ContractError: It is not JSON, nested without end, or has too many values.
    """
    if len(body) > PAGE_VALUES and sum(map(body.count, (b",", b"[", b"{"))) > PAGE_VALUES:
        raise ContractError(f"more than {PAGE_VALUES} values in one answer", where=where, next_step=_LESS)
    charset = charset_of(body)
    try:
        text = body.decode(charset, "surrogateescape" if charset == "utf-8" else "surrogatepass").removeprefix("\ufeff")
        document = _DECODER.decode(text)
        return _KEEPING.decode(text) if may_be_doubled(text, document) else document
    except (ValueError, RecursionError):
        what = f"JSON was expected, and what came is not: it starts as {describe(body)}"
        raise ContractError(what, where=where, next_step="ask the source's owner.") from None


def at_path(document: Any, path: str) -> Any:
    """Go down a document by a dotted path; None where it ends early, the document itself where the path is empty.

    >>> at_path({"a": {"b": 1}}, "a.b")
    1
    """
    for step in path.split(".") if path else ():
        document = document.get(step) if isinstance(document, dict) else None
    return document


def kind_of(value: Any) -> str:
    """Name the kind of a parsed value, for an error.

    >>> kind_of(parse(b"[1]", "")[0]), kind_of({}), kind_of(None)
    ('a number', 'an object', 'null or absent')
    """
    if value is None:
        return "null or absent"
    return {_Number: "a number", str: "text", bool: "true or false", list: "a list"}.get(type(value), "an object")


def is_zero(value: Any) -> bool:
    """Tell whether a parsed value is the number 0, however it is written; text never is."""
    return type(value) is _Number and not float(value)


class JsonRecords:
    """Turns JSON objects into columns.

    Args:
        columns: Column name -> dotted path, such as `a.b`.
        limits: Limits of the source.

    Raises:
        ConfigurationError: A path is both a value and a branch, or two columns have the same path.
    """

    def __init__(self, columns: Mapping[str, str], limits: Limits) -> None:
        self._limits, self._declared = limits, tuple(columns)
        self._tree: dict[str, Any] = {}
        for name, path in columns.items():
            *branches, leaf = path.split(".")
            node = self._tree
            for step in branches:
                node = node.setdefault(step, {})
                if not isinstance(node, dict):
                    raise ConfigurationError(f"path {path} goes through a value", where=f"column {name}")
            if leaf in node:
                raise ConfigurationError(f"path {path} is taken", where=f"column {name}")
            node[leaf] = name

    def charset(self, head: bytes) -> str:
        """Tell the charset of a file that starts so."""
        return charset_of(head)

    def read(self, chunks: Iterable[bytes], rows: int, where: str) -> Iterator[Columns]:
        """Give a file of JSON lines as columns, at most `rows` records or `Limits.page_bytes` at a time.

        Raises:
            ContractError: A line is not an object, or passes a limit.
        """
        records, size = [], 0
        for number, line in enumerate(read_lines(as_utf_8(chunks, where), where), start=1):
            size += len(line)
            if line.strip(_BLANK):
                records.append(parse(line, f"{where} line {number}"))
            if records and (len(records) == rows or size >= self._limits.page_bytes):
                yield self.to_columns(records, where)
                records, size = [], 0
        if records:
            yield self.to_columns(records, where)

    def to_columns(self, records: Sequence[Any], where: str) -> Columns:
        """Turn parsed objects into columns: scalars as their JSON text, unknown structures as compact JSON text.

        Raises:
            ContractError: A record is not an object, or passes a limit.
        """
        if not set(map(type, records)) <= {dict}:
            raise ContractError("a record is not a JSON object", where=where, next_step="ask the source's owner.")
        columns: Columns = dict.fromkeys(self._declared, ())
        self._collect(records, self._tree, "", columns, where)
        return columns

    def _collect(
        self, records: Sequence[Any], tree: Mapping[str, Any], path: str, columns: Columns, where: str
    ) -> None:
        unknown = set().union(*(record for record in records if type(record) is dict)) - tree.keys()
        for key in [*tree, *sorted(unknown, key=_step)]:
            values = _values(records, key)
            node, place = tree.get(key), f"{path}{_step(key)}"
            if isinstance(node, dict):
                self._collect(values, node, place + ".", columns, where)
                values = [None if type(value) is dict else value for value in values]
                if any(value is not None for value in values):
                    node = None  # a value where a structure was declared: shown beside it
                else:
                    continue
            columns[node or column_name(place, columns)] = self._texts(values, where)
            check_extra(len(columns), len(self._declared), where)

    def _texts(self, values: list[Any], where: str) -> Any:
        # Suppressed, not caught: these errors hold values, and none may stand behind a refusal.
        with suppress(pa.ArrowException, UnicodeEncodeError):
            return pa.array(values, pa.string())  # texts, numbers as such and null; anything else raises
        return [value if type(value) in _PLAIN else self._text(value, where) for value in values]

    def _text(self, value: Any, where: str, depth: int = 1) -> str:
        if depth > self._limits.depth:
            raise ContractError(f"a value is nested deeper than {self._limits.depth}", where=where)
        if isinstance(value, dict):
            names = (key if type(key) is str else key[0] for key in value)
            pairs = (
                f"{_quoted(n)}:{self._inner(part, where, depth)}" for n, part in zip(names, value.values(), strict=True)
            )
            return "{" + ",".join(pairs) + "}"
        if isinstance(value, list):
            return "[" + ",".join(self._inner(part, where, depth) for part in value) + "]"
        return json.dumps(value)

    def _inner(self, value: Any, where: str, depth: int) -> str:
        if isinstance(value, _Number):
            return str(value)
        return _quoted(value) if isinstance(value, str) else self._text(value, where, depth + 1)


def _step(key: str | tuple[str, int]) -> str:
    """Write a key as a step of a path, so that no two are alike: `~`, a dot, `[` and half a surrogate pair are escaped.

    One that an object has again (see `keep_all`) gets a number behind it.

    >>> _step("a.b"), _step("a~1b"), _step(chr(0xD800)), _step(("a", 1))
    ('a~1b', 'a~01b', '~ud800', 'a[2]')
    """
    if not isinstance(key, str):
        return f"{_step(key[0])}[{key[1] + 1}]"
    return _SPECIAL.sub(lambda found: _ESCAPES.get(found.group()) or f"~u{ord(found.group()):x}", key)


def _values(records: Sequence[Any], key: str | tuple[str, int]) -> list[Any]:
    """Give each record's value, None where a record has not that key or is no object."""
    try:
        return list(map(itemgetter(key), records))  # no step of Python a record; what has no such key raises
    except (KeyError, TypeError):
        return [record.get(key) if type(record) is dict else None for record in records]


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
