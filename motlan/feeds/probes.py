"""Whether the feeds' server lives, and whether it can serve: what a container engine or a load balancer asks."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from motlan import __version__
from motlan.monitoring import readiness

routes = APIRouter(include_in_schema=False)


@routes.get("/health")
def live() -> dict[str, str]:
    """Tell that the process answers: where it does not, it has to be started again."""
    return {"status": "ok", "version": __version__}


@routes.get("/ready")
def ready(request: Request) -> JSONResponse:
    """Tell whether the store answers, its tables are of this version, and what was published can be read."""
    status, body = readiness.answer(readiness.check(request.app.state.work.store))
    return JSONResponse(body, status)
