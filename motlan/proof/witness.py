"""A witness: a small service that signs a checkpoint where it extends the one that it signed before (C2SP tlog-witness).

An agency runs it on a machine of its own. It needs no part of the bus's state: a key, the public keys of the logs that it
watches, and a folder, in which it keeps the newest checkpoint of each log.
"""

from __future__ import annotations

import base64
import hashlib
import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from motlan.errors import ConfigurationError
from motlan.ledger.merkle import EMPTY, is_consistent
from motlan.proof import check
from motlan.proof.checkpoints import Checkpoint
from motlan.proof.keys import Key

LONGEST = 64 * 1024
"""Bytes of a request at the most."""
MOST = 63
"""Hashes of a proof at the most."""


@dataclass
class Witness:
    """A witness.

    Attributes:
        key: Its private key, of kind `WITNESS`.
        logs: Public keys of the logs that it watches.
        folder: Where it keeps the newest checkpoint of each.
    """

    key: Key
    logs: tuple[str, ...]
    folder: Path
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def newest(self, origin: str) -> Checkpoint | None:
        """Return the newest checkpoint that it signed of a log; None where there is none."""
        try:
            return Checkpoint.read(self._file(origin).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None

    def add(self, request: str) -> tuple[int, str]:
        """Look at a checkpoint; return the status of the answer (HTTP) and its text, the signature where it is 200."""
        try:
            head, _, note = request.partition("\n\n")
            first, *proof = head.split("\n")
            old, one = int(first.removeprefix("old ")), Checkpoint.read(note)
            path = [base64.b64decode(line, validate=True) for line in proof]
            known = [key for key in self.logs if check.read_key(key)[0] == one.origin]
            if not known:
                return 404, "this witness does not watch that log\n"
            if not check.signers(note, known):
                return 403, "the checkpoint is not signed by the log's key\n"
        except (ValueError, ConfigurationError):
            return 400, "this is no request of c2sp.org/tlog-witness\n"
        except check.ProofError as error:
            return 403, f"{error}\n"
        if old > one.size or len(path) > MOST:
            return 400, "the old size is above the checkpoint's, or the proof is too long\n"
        with self._lock:
            return self._extend(one, old, path)

    def _extend(self, one: Checkpoint, old: int, path: list[bytes]) -> tuple[int, str]:
        before = self.newest(one.origin)
        size, root = (before.size, before.root) if before else (0, EMPTY)
        if old != size or (one.size == size and one.root != root):
            return 409, f"{size}\n"
        if not is_consistent(size, root, one.size, one.root, path):
            return 422, "the checkpoint does not extend the one before\n"
        signature = self.key.sign(one.text)
        target = self._file(one.origin)
        draft = target.with_suffix(".draft")
        with draft.open("w", encoding="utf-8") as file:
            file.write(f"{one.note}{signature}")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(target)
        return 200, signature

    def _file(self, origin: str) -> Path:
        return self.folder / f"{hashlib.sha256(origin.encode()).hexdigest()[:32]}.checkpoint"


def make_app(key: Key, logs: Iterable[str], folder: Path) -> Starlette:
    """Make the service.

    Args:
        key: Its private key, of kind `WITNESS`.
        logs: Public keys of the logs that it watches.
        folder: Where it keeps the newest checkpoint of each; made where missing.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    witness = Witness(key, tuple(logs), folder)

    async def add_checkpoint(request: Request) -> Response:
        body = await request.body()
        if len(body) > LONGEST:
            return PlainTextResponse("the request is too long\n", 413)
        status, text = await run_in_threadpool(witness.add, body.decode("utf-8", "replace"))
        kind = "text/x.tlog.size" if status == 409 else "text/plain; charset=utf-8"
        return Response(text, status, {"Content-Type": kind})

    async def checkpoint(request: Request) -> Response:
        found = await run_in_threadpool(witness.newest, request.query_params.get("origin", ""))
        return PlainTextResponse(found.note if found else "no checkpoint of that log\n", 200 if found else 404)

    return Starlette(
        routes=[
            Route("/add-checkpoint", add_checkpoint, methods=["POST"]),
            Route("/checkpoint", checkpoint, methods=["GET"]),
        ]
    )
