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
from psycopg import sql

from adapters.protocols.columns import Columns, to_batch
from adapters.protocols.guard import capped, moment, whole_number
from adapters.protocols.options import read_options
from adapters.protocols.postgres import Connection, PostgresLine, connection_settings
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
            line.ask(self._types)

    def count(self, since: Watermark | None) -> SourceCount:
        """Count the view; `as_of` is the database server's clock."""
        with PostgresLine(self.source) as line:
            wanted = self._behind(_Place(since.cursor) if since else None, line.ask(self._types))
            query = sql.SQL(
                "select count(*) filter (where {}), count(*), to_char(now() at time zone 'UTC', {}) from {}"
            ).format(wanted, _ISO, self._view)
            rows, total, as_of = line.ask(lambda connection: connection.execute(query).fetchall())[0]
        where = self.source.dataset
        return SourceCount(whole_number(rows, where), whole_number(total, where), moment(as_of, where))

    def pull(self, since: Watermark | None) -> Iterator[Page]:
        """Read the view in the order of (cursor, key). A locator is `v_hoc_sinh:<key>`.

        The payload is the page without locators as an Arrow stream, as a database sends no document.
        """
        return capped(self._pages(since), self.source.limits.rows, self.source.dataset)

    def _pages(self, since: Watermark | None) -> Iterator[Page]:
        place = _Place(since.cursor) if since else None
        with PostgresLine(self.source) as line:
            types, number, full = line.ask(self._types), 0, True
            while full:
                query = self._query(place, types)
                rows = line.ask(lambda connection, query=query: connection.execute(query).fetchall())  # type: ignore[misc]
                full, number = len(rows) == self.source.page_rows, number + 1
                if rows:
                    page = self._page(rows, f"page={number}")
                    place = self._last(page)
                    yield page

    def _types(self, connection: Connection) -> dict[str, str]:
        """Learn the type of each declared column, by the column's own name."""
        names = sorted(set(self.source.columns.values()))
        columns = sql.SQL(", ").join(map(sql.Identifier, names))
        cursor = connection.execute(sql.SQL("select {} from {} limit 0").format(columns, self._view))
        known = connection.adapters.types
        found = [known.get(column.type_code) for column in cursor.description or ()]
        return {name: kind.name if kind else "text" for name, kind in zip(names, found, strict=True)}

    def _query(self, place: _Place | None, types: dict[str, str]) -> sql.Composed:
        return sql.SQL("select {columns} from {view} where {wanted} order by {cursor}, {key} limit {limit}").format(
            columns=sql.SQL(", ").join(self._as_text(column, types) for column in self.source.columns.values()),
            view=self._view,
            wanted=self._behind(place, types),
            cursor=self._cursor,
            key=self._key,
            limit=sql.Literal(self.source.page_rows),
        )

    def _as_text(self, column: str, types: dict[str, str]) -> sql.Composed:
        if types[column] == "timestamptz":
            return sql.SQL("to_char({} at time zone 'UTC', {})").format(sql.Identifier(column), _ISO)
        return sql.SQL("{}::text").format(sql.Identifier(column))

    def _behind(self, place: _Place | None, types: dict[str, str]) -> sql.Composable:
        """Compare in the columns' own types, so that an index on them serves."""
        if place is None:
            return sql.SQL("true")
        cursor, key = (sql.Identifier(types[self.source.columns[n]]) for n in (self.source.cursor, self.source.key))
        if place.key is None:
            return sql.SQL("{} >= {}::{}").format(self._cursor, sql.Literal(place.cursor), cursor)
        return sql.SQL("({}, {}) > ({}::{}, {}::{})").format(
            self._cursor, self._key, sql.Literal(place.cursor), cursor, sql.Literal(place.key), key
        )

    def _page(self, rows: list[tuple[Any, ...]], name: str) -> Page:
        columns: Columns = dict(zip(self.source.columns, zip(*rows, strict=True), strict=True))
        where = f"{self.source.dataset} {name}"
        if None in columns[self.source.key] or None in columns[self.source.cursor]:
            raise ContractError("a row has no key or no cursor", where=where, next_step="ask the source's owner.")
        locators = [f"{self._name}:{key}" for key in columns[self.source.key]]
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
