"""The network under HTTP, so that each wait for bytes keeps the deadline and the least rate of the answer.

Every byte of an answer passes here: interim answers (1xx), header fields, chunks. httpx itself times out single reads only.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from math import inf
from typing import Any

import httpcore
import httpx

from adapters.protocols.deadline import Rate, left, refuse_late

HEAD_BYTES = 2**18
"""Bytes before an answer's own status and fields are whole: interim answers (1xx) have no other end."""

_rate: ContextVar[Rate | None] = ContextVar("rate", default=None)


@contextmanager
def rated(rate: Rate) -> Iterator[None]:
    """Measure what comes inside."""
    token = _rate.set(rate)
    try:
        yield
    finally:
        _rate.reset(token)


class BoundedTransport(httpx.HTTPTransport):
    """httpx's own transport over a network that keeps deadlines."""

    def __init__(self, trusted: ssl.SSLContext) -> None:
        super().__init__(verify=trusted, trust_env=False)
        # Its own pool cannot be given a network.
        self._pool = httpcore.ConnectionPool(ssl_context=trusted, network_backend=_Network())


class _Network(httpcore.NetworkBackend):
    """Connects as usual."""

    def __init__(self) -> None:
        self._usual = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        return _Stream(self._usual.connect_tcp(host, port, _shorter(timeout), local_address, socket_options))


class _Stream(httpcore.NetworkStream):
    """A connection whose waits are never longer than is left."""

    def __init__(self, usual: httpcore.NetworkStream) -> None:
        self._usual = usual

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        rate, until = _rate.get(), time.monotonic() + (inf if timeout is None else timeout)
        while True:
            wait = min(until - time.monotonic(), rate.left() if rate else inf)
            try:
                data = self._usual.read(max_bytes, _shorter(wait))
            except httpcore.ReadTimeout:
                refuse_late()
                if rate is None or rate.left() > 0:
                    raise
                rate.turn()
                continue
            if rate:
                rate.came(len(data))
            return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._usual.write(buffer, _shorter(timeout))

    def close(self) -> None:
        self._usual.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _Stream(self._usual.start_tls(ssl_context, server_hostname, _shorter(timeout)))

    def get_extra_info(self, info: str) -> Any:
        return self._usual.get_extra_info(info)


def _shorter(timeout: float | None) -> float | None:
    """Cut a time-out down to what the deadline leaves; never to nothing, which would not wait at all."""
    refuse_late()
    seconds = min(inf if timeout is None else timeout, left())
    return None if seconds == inf else max(0.001, seconds)
