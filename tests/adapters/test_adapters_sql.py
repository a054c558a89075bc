"""Registers in PostgreSQL: only what is declared is read, in keyset pages, and nothing can be written."""

from __future__ import annotations

import io

import pyarrow as pa
import pytest
from psycopg import sql

from adapters.protocols import PostgresLine, SqlAdapter
from adapters.protocols.postgres import connection_settings, refuse_no_text
from motlan.adapter import Limits, Pace, Watermark
from motlan.errors import AccessError, ConfigurationError, ContractError, TransientError

COLUMNS = {"key": "ma", "moment": "updated_at", "name": "Ten", "born": "born", "grade": "grade"}
SETUP = """
create role reader login;
create table people (ma text primary key, updated_at timestamptz, "Ten" text, born date, grade int, secret text);
insert into people
select 'k' || lpad(n::text, 2, '0'), '2026-10-01 07:00:00+07'::timestamptz + (n / 4) * interval '1 second',
       case when n % 3 = 0 then '' when n % 3 = 1 then null else 'Đỗ; "x"' end, '2001-02-03', n, 'hidden'
from generate_series(1, 11) n;
create view v_people as select * from people;
create view v_null as select ma, null::timestamptz as updated_at, "Ten", born, grade from people;
create view v_slow as select ma, updated_at, "Ten", born, grade from people, pg_sleep(2);
grant select on v_people, v_null, v_slow to reader;
"""


@pytest.fixture(scope="module")
def database(postgres):
    return postgres("people", SETUP)


@pytest.fixture
def adapter(make_source, database):
    def make(view="v_people", **changes):
        settings = {"columns": COLUMNS, "key": "key", "cursor": "moment", "page_rows": 4, "options": {"view": view}}
        return SqlAdapter(make_source(database, **settings | changes))

    return make


def keys(pages):
    return [key for page in pages for key in page.rows["key"].to_pylist()]


def test_every_row_comes_once_across_ties(adapter):
    pages = list(adapter().pull(None))
    assert keys(pages) == [f"k{n:02}" for n in range(1, 12)]
    assert [page.rows.num_rows for page in pages] == [4, 4, 3]


def test_everything_is_text_and_moments_are_utc(adapter):
    page = next(iter(adapter().pull(None)))
    assert page.rows.slice(1, 2).to_pylist() == [
        {"key": "k02", "moment": "2026-10-01T00:00:00.000000Z", "name": 'Đỗ; "x"', "born": "2001-02-03", "grade": "2",
         "_locator": "v_people:k02"},
        {"key": "k03", "moment": "2026-10-01T00:00:00.000000Z", "name": "", "born": "2001-02-03", "grade": "3",
         "_locator": "v_people:k03"},
    ]  # fmt: skip
    assert page.rows["name"].to_pylist()[0] is None


def test_the_payload_is_the_page_without_locators(adapter):
    page = next(iter(adapter().pull(None)))
    stored = pa.ipc.open_stream(io.BytesIO(page.payload)).read_next_batch()
    assert stored == page.rows.drop_columns(["_locator"])
    assert page.media_type == "application/vnd.apache.arrow.stream"


def test_a_later_pull_includes_the_watermarks_moment(adapter):
    since = Watermark("2026-10-01T00:00:02.000000Z", "k11")
    assert keys(adapter().pull(since)) == ["k08", "k09", "k10", "k11"]


def test_counts_are_of_the_same_rows(adapter):
    count = adapter().count(Watermark("2026-10-01T00:00:02.000000Z"))
    assert (count.rows, count.total) == (4, 11)
    assert adapter().count(None).rows == 11


def test_the_line_cannot_write(make_source, database):
    with PostgresLine(make_source(database)) as line, pytest.raises(ContractError, match="25006"):
        line.ask(sql.SQL("create temp table x (y int)"))


def test_bytes_that_are_no_text_break_the_contract():
    buffers = pa.py_buffer(b"\0\0\0\0\5\0\0\0"), pa.py_buffer(b"Nguy\xff")
    array = pa.StringArray.from_buffers(1, *buffers)
    with pytest.raises(ContractError, match="no text") as error:
        refuse_no_text(pa.table({"name": array}), "d")
    assert error.value.__cause__ is None


def test_columns_that_are_not_granted_are_an_access_error(adapter):
    with pytest.raises(AccessError):
        adapter("people").check()


@pytest.mark.parametrize(
    ("view", "columns"),
    [("v_gone", COLUMNS), ("v_people; drop table people", COLUMNS), ("v_people", COLUMNS | {"x": 'ma", secret, "ma'})],
)
def test_what_is_not_there_breaks_the_contract(adapter, view, columns):
    with pytest.raises(ContractError):
        adapter(view, columns=columns).check()


@pytest.mark.parametrize("cursor", ["Nguyễn", "'; drop table people; --"])
def test_a_watermark_that_is_no_moment_is_refused_without_quoting_it(adapter, cursor):
    with pytest.raises(ContractError) as error:
        list(adapter().pull(Watermark(cursor)))
    assert cursor not in str(error.value)
    assert error.value.__cause__ is None


def test_rows_without_a_moment_come_once_in_every_pull_and_are_counted(adapter):
    for since in (None, Watermark("2026-10-01T00:00:02.000000Z")):
        pages = list(adapter("v_null").pull(since))
        assert keys(pages) == [f"k{n:02}" for n in range(1, 12)]
        assert {moment for page in pages for moment in page.rows["moment"].to_pylist()} == {None}
        assert adapter("v_null").count(since).rows == 11


def test_a_slow_question_is_given_up(adapter):
    with pytest.raises(TransientError, match="57014"):
        adapter("v_slow", pace=Pace(1000, 2, 0.1, 1)).count(None)


def test_a_slow_page_is_given_up(adapter):
    with pytest.raises(TransientError, match="57014"):
        list(adapter("v_slow", pace=Pace(1000, 2, 0.1, 1)).pull(None))


def test_pages_are_read_in_the_order_of_an_index_without_sorting(make_source, database):
    with PostgresLine(make_source(database)) as line:
        assert line.ask(sql.SQL("select current_setting('enable_sort')"))[0].to_pylist() == ["off"]


def test_limits_of_rows_and_payload_hold(adapter):
    for limits in (Limits(rows=5), Limits(payload_bytes=100)):
        with pytest.raises(ContractError):
            list(adapter(limits=limits).pull(None))


def test_an_unknown_role_is_an_access_error_and_a_gone_server_transient(adapter, make_source, secret):
    with pytest.raises(AccessError) as error:
        adapter(credential=("nobody", secret)).check()
    assert secret not in str(error.value)
    with pytest.raises(TransientError):
        SqlAdapter(make_source("postgresql://127.0.0.1:1/x", options={"view": "v"})).check()


@pytest.mark.parametrize(
    "endpoint",
    [
        "postgresql://user:pw@127.0.0.1/x",
        "postgresql://127.0.0.1/x?sslmode=disable",
        "postgresql://127.0.0.1/x?service=y",
        "postgresql:///x",
        "http://127.0.0.1/x",
    ],
)
def test_an_unsafe_endpoint_is_refused_without_quoting_it(make_source, endpoint):
    with pytest.raises(ConfigurationError) as error:
        connection_settings(make_source(endpoint))
    assert "pw" not in str(error.value)


@pytest.mark.parametrize("host", ["register.example.gov.vn", "127.0.0.1,register.example.gov.vn"])
def test_a_database_off_loopback_must_prove_who_it_is(make_source, host):
    settings = connection_settings(make_source(f"postgresql://{host}/x"))
    assert (settings["sslmode"], settings["sslrootcert"]) == ("verify-full", "system")


def test_key_and_cursor_must_be_declared(adapter):
    with pytest.raises(ConfigurationError, match="gone"):
        adapter(key="gone")
