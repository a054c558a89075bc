"""HTTP itself, against all that speaks it: REST, SOAP, drops, and a token endpoint."""

from __future__ import annotations

import gzip
import itertools
from dataclasses import replace
from typing import Any

import pytest

from motlan.errors import AccessError, ContractError, TransientError
from tests.hostile.cases import NAME, ONCE, TIGHT, WAYS, hold, page
from tests.hostile.server import Answer, Server, forever, http, silence

HEAD = b"HTTP/1.1 200 OK\r\n"
TEXT = page().encode()
PACKED = gzip.compress(TEXT)
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
HINT = b"HTTP/1.1 103 Early Hints\r\nLink: </" + NAME.encode() + b">\r\n\r\n"


def redirect(status: int, to: str) -> bytes:
    return http(NAME, status, f"Location: {to}")


def coded(coding: str, body: bytes) -> bytes:
    return http(body, 200, f"Content-Encoding: {coding}")


QUICK: dict[str, tuple[Answer, type]] = {
    "hangs up": (lambda _: [], TransientError),
    "is no HTTP": (f"{NAME}\r\n\r\n".encode(), TransientError),
    "is SSH": (b"SSH-2.0-OpenSSH_9.6\r\n", TransientError),
    "is HTTP/0.9": (TEXT, TransientError),
    "has a status of five digits": (b"HTTP/1.1 20000 OK\r\n\r\n", TransientError),
    "has no status": (b"HTTP/1.1\r\n\r\n", TransientError),
    "has a field without a colon": (HEAD + NAME.encode() + b"\r\n\r\n", TransientError),
    "has a field with NUL": (HEAD + b"X: a\0b\r\n\r\n", TransientError),
    "has a field without end": (forever(NAME.encode(), head=HEAD + b"X: "), TransientError),
    "has fields without end": (forever(b"X: y\r\n", head=HEAD), TransientError),
    "has interim answers without end": (forever(HINT), ContractError),
    "wants another protocol": (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n" + TEXT, TransientError),
    "has nothing": (http(status=204, length=False), (ContractError, 0)),
    "has an empty body": (http(), ContractError),
    "is shorter than it says": (HEAD + b"Content-Length: 99999\r\n\r\n" + TEXT, TransientError),
    "is longer than it says": (HEAD + b"Content-Length: 20\r\n\r\n" + TEXT, ContractError),
    "has two lengths": (HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n" + TEXT, TransientError),
    "has a negative length": (HEAD + b"Content-Length: -1\r\n\r\n" + TEXT, TransientError),
    "has a length that is text": (HEAD + b"Content-Length: many\r\n\r\n" + TEXT, TransientError),
    "has chunks of no size": (CHUNKED + NAME.encode() + b"\r\n", TransientError),
    "has a chunk cut off": (CHUNKED + b"fff\r\n" + TEXT, TransientError),
    "has chunks without an end": (CHUNKED + b"5\r\nhello\r\n", TransientError),
    "has a chunk extension without end": (forever(b"y", head=CHUNKED + b"5;x="), TransientError),
    "has chunks for ever": (forever(b"400\r\n" + b" " * 1024 + b"\r\n", head=CHUNKED), ContractError),
    "has a body for ever": (forever(b" " * 65536, head=HEAD + b"\r\n"), ContractError),
    "has an unknown transfer coding": (HEAD + b"Transfer-Encoding: gzip\r\n\r\n" + TEXT, TransientError),
    "says gzip and is not": (coded("gzip", TEXT), ContractError),
    "is half a gzip": (coded("gzip", PACKED[:-20]), ContractError),
    "is a damaged gzip": (coded("gzip", PACKED[:20] + bytes([PACKED[20] ^ 255]) + PACKED[21:]), ContractError),
    "is a gzip with a wrong sum": (coded("gzip", PACKED[:-8] + bytes(8)), ContractError),
    "is a gzip bomb": (coded("gzip", gzip.compress(bytes(2**23))), ContractError),
    "is a gzip bomb of many members": (coded("gzip", gzip.compress(b" " * 4096) * 1000), ContractError),
    "is packed twice": (coded("gzip, gzip", gzip.compress(PACKED)), (ContractError, 1)),
    "is packed as nobody asked": (coded("br", TEXT), ContractError),
    "moves to another host": (redirect(302, f"http://register.example.gov.vn/{NAME}"), ContractError),
    "moves to itself": (redirect(301, "/people"), ContractError),
    "moves to a file": (redirect(308, "file:///etc/passwd"), ContractError),
    "moves to no address": (redirect(307, "http://[" + NAME), ContractError),
    "has many forms": (http(NAME, 300), ContractError),
    "has not changed": (http(status=304, length=False), ContractError),
    "is gone": (http(NAME, 410), ContractError),
    "wants a proxy's credential": (http(NAME, 407), ContractError),
    "is forbidden": (http(NAME, 403), AccessError),
    "refuses the credential for ever": (http(NAME, 401, f"WWW-Authenticate: Basic realm={NAME}"), AccessError),
    "is busy for a year": (http(NAME, 429, "Retry-After: 31536000"), TransientError),
    "is busy for ever": (http(NAME, 503, "Retry-After: " + "9" * 400), TransientError),
    "is busy until the year 9999": (http(NAME, 503, "Retry-After: Fri, 31 Dec 9999 23:59:59 GMT"), TransientError),
    "is busy until no day": (http(NAME, 503, f"Retry-After: {NAME}"), TransientError),
    "is busy since long": (http(NAME, 503, "Retry-After: -5"), TransientError),
    "fails": (http(NAME, 500), TransientError),
    "has a bad gateway": (http(NAME, 502), TransientError),
    "has a status that nobody knows": (http(NAME, 999), TransientError),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", QUICK)
def test_an_answer_that(case: str, way: str, server: Server) -> None:
    answer, kind = QUICK[case]
    adapter = WAYS[way](server, answer)
    hold(lambda: adapter.pull(None), kind)
    assert server.asked


def drip(data: bytes, pause: float = 0.05) -> Any:
    """Send bytes one by one, and then go on with spaces."""

    def script(_: bytes) -> Any:
        for byte in itertools.chain(data, itertools.repeat(32)):
            yield from (bytes([byte]), pause)

    return script


SLOW: dict[str, Answer] = {
    "never answers": silence,
    "trickles its status": drip(HEAD),
    "trickles its fields": drip(HEAD + b"X: " + b"y" * 1000),
    "trickles interim answers": forever(HINT, 0.05),
    "trickles its body": drip(HEAD + b"Content-Length: 1000\r\n\r\n" + TEXT),
    "trickles chunks": forever(b"1\r\n \r\n", 0.05, CHUNKED),
    "stops in its body": lambda _: [HEAD + b"Content-Length: 1000\r\n\r\n" + TEXT, 30.0],
    "trickles gzip": drip(HEAD + b"Content-Encoding: gzip\r\n\r\n" + PACKED),
}


@pytest.mark.parametrize(
    ("way", "case"),
    [("rest", case) for case in SLOW]
    + [(way, case) for way in ("soap", "drop", "token") for case in ("trickles its body", "trickles interim answers")],
)
def test_a_source_costs_its_deadline_and_no_more_that(case: str, way: str, server: Server) -> None:
    adapter = WAYS[way](server, SLOW[case], ONCE)
    hold(lambda: adapter.pull(None), TransientError, "answer_timeout in adapters/agencies.yaml", within=2.5)


TLS = bytes.fromhex("16030300ff020000fb0303")
"""How a server's part of a handshake begins."""


@pytest.mark.parametrize(
    "answer", [http(NAME), b"\x15\x03\x03\x00\x02\x02\x28", TLS + bytes(300), silence, drip(TLS)],
    ids=["plain HTTP", "an alert", "noise", "nothing", "one byte after another"],
)  # fmt: skip
def test_a_server_that_answers_a_tls_handshake_with(answer: Any, server: Server) -> None:
    server.answers[""] = answer
    adapter = WAYS["rest"](server, http(), ONCE)
    adapter = type(adapter)(replace(adapter.source, endpoint=server.url.replace("http:", "https:")))
    hold(lambda: adapter.pull(None), TransientError, within=2.5)


def test_all_attempts_share_one_deadline(server: Server) -> None:
    adapter = WAYS["rest"](server, http(NAME, 503), replace(TIGHT, attempts=10_000, first_wait=0.05))
    hold(lambda: adapter.pull(None), TransientError, within=3)
    assert len(server.asked) > 2


def test_a_body_that_stands_still_longer_than_its_grace_is_too_slow(server: Server) -> None:
    adapter = WAYS["rest"](server, drip(HEAD + b"\r\n"), replace(TIGHT, answer_timeout=30, grace=0.3, attempts=1))
    hold(lambda: adapter.pull(None), TransientError, "least_bytes_per_second in adapters/agencies.yaml", within=2.5)
