"""Registers behind a REST interface with JSON: pages by the source's cursor, a count, and a bearer token."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from adapters.protocols.auth import Basic, user_and_secret
from adapters.protocols.columns import numbered, rows_of, to_batch
from adapters.protocols.guard import capped, full_enough, moment, whole_number
from adapters.protocols.http import Answer, HttpLine
from adapters.protocols.json import JsonRecords, at_path, parse
from adapters.protocols.oauth2 import ClientCredentials
from adapters.protocols.options import read_options
from adapters.protocols.paging import follow
from motlan.errors import ContractError
from motlan.landing.contract import Adapter, Page, Source, SourceCount, Watermark


@dataclass(frozen=True)
class RestOptions:
    """How the source calls things. Paths of addresses are under the endpoint, paths of values are dotted."""

    path: str
    """Address of the records."""
    count_path: str
    """Address of the counts, answered as `{"rows", "total", "as_of"}`."""
    records: str
    """Path of the list of records in an answer."""
    next_cursor: str
    """Path of the next cursor in an answer; null on the last page."""
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
        document = parse(answer.body, answer.charset, where)
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

        return capped(full_enough(follow(fetch, self.source), self.source), self.source)

    def _since(self, since: Watermark | None) -> dict[str, str]:
        return {self._options.since_parameter: since.cursor} if since else {}

    def _page(self, answer: Answer, number: int) -> tuple[Page, str | None]:
        name = f"page={number}"
        where = f"{self.source.dataset} {name}"
        document = parse(answer.body, answer.charset, where)
        records = at_path(document, self._options.records)
        following = at_path(document, self._options.next_cursor)
        if not isinstance(records, list) or not isinstance(following, str | None):
            raise ContractError("the answer has no list of records, or a cursor that is no text", where=where)
        columns = self._records.to_columns(records, where)
        pointer = "/" + self._options.records.replace(".", "/")
        locators = numbered(f"{name};{pointer}/", 0, rows_of(columns))
        rows = to_batch(columns, locators, self.source.limits, where)
        page = Page(rows, answer.body, answer.media_type or "application/json", answer.charset, name)
        return page, following
