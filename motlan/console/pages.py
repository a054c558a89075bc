"""The routes of the operator's pages. Every page works without scripts, and loads nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, select_autoescape
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from motlan.console import runs
from motlan.errors import ConfigurationError
from motlan.status import status
from motlan.workspace import open_workspace

_FOLDER = Path(__file__).parent / "templates"
_STYLE = (_FOLDER / "style.css").read_text(encoding="utf-8")
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    f"style-src 'sha256-{base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()}'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def _local(moment: datetime | str | None) -> str:
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S}" if moment else ""


_templates = Environment(loader=FileSystemLoader(_FOLDER), autoescape=select_autoescape())
_templates.filters["local"] = _local
_templates.globals["style"] = _STYLE


def _page(template: str, code: int = 200, **found: Any) -> Response:
    return HTMLResponse(_templates.get_template(template).render(**found), code, _HEADERS)


def _of_run(show: Callable[[str], Response]) -> Callable[[Request], Response]:
    def page(request: Request) -> Response:
        try:
            return show(request.path_params["run"])
        except ConfigurationError as error:
            return _page("missing.html", 404, what=str(error))

    return page


def show_all(request: Request) -> Response:
    """Show where the datasets stand, and the newest runs."""
    work = open_workspace()
    kind, subject = (request.query_params.get(name) for name in ("kind", "subject"))
    found = runs.newest(work.store, subject, kind)
    return _page("index.html", status=status(work), runs=found, kind=kind, subject=subject)


@_of_run
def show_run(run: str) -> Response:
    """Show a run: its steps, its numbers, its error."""
    return _page("run.html", run=runs.describe(open_workspace().store, run))


@_of_run
def show_quality(run: str) -> Response:
    """Show what the rules found in a run."""
    store = open_workspace().store
    return _page("quality.html", run=runs.describe(store, run), rules=runs.quality(store, run))


@_of_run
def show_lineage(run: str) -> Response:
    """Show what a run read, and what it wrote."""
    store = open_workspace().store
    return _page("lineage.html", run=runs.describe(store, run), lineage=runs.lineage(store, run))


def show_dag(request: Request) -> Response:
    """Lead from a scheduler's job, such as `sync_DATASET`, to the runs of its subject."""
    kind, _, subject = request.path_params["dag"].partition("_")
    of = kind if kind in ("sync", "reconcile") else "reconcile"
    return RedirectResponse(f"/console?kind={of}&subject={subject}")


routes = [
    Route("/console", show_all),
    Route("/console/dags/{dag}", show_dag),
    Route("/console/runs/{run}", show_run),
    Route("/console/runs/{run}/quality", show_quality),
    Route("/console/runs/{run}/lineage", show_lineage),
]
