"""The operator's server: the pages of runs, the metrics and the probes, on a port of its own. See `motlan.monitoring.server`."""

from __future__ import annotations

import os

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse
from starlette.routing import Route

from motlan.console import pages
from motlan.monitoring import server


def lead_to_feeds(_: Request) -> RedirectResponse:
    """Lead to the page of the feeds' API, which another server has: at `MOTLAN_FEEDS_URL`, http://127.0.0.1:8900 where unset."""
    return RedirectResponse(os.environ.get("MOTLAN_FEEDS_URL", "http://127.0.0.1:8900").rstrip("/") + "/docs")


def create_app() -> Starlette:
    """Make the application; the environment names the installation."""
    return Starlette(routes=[*server.routes, *pages.routes, Route("/docs", lead_to_feeds)])
