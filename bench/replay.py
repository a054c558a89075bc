"""Answers recorded from a simulator, and a small server that sends them again: what is left is what a client costs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx

from bench import bare, world
from motlan.adapter import Source

_BODIES = {"soap": bare.soap_bodies, "rest": bare.rest_bodies}
_CURSOR = re.compile(rb"ConTro>([^<]+)<")
_TOKEN = b'{"access_token": "replayed", "token_type": "Bearer", "expires_in": 3600}'
_MEDIA_TYPES = {"soap": "text/xml", "rest": "application/json"}


def record(source: Source, protocol: str, folder: Path) -> None:
    """Keep every page of a source, a file named by the cursor that it answers, and its WSDL where it has one."""
    folder.mkdir(parents=True)
    for cursor, body in _BODIES[protocol](source):
        (folder / f"page-{cursor}").write_bytes(body)
    if protocol == "soap":
        wsdl = httpx.get(source.endpoint + source.options["wsdl"], trust_env=False).raise_for_status()
        (folder / "wsdl").write_bytes(wsdl.content)


@contextmanager
def serving(folders: dict[str, Path]) -> Iterator[dict[str, str]]:
    """Serve recordings by protocol, in a process of its own; give the endpoints."""
    ours, theirs = world.SPAWN.Pipe()
    process = world.SPAWN.Process(target=_serve, args=(folders, theirs), daemon=True)
    process.start()
    try:
        port = ours.recv()
        yield {name: f"http://127.0.0.1:{port}/{name}" for name in folders}
    finally:
        process.terminate()
        process.join()


def _serve(folders: dict[str, Path], started: Connection) -> None:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _any(self) -> None:
            asked = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            parts = urlsplit(self.path)
            name = parts.path.split("/")[1]
            body = _answer(folders[name], parts.path, parts.query, asked)
            self.send_response(200)
            self.send_header("Content-Type", _MEDIA_TYPES[name])
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = _any  # noqa: N815 - the library's names

        def log_message(self, *_: object) -> None:
            """Addresses may carry personal data."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    started.send(server.server_port)
    server.serve_forever()


def _answer(folder: Path, path: str, query: str, asked: bytes) -> bytes:
    if path.endswith("/token"):
        return _TOKEN
    if query.startswith("wsdl"):
        return (folder / "wsdl").read_bytes()
    found = _CURSOR.search(asked)
    cursor = found.group(1).decode() if found else parse_qs(query).get("cursor", [""])[0]
    return (folder / f"page-{cursor}").read_bytes()
