"""What the log gives to all: checkpoints, and proofs of inclusion and of consistency. They hold hashes alone."""

from __future__ import annotations

import base64
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Query, Request
from fastapi.responses import PlainTextResponse
from starlette.exceptions import HTTPException

from motlan.ledger import log
from motlan.proof import checkpoints
from motlan.store import Store, tables

LARGEST = 2**53 - 1
routes = APIRouter(prefix="/v1/log")
Size = Annotated[int, Query(ge=0, le=LARGEST, description="Entries of the log")]


@routes.get("/checkpoint", response_class=PlainTextResponse)
def checkpoint(
    request: Request,
    size: Annotated[int | None, Query(ge=1, le=LARGEST, description="Of this size; the newest where absent")] = None,
) -> PlainTextResponse:
    """Give a signed checkpoint of the log (C2SP tlog-checkpoint): keep it, and hold later ones against it."""
    store: Store = request.app.state.work.store
    with store.engine.connect() as connection:
        found = checkpoints.find(connection, size)
    if found is None:
        raise HTTPException(404, "No checkpoint of this size was signed; leave `size` away for the newest")
    return PlainTextResponse(found.note, headers={"Cache-Control": "no-cache"})


@routes.get("/inclusion")
def inclusion(
    request: Request, index: Annotated[int, Query(ge=0, le=LARGEST, description="Of the entry, from 0")], size: Size
) -> dict[str, Any]:
    """Give the proof that an entry is in the log of a size (RFC 9162, section 2.1.3), hashes in Base64."""
    store: Store = request.app.state.work.store
    with store.engine.connect() as connection:
        if not index < size <= log.size_of(connection):
            raise HTTPException(404, "There is no such entry, or the log has fewer entries than `size`")
        leaf = connection.scalars(sa.select(tables.log_entries.c.leaf_hash).where(tables.log_entries.c.index == index))
        proof = log.prove_inclusion(connection, index, size)
        return {"index": index, "size": size, "leaf": _text(bytes(leaf.one())), "proof": list(map(_text, proof))}


@routes.get("/consistency")
def consistency(request: Request, old: Size, size: Size) -> dict[str, Any]:
    """Give the proof that the log of a size extends the one of a smaller size (RFC 9162, section 2.1.4), hashes in Base64."""
    store: Store = request.app.state.work.store
    with store.engine.connect() as connection:
        if not old <= size <= log.size_of(connection):
            raise HTTPException(404, "The log has fewer entries than `size`, or `old` is above it")
        proof = log.prove_consistency(connection, old, size)
    return {"old": old, "size": size, "proof": list(map(_text, proof))}


def _text(node: bytes) -> str:
    return base64.b64encode(node).decode()
