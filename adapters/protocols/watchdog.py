"""Ends a call into a database driver that waits for ever: its sockets are shut down from outside, and it sees a lost line.

libpq has a time-out for connecting alone, and a server that means ill keeps neither `statement_timeout` nor a cancel.
"""

from __future__ import annotations

import os
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from adapters.protocols.deadline import OutOfBoundsError, left, out_of_time, refuse_late
from motlan.errors import ContractError

TICK = 0.1
"""Seconds between two looks at how much came."""

CONNECTING_BYTES = 64 * 2**20
"""Bytes that a server may send while we connect: a driver reads its catalogue of types, with the columns of all tables."""

_BYTES_RECEIVED = slice(128, 136)
"""Where the received bytes stand in Linux's `struct tcp_info`."""

_connecting = threading.Lock()
"""Held while sockets appear, so that each is known to belong to whom."""


class Watchdog:
    """Knows the sockets of one connection, and ends what waits on them once the time is up or too much came."""

    def __init__(self) -> None:
        self._ours: set[int] = set()

    @contextmanager
    def connecting(self) -> Iterator[None]:
        """Watch over what connects inside, and learn its sockets.

        Raises:
            OutOfBoundsError: The time was up.
        """
        if not _connecting.acquire(timeout=min(max(0.0, left()), threading.TIMEOUT_MAX)):
            raise out_of_time()
        try:
            before = set(_sockets())
            with self._watching(lambda: set(_sockets()) - before, CONNECTING_BYTES):
                yield
            self._ours = set(_sockets()) - before
        finally:
            _connecting.release()

    @contextmanager
    def asking(self, limit: int) -> Iterator[None]:
        """Watch over a question, whose answer may have some more bytes than `limit` on the wire.

        Raises:
            OutOfBoundsError: The time was up, or there were.
        """
        with self._watching(lambda: self._ours, limit):
            yield

    @contextmanager
    def _watching(self, ours: Callable[[], set[int]], limit: int) -> Iterator[None]:
        refuse_late()
        done, passed = threading.Event(), list[OutOfBoundsError]()
        late = out_of_time()  # this thread's deadline
        until = time.monotonic() + left()
        begun = {inode: _received(fd) for inode, fd in _sockets().items() if inode in self._ours}

        def watch() -> None:
            while not done.wait(max(0.0, min(TICK, until - time.monotonic()))):
                open_ = {inode: fd for inode, fd in _sockets().items() if inode in ours()}
                if time.monotonic() >= until:
                    passed.append(late)
                elif any(_received(fd) - begun.get(inode, 0) > limit for inode, fd in open_.items()):
                    what = f"the database sends more than {limit} bytes at once"
                    passed.append(OutOfBoundsError(what, "page_bytes", ContractError))
                else:
                    continue
                for inode, fd in open_.items():
                    _shut(inode, fd)
                return

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        except Exception:
            done.set()
            watcher.join()
            if passed:
                raise passed[0] from None
            raise
        finally:
            done.set()
            watcher.join()
        if passed:
            raise passed[0]


def _sockets() -> dict[int, int]:
    """Return the sockets of this process: inode -> file descriptor."""
    found = {}
    for file in Path("/dev/fd").iterdir():
        with suppress(OSError):
            state = os.fstat(int(file.name))
            if stat.S_ISSOCK(state.st_mode):
                found[state.st_ino] = int(file.name)
    return found


@contextmanager
def _borrowed(fd: int) -> Iterator[socket.socket]:
    copy = socket.socket(fileno=os.dup(fd))
    try:
        yield copy
    finally:
        copy.close()


def _received(fd: int) -> int:
    """Return how many bytes a TCP socket received; 0 where the system does not tell."""
    with suppress(OSError, AttributeError), _borrowed(fd) as copy:
        if copy.family in (socket.AF_INET, socket.AF_INET6):
            told = copy.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_RECEIVED.stop)
            return int.from_bytes(told[_BYTES_RECEIVED], "little") if len(told) >= _BYTES_RECEIVED.stop else 0
    return 0


def _shut(inode: int, fd: int) -> None:
    with suppress(OSError), _borrowed(fd) as copy:
        if os.fstat(copy.fileno()).st_ino == inode:  # the number may mean another file by now
            copy.shutdown(socket.SHUT_RDWR)
