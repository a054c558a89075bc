"""Run one agency as a process of its own, which ends when the process that started it does."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp


def credential(world: Path, agency: str) -> tuple[str, str]:
    """User and secret of an agency of a world."""
    user, _, secret = json.loads((world / "credentials.json").read_text(encoding="utf-8"))[agency].partition(":")
    return user, secret


def announce(url: str) -> None:
    """Tell the starting process, on standard output, that the agency answers at `url`."""
    sys.stdout.write(json.dumps({"url": url}) + "\n")
    sys.stdout.flush()


def end_with_parent(stop: Callable[[], None]) -> None:
    """Call `stop` when standard input closes: the starting process holds its other end."""

    def watch() -> None:
        while os.read(0, 1024):
            pass
        stop()

    threading.Thread(target=watch, daemon=True).start()


def serve_http(app: ASGIApp, port: int, path: str) -> None:
    """Serve an application on a loopback port (0: a free one) until SIGTERM or the parent's end.

    Nothing is logged of requests: addresses and bodies carry personal data.
    """
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(128)
    config = uvicorn.Config(
        app, access_log=False, log_level="warning", timeout_graceful_shutdown=2, timeout_keep_alive=60
    )
    announce(f"http://127.0.0.1:{listener.getsockname()[1]}{path}")
    end_with_parent(lambda: os.kill(os.getpid(), signal.SIGTERM))
    uvicorn.Server(config).run(sockets=[listener])
