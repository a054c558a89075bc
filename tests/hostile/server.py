"""A server on loopback that sends bytes as a script says, correct HTTP or not."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

Script = Iterable[bytes | float]
"""What is sent, in pieces; a number is a pause in seconds. The line is closed behind it."""
Answer = bytes | Callable[[bytes], Script]
"""An answer as it goes over the line, or what makes a script of the question."""


def http(body: bytes | str = b"", status: int = 200, *fields: str, length: bool = True) -> bytes:
    """Write an answer with header fields such as `Content-Type: text/xml`."""
    data = body.encode() if isinstance(body, str) else body
    own = [f"Content-Length: {len(data)}"] if length else []
    return "\r\n".join([f"HTTP/1.1 {status} X", "Connection: close", *own, *fields, "", ""]).encode() + data


def forever(piece: bytes, pause: float = 0.0, head: bytes = b"") -> Callable[[bytes], Script]:
    """Send a head, and then a piece without end."""
    return lambda _: itertools.chain([head], itertools.cycle([piece, pause] if pause else [piece]))


def silence(_: bytes) -> Script:
    """Say nothing, and hold the line."""
    return [30.0]


class Server:
    """Takes every connection, and answers its first question by its path (without query)."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.otherwise: Answer = http(status=404)
        self.asked: list[str] = []
        self._closed = threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=50)
        self.port = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._closed.set()
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=self._talk, args=(self._socket.accept()[0],), daemon=True).start()

    def _talk(self, line: socket.socket) -> None:
        with line, suppress(OSError):
            question = _question(line)
            path = question.partition(b"\r\n")[0].split(b" ")[1].partition(b"?")[0].decode() if question else ""
            self.asked.append(path)
            answer = self.answers.get(path, self.otherwise)
            for piece in [answer] if isinstance(answer, bytes) else answer(question):
                if isinstance(piece, float):
                    if self._closed.wait(piece):
                        return
                else:
                    line.sendall(piece)
            line.shutdown(socket.SHUT_WR)
            until = time.monotonic() + 2  # else unread bytes would reset the line before the answer is read
            while line.recv(65536) and time.monotonic() < until:
                pass


def _question(line: socket.socket) -> bytes:
    line.settimeout(10)
    data = b""
    while b"\r\n\r\n" not in data:
        more = line.recv(65536)
        data += more
        if not more or data[:1] == b"\x16":  # TLS
            return b""
    head, _, body = data.partition(b"\r\n\r\n")
    length = next((int(field[15:]) for field in head.split(b"\r\n") if field[:15].lower() == b"content-length:"), 0)
    while len(body) < length:
        body += line.recv(65536)
    return head + b"\r\n\r\n" + body
