"""XML documents of many like records, to text columns.

No document type, no entity, no network (OWASP XML External Entity prevention). Files are parsed in pieces and
cleared behind the reader, so memory stays flat; an answer that is in memory anyway is parsed at once, which is
quicker. Elements are known by local name, so that a prefix or a default namespace makes no difference. Attributes and
text beside child elements are not read; the payload keeps them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from lxml import etree

from adapters.protocols.columns import Columns, check_extra, column_name
from motlan.errors import ConfigurationError, ContractError
from motlan.landing.contract import Limits

RECORD_BYTES = 8 * 2**20
"""Bytes of a file that may pass before the next record ends. What is no run of records stops here."""

PAGE_TAGS = 4_000_000
"""Tags in an answer that is parsed at once: a tree takes some hundred bytes a tag."""

_NIL = "{http://www.w3.org/2001/XMLSchema-instance}nil"
_SECURE: dict[str, Any] = {
    "resolve_entities": False,
    "no_network": True,
    "load_dtd": False,
    "huge_tree": False,
    "remove_comments": True,
    "remove_pis": True,
}


def refuse_doctype(element: etree._Element, where: str) -> None:
    """Refuse a document with a document type: we need none, and every entity attack does.

    Raises:
        ContractError: The document of this element declares one.
    """
    if element.getroottree().docinfo.internalDTD is not None:
        raise ContractError("the XML declares a document type (DTD)", where=where, next_step="ask the source's owner.")


def parse_document(body: bytes, where: str) -> etree._Element:
    """Parse a document that fits in memory.

    Raises:
        ContractError: It is not well-formed, has too many tags, or declares a document type.
    """
    if body.count(b"<") > PAGE_TAGS:
        raise ContractError(f"more than {PAGE_TAGS} tags in one answer", where=where)
    try:
        root = etree.fromstring(body, etree.XMLParser(**_SECURE))
    except etree.XMLSyntaxError:
        raise _malformed(where) from None
    refuse_doctype(root, where)
    return root


def _malformed(where: str) -> ContractError:
    return ContractError("the XML is not well-formed, or passes a limit of the parser", where=where)


def local_name(tag: object) -> str:
    """Cut the namespace off a tag.

    >>> local_name("{urn:x}Ten")
    'Ten'
    """
    return str(tag).rpartition("}")[2]


def text_of(root: etree._Element, name: str) -> str | None:
    """Give the text of the first element of this local name; empty for an empty one, None where there is none."""
    element = next(root.iter("{*}" + name), None)
    return None if element is None else element.text or ""


class XmlRecords:
    """Reads like records out of documents.

    Going from element to element in Python costs about a microsecond each, which is what would limit a pull. So lxml
    parses and checks a record and writes it out again in one spelling, and one pattern without backtracking takes all
    values out of that. What the pattern does not know (another order, an empty or unknown element, an attribute, an
    escaped letter) is walked: slower, same result. Columns declared in the order of the document are the quick ones.

    Args:
        record: Local name of the element that is a record.
        columns: Column name -> path of local names, such as `HoVaTen/Ho`.
        limits: Limits of the source.

    Raises:
        ConfigurationError: Two columns have the same path.
    """

    def __init__(self, record: str, columns: Mapping[str, str], limits: Limits) -> None:
        self._record, self._limits, self._declared = record, limits, tuple(columns)
        self._names = {path: name for name, path in columns.items()}
        if len(self._names) != len(columns):
            raise ConfigurationError("two columns have the same path", where=f"columns of {record}")
        self._tree: dict[str, Any] = {}
        self._branches: set[str] = set()
        for path in columns.values():
            self._declare(path.split("/"))
        self._prefix, self._order, self._pattern = self._compile(None)

    def _declare(self, steps: Sequence[str]) -> None:
        node = self._tree
        for depth, step in enumerate(steps):
            node = node.setdefault(step, {})
            if depth:
                self._branches.add("/".join(steps[:depth]))

    def _compile(self, prefix: str | None) -> tuple[str | None, list[str], re.Pattern[str]]:
        """Make the pattern of a record whose elements all carry this namespace prefix."""
        before, order = f"{prefix}:" if prefix else "", []

        def inside(tree: dict[str, Any], path: str) -> str:
            parts = []
            for step, below in tree.items():
                place, tag = f"{path}{step}", re.escape(before + step)
                if place in self._names:
                    order.append(self._names[place])
                    parts.append(f"(?:<{tag}>([^<]+)</{tag}>)?+")
                if below:
                    parts.append(f"(?:<{tag}>{inside(below, place + '/')}</{tag}>)?+")
            return "".join(parts)

        tag = re.escape(before + self._record)
        pattern = re.compile(f"<{tag}(?: [^>]*+)?+>{inside(self._tree, '')}</{tag}>")
        return prefix, order, pattern

    def read_page(self, root: etree._Element, where: str) -> Columns:
        """Give all records of a document that was parsed at once, and empty them; see `read` for the rules.

        Raises:
            ContractError: A record passes a limit.
        """
        batch = _Batch(self._declared)
        for number, record in enumerate(root.iter("{*}" + self._record)):
            if not number:
                self._meet(record)
            self._add(record, batch, where)
            record.clear()
        return batch.columns(self._order)

    def read(self, chunks: Iterable[bytes], rows: int, where: str) -> Iterator[Columns]:
        """Give the records of a file as columns, at most `rows` at a time.

        Empty elements are empty strings, absent or `xsi:nil` ones are null. A second element of the same path gets a
        column of its own.

        Raises:
            ContractError: The document is malformed, declares a document type, or passes a limit.
        """
        parser: Any = etree.XMLPullParser(events=("end",), tag="{*}" + self._record, **_SECURE)
        batch, silent, first = _Batch(self._declared), 0, True
        try:
            for chunk in chunks:
                parser.feed(chunk)
                silent += len(chunk)
                record = None
                for _, record in parser.read_events():
                    if first:
                        refuse_doctype(record, where)
                        self._meet(record)
                        first = False
                    self._add(record, batch, where)
                    record.clear()
                    if len(batch.rows) == rows:
                        yield batch.columns(self._order)
                        batch = _Batch(self._declared)
                if record is not None:
                    silent = 0
                    _forget_before(record)
                elif silent > RECORD_BYTES:
                    raise ContractError(f"no record ends within {RECORD_BYTES} bytes", where=where)
            refuse_doctype(parser.close(), where)
        except etree.XMLSyntaxError:
            raise _malformed(where) from None
        if batch.rows:
            yield batch.columns(self._order)

    def _meet(self, record: etree._Element) -> None:
        """Take the namespace prefix of a document's first record as everyone's; others are walked."""
        if record.prefix != self._prefix:
            self._prefix, self._order, self._pattern = self._compile(record.prefix)

    def _add(self, record: etree._Element, batch: _Batch, where: str) -> None:
        text = etree.tostring(record, encoding="unicode", with_tail=False)
        match = None if "&" in text else self._pattern.fullmatch(text)
        if match:
            batch.rows.append(match.groups())
            return
        row: dict[str, str | None] = {}
        depth = self._limits.depth - sum(1 for _ in record.iterancestors())
        self._walk(record, "", row, depth, where)
        batch.add_walked(row, self._order)

    def _walk(self, element: etree._Element, path: str, row: dict[str, str | None], depth: int, where: str) -> None:
        """Put the leaves under an element into the row, by column name."""
        if depth <= 1:
            raise ContractError(f"elements are nested deeper than {self._limits.depth}", where=where)
        for child in element:
            place = path + local_name(child.tag)
            if len(child):
                self._walk(child, place + "/", row, depth - 1, where)
                continue
            text = child.text
            if text is None and child.get(_NIL) not in ("true", "1"):
                text = ""
            if place in self._names or text or place not in self._branches:  # an empty branch is no field
                row[self._name(place, row, where)] = text

    def _name(self, path: str, row: Mapping[str, str | None], where: str) -> str:
        """Find the column of a leaf: the declared one, or one of its own if it is unknown or comes again."""
        place = path
        while (name := self._names.get(place)) is None or name in row:
            if name is None:
                name = self._names[place] = column_name(path, set(self._names.values()))
                check_extra(len(self._names), len(self._declared), where)
                return name
            place += "|again"  # no element can be called so
        return name


class _Batch:
    """Records on their way to columns: declared values as tuples in the pattern's order, others by row number."""

    def __init__(self, declared: tuple[str, ...]) -> None:
        self._declared = declared
        self.rows: list[tuple[str | None, ...]] = []
        self._others: dict[str, dict[int, str | None]] = {}

    def add_walked(self, row: dict[str, str | None], order: Sequence[str]) -> None:
        for name in row.keys() - set(order):
            self._others.setdefault(name, {})[len(self.rows)] = row[name]
        self.rows.append(tuple(map(row.get, order)))

    def columns(self, order: Sequence[str]) -> Columns:
        values = dict(zip(order, zip(*self.rows, strict=True), strict=True)) if self.rows else {}
        columns: Columns = {name: values.get(name, ()) for name in self._declared}
        for name in sorted(self._others):
            columns[name] = [self._others[name].get(number) for number in range(len(self.rows))]
        return columns


def _forget_before(record: etree._Element) -> None:
    """Take what stands before the last record off the tree; the parser still needs the last one itself."""
    parent = record.getparent()
    if parent is not None:
        del parent[: parent.index(record)]
