"""Registers that open a view of their PostgreSQL database to a read-only role.

Keyset pages on (cursor, key), each a short transaction of its own: an agency's database is not made to keep old row
versions while we read for an hour. What changes meanwhile gets a newer moment and comes later in the same pull.
Only the declared columns are asked for, and all come as text.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from psycopg import sql

from adapters.protocols.columns import Columns, to_batch
from adapters.protocols.guard import capped, moment, whole_number
from adapters.protocols.options import read_options
from adapters.protocols.postgres import PostgresLine, TooWideError, connection_settings
from motlan.errors import ConfigurationError, ContractError
from motlan.landing.contract import LOCATOR, Adapter, Page, Source, SourceCount, Watermark

MEDIA_TYPE = "application/vnd.apache.arrow.stream"

_ISO = sql.Literal('YYYY-MM-DD"T"HH24:MI:SS.US"Z"')


@dataclass(frozen=True)
class SqlOptions:
    """What we may read."""

    view: str
    """Name of the view, with its schema before a dot where it needs one."""


@dataclass(frozen=True)
class _Place:
    """Where a page starts: behind a row, or at a cursor (inclusive) while no row was read yet."""

    cursor: str
    key: str | None = None


class SqlAdapter(Adapter):
    """A view in a PostgreSQL database, at `postgresql://host:port/name` or `postgresql:///name?host=/socket/folder`."""

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        if missing := {source.cursor, source.key} - source.columns.keys():
            raise ConfigurationError(f"not among the columns: {', '.join(sorted(missing))}", where=source.dataset)
        self._name = read_options(source, SqlOptions).view
        self._view = sql.Identifier(*self._name.split("."))
        self._cursor, self._key = (sql.Identifier(source.columns[name]) for name in (source.cursor, source.key))
        connection_settings(source)  # the endpoint is checked now, and connected to when something is asked

    def check(self) -> None:
        """Ask for the declared columns of no row."""
        with PostgresLine(self.source) as line:
            self._types(line)

    def count(self, since: Watermark | None) -> SourceCount:
        """Count the view; `as_of` is the database server's clock."""
        with PostgresLine(self.source) as line:
            wanted = self._behind(_Place(since.cursor) if since else None, self._types(line))
            query = sql.SQL(
                "select (count(*) filter (where {}))::text, count(*)::text, to_char(now() at time zone 'UTC', {}) from {}"
            ).format(wanted, _ISO, self._view)
            rows, total, as_of = _only_row(line.ask(query))
        where = self.source.dataset
        return SourceCount(whole_number(rows, where), whole_number(total, where), moment(as_of, where))

    def pull(self, since: Watermark | None) -> Iterator[Page]:
        """Read the view in the order of (cursor, key). A locator is `v_hoc_sinh:<key>`.

        The payload is the page without locators as an Arrow stream, as a database sends no document.
        """
        return capped(self._pages(since), self.source)

    def _pages(self, since: Watermark | None) -> Iterator[Page]:
        place = _Place(since.cursor) if since else None
        with PostgresLine(self.source) as line:
            types, number, full, size = self._types(line), 0, True, self.source.page_rows
            while full:
                try:
                    table = line.ask(self._query(place, types, size))
                except TooWideError as error:
                    if size == 1:
                        raise
                    size = max(1, min(size, error.rows) // 2)
                    continue
                full, number = table.num_rows == size, number + 1
                if table.num_rows:
                    page = self._page(table, f"page={number}")
                    place = self._last(page)
                    yield page

    def _types(self, line: PostgresLine) -> dict[str, str]:
        """Learn the type of each declared column, by the column's own name, of no row."""
        names = sorted(set(self.source.columns.values()))
        columns = list(map(sql.Identifier, names))
        query = sql.SQL(
            "select {} from (select 1) as one left join (select {} from {} limit 0) as none on true"
        ).format(
            sql.SQL(", ").join(sql.SQL("pg_typeof({})::text").format(column) for column in columns),
            sql.SQL(", ").join(columns),
            self._view,
        )
        return dict(zip(names, _only_row(line.ask(query)), strict=True))

    def _query(self, place: _Place | None, types: dict[str, str], rows: int) -> sql.Composed:
        return sql.SQL("select {columns} from {view} where {wanted} order by {cursor}, {key} limit {limit}").format(
            columns=sql.SQL(", ").join(self._as_text(column, types) for column in self.source.columns.values()),
            view=self._view,
            wanted=self._behind(place, types),
            cursor=self._cursor,
            key=self._key,
            limit=sql.Literal(rows),
        )

    def _as_text(self, column: str, types: dict[str, str]) -> sql.Composed:
        if types[column] == "timestamp with time zone":
            return sql.SQL("to_char({} at time zone 'UTC', {})").format(sql.Identifier(column), _ISO)
        return sql.SQL("{}::text").format(sql.Identifier(column))

    def _behind(self, place: _Place | None, types: dict[str, str]) -> sql.Composable:
        """Compare in the columns' own types, so that an index on them serves."""
        if place is None:
            return sql.SQL("true")
        cursor, key = (sql.SQL(types[self.source.columns[n]]) for n in (self.source.cursor, self.source.key))
        if place.key is None:
            return sql.SQL("{} >= {}::{}").format(self._cursor, sql.Literal(place.cursor), cursor)
        return sql.SQL("({}, {}) > ({}::{}, {}::{})").format(
            self._cursor, self._key, sql.Literal(place.cursor), cursor, sql.Literal(place.key), key
        )

    def _page(self, table: Any, name: str) -> Page:
        where = f"{self.source.dataset} {name}"
        columns: Columns = {
            name: array.combine_chunks() for name, array in zip(self.source.columns, table.columns, strict=True)
        }
        if any(columns[column].null_count for column in (self.source.key, self.source.cursor)):
            raise ContractError("a row has no key or no cursor", where=where, next_step="ask the source's owner.")
        locators = pc.binary_join_element_wise(f"{self._name}:", columns[self.source.key], "")
        batch = to_batch(columns, locators, self.source.limits, where)
        return Page(batch, self._payload(batch.drop_columns([LOCATOR]), where), MEDIA_TYPE, name=name)

    def _payload(self, batch: Any, where: str) -> bytes:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as stream:
            stream.write_batch(batch)
        payload = bytes(sink.getvalue())
        if len(payload) > self.source.limits.payload_bytes:
            raise ContractError(f"more than {self.source.limits.payload_bytes} bytes", where=where)
        return payload

    def _last(self, page: Page) -> _Place:
        row = page.rows.slice(page.rows.num_rows - 1).select([self.source.cursor, self.source.key]).to_pylist()[0]
        return _Place(row[self.source.cursor], row[self.source.key])


def _only_row(table: Any) -> list[Any]:
    return [column[0].as_py() for column in table.columns]
