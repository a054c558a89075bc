"""Erasures that one person asks for and another one lets happen: what is destroyed does not come back.

A request is an entry of the log. It names landed rows by their references, and no value; whoever confirms it needs no key.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from motlan.errors import AccessError, ConfigurationError, DataError
from motlan.ledger import accesses, erasures, log
from motlan.ledger.accesses import Seen
from motlan.principals import humans
from motlan.stewardship import erasure
from motlan.stewardship.erasure import Watch
from motlan.stewardship.erasure_search import Found
from motlan.store import tables
from motlan.workspace import Workspace

ASKED = "erasure asked"
"""Kind of the log's entry of a request: `request`, `dataset`, `landed`, `principal`, `reason`."""


def request(work: Workspace, found: Found, principal: str, reason: str) -> str:
    """Ask for an erasure; return the request's id. The look is written into the ledger first.

    Raises:
        ConfigurationError: The reason is missing.
    """
    if not reason.strip():
        raise ConfigurationError("an erasure needs its reason", next_step="give --reason; name nobody in it.")
    record_look(work, found, principal)
    number = secrets.token_hex(8)
    body = {"request": number, "dataset": found.erased.dataset, "landed": list(found.erased.refs)}
    with work.store.publishing() as connection:
        log.append(connection, ASKED, {**body, "principal": principal, "reason": reason.strip()})
    return number


def record_look(work: Workspace, found: Found, principal: str) -> None:
    """Write into the ledger that somebody looked for a record: of which persons it is."""
    erased = found.erased
    persons = [*erased.gone, *erased.shared]
    accesses.record(work.store, principal, "erasure.find", erased.dataset, Seen(entity=erased.entity, persons=persons))


def confirm(work: Workspace, request: str, principal: str, watch: Watch = lambda _, __, ___: None) -> dict[str, Any]:
    """Let a requested erasure happen, as another person; see `motlan.stewardship.erasure.erase`.

    Raises:
        AccessError: The one who asked may be the same human.
        ConfigurationError: There is no such request, or it was carried out.
    """
    asked = find(work, request)
    with work.store.engine.connect() as connection:
        if humans(connection, {str(asked["principal"]), principal}) < 2:
            raise AccessError(
                "who asked for an erasure does not confirm it",
                where=request,
                next_step=f"let another person sign in and run `motlan erase --confirm {request}`.",
            )
    return erasure.erase(
        work,
        str(asked["dataset"]),
        principal,
        str(asked["reason"]),
        refs=list(asked["landed"]),
        request=request,
        watch=watch,
    )


def find(work: Workspace, request: str) -> Mapping[str, Any]:
    """Return the body of a request that waits.

    Raises:
        ConfigurationError: There is none of this id, or it was carried out.
    """
    entry = tables.log_entries.c
    mine = (entry.kind == ASKED, entry.body["request"].astext == request)
    done = (entry.kind == erasures.BEGUN, entry.body["request"].astext == request)
    with work.store.engine.connect() as connection:
        found: Mapping[str, Any] | None = connection.execute(sa.select(entry.body).where(*mine)).scalar_one_or_none()
        if found is None or connection.execute(sa.select(entry.index).where(*done)).first():
            what = "this erasure was carried out, or is under way" if found else "there is no such request"
            raise ConfigurationError(what, where=request, next_step="see `motlan erase --list`.")
    return found


def listed(work: Workspace) -> list[dict[str, Any]]:
    """Return requests and erasures, oldest first: `request`, `erasure`, `dataset`, `rows`, `state`, `at`, `principal` and why."""
    entry = tables.log_entries.c
    query = sa.select(entry.body, entry.recorded_at).where(entry.kind == ASKED).order_by(entry.index)
    with work.store.engine.connect() as connection:
        made = erasures.listed(connection)
        asked = [(dict(body), at.isoformat()) for body, at in connection.execute(query)]
    known = {one["request"] for one in made}
    waiting = [_row(body, at, "waits for another person") for body, at in asked if body["request"] not in known]
    done = [_row(one, one["at"], "done" if one["done"] else "under way") for one in made]
    return sorted([*waiting, *done], key=lambda one: str(one["at"]))


def _row(body: Mapping[str, Any], at: str, state: str) -> dict[str, Any]:
    names = ("request", "erasure", "dataset", "principal", "reason")
    return {**{name: body.get(name) for name in names}, "rows": len(body["landed"]), "state": state, "at": at}


def repeat(work: Workspace, principal: str, watch: Watch = lambda _, __, ___: None) -> list[dict[str, Any]]:
    """Erase again what was erased after the backup that was restored; what is not landed there is left out.

    Raises:
        ConfigurationError: There is nothing to repeat.
    """
    path = work.settings.var / erasures.TO_REPEAT
    if not path.exists():
        raise ConfigurationError("no erasure is to be repeated", next_step="see `motlan erase --list`.")
    done = []
    for line in path.read_text(encoding="utf-8").splitlines():
        one = json.loads(line)
        try:
            done.append(erasure.erase(work, one["dataset"], principal, one["reason"], refs=one["landed"], watch=watch))
        except DataError:  # landed after the backup, or repeated before a kill
            continue
    path.unlink()
    return done
