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

from adapters.protocols.charsets import codec_of, describe, peek
from adapters.protocols.columns import Columns, check_extra, column_name
from adapters.protocols.guard import slices
from adapters.protocols.xml_charset import charset_of, parser_encoding, usable_option
from adapters.protocols.xml_plain import HEAD_BYTES, PlainRecords, Row, is_utf_8
from motlan.adapter import Limits
from motlan.errors import ConfigurationError, ContractError

RECORD_BYTES = 8 * 2**20
"""Bytes of a document that may pass before the next record ends. What is no run of records stops here."""

PAGE_TAGS = 2_000_000
"""Tags, and attributes, in an answer whose tree is kept: a tree takes some hundred bytes for each."""

_ASK_OWNER = "ask the source's owner."
_WRONG_BYTES = (etree.ErrorTypes.ERR_INVALID_ENCODING, etree.ErrorTypes.I18N_CONV_FAILED)
_UNKNOWN_CHARSET = (etree.ErrorTypes.ERR_UNKNOWN_ENCODING, etree.ErrorTypes.ERR_UNSUPPORTED_ENCODING)
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


def parse_document(body: bytes, where: str, label: str = "") -> etree._Element:
    """Parse a document that fits in memory; `label` is the charset that is said outside of it.

    Raises:
        ContractError: It is not well-formed, has too many tags, declares a document type, or another charset than it has.
    """
    refuse_tags(body, where)
    encoding = parser_encoding(body[:HEAD_BYTES], body, label, where)
    try:
        root = etree.fromstring(body, etree.XMLParser(encoding=encoding or None, **_SECURE))
    except etree.XMLSyntaxError as error:
        what = _describe_error(code_of(error), body[:HEAD_BYTES])
        raise ContractError(what, where=where, next_step=_ASK_OWNER) from None
    refuse_doctype(root, where)
    return root


def code_of(error: etree.XMLSyntaxError) -> int:
    """Give the parser's code of an error (`etree.ErrorTypes`), which lxml's type stubs do not know."""
    return int(getattr(error, "code", 0))


def _describe_error(code: int, head: bytes) -> str:
    """Say what the parser's error means; its own text quotes the document."""
    if code in _WRONG_BYTES:
        return (
            "the XML has bytes that are no letters of the charset that it declares, or of UTF-8 where it declares none"
        )
    if code in _UNKNOWN_CHARSET:
        return "the XML declares a charset that is not known"
    kind = describe(head)
    if kind != "XML" and b"\0" not in head:
        return f"XML was expected, and what came is not: it starts as {kind}"
    return "the XML is not well-formed, or passes a limit of the parser"


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
        encoding: The charset of documents without a byte order mark, where it is declared; by default they say it.

    Raises:
        ConfigurationError: Two columns have the same path, or there is no such charset.
    """

    def __init__(self, record: str, columns: Mapping[str, str], limits: Limits, encoding: str = "") -> None:
        self._encoding = usable_option(encoding, f"columns of {record}")
        self.record, self._limits, self.declared = record, limits, tuple(columns)
        self._names = {path: name for name, path in columns.items()}
        if len(self._names) != len(columns):
            raise ConfigurationError("two columns have the same path", where=f"columns of {record}")
        steps = [path.split("/") for path in columns.values()]
        self._branches = {"/".join(path[:depth]) for path in steps for depth in range(1, len(path))}
        self._height = max(map(len, steps), default=0)
        self.plain = PlainRecords(record, columns)

    def charset(self, head: bytes) -> str:
        """Tell the charset of a file that starts so."""
        return charset_of(head, None, self._encoding)

    def read(self, chunks: Iterable[bytes], rows: int, where: str) -> Iterator[Columns]:
        """Give the records of a file as columns, at most `rows` or about `Limits.page_bytes` at a time.

        Empty elements are empty strings, absent or `xsi:nil` ones are null. A second element of the same path gets a
        column of its own.

        Raises:
            ContractError: The document is malformed, declares a document type, or passes a limit.
        """
        size = 0
        head, chunks = peek(chunks, HEAD_BYTES)
        reading = _Reading(self, where, head, parser_encoding(head, None, self._encoding, where), forget=True)
        for chunk in chunks:
            reading.feed(chunk)
            size += len(chunk)
            while len(reading.rows) >= rows or (reading.rows and size >= self._limits.page_bytes):
                yield reading.columns(min(rows, len(reading.rows)))
                size = 0
        reading.close()
        while reading.rows:
            yield reading.columns(rows)

    def read_document(self, body: bytes, where: str, label: str = "") -> tuple[Columns, etree._Element]:
        """Give all records of an answer, and the root of what stands around them; see `read` for the rules.

        `label` is the charset that is said outside of the document.

        Raises:
            ContractError: As `read`, and for too many tags.
        """
        refuse_tags(body, where)
        head = body[:HEAD_BYTES]
        reading = _Reading(self, where, head, parser_encoding(head, body, label, where), forget=False)
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

    def __init__(self, records: XmlRecords, where: str, head: bytes, encoding: str, *, forget: bool) -> None:
        self._records, self._where, self._head, self._forget = records, where, head, forget
        self._parser: Any = etree.XMLPullParser(
            events=("end",), tag="{*}" + records.record, encoding=encoding or None, **_SECURE
        )
        self._pending, self._silent = b"", 0
        self._utf_8 = codec_of(encoding) == "utf-8" if encoding else is_utf_8(head)
        self._prefix: str | None = None
        self._in_run = False
        self.rows: list[Row] = []
        self._others: dict[str, dict[int, str | None]] = {}

    def feed(self, chunk: bytes) -> None:
        """Read on."""
        self._pending += chunk
        if not self._utf_8:
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
        except etree.XMLSyntaxError as error:
            raise self._malformed(code_of(error)) from None
        refuse_doctype(root, self._where)
        return root

    def _parse(self, data: bytes) -> bool:
        """Let lxml read on; tell whether a record ended, behind which plain ones may follow."""
        record = None
        try:
            self._parser.feed(data)
            for _, record in self._parser.read_events():
                self._add(record)
        except etree.XMLSyntaxError as error:
            raise self._malformed(code_of(error)) from None
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
            raise self._malformed(_WRONG_BYTES[0]) from None

    def _malformed(self, code: int) -> ContractError:
        return ContractError(_describe_error(code, self._head), where=self._where, next_step=_ASK_OWNER)

    def _endless(self) -> ContractError:
        return ContractError(f"no record ends within {RECORD_BYTES} bytes", where=self._where)


def _forget_before(record: etree._Element) -> None:
    """Take what stands before the last record off the tree; the parser still needs the last one itself."""
    parent = record.getparent()
    if parent is not None:
        del parent[: parent.index(record)]
