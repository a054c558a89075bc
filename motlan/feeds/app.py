"""The agencies' API: the reconciled change feed, in order, without gaps, within each agency's legal basis.

Every error is a problem document (RFC 9457) that tells how to mend the call.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Any
from uuid import UUID

import sqlalchemy as sa
from fastapi import APIRouter, Depends, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, StreamingResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from motlan import __version__
from motlan.config.registry import Entity, Grant, RelatedEntity, id_column
from motlan.errors import AccessError, ConfigurationError, unforeseen
from motlan.feeds import guard, keys, log_routes, pages, probes, snapshot
from motlan.ledger import accesses
from motlan.projection.load import ensure_related_tables, ensure_tables
from motlan.projection.tables import STAYS
from motlan.publication import epochs
from motlan.store.session import lost, open_for_feeds
from motlan.workspace import Workspace, open_workspace

PROBLEM = "application/problem+json"
LAST = 2**63 - 1
"""The largest number that the store can hold."""
SHOWN = 10
"""Rows that are named at the most where they are not served."""
log = logging.getLogger(__name__)
Limit = Annotated[int, Query(ge=1, le=10_000, description="Lines at the most")]
OfEpoch = Annotated[int | None, Query(ge=1, le=LAST, description="The header `Motlan-Epoch` of your last answer")]
routes = APIRouter(prefix="/v1")
bearer = HTTPBearer(auto_error=False, description="The agency's API key")


def problem(status: int, title: str, detail: str) -> JSONResponse:
    """Answer with a problem document (RFC 9457)."""
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    content = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    return JSONResponse(content, status, headers, PROBLEM)


class _UnauthenticatedError(Exception):
    """No key, or one that opens nothing (any more)."""


class _EarlierEpochError(Exception):
    """The reader's position was given out in an epoch that is over."""

    def __init__(self, entity: str, epoch: int) -> None:
        super().__init__()
        self.entity, self.epoch = entity, epoch


class _Private:
    """Keeps what was not foreseen from the server around us, which would log the error with its text and trace."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def sent(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, sent)
        except Exception as error:  # noqa: BLE001 - its text and its trace are what must not be logged
            passing = lost(error)
            told = passing or unforeseen(error, "feeds")
            if begun or scope["type"] != "http":
                raise told from None
            log.error("%s", told)
            status, title = (503, "The database does not answer") if passing else (500, "The server failed")
            answer = problem(status, title, "Ask again later; the operator's log names the place.")
            await answer(scope, receive, send)


def create_app() -> FastAPI:
    """Make the application; the environment names the installation."""
    work = open_workspace()
    with work.store.engine.begin() as connection:
        for entity in work.registry.entities.values():
            ensure_tables(connection, entity)
        for related in work.registry.related_entities.values():
            ensure_related_tables(connection, related)
    # Nothing that is asked from outside is done as the owner of the tables.
    work = replace(work, store=open_for_feeds(work.settings))
    # The page that FastAPI brings loads scripts from elsewhere: ours needs none.
    app = FastAPI(title="Motlan feeds", version=__version__, docs_url=None, redoc_url=None)
    app.state.work = work
    app.include_router(routes)
    app.include_router(log_routes.routes)
    app.include_router(probes.routes)
    app.add_api_route("/docs", docs, include_in_schema=False)
    app.add_middleware(_Private)
    _add_handlers(app)
    return app


def agency(request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]) -> str:
    """Return the agency that calls, by its API key."""
    if credentials is None:
        raise _UnauthenticatedError
    try:
        return keys.agency_of(request.app.state.work.store, credentials.credentials)
    except AccessError as error:
        raise _UnauthenticatedError(str(error)) from None


def docs(request: Request) -> HTMLResponse:
    """Show the API as a page for people."""
    return HTMLResponse(pages.page(request.app.openapi()), headers=pages.HEADERS)


@routes.get("/health")
def health() -> dict[str, str]:
    """Tell that the server answers."""
    return {"status": "ok", "version": __version__}


@routes.get("/feeds/{entity}/changes", response_class=StreamingResponse)
def changes(
    request: Request,
    entity: str,
    caller: Annotated[str, Depends(agency)],
    after: Annotated[int, Query(ge=0, le=LAST, description="The last seq that you have; 0 for the beginning")] = 0,
    limit: Limit = 1000,
    epoch: OfEpoch = None,
) -> StreamingResponse:
    """Give the changes after a number, one JSON object a line (NDJSON), oldest first.

    Ask again with `after` set to the last line's `seq` (or the header `Motlan-Last-Seq`) until no line comes. Send the header
    `Motlan-Epoch` back as `epoch`: where another epoch began, the answer is 410, and you go on from a snapshot.
    """
    work: Workspace = request.app.state.work
    found, grant = _granted(work, entity, caller)
    now = _epoch(work, entity, epoch, after)
    lines = _read(work, found, grant, after, limit)
    given = (lines[0]["seq"], lines[-1]["seq"]) if lines else (None, None)
    seen = accesses.Seen(entity, first_seq=given[0], last_seq=given[1], fields=grant.fields)
    accesses.record(work.store, caller, "feed.read", f"{entity} after {after} limit {limit}", seen, _basis(grant))
    headers = {"Motlan-Last-Seq": str(lines[-1]["seq"] if lines else after)}
    return _answer(lines, now, headers)


@routes.get("/feeds/{entity}/snapshot", response_class=StreamingResponse)
def golden_rows(
    request: Request,
    entity: str,
    caller: Annotated[str, Depends(agency)],
    after: Annotated[UUID | None, Query(description="The header `Motlan-Next` of the page before")] = None,
    limit: Limit = 1000,
    epoch: OfEpoch = None,
) -> StreamingResponse:
    """Give what is published now, one JSON object a line (NDJSON), page by page.

    Keep the header `Motlan-Seq` of the **first** page. Ask again with `after` set to the header `Motlan-Next` until an answer
    has none. Then read the changes after the number that you kept.
    """
    work: Workspace = request.app.state.work
    found, grant = _granted(work, entity, caller)
    now = _epoch(work, entity, epoch)
    page = snapshot.read(work, found, grant, after, limit)
    given = (page.keys[0], page.keys[-1]) if page.keys else (None, None)
    seen = accesses.Seen(
        entity, last_seq=page.seq if page.keys else None, first_key=given[0], last_key=given[1], fields=grant.fields
    )
    told = f"{entity} after {after or 'none'} limit {limit}"
    accesses.record(work.store, caller, "feed.snapshot", told, seen, _basis(grant))
    headers = {"Motlan-Seq": str(page.seq), **({"Motlan-Next": page.last} if page.last else {})}
    return _answer(page.lines, now, headers)


def _basis(grant: Grant) -> accesses.Basis:
    return accesses.Basis(grant.purpose, grant.legal_basis)


def _answer(lines: list[dict[str, Any]], epoch: int, headers: dict[str, str]) -> StreamingResponse:
    headers |= {"Motlan-Epoch": str(epoch), "Cache-Control": "no-store"}
    return StreamingResponse(_ndjson(lines), media_type="application/x-ndjson", headers=headers)


def _epoch(work: Workspace, entity: str, told: int | None, after: int = 0) -> int:
    """Return the feeds' epoch, where a reader's position is of it.

    A reader who names no epoch has a position of an earlier one where its number was given out before this one began.

    Raises:
        _EarlierEpochError: It is of another epoch.
    """
    with work.store.engine.connect() as connection:
        now, before = epochs.current(connection), epochs.before(connection).seqs.get(entity, 0)
    if told != now if told is not None else now > 1 and 0 < after <= before:
        raise _EarlierEpochError(entity, now)
    return now


def _add_handlers(app: FastAPI) -> None:
    @app.exception_handler(_UnauthenticatedError)
    def unauthenticated(_: Request, error: _UnauthenticatedError) -> JSONResponse:
        how = "Send the header `Authorization: Bearer <your agency's API key>`."
        return problem(401, "Not signed in", f"{str(error).capitalize()} {how}" if str(error) else how)

    @app.exception_handler(_EarlierEpochError)
    def earlier(_: Request, error: _EarlierEpochError) -> JSONResponse:
        place = f"{routes.prefix}/feeds/{error.entity}/snapshot"
        detail = (
            f"The feeds are in epoch {error.epoch}: the bus was restored, and changes of an earlier epoch may not hold. Take "
            f"{place}, then read the changes after its Motlan-Seq with epoch={error.epoch}."
        )
        answer = problem(410, "Of another epoch: take a snapshot", detail)
        answer.headers.update({"Motlan-Epoch": str(error.epoch), "Link": f'<{place}>; rel="alternate"'})
        return answer

    @app.exception_handler(AccessError)
    def refused(_: Request, error: AccessError) -> JSONResponse:
        return problem(403, "Not within your legal basis", str(error))

    @app.exception_handler(guard.AlteredError)
    def altered(request: Request, error: guard.AlteredError) -> JSONResponse:
        return _refuse_altered(request.app.state.work, error)

    @app.exception_handler(ConfigurationError)
    def unknown(_: Request, error: ConfigurationError) -> JSONResponse:
        return problem(404, "No such feed", str(error))

    @app.exception_handler(RequestValidationError)
    def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        return problem(422, "A parameter cannot be used", f"{first['loc'][-1]}: {first['msg']}")

    @app.exception_handler(StarletteHTTPException)
    def unserved(_: Request, error: StarletteHTTPException) -> JSONResponse:
        answer = problem(error.status_code, error.detail, "See /docs for what is served here, and how it is called.")
        answer.headers.update(error.headers or {})
        return answer


def _refuse_altered(work: Workspace, error: guard.AlteredError) -> JSONResponse:
    """Write down that rows were not served, where people and metrics see it, and answer without them."""
    shown = ", ".join(error.rows[:SHOWN]) + (f" and {len(error.rows) - SHOWN:,} more" if error.rows[SHOWN:] else "")
    accesses.record(work.store, "the bus", accesses.REFUSED, f"{error.table} {shown}", accesses.Seen())
    log.error("%s is not as it was published: nothing of rows %s is served; `motlan audit verify`", error.table, shown)
    detail = "What is stored is not what was published. It is not served until the operator has restored it; ask again later."
    return problem(503, "Not as it was published", detail)


def _granted(work: Workspace, entity: str, agency: str) -> tuple[Entity | RelatedEntity, Grant]:
    found = work.registry.served(entity)
    if agency not in found.grants:
        raise AccessError(
            f"{agency} has no grant for {entity}",
            next_step="ask the operator to add your legal basis to mapping/grants.yaml.",
        )
    return found, found.grants[agency]


def _read(
    work: Workspace, entity: Entity | RelatedEntity, grant: Grant, after: int, limit: int
) -> list[dict[str, Any]]:
    main = isinstance(entity, Entity)
    ids = (entity.id_column,) if isinstance(entity, Entity) else ("id", id_column(entity.declared.of))
    feed = sa.table(
        f"feed_{entity.name}",
        *(sa.column(name) for name in ("seq", "publication", *ids, "event", "changed", *(["others"] if main else []))),
        *(sa.column(name) for name in grant.fields),
    )
    publications = sa.table("publications", sa.column("number"), sa.column("recorded_at"))
    told = sa.or_(feed.c.event != "updated", feed.c.changed.op("&&")(sa.cast(grant.fields, sa.ARRAY(sa.Text))))
    query = (
        sa.select(feed, publications.c.recorded_at)
        .join(publications, publications.c.number == feed.c.publication)
        .where(feed.c.seq > after, told)
        .order_by(feed.c.seq)
        .limit(limit)
    )
    with work.store.engine.connect() as connection:
        rows = connection.execute(query.add_columns(*guard.guarding(connection, feed.name))).all()
    guard.require_published(work.settings, feed.name, rows)
    return [_line(row._mapping, ids, grant) for row in rows]


def _line(row: sa.RowMapping, ids: tuple[str, ...], grant: Grant) -> dict[str, Any]:
    values = {name: row[name] for name in grant.fields if row[name]}
    changed = [name for name in row["changed"] if name in grant.fields] if row["event"] in STAYS else list(values)
    return {
        "seq": row["seq"],
        "event": row["event"],
        **{name: str(row[name]) for name in ids if row[name] is not None},
        "recorded_at": row["recorded_at"].isoformat(),
        "changed": changed,
        **({"others": [str(other) for other in row["others"]]} if row.get("others") else {}),
        "values": values,
    }


def _ndjson(lines: list[dict[str, Any]]) -> Iterator[str]:
    for line in lines:
        yield json.dumps(line, ensure_ascii=False) + "\n"
