"""Registers that open a view of their PostgreSQL database to a read-only role.

Keyset pages on (cursor, key), each a short transaction of its own: an agency's database is not made to keep old row
versions while we read for an hour. What changes meanwhile gets a newer moment and comes later in the same pull.
Only the declared columns are asked for, and all come as text.

A page is asked for with one row more than it gives. That row tells whether another page follows, and whether it is in the
place of the page's last one: what lies behind that place would be lost.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from psycopg import sql

from adapters.protocols.columns import Columns, numbered, to_batch
from adapters.protocols.guard import capped, moment, whole_number
from adapters.protocols.keyset import SOURCE, Column, Keyset, read_columns
from adapters.protocols.options import read_options
from adapters.protocols.postgres import PostgresLine, TooWideError, connection_settings
from motlan.adapter import Adapter, Page, Source, SourceCount, Watermark, tellable
from motlan.errors import ConfigurationError, ContractError

MEDIA_TYPE = "application/vnd.apache.arrow.stream"

_ASK_OWNER = (
    "ask the view's owner for a key that every row has alone, or declare another one in adapters/agencies.yaml."
)

_ISO = sql.Literal('YYYY-MM-DD"T"HH24:MI:SS.US"Z"')


@dataclass(frozen=True)
class SqlOptions:
    """What we may read."""

    view: str
    """Name of the view, with its schema before a dot where it needs one."""


class SqlAdapter(Adapter):
    """A view in a PostgreSQL database, at `postgresql://host:port/name` or `postgresql:///name?host=/socket/folder`."""

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        if missing := {source.cursor, source.key} - source.columns.keys():
            raise ConfigurationError(f"not among the columns: {', '.join(sorted(missing))}", where=source.dataset)
        self._name = read_options(source, SqlOptions).view
        self._view = sql.Identifier(*self._name.split("."))
        connection_settings(source)  # the endpoint is checked now, and connected to when something is asked

    def check(self) -> None:
        """Ask for the declared columns of no row."""
        with PostgresLine(self.source) as line:
            self._columns(line)

    def count(self, since: Watermark | None) -> SourceCount:
        """Count the view; `as_of` is the database server's clock."""
        with PostgresLine(self.source) as line:
            changed = self._changed(self._columns(line), since)
            query = sql.SQL(
                "select (count(*) filter (where {}))::text, count(*)::text, to_char(now() at time zone 'UTC', {}) from {} as {}"
            ).format(changed, _ISO, self._view, SOURCE)
            rows, total, as_of = _only_row(line.ask(query))
        where = self.source.dataset
        return SourceCount(whole_number(rows, where), whole_number(total, where), moment(as_of, where))

    def pull(self, since: Watermark | None) -> Iterator[Page]:
        """Read the view in the order of (cursor, key). A locator is `v_hoc_sinh:<key>`.

        Rows without a cursor come last, in every pull: nobody can say when they changed. Rows without a key have no place in
        any order, so that at most a page of them is read.

        The payload is the page without locators as an Arrow stream, as a database sends no document.
        """
        return capped(self._pages(since), self.source)

    @classmethod
    def read_again(cls, source: Source, payload: bytes, locator: str) -> Iterator[pa.RecordBatch]:
        """Read the rows of a page that was kept."""
        view = read_options(source, SqlOptions).view
        page = locator.removeprefix(f"{view}:").rpartition(";row=")[0]
        try:
            table = pa.ipc.open_stream(payload).read_all().combine_chunks()
            keys = table[source.key].combine_chunks()
        except (pa.ArrowException, KeyError):
            raise ContractError("this is no Arrow stream of the view's rows", where=source.dataset) from None
        columns = {name: table[name].combine_chunks() for name in table.column_names}
        yield to_batch(columns, _places(keys, view, page), source.limits)

    def _pages(self, since: Watermark | None) -> Iterator[Page]:
        numbers = itertools.count(1)
        with PostgresLine(self.source) as line:
            columns = self._columns(line)
            cursor, key = (columns[self.source.columns[name]] for name in (self.source.cursor, self.source.key))
            order = {self.source.cursor: cursor, self.source.key: key}
            # Conditions are of one column each, so that an index on them serves.
            changed = cursor.is_given
            if since:
                changed = sql.SQL("{} >= {}").format(cursor.value, cursor.literal(since.cursor))
            has_key = key.is_given
            yield from self._walk(line, columns, Keyset(order, sql.SQL("{} and {}").format(changed, has_key)), numbers)
            no_cursor = cursor.is_null
            no_key = sql.SQL("{} and {}").format(key.is_null, self._changed(columns, since))
            lacks_cursor, lacks_key = _only_row(line.ask(self._lacking(no_cursor, no_key)))
            if lacks_cursor == "true":
                condition = sql.SQL("{} and {}").format(no_cursor, has_key)
                yield from self._walk(line, columns, Keyset({self.source.key: key}, condition), numbers)
            if lacks_key == "true":
                yield from self._walk(line, columns, Keyset({}, no_key), numbers)

    def _walk(
        self, line: PostgresLine, columns: Mapping[str, Column], keyset: Keyset, numbers: Iterator[int]
    ) -> Iterator[Page]:
        """Read the rows of a keyset page by page."""
        size, place = self.source.page_rows, None
        while True:
            try:
                table = line.ask(self._query(columns, keyset, place, size)).combine_chunks()
            except TooWideError as error:
                if size == 1 or not keyset.columns:
                    raise
                size = max(1, min(size, error.rows) // 2)
                continue
            if not table.num_rows:
                return
            name = f"page={next(numbers)}"
            self._refuse_no_headway(table, list(keyset.columns), place, name)
            yield self._page(table.slice(0, size), name)
            if table.num_rows <= size:
                return
            place = {column: table[column][size - 1].as_py() for column in keyset.columns}

    def _columns(self, line: PostgresLine) -> dict[str, Column]:
        return read_columns(line, self._view, sorted(set(self.source.columns.values())))

    def _changed(self, columns: Mapping[str, Column], since: Watermark | None) -> sql.Composable:
        """Return the condition for rows that changed since a watermark, its own moment included; those without one did."""
        if since is None:
            return sql.SQL("true")
        cursor = columns[self.source.columns[self.source.cursor]]
        return sql.SQL("({} >= {} or {})").format(cursor.value, cursor.literal(since.cursor), cursor.is_null)

    def _lacking(self, *conditions: sql.Composable) -> sql.Composable:
        """Return the query that tells of each condition whether a row meets it."""
        exists = sql.SQL("exists (select from {} as {} where {})::text")
        texts = (exists.format(self._view, SOURCE, condition) for condition in conditions)
        return sql.SQL("select {}").format(
            sql.SQL(", ").join(
                sql.SQL("{} as {}").format(text, sql.Identifier(f"a{n}")) for n, text in enumerate(texts)
            )
        )

    def _query(
        self, columns: Mapping[str, Column], keyset: Keyset, place: Mapping[str, str] | None, rows: int
    ) -> sql.Composable:
        texts = (
            sql.SQL("{} as {}").format(columns[column].text, sql.Identifier(name))
            for name, column in self.source.columns.items()
        )
        return sql.SQL(
            "select {texts} from {view} as {source} where {condition} and {behind}{order} limit {limit}"
        ).format(
            texts=sql.SQL(", ").join(texts),
            view=self._view,
            source=SOURCE,
            condition=keyset.condition,
            behind=keyset.behind(place) if place else sql.SQL("true"),
            order=sql.SQL(" order by {}").format(keyset.order) if keyset.columns else sql.SQL(""),
            limit=sql.Literal(rows + 1),
        )

    def _refuse_no_headway(self, table: Any, order: list[str], place: Mapping[str, str] | None, name: str) -> None:
        """Refuse a page after which we could not go on, or not without losing rows.

        Raises:
            ContractError: Two rows are in one place, or the page begins in the place that it should begin behind.
        """
        where = f"{self.source.dataset} {self._name} {name}"
        named = ", ".join(tellable(self.source.columns[column]) for column in order)
        if not order:
            if table.num_rows > self.source.page_rows:
                what = (
                    f"more than {self.source.page_rows} rows have no {tellable(self.source.columns[self.source.key])}"
                )
                raise ContractError(what, where=where, next_step=_ASK_OWNER)
            return
        if place == {column: table[column][0].as_py() for column in order}:
            raise ContractError(
                f"the page begins with the row behind which it was asked for, by {named}",
                where=where,
                next_step="declare a key and a cursor whose text gives back the value, or ask the view's owner.",
            )
        row = _first_doubled([table[column].combine_chunks() for column in order])
        if row is not None:
            raise ContractError(
                f"rows {row + 1} and {row + 2} of the page have the same {named}", where=where, next_step=_ASK_OWNER
            )

    def _page(self, table: Any, name: str) -> Page:
        where = f"{self.source.dataset} {name}"
        columns: Columns = {
            name: array.combine_chunks() for name, array in zip(self.source.columns, table.columns, strict=True)
        }
        locators = _places(columns[self.source.key], self._name, name)
        batch = to_batch(columns, locators, self.source.limits)
        return Page(
            batch, self._payload(batch.select(list(range(batch.num_columns - 1))), where), MEDIA_TYPE, name=name
        )

    def _payload(self, batch: Any, where: str) -> bytes:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as stream:
            stream.write_batch(batch)
        payload = bytes(sink.getvalue())
        if len(payload) > self.source.limits.payload_bytes:
            raise ContractError(f"more than {self.source.limits.payload_bytes} bytes", where=where)
        return payload


def _places(keys: Any, view: str, page: str) -> Any:
    """Return the locators of a page's rows: by their keys, and by their number in the page where there is none."""
    locators = pc.binary_join_element_wise(f"{view}:", keys, "")
    if keys.null_count:
        locators = pc.if_else(keys.is_valid(), locators, numbered(f"{view}:{page};row=", 1, len(keys)))
    return locators


def _only_row(table: Any) -> list[Any]:
    return [column[0].as_py() for column in table.columns]


def _first_doubled(columns: list[Any]) -> int | None:
    """Return the number of the first row, from 0, that the next one equals in all columns."""
    same = [pc.equal(column.slice(1), column.slice(0, len(column) - 1)) for column in columns if len(column)]
    first = pc.index(functools.reduce(pc.and_, same), True).as_py() if same else -1
    return None if first < 0 else first
