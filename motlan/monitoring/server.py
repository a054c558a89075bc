"""What monitors an installation: `/metrics`, `/health` and `/ready`, on a port of its own.

It reads the ledger as the owner of the tables, which nothing that is asked from outside may do: so it is a process apart from the
feeds, on loopback unless told otherwise, and belongs on a network of the operator alone.
"""

from __future__ import annotations

import logging

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from motlan import __version__
from motlan.errors import MotlanError, unforeseen
from motlan.monitoring import metrics, readiness
from motlan.store.session import lost
from motlan.workspace import open_workspace

log = logging.getLogger(__name__)


def show_metrics(_: Request) -> Response:
    """Answer with all metrics; 503 where they cannot be read. The log names the place, and no text of the database is told."""
    try:
        return Response(metrics.exposition(open_workspace()), media_type=metrics.CONTENT_TYPE)
    except Exception as error:  # noqa: BLE001 - the text of a database's error may quote a value
        found = error if isinstance(error, MotlanError) else lost(error) or unforeseen(error, "metrics")
        log.error("%s", found)
        return JSONResponse({"status": "the ledger cannot be read; the log names the place"}, 503)


def health(_: Request) -> Response:
    """Answer that the process lives: nothing else is asked for it."""
    return JSONResponse({"status": "ok", "version": __version__})


def ready(_: Request) -> Response:
    """Answer whether the installation can serve; see `motlan.monitoring.readiness`."""
    try:
        store = open_workspace().store
    except Exception as error:  # noqa: BLE001 - as above
        log.error("not ready: %s", type(error).__name__)
        return _answered(dict.fromkeys(readiness.CHECKS, False))
    return _answered(readiness.check(store))


def _answered(found: dict[str, bool]) -> Response:
    status, body = readiness.answer(found)
    return JSONResponse(body, status)


routes = [Route("/metrics", show_metrics), Route("/health", health), Route("/ready", ready)]
