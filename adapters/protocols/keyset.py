"""The order of a view's rows, and places in it: by PostgreSQL's own operators of the columns' own types.

What orders the rows and what says which come behind a place is the same operator (`<` and `>` of one type, in one collation) of
the same expression. A place is the row's values as text. It goes back as literals of the columns' types without their length
(`bpchar` for `character(6)`), under `TEXT_SETTINGS`.

Two values of some types are equal and have two texts: 1.0 and 1.00, `a` and `A` under a collation that takes them for one, 24
hours and a day. There the texts decide, byte by byte, so that two rows are in one place only where they send the same texts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from psycopg import sql

from adapters.protocols.postgres import PostgresLine

SOURCE = sql.Identifier("source")
"""What a query calls the view. A bare name in `order by` would mean the text that the query gives under that name."""

_ISO = sql.Literal('YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
_FIRST_YEAR = sql.Literal("0001-01-01T00:00:00Z")

_ONE_TEXT = frozenset({
    "boolean", "smallint", "integer", "bigint", "oid", "xid8", "pg_lsn", "money", "uuid", "bytea", "bit", "bit varying",
    "text", "character varying", "character", '"char"', "name", "inet", "cidr", "macaddr", "macaddr8", "date",
    "timestamp without time zone", "timestamp with time zone", "time without time zone", "time with time zone",
})  # fmt: skip
"""Types of which equal values have one text, where their collation is deterministic. Enums are so, too."""


@dataclass(frozen=True)
class Column:
    """A column of a view."""

    value: sql.Composable
    """Its value, a domain's as the type under it."""
    type: str
    """Its type, a domain's the one under it, without length or precision, as SQL."""
    is_moment: bool
    """Whether that is `timestamp with time zone`."""
    one_text: bool
    """Whether equal values have one text."""
    is_composite: bool = False
    """Whether a value has fields. `is null` would then ask whether all of them are null, and `is not null` whether none is."""

    @property
    def is_null(self) -> sql.Composable:
        """The SQL of whether it is null; an index on the column serves it, but where the value has fields."""
        return sql.SQL("{} is not distinct from null" if self.is_composite else "{} is null").format(self.value)

    @property
    def is_given(self) -> sql.Composable:
        """The SQL of whether it is not null."""
        return sql.SQL("{} is distinct from null" if self.is_composite else "{} is not null").format(self.value)

    @property
    def text(self) -> sql.Composable:
        """The SQL of its text: a moment's in ISO 8601 and UTC, but where it is BC or infinite as PostgreSQL writes it."""
        plain = sql.SQL("{}::text").format(self.value)
        if not self.is_moment:
            return plain
        return sql.SQL(
            "case when {0} >= {1} and {0} < 'infinity' then to_char({0} at time zone 'UTC', {2}) else {3} end"
        ).format(self.value, _FIRST_YEAR, _ISO, plain)

    def literal(self, text: str) -> sql.Composable:
        """Return the SQL of the value that such a text stands for."""
        return sql.SQL("{}::{}").format(sql.Literal(text), sql.SQL(self.type))


def read_columns(line: PostgresLine, view: sql.Identifier, names: Sequence[str]) -> dict[str, Column]:
    """Read from the catalogue what columns of a view are, asking the view for no row.

    Raises:
        AccessError: We may not read them.
        ContractError: The view or one of them is not there.
    """
    # A view that is named below `exists` is checked as if it were read: that it is there, its columns, and our right to them.
    query = sql.SQL(
        """with recursive named as (
               select attname, atttypid as type, atttypid as declared, attcollation from pg_catalog.pg_attribute
               where attrelid = {relation}::pg_catalog.regclass and attname = any({names}) and not attisdropped
               union all
               select attname, typbasetype, declared, attcollation
               from named join pg_catalog.pg_type on pg_type.oid = type where typtype = 'd')
           select attname::text, pg_catalog.format_type(type, -1), pg_catalog.format_type(type, null),
                  (type <> declared)::text, typtype::text,
                  coalesce(pg_catalog.to_jsonb(pg_collation) ->> 'collisdeterministic', 'true')
           from named join pg_catalog.pg_type on pg_type.oid = type
                left join pg_catalog.pg_collation on pg_collation.oid = attcollation
           where typtype <> 'd' and not exists (select {columns} from {view} limit 0)"""
    ).format(
        relation=sql.Literal(view.as_string()),
        names=sql.Literal(list(names)),
        columns=sql.SQL(", ").join(map(sql.Identifier, names)),
        view=view,
    )
    table = line.ask(query)
    return {row[0]: _column(*row) for row in zip(*(column.to_pylist() for column in table.columns), strict=True)}


def _column(name: str, bare: str, type_: str, is_domain: str, kind: str, deterministic: str) -> Column:
    value: sql.Composable = sql.SQL("{}.{}").format(SOURCE, sql.Identifier(name))
    if is_domain == "true":
        value = sql.SQL("{}::{}").format(value, sql.SQL(bare))
    one_text = (type_ in _ONE_TEXT or kind == "e") and deterministic == "true"
    return Column(value, bare, type_ == "timestamp with time zone", one_text, is_composite=kind == "c")


@dataclass(frozen=True)
class Keyset:
    """Rows of a view that meet a condition, in the order of some of its columns."""

    columns: Mapping[str, Column]
    """Those that order, the most significant first, by our name of each. None of them is null in any of the rows."""
    condition: sql.Composable

    @property
    def order(self) -> sql.Composable:
        """The SQL of the order."""
        return sql.SQL(", ").join(sql.SQL("{} using <").format(value) for value in self._values())

    def behind(self, place: Mapping[str, str]) -> sql.Composable:
        """Return the SQL of the condition for rows behind a place; an index on the columns serves it."""
        literals = [column.literal(place[name]) for name, column in self.columns.items()]
        literals += [_bytewise(sql.Literal(place[name])) for name in self._undecided()]
        return sql.SQL("({}) > ({})").format(sql.SQL(", ").join(self._values()), sql.SQL(", ").join(literals))

    def _values(self) -> list[sql.Composable]:
        texts = [_bytewise(self.columns[name].text) for name in self._undecided()]
        return [column.value for column in self.columns.values()] + texts

    def _undecided(self) -> list[str]:
        return [name for name, column in self.columns.items() if not column.one_text]


def _bytewise(text: sql.Composable) -> sql.Composable:
    return sql.SQL('({})::text collate "C"').format(text)
