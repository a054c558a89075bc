"""Registers behind a REST interface with JSON: pages by the source's cursor, a count, and a bearer token.

A last page comes in many forms, because serialisers leave out, or write as null, what is empty. No list of records is
an empty one, no cursor is the end: whether all came is for the source's own count to say.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pyarrow import RecordBatch

from adapters.protocols.auth import Basic, user_and_secret
from adapters.protocols.charsets import charset_of
from adapters.protocols.columns import numbered, require_keys, rows_of, to_batch
from adapters.protocols.guard import capped, full_enough, moment, whole_number
from adapters.protocols.http import Answer, HttpLine
from adapters.protocols.json import JsonRecords, at_path, is_zero, kind_of, parse
from adapters.protocols.oauth2 import ClientCredentials
from adapters.protocols.options import read_options
from adapters.protocols.paging import follow
from motlan.adapter import Adapter, Page, Source, SourceCount, Watermark
from motlan.errors import ContractError

_NO_CONTENT = 204
_ERRORS = ("error", "errors", "fault", "exception")
"""Members by which an answer of status 200 tells of an error."""
_NEXT_STEP = "compare the answer with `options` in adapters/agencies.yaml, or ask the source's owner."


@dataclass(frozen=True)
class RestOptions:
    """How the source calls things. Paths of addresses are under the endpoint, paths of values are dotted."""

    path: str
    """Address of the records."""
    count_path: str
    """Address of the counts, answered as `{"rows", "total", "as_of"}`."""
    records: str
    """Path of the list of records in an answer; empty where the answer is the list."""
    next_cursor: str
    """Path of the next cursor in an answer; empty where all comes at once. `read_cursor` has what ends the pages."""
    since_parameter: str
    """Query parameter of the moment from which changes are wanted, inclusive."""
    cursor_parameter: str
    limit_parameter: str
    token_path: str = ""
    """Address of the OAuth 2.0 token endpoint; without one, the credential is sent as HTTP Basic."""


class RestAdapter(Adapter):
    """A register of JSON records over HTTP."""

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self._options = read_options(source, RestOptions)
        token_path = self._options.token_path
        credential = ClientCredentials(source, token_path) if token_path else Basic(*user_and_secret(source))
        self._line = HttpLine(source, credential)
        self._records = JsonRecords(source.columns, source.limits)

    def check(self) -> None:
        """Ask for the counts: it takes the line, the credential and no record."""
        self.count(None)

    def count(self, since: Watermark | None) -> SourceCount:
        """Ask the source's count endpoint."""
        where = f"{self.source.dataset} {self._options.count_path}"
        answer = self._line.get(self._line.url(self._options.count_path), self._since(since))
        document = parse(answer.body, where)
        return SourceCount(
            rows=whole_number(at_path(document, "rows"), where),
            total=whole_number(at_path(document, "total"), where),
            as_of=moment(at_path(document, "as_of"), where),
        )

    def pull(self, since: Watermark | None) -> Iterator[Page]:
        """Follow the source's cursor. A locator is `page=3;/data/17`: a JSON Pointer (RFC 6901) into the answer."""
        url = self._line.url(self._options.path)
        asked = self._since(since) | {self._options.limit_parameter: str(self.source.page_rows)}

        def fetch(cursor: str | None, number: int) -> tuple[Page, str | None]:
            place = {} if cursor is None else {self._options.cursor_parameter: cursor}
            return self._page(self._line.get(url, asked | place), number)

        pages = full_enough(require_keys(follow(fetch, self.source), self.source), self.source)
        return capped(pages, self.source)

    @classmethod
    def read_again(cls, source: Source, payload: bytes, locator: str) -> Iterator[RecordBatch]:
        """Read the records of an answer that was kept."""
        name = locator.partition(";")[0]
        document = parse(payload, f"{source.dataset} {name}") if payload else None
        records = read_options(source, RestOptions).records
        yield _read_rows(document, records, JsonRecords(source.columns, source.limits), name, source)

    def _since(self, since: Watermark | None) -> dict[str, str]:
        return {self._options.since_parameter: since.cursor} if since else {}

    def _page(self, answer: Answer, number: int) -> tuple[Page, str | None]:
        name = f"page={number}"
        where = f"{self.source.dataset} {name}"
        document = None if answer.status == _NO_CONTENT else parse(answer.body, where)
        rows = _read_rows(document, self._options.records, self._records, name, self.source)
        cursor = self._options.next_cursor
        following = read_cursor(at_path(document, cursor), where) if cursor else None
        page = Page(rows, answer.body, answer.media_type or "application/json", charset_of(answer.body), name)
        return page, following


def _read_rows(document: Any, path: str, records: JsonRecords, name: str, source: Source) -> RecordBatch:
    """Make the rows of an answer's records, with their places in it."""
    where = f"{source.dataset} {name}"
    columns = records.to_columns(read_records(document, path, where), where)
    pointer = "/" + path.replace(".", "/") if path else ""
    return to_batch(columns, numbered(f"{name};{pointer}/", 0, rows_of(columns)), source.limits)


def read_records(document: Any, path: str, where: str) -> list[Any]:
    """Find the list of records in an answer. Null, nothing, or an object or text without content is an empty list.

    Raises:
        ContractError: There is another thing in its place, or none in an answer that tells of an error.
    """
    records = at_path(document, path)
    if isinstance(records, list):
        return records
    place = f"`{path}`" if path else "the answer"
    if records or isinstance(records, bool):
        what = f"{place} is {kind_of(records)}, where a list of records was expected"
        raise ContractError(what, where=where, next_step=_NEXT_STEP)
    if not isinstance(document, dict | None):
        what = f"the answer is {kind_of(document)}, where an object with {place} was expected"
        raise ContractError(what, where=where, next_step=_NEXT_STEP)
    if any((document or {}).get(sign) for sign in _ERRORS):
        raise ContractError(f"the answer has no {place}, but tells of an error", where=where, next_step=_NEXT_STEP)
    return []


def read_cursor(value: Any, where: str) -> str | None:
    """Read the next cursor of an answer: text, or a number as it was sent.

    None, at the end of the pages, is what says that there is no further page: null, nothing, false, the number 0, blank
    text, and the text `null`, which a serialiser makes of one.

    Raises:
        ContractError: It is true, a list or an object.
    """
    if value is None or value is False:
        return None
    if not isinstance(value, str):
        what = f"the next cursor is {kind_of(value)}, where text or a number was expected"
        raise ContractError(what, where=where, next_step=_NEXT_STEP)
    if is_zero(value) or value.strip() in ("", "null"):
        return None
    return str(value)
