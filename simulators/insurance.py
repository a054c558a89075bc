"""The social-insurance register: REST and JSON, OAuth 2.0 client credentials, a stated capacity."""

from __future__ import annotations

import base64
import binascii
import hmac
import math
import re
import secrets
import threading
import time
from pathlib import Path
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from simulators.registers import COLUMNS
from simulators.serving import credential, serve_http
from simulators.store import Register, as_of, cursor_of, position_of

_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z")
_LARGEST_PAGE = 5_000
_PAGE = 1_000
TOKEN_SECONDS = 3_600

_MEMBER = 'to_json(struct_pack(id := _key, "updatedAt" := _moment, {}))::VARCHAR'.format(
    ", ".join(f'"{name}" := {name}' for name in COLUMNS["insurance_members"])
)


class Capacity:
    """A bucket of requests that fills at a steady rate and holds one second's worth."""

    def __init__(self, per_second: float) -> None:
        self._rate = per_second
        self._level = max(1.0, per_second)
        self._at = time.monotonic()
        self._lock = threading.Lock()

    def take(self) -> float:
        """Take one request out; give the seconds to wait if there is none, else 0."""
        with self._lock:
            now = time.monotonic()
            self._level = min(max(1.0, self._rate), self._level + (now - self._at) * self._rate)
            self._at = now
            if self._level < 1:
                return (1 - self._level) / self._rate
            self._level -= 1
            return 0.0


class Tokens:
    """Access tokens given out, and until when they hold."""

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds
        self._ends: dict[str, float] = {}

    def issue(self) -> str:
        """Make a token; forget the ended ones."""
        now = time.monotonic()
        self._ends = {token: end for token, end in self._ends.items() if end > now}
        token = secrets.token_urlsafe(24)
        self._ends[token] = now + self.seconds
        return token

    def holds(self, header: str) -> bool:
        """Whether an Authorization header carries a token that has not ended."""
        scheme, _, token = header.partition(" ")
        return scheme.lower() == "bearer" and self._ends.get(token, 0.0) > time.monotonic()


def problem(status: int, title: str, detail: str, headers: dict[str, str] | None = None) -> Response:
    """An error as RFC 9457 has it."""
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    return JSONResponse(body, status, headers, media_type="application/problem+json")


def _client(request: Request, form: dict[str, list[str]]) -> tuple[str, str]:
    """User and secret by HTTP Basic, else by the form."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            user, _, secret = base64.b64decode(value).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return "", ""
        return user, secret
    return form.get("client_id", [""])[0], form.get("client_secret", [""])[0]


def application(world: Path, capacity: float, token_seconds: int = TOKEN_SECONDS) -> Starlette:
    """The register as a web application.

    Args:
        world: the world's folder.
        capacity: requests a second that it answers.
        token_seconds: how long a token holds.
    """
    register = Register(world, "insurance_members")
    bucket, tokens = Capacity(capacity), Tokens(token_seconds)
    right_user, right_secret = credential(world, "insurance")

    async def token(request: Request) -> Response:
        form = parse_qs((await request.body()).decode("utf-8", "replace"))
        if form.get("grant_type") != ["client_credentials"]:
            return problem(400, "unsupported_grant_type", "grant_type must be client_credentials")
        user, secret = _client(request, form)
        right = hmac.compare_digest(user.encode(), right_user.encode())
        if not (hmac.compare_digest(secret.encode(), right_secret.encode()) and right):
            return problem(401, "invalid_client", "the client or its secret is wrong", {"WWW-Authenticate": "Basic"})
        return JSONResponse({"access_token": tokens.issue(), "token_type": "Bearer", "expires_in": tokens.seconds})

    def refused(request: Request) -> Response | None:
        wait = bucket.take()
        if wait:
            after = {"Retry-After": str(math.ceil(wait))}
            return problem(429, "Too Many Requests", f"the capacity is {capacity:g} requests a second", after)
        if not tokens.holds(request.headers.get("authorization", "")):
            return problem(401, "Unauthorized", "the token is wrong or has expired", {"WWW-Authenticate": "Bearer"})
        since = request.query_params.get("updated_since")
        if since and not _MOMENT.fullmatch(since):
            return problem(400, "Bad Request", "updated_since must be YYYY-MM-DDTHH:MM:SS.ffffffZ")
        return None

    async def members(request: Request) -> Response:
        if (refusal := refused(request)) is not None:
            return refusal
        query = request.query_params
        limit = query.get("limit") or str(_PAGE)
        if not limit.isdigit() or not 1 <= int(limit) <= _LARGEST_PAGE:
            return problem(400, "Bad Request", f"limit must be 1 to {_LARGEST_PAGE}")
        try:
            after = position_of(query["cursor"]) if query.get("cursor") else 0
        except ValueError:
            return problem(400, "Bad Request", "cursor is not one of this service")
        since = query.get("updated_since") or None
        rows, following = await run_in_threadpool(register.page, _MEMBER, after=after, since=since, limit=int(limit))
        cursor = "null" if following is None else f'"{cursor_of(following)}"'
        body = f'{{"data":[{",".join(rows)}],"next_cursor":{cursor},"as_of":"{as_of(register.today)}"}}'
        return Response(body, media_type="application/json")

    async def count(request: Request) -> Response:
        if (refusal := refused(request)) is not None:
            return refusal
        changed = await run_in_threadpool(register.count, request.query_params.get("updated_since") or None)
        total = await run_in_threadpool(register.count)
        return JSONResponse({"rows": changed, "total": total, "as_of": as_of(register.today)})

    return Starlette(
        routes=[
            Route("/oauth/token", token, methods=["POST"]),
            Route("/v1/members", members),
            Route("/v1/members/count", count),
        ]
    )


def serve(world: Path, port: int, capacity: float) -> None:
    """Serve the register until told to stop."""
    serve_http(application(world, capacity), port, "")
