"""Keyset pages over columns of every type: each row once, in an order that is the comparison's own."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from adbc_driver_postgresql import dbapi
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg import sql

from adapters.protocols import PostgresLine, SqlAdapter
from adapters.protocols.keyset import Keyset
from motlan.adapter import Limits, Watermark
from motlan.errors import ContractError
from tests.adapters.conftest import make_source

SETUP = """
create role plain_reader login;
create role odd_reader login;
alter role odd_reader set timezone = 'Asia/Ho_Chi_Minh';
alter role odd_reader set datestyle = 'German, DMY';
alter role odd_reader set intervalstyle = 'sql_standard';
alter role odd_reader set bytea_output = 'escape';
alter role odd_reader set extra_float_digits = -15;
alter role odd_reader set standard_conforming_strings = off;
create type mood as enum ('z', 'b', 'a');
create type pair as (first text, second int);
create domain code as char(6);
create domain mood_code as mood;
create domain instant as timestamptz;
create domain inner_number as numeric;
create domain number as inner_number;
alter default privileges grant select on tables to plain_reader, odd_reader;
"""
DAYS = ["0044-03-15 BC", "0001-01-01", "1999-12-31", "2026-10-01", "2026-10-02", "10000-01-01", "infinity", "-infinity"]
CLOCKS = ["00:00:00", "07:00:00", "07:00:00.000001", "23:59:59.999999"]
MOMENTS = [f"{day.removesuffix(' BC')} {clock}{' BC' * day.endswith('BC')}" for day in DAYS[:6] for clock in CLOCKS]
NUMBERS = ["0", "1", "2", "3", "9", "10", "11", "30", "-1", "-10", "100"]
DECIMALS = [*NUMBERS, "1.0", "1.00", "0.1", "NaN", "Infinity", "-Infinity", "12345678901234567890.123456789"]
FLOATS = [*NUMBERS, "-0", "NaN", "Infinity", "-Infinity", "0.1", "0.10000000000000002", "1e300", "5e-324"]
WORDS = [
    "",
    " ",
    "a",
    "A",
    "b",
    "B",
    "aa",
    "a b",
    "a-b",
    "ab ",
    "ab",
    "Đỗ",
    "đỗ",
    "é",
    "e\u0301",
    "z",
    "10",
    "9",
    "it's",
    "\\x",
    "%",
]
BITS = [f"{number:08b}" for number in (0, 1, 2, 3, 9, 10, 127, 128, 255)]
TYPES = {
    "smallint": NUMBERS,
    "integer": NUMBERS,
    "bigint": [*NUMBERS, "9223372036854775807", "-9223372036854775808"],
    "numeric": DECIMALS,
    "numeric(12,3)": [*NUMBERS, "1.5", "NaN"],
    "number": DECIMALS,
    "real": ["0.1", "0.3", "16777216", "1e38", *NUMBERS, "NaN"],
    "double precision": FLOATS,
    "money": NUMBERS,
    "oid": [number for number in NUMBERS if "-" not in number],
    "text": WORDS,
    'text collate "C"': WORDS,
    'text collate "C.utf8"': WORDS,
    'text collate "blind"': WORDS,
    'varchar(9) collate "vietnamese"': WORDS,
    "varchar(5)": WORDS,
    "character(6)": WORDS,
    "bpchar": WORDS,
    "code": WORDS,
    "name": WORDS,
    '"char"': ["a", "b", "A", "1"],
    "bit(8)": BITS,
    "bit varying": ["", "0", "1", "00", "01", "10", *BITS],
    "bytea": ["\\x", "\\x00", "\\x01ff", "\\xff", "\\x27", "\\x5c", "\\x4e67"],
    "uuid": [f"{number:032x}" for number in (0, 1, 9, 10, 2**127, 2**128 - 1)],
    "boolean": ["true", "false"],
    "date": DAYS,
    "timestamp": [*MOMENTS, "infinity", "-infinity"],
    "timestamp(3)": [*MOMENTS, "infinity"],
    "timestamptz": [*MOMENTS, "2026-10-01 07:00:00+07", "infinity", "-infinity"],
    "instant": [*MOMENTS, "infinity"],
    "time": [*CLOCKS, "24:00:00"],
    "timetz": [f"{clock}{zone}" for clock in CLOCKS for zone in ("+07", "+00", "-11:30")],
    "interval": [
        "1 day",
        "24:00:00",
        "1 mon",
        "30 days",
        "-1 day",
        "-1 mon +2 days -3:00:00",
        "1 year 2 mons 3 days 04:05:06.7",
    ],
    "mood": ["z", "b", "a"],
    "mood_code": ["z", "b", "a"],
    "inet": ["10.0.0.1", "10.0.0.0/8", "9.0.0.0/8", "::1", "10.0.0.1/8"],
    "macaddr": ["08:00:2b:01:02:03", "00:00:00:00:00:00"],
    "integer[]": ["{}", "{1}", "{1,2}", "{10}", "{9}", "{NULL}"],
    "int4range": ["empty", "[1,3)", "[1,)", "(,10)"],
    "jsonb": ['"a"', "1", "1.0", "null", "{}", '{"a": 1}', "[1]"],
    "pair": ["(a,1)", "(a,10)", "(a,9)", "(,)", "(a,)", "(,1)", '("b c",2)'],
}
"""Literals of types. Some are equal and have two texts, and many sort otherwise as text."""


@pytest.fixture(scope="module")
def database(postgres):
    """A database, a connection of its owner, and the types that it has."""
    endpoint = postgres("kinds", SETUP)
    with psycopg.connect(endpoint, user="postgres", autocommit=True) as owner:
        for name, provider in (
            ("blind", "deterministic = false, locale = 'und-u-ks-level2'"),
            ("vietnamese", "locale = 'vi'"),
        ):
            try:
                owner.execute(f"create collation {name} (provider = icu, {provider})")
            except psycopg.Error:  # built without ICU
                TYPES.pop(next(kind for kind in TYPES if name in kind), None)
        kinds = ", ".join(f"c{number} {kind}, k{number} {kind}" for number, kind in enumerate(TYPES))
        owner.execute(f"create table kinds (n int generated always as identity, {kinds})")
        yield endpoint, owner


@pytest.fixture(scope="module")
def fill(database):
    """Fills the table's columns of two types with rows that have other texts than each other; gives their names."""
    owner, kinds = database[1], list(TYPES)

    def do(cursor: str, key: str, rows: list[tuple[str | None, str | None]]) -> tuple[str, str]:
        names = f"c{kinds.index(cursor)}", f"k{kinds.index(key)}"
        bare = [kind.partition(" collate")[0] for kind in (cursor, key)]
        values = sql.SQL(", ").join(sql.SQL("({}, {})").format(*map(sql.Literal, row)) for row in rows)
        owner.execute("delete from kinds")
        owner.execute(
            sql.SQL(
                "insert into kinds ({0}, {1}) select distinct on (c::{2}::text, k::{3}::text) c::{2}, k::{3} "
                "from (values (null, null), {4}) as given (c, k) where c is not null or k is not null"
            ).format(*map(sql.Identifier, names), *map(sql.SQL, bare), values)
        )
        return names

    return do


@pytest.fixture(scope="module", autouse=True)
def kept_lines():
    """Connections stay open from pull to pull: what is tried here are hundreds of pulls, not how they connect."""

    class Kept:
        def __init__(self, connection: Any) -> None:
            self.cursor = connection.cursor

        def close(self) -> None: ...

    made: dict[str, Any] = {}

    def connect(uri: str, *, autocommit: bool) -> Kept:
        if uri not in made:
            made[uri] = dbapi.connect(uri, autocommit=autocommit)
        return Kept(made[uri])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("adapters.protocols.postgres.dbapi", SimpleNamespace(connect=connect, Error=dbapi.Error))
        yield
    for connection in made.values():
        connection.close()


@pytest.fixture(scope="module")
def adapter(database):
    def make(columns: tuple[str, str], reader: str = "plain_reader", page_rows: int = 4) -> SqlAdapter:
        named = {"id": columns[1], "moment": columns[0], "number": "n"}
        changes = {"page_rows": page_rows, "options": {"view": "kinds"}, "credential": (reader, "x")}
        return SqlAdapter(make_source(database[0], columns=named, **changes))

    return make


@pytest.fixture(scope="module")
def many(database):
    """Makes a view of numbered rows, with columns `c` and `k` by SQL; gives its name and its adapter."""

    def make(columns: str, rows: int, page_rows: int, name: str = "many") -> tuple[str, SqlAdapter]:
        view, owner = sql.Identifier(name), database[1]
        owner.execute(sql.SQL("drop view if exists {}").format(view))
        query = "create view {} as select {}, n from generate_series(1, {}) n"
        owner.execute(sql.SQL(query).format(view, sql.SQL(columns), sql.Literal(rows)))
        named = {"id": "k", "moment": "c", "number": "n"}
        changes = {"page_rows": page_rows, "options": {"view": name}, "credential": ("plain_reader", "x")}
        return name, SqlAdapter(make_source(database[0], columns=named, limits=Limits(), **changes))

    return make


def numbers(adapter: SqlAdapter, since: Watermark | None = None) -> list[int]:
    return [int(number) for page in adapter.pull(since) for number in page.rows["number"].to_pylist()]


@st.composite
def tables(draw: st.DrawFn) -> dict[str, Any]:
    """Two types, rows of their literals (few cursors, so that many are equal), a role and a page's size."""
    kinds = sorted(TYPES)
    cursor, key = draw(st.sampled_from(kinds)), draw(st.sampled_from(kinds))
    few = draw(st.lists(st.sampled_from([*TYPES[cursor], None]), min_size=1, max_size=4))
    rows = draw(st.lists(st.tuples(st.sampled_from(few), st.sampled_from(TYPES[key])), min_size=1, max_size=40))
    return {
        "cursor": cursor,
        "key": key,
        "rows": rows + draw(st.lists(st.tuples(st.sampled_from(few), st.none()), max_size=2)),
        "reader": draw(st.sampled_from(["plain_reader", "odd_reader"])),
        "page_rows": draw(st.integers(2, 6)),
        "part": draw(st.floats(0, 1)),
    }


@settings(max_examples=60)
@given(drawn=tables())
@pytest.mark.slow
def test_what_is_pulled_is_what_the_view_has_whatever_the_types(database, fill, adapter, drawn):
    owner = database[1]
    columns = fill(drawn["cursor"], drawn["key"], drawn["rows"])
    source = adapter(columns, drawn["reader"], drawn["page_rows"])
    held = [number for (number,) in owner.execute("select n from kinds").fetchall()]
    pages = list(source.pull(None))
    pulled = [int(number) for page in pages for number in page.rows["number"].to_pylist()]
    assert Counter(pulled) == Counter(held)
    assert source.count(None).rows == len(held)

    cursors = [cursor for page in pages for cursor in page.rows["moment"].to_pylist()]
    at = int(drawn["part"] * (len(pulled) - 1))
    if pulled and cursors[at] is not None:
        cursor = f"{columns[0]}::mood" if drawn["cursor"] == "mood_code" else columns[0]
        later_or_none = f"({cursor} is not distinct from null or {cursor} >= (select {cursor} from kinds where n = %s))"
        query = f"select n from kinds where {later_or_none}"
        later = [number for (number,) in owner.execute(query, [pulled[at]]).fetchall()]
        since = Watermark(cursors[at])
        assert Counter(numbers(source, since)) == Counter(later)
        assert source.count(since).rows == len(later)


@pytest.mark.parametrize("kind", TYPES)
def test_every_type_can_be_a_cursor_and_a_key_of_rows_of_one_moment(database, fill, adapter, kind):
    if kind not in TYPES:
        pytest.skip("this server has no such collation")
    for reader, cursor, key in (("plain_reader", "timestamptz", kind), ("odd_reader", kind, "integer")):
        rows = [("2026-10-01", literal) if reader == "plain_reader" else (literal, "1") for literal in TYPES[kind]]
        columns = fill(cursor, key, rows)
        (held,) = database[1].execute("select count(*) from kinds").fetchone()
        pulled = numbers(adapter(columns, reader, 3))
        assert len(pulled) == len(set(pulled)) == held


@pytest.mark.parametrize(
    "columns",
    [
        "'2026-10-01'::timestamptz as c, n::bigint as k",
        "'2026-10-01'::timestamptz as c, n::text::character(6) as k",
        "n::bigint as c, 'one' as k",
    ],
)
def test_twenty_thousand_rows_come_once_each(many, columns):
    _, source = many(columns, 20_000, 5000)
    assert sorted(numbers(source)) == list(range(1, 20_001))


@pytest.mark.parametrize(
    "columns", ["1 as c, n / 2 as k", "1 as c, 7 as k", "null::date as c, n / 5 as k", "n / 8 as c, 1 as k"]
)
@pytest.mark.parametrize("page_rows", [2, 3, 4, 5, 100])
def test_rows_of_one_cursor_and_key_are_refused_with_their_place_and_no_value(many, columns, page_rows):
    view, source = many(columns, 12, page_rows)
    with pytest.raises(ContractError, match=r"have the same (c, )?k") as error:
        list(source.pull(None))
    assert re.search(rf"test_people {view} page=\d+: rows \d+ and \d+ of the page", str(error.value))


def test_a_page_that_makes_no_headway_is_refused(many, monkeypatch):
    view, source = many("1 as c, n as k", 12, 4)
    monkeypatch.setattr(Keyset, "behind", lambda *_: sql.SQL("k >= 4"))
    with pytest.raises(
        ContractError, match=f"{view} page=2: the page begins with the row behind which it was asked for, by c, k"
    ):
        list(source.pull(None))


def test_more_rows_without_a_key_than_a_page_holds_are_refused(many):
    _, source = many("n as c, nullif(n % 3, 0)::text || n as k", 15, 5)
    assert sorted(numbers(source)) == list(range(1, 16))
    _, source = many("n as c, nullif(n % 3, 0)::text || n as k", 18, 5)
    with pytest.raises(ContractError, match="more than 5 rows have no k"):
        list(source.pull(None))


@pytest.mark.parametrize("name", ["select", 'A "quoted" view', "Khung nhìn", "a-b"])
def test_names_that_must_be_quoted_are(many, name):
    _, source = many("1 as c, n as k", 5, 2, name)
    assert sorted(numbers(source)) == [1, 2, 3, 4, 5]


def test_a_column_that_has_no_order_is_an_error_of_its_declaration(many):
    _, source = many("n as c, point(n, n) as k", 5, 2)
    with pytest.raises(ContractError, match="42883"):
        list(source.pull(None))


@pytest.mark.parametrize(("since", "questions"), [(None, 9), (Watermark("19990"), 6)])
def test_every_question_of_a_pull_is_answered_by_the_index_on_cursor_and_key(database, monkeypatch, since, questions):
    owner = database[1]
    owner.execute("create table if not exists indexed as select n as c, n as k, n from generate_series(1, 20000) n")
    owner.execute("create index if not exists by_place on indexed (c, k)")
    owner.execute("vacuum analyze indexed")
    asked = []
    original = PostgresLine.ask
    monkeypatch.setattr(PostgresLine, "ask", lambda line, query: asked.append(query) or original(line, query))
    named = {"id": "k", "moment": "c", "number": "n"}
    changes = {"options": {"view": "indexed"}, "credential": ("plain_reader", "x"), "page_rows": 3, "limits": Limits()}
    list(itertools.islice(SqlAdapter(make_source(database[0], columns=named, **changes)).pull(since), 8))
    assert len(asked) == questions
    owner.execute("set enable_sort = off")
    plans = ["\n".join(line for (line,) in owner.execute(sql.SQL("explain {}").format(query))) for query in asked[1:]]
    owner.execute("reset enable_sort")
    assert not [plan for plan in plans if "Seq Scan on indexed" in plan or "Sort" in plan]
    assert all("(c >= 19990)" in plan for plan in plans[:1] if since)
    assert all("(ROW(c, k) > ROW(" in plan for plan in plans[1:3])
