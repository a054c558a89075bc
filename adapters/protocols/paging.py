"""Following a source's own cursor from page to page, without following it for ever."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

from motlan.adapter import LOCATOR, Page, Source
from motlan.errors import ContractError

Fetch = Callable[[str | None, int], tuple[Page, str | None]]
"""Given the cursor (None at first) and the page's number from 1, the page and the next cursor (None at the end)."""

EMPTY_PAGES = 100
"""Pages without rows that may follow one another: a source that filters behind its paging sends some."""


def follow(fetch: Fetch, source: Source) -> Iterator[Page]:
    """Give the pages that have rows, in the source's order.

    Raises:
        ContractError: The source gives a cursor that it gave before, the records of a page that it gave before, more than
            `EMPTY_PAGES` empty pages in a row, a page larger than was asked for, or more rows than `Limits.rows`.
    """
    cursor: str | None = None
    seen: set[bytes] = set()  # of hashes: cursors may be long
    pages: dict[int, str] = {}
    number = total = empty = 0
    while True:
        number += 1
        page, cursor = fetch(cursor, number)
        rows = page.rows.num_rows
        total += rows
        where = f"{source.dataset} {page.name}"
        if rows > source.page_rows:
            raise ContractError(f"{rows} rows, where at most {source.page_rows} were asked for", where=where)
        if total > source.limits.rows:
            raise ContractError(f"more than {source.limits.rows} rows in one pull", where=where)
        if rows:
            before = pages.setdefault(_hash(page.rows, source), page.name)
            if before != page.name:
                what = f"the page has the records of {before} once more, so that the paging makes no headway"
                raise ContractError(what, where=where, next_step="ask the source's owner.")
            yield page
        if cursor is None:
            return
        if len(cursor) > source.limits.field_length:
            raise ContractError("the source's cursor is longer than a field may be", where=where)
        mark = hashlib.sha256(cursor.encode("utf-8", "surrogatepass")).digest()
        if mark in seen:
            raise ContractError("the source's paging goes in circles", where=where, next_step="ask its owner.")
        seen.add(mark)
        empty = 0 if rows else empty + 1
        if empty > EMPTY_PAGES:
            what = f"more than {EMPTY_PAGES} empty pages in a row, each with a next cursor"
            raise ContractError(what, where=where, next_step="ask the source's owner.")


def _hash(rows: Any, source: Source) -> int:
    """Return a hash of the records of a page, in their order: of what names each, or of all columns where one has no key.

    Python's own, which is keyed anew in every process: no source can make two pages of one hash.
    """
    names = [name for name in rows.schema.names if name != LOCATOR]
    if source.key in names and not rows[source.key].null_count:
        names = [name for name in names if name in (source.key, source.cursor)]
    return hash(rows.select(names).serialize().to_pybytes())
