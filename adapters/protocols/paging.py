"""Following a source's own cursor from page to page, without following it for ever."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from motlan.errors import ContractError
from motlan.landing.contract import Page, Source

Fetch = Callable[[str | None, int], tuple[Page, str | None]]
"""Given the cursor (None at first) and the page's number from 1, the page and the next cursor (None at the end)."""

EMPTY_PAGES = 100
"""Pages without rows that may follow one another: a source that filters behind its paging sends some."""


def follow(fetch: Fetch, source: Source) -> Iterator[Page]:
    """Give the pages that have rows, in the source's order.

    Raises:
        ContractError: The source gives a cursor that it gave before, more than `EMPTY_PAGES` empty pages in a row, a
            page larger than was asked for, or more rows than `Limits.rows`.
    """
    cursor: str | None = None
    seen: set[str] = set()
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
            yield page
        if cursor is None:
            return
        if cursor in seen or len(cursor) > source.limits.field_length:
            raise ContractError("the source's paging goes in circles", where=where, next_step="ask its owner.")
        seen.add(cursor)
        empty = 0 if rows else empty + 1
        if empty > EMPTY_PAGES:
            what = f"more than {EMPTY_PAGES} empty pages in a row, each with a next cursor"
            raise ContractError(what, where=where, next_step="ask the source's owner.")
