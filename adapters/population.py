"""The population register's way: QCVN 109:2017/BTTTT messages, read in pages that we ask for by an opaque cursor.

Both forms of `CongDan` that are in use (the standard's own, and the flat one) are read by the same columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lxml import etree
from pyarrow import RecordBatch

from adapters.protocols.columns import Columns, numbered, require_keys, rows_of, to_batch
from adapters.protocols.guard import capped, full_enough, moment, whole_number
from adapters.protocols.http import Answer
from adapters.protocols.options import read_options
from adapters.protocols.paging import follow
from adapters.protocols.soap import SoapClient, refuse_fault
from adapters.protocols.xml import XmlRecords, text_of
from adapters.protocols.xml_charset import charset_of
from adapters.protocols.xml_plain import HEAD_BYTES
from motlan.adapter import Adapter, Page, Source, SourceCount, Watermark
from motlan.errors import ContractError

_RECORD = "CongDan"


@dataclass(frozen=True)
class PopulationOptions:
    """Where the service describes itself."""

    wsdl: str
    """Query or path of the WSDL, from the endpoint."""


class PopulationAdapter(Adapter):
    """The population register, over SOAP."""

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self._client = SoapClient(source, read_options(source, PopulationOptions).wsdl)
        self._records = XmlRecords(_RECORD, source.columns, source.limits)

    def check(self) -> None:
        """Ask for the counts: it takes the line, the credential and no citizen."""
        self.count(None)

    def count(self, since: Watermark | None) -> SourceCount:
        """Ask `DemSo`."""
        root = self._client.call("DemSo", **_since(since))
        where = f"{self.source.dataset} DemSo"
        return SourceCount(
            rows=whole_number(text_of(root, "SoCongDan"), where),
            total=whole_number(text_of(root, "TongSo"), where),
            as_of=moment(text_of(root, "ThoiDiemDuLieu"), where),
        )

    def pull(self, since: Watermark | None) -> Iterator[Page]:
        """Ask `LayThayDoi` page by page. A locator is `page=3;CongDan=17`, both counted from 1."""
        asked = _since(since)

        def fetch(cursor: str | None, number: int) -> tuple[Page, str | None]:
            place = {} if cursor is None else {"ConTro": cursor}
            answer = self._client.ask("LayThayDoi", **asked, **place, SoDong=self.source.page_rows)
            return self._page(answer, f"page={number}")

        pages = full_enough(require_keys(follow(fetch, self.source), self.source), self.source)
        return capped(pages, self.source)

    @classmethod
    def read_again(cls, source: Source, payload: bytes, locator: str) -> Iterator[RecordBatch]:
        """Read the records of a page that was kept."""
        name = locator.partition(";")[0]
        records = XmlRecords(_RECORD, source.columns, source.limits)
        columns, _ = records.read_document(payload, f"{source.dataset} {name}")
        yield _located(columns, name, source)

    def _page(self, answer: Answer, name: str) -> tuple[Page, str | None]:
        where = f"{self.source.dataset} {name}"
        columns, root = self._records.read_document(answer.body, where, answer.charset)
        refuse_fault(root, answer, where)
        rows = rows_of(columns)
        if _number_said(root, where) != rows:
            raise ContractError(f"the page has {rows} records, and says another number", where=where)
        batch = _located(columns, name, self.source)
        charset = charset_of(answer.body[:HEAD_BYTES], answer.body, answer.charset)
        page = Page(batch, answer.body, answer.media_type or "text/xml", charset, name)
        following = text_of(root, "ConTroTiep") or ""
        return page, following if following.strip() else None


def _located(columns: Columns, name: str, source: Source) -> RecordBatch:
    """Make the rows of a page's records, with their places in it."""
    return to_batch(columns, numbered(f"{name};{_RECORD}=", 1, rows_of(columns)), source.limits)


def _number_said(root: etree._Element, where: str) -> int:
    """Read how many records a page says that it has; an answer of the operation that leaves it out has none.

    Raises:
        ContractError: It says no whole number, or is no answer of the operation.
    """
    said = text_of(root, "SoCongDan")
    if not (said or "").strip() and root.find("{*}Body/{*}LayThayDoiResponse") is not None:
        return 0
    return whole_number(said, where)


def _since(since: Watermark | None) -> dict[str, str]:
    return {"TuThoiDiem": since.cursor} if since else {}
