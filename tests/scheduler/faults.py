"""A proxy in front of an agency that answers over HTTP, which spoils its answers in ways that can be switched on and off."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

Answer = tuple[int, dict[str, str], bytes]
Fault = Callable[[str, Answer], Answer]
_HOP = {"connection", "content-length", "content-encoding", "date", "host", "server", "transfer-encoding"}


class FaultyProxy:
    """Passes requests on to an agency. A context manager.

    Attributes:
        fault: Makes the answer of a path another one; None for none.
        spoilt: How many answers of each day were another one.
        day: The day that is counted for.
    """

    def __init__(self, target: str) -> None:
        self.fault: Fault | None = None
        self.spoilt: Counter[int] = Counter()
        self.day = 0
        self.is_down = False
        proxy, client = self, httpx.Client(base_url=target, timeout=60)

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _pass_on(self) -> None:
                if proxy.is_down:
                    proxy.spoilt[proxy.day] += 1
                    self.close_connection = True
                    self.connection.close()
                    return
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                sent = {name: value for name, value in self.headers.items() if name.lower() not in _HOP}
                found = client.request(
                    self.command, self.path, headers=sent | {"accept-encoding": "identity"}, content=body
                )
                headers = {name: value for name, value in found.headers.items() if name.lower() not in _HOP}
                answer = (found.status_code, headers, found.content)
                if proxy.fault and (changed := proxy.fault(self.path, answer)) != answer:
                    proxy.spoilt[proxy.day] += 1
                    answer = changed
                self.send_response(answer[0])
                for name, value in {**answer[1], "content-length": str(len(answer[2]))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer[2])

            do_GET = do_POST = _pass_on

            def log_message(self, *_: object) -> None:
                return

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_: object) -> None:
                return

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> FaultyProxy:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def renamed(column: str) -> Fault:
    """The schema drifts: a member's column has another name."""

    def spoil(path: str, answer: Answer) -> Answer:
        status, headers, body = answer
        return status, headers, body.replace(f'"{column}":'.encode(), f'"{column}Moi":'.encode())

    return spoil


def truncated(ending: str) -> Fault:
    """A file ends in the middle."""

    def spoil(path: str, answer: Answer) -> Answer:
        status, headers, body = answer
        return (status, headers, body[: len(body) // 2]) if path.endswith(ending) else answer

    return spoil


def without_newest_drop(path: str, answer: Answer) -> Answer:
    """A batch is late: the index does not have it yet."""
    status, headers, body = answer
    if not path.endswith("index.json"):
        return answer
    drops = sorted(json.loads(body)["drops"], key=lambda drop: drop["name"])
    return status, headers, json.dumps({"drops": drops[:-1]}).encode()


def overloaded(times: int) -> Fault:
    """The next answers but that of signing in are 429, with a wait."""
    left = [times]

    def spoil(path: str, answer: Answer) -> Answer:
        if "token" in path or not left[0]:
            return answer
        left[0] -= 1
        return 429, {"retry-after": "1", "content-type": "application/problem+json"}, b'{"title": "Too Many Requests"}'

    return spoil
