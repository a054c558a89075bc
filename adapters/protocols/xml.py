"""XML documents of many like records, to text columns.

No document type, no entity, no network (OWASP XML External Entity prevention). Documents are parsed in pieces and
cleared behind the reader, so memory stays flat. Elements are known by local name, so that a prefix or a default namespace
makes no difference. Attributes and text beside child elements are not read; the payload keeps them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pyarrow as pa
from lxml import etree

from adapters.protocols.columns import Columns, check_extra, column_name
from adapters.protocols.guard import slices
from adapters.protocols.xml_plain import HEAD_BYTES, PlainRecords, Row, is_utf_8
from motlan.errors import ConfigurationError, ContractError
from motlan.landing.contract import Limits

RECORD_BYTES = 8 * 2**20
"""Bytes of a document that may pass before the next record ends. What is no run of records stops here."""

PAGE_TAGS = 2_000_000
"""Tags, and attributes, in an answer whose tree is kept: a tree takes some hundred bytes for each."""

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


def refuse_tags(body: bytes, where: str) -> None:
    """Refuse an answer whose tree could fill the memory.

    Raises:
        ContractError: It has more than `PAGE_TAGS` tags, or what may be attributes.
    """
    if len(body) > PAGE_TAGS and max(body.count(b"<"), body.count(b"=")) > PAGE_TAGS:
        step = "ask the source's owner, or lower page_rows in adapters/agencies.yaml."
        raise ContractError(f"more than {PAGE_TAGS} tags or attributes in one answer", where=where, next_step=step)


def parse_document(body: bytes, where: str) -> etree._Element:
    """Parse a document that fits in memory.

    Raises:
        ContractError: It is not well-formed, has too many tags, or declares a document type.
    """
    refuse_tags(body, where)
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

    A tree of elements costs microseconds a record to build and as many to walk, which is what would limit a pull. So runs
    of plain records, as nearly all are, go from bytes to columns by one pattern (`xml_plain`). What the pattern does not
    know (another order, an empty or unknown element, an attribute, an escaped letter) is parsed by lxml and walked: slower,
    same result. Columns declared in the order of the document are the quick ones.

    Args:
        record: Local name of the element that is a record.
        columns: Column name -> path of local names, such as `HoVaTen/Ho`.
        limits: Limits of the source.

    Raises:
        ConfigurationError: Two columns have the same path.
    """

    def __init__(self, record: str, columns: Mapping[str, str], limits: Limits) -> None:
        self.record, self._limits, self.declared = record, limits, tuple(columns)
        self._names = {path: name for name, path in columns.items()}
        if len(self._names) != len(columns):
            raise ConfigurationError("two columns have the same path", where=f"columns of {record}")
        steps = [path.split("/") for path in columns.values()]
        self._branches = {"/".join(path[:depth]) for path in steps for depth in range(1, len(path))}
        self._height = max(map(len, steps), default=0)
        self.plain = PlainRecords(record, columns)

    def read(self, chunks: Iterable[bytes], rows: int, where: str) -> Iterator[Columns]:
        """Give the records of a file as columns, at most `rows` or about `Limits.page_bytes` at a time.

        Empty elements are empty strings, absent or `xsi:nil` ones are null. A second element of the same path gets a
        column of its own.

        Raises:
            ContractError: The document is malformed, declares a document type, or passes a limit.
        """
        reading, size = _Reading(self, where, forget=True), 0
        for chunk in chunks:
            reading.feed(chunk)
            size += len(chunk)
            while len(reading.rows) >= rows or (reading.rows and size >= self._limits.page_bytes):
                yield reading.columns(min(rows, len(reading.rows)))
                size = 0
        reading.close()
        while reading.rows:
            yield reading.columns(rows)

    def read_document(self, body: bytes, where: str) -> tuple[Columns, etree._Element]:
        """Give all records of an answer, and the root of what stands around them; see `read` for the rules.

        Raises:
            ContractError: As `read`, and for too many tags.
        """
        refuse_tags(body, where)
        reading = _Reading(self, where, forget=False)
        for chunk in slices(body):
            reading.feed(chunk)
        root = reading.close()
        return reading.columns(len(reading.rows)), root

    def may_be_plain(self, record: etree._Element) -> bool:
        """Tell whether what follows this record may be plain records: none can be too deep, or of an unknown prefix."""
        above = list(record.iterancestors())
        known = not record.prefix or (bool(above) and record.prefix in above[0].nsmap)
        inside = any(local_name(element.tag) == self.record for element in above)
        return known and not inside and self._height < self._limits.depth - len(above)

    def walk(self, record: etree._Element, where: str) -> dict[str, str | None]:
        """Read a record element by element: column name -> text."""
        row: dict[str, str | None] = {}
        depth = self._limits.depth - sum(1 for _ in record.iterancestors())
        self._walk(record, "", row, depth, where)
        return row

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
                check_extra(len(self._names), len(self.declared), where)
                return name
            place += "|again"  # no element can be called so
        return name


class _Reading:
    """One document on its way to columns.

    lxml gets everything but runs of plain records. A run starts where lxml has just ended a record and got nothing more:
    there it stands between elements, so that taking whole elements out of its way changes nothing of what it checks.
    """

    def __init__(self, records: XmlRecords, where: str, *, forget: bool) -> None:
        self._records, self._where, self._forget = records, where, forget
        self._parser: Any = etree.XMLPullParser(events=("end",), tag="{*}" + records.record, **_SECURE)
        self._pending, self._silent = b"", 0
        self._utf_8: bool | None = None  # unknown until the head is there
        self._prefix: str | None = None
        self._in_run = False
        self.rows: list[Row] = []
        self._others: dict[str, dict[int, str | None]] = {}

    def feed(self, chunk: bytes) -> None:
        """Read on."""
        self._pending += chunk
        if self._utf_8 is None and len(self._pending) >= HEAD_BYTES:
            self._utf_8 = is_utf_8(self._pending)
        if self._utf_8 is False:
            self._parse(self._pending)
            self._pending = b""
        while self._utf_8 and (end := self._records.plain.end.search(self._pending)):
            if self._in_run and self._take_run():
                continue
            self._parse(self._pending[: end.start()])
            self._in_run = self._parse(end.group())
            self._pending = self._pending[end.end() :]
        if len(self._pending) > RECORD_BYTES:
            raise self._endless()

    def _take_run(self) -> bool:
        """Take the plain records that come next; tell whether there was one."""
        rows, self._pending = self._records.plain.take(self._pending, self._prefix)
        self.rows += rows
        return bool(rows)

    def close(self) -> etree._Element:
        """Read what is left, and give the root."""
        self._parse(self._pending)
        try:
            root: etree._Element = self._parser.close()
        except etree.XMLSyntaxError:
            raise _malformed(self._where) from None
        refuse_doctype(root, self._where)
        return root

    def _parse(self, data: bytes) -> bool:
        """Let lxml read on; tell whether a record ended, behind which plain ones may follow."""
        record = None
        try:
            self._parser.feed(data)
            for _, record in self._parser.read_events():
                self._add(record)
        except etree.XMLSyntaxError:
            raise _malformed(self._where) from None
        if record is None:
            self._silent += len(data)
            if self._silent > RECORD_BYTES:
                raise self._endless()
            return False
        self._silent, self._prefix = 0, record.prefix
        if self._forget:
            _forget_before(record)
        return self._records.may_be_plain(record)

    def _add(self, record: etree._Element) -> None:
        refuse_doctype(record, self._where)
        row = self._records.walk(record, self._where)
        record.clear()
        order = self._records.plain.order
        for name in row.keys() - set(order):
            self._others.setdefault(name, {})[len(self.rows)] = row[name]
        values = (row.get(name) for name in order)
        self.rows.append((*(value if value is None else value.encode() for value in values), None))

    def columns(self, rows: int) -> Columns:
        """Take the first rows away, as columns."""
        taken, self.rows = self.rows[:rows], self.rows[rows:]
        values = dict(zip(self._records.plain.order, zip(*taken, strict=True), strict=False))
        columns: Columns = {name: self._text(values.get(name, ())) for name in self._records.declared}
        for name in sorted(self._others):
            found = self._others[name]
            columns[name] = [found.get(number) for number in range(len(taken))]
        left = {name: {n - rows: v for n, v in found.items() if n >= rows} for name, found in self._others.items()}
        self._others = {name: found for name, found in left.items() if found}
        return columns

    def _text(self, values: tuple[bytes | None, ...]) -> Any:
        try:
            return pa.array(values, pa.binary()).cast(pa.string())
        except pa.ArrowInvalid:  # no UTF-8
            raise _malformed(self._where) from None

    def _endless(self) -> ContractError:
        return ContractError(f"no record ends within {RECORD_BYTES} bytes", where=self._where)


def _forget_before(record: etree._Element) -> None:
    """Take what stands before the last record off the tree; the parser still needs the last one itself."""
    parent = record.getparent()
    if parent is not None:
        del parent[: parent.index(record)]
