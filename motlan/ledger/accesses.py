"""Accesses: who saw whose which fields, when, for what, and on which legal basis.

An access is written down before the answer is given, so that no look goes unwritten, and with it, in the same transaction, an
entry of the log: the access's number and a salted commitment, which tells nobody who looked at whom. Later changes of the row
show against it (`mismatches`); whose row's salt is erased stays in the log as a number alone.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import rfc8785
import sqlalchemy as sa

from motlan.ledger import log
from motlan.store import Store, tables

KIND = "access"
"""Kind of the log's entry."""
REFUSED = "feed.refused"
"""What is written down where rows were not served, because they are not as they were published."""
_UUID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")
_UNBOUND = ("salt", "commitment", "log_index")
"""Columns that the commitment is not of."""
_BATCH = 5_000


@dataclass(frozen=True)
class Basis:
    """Why somebody may look.

    Attributes:
        purpose: What for, in a few words; never a personal value.
        legal_basis: The text that allows it.
        case_reference: The number of the case, the request or the audit that it belongs to.
    """

    purpose: str | None = None
    legal_basis: str | None = None
    case_reference: str | None = None


@dataclass(frozen=True)
class Seen:
    """Whose data are seen, and which.

    Attributes:
        entity: The entity.
        persons: The bus's own ids of persons, where they are few.
        first_seq: The first number of the feed that is given, of a page of changes.
        last_seq: The last one; of a page of a snapshot the number at which its rows stand.
        first_key: The first of the bus's own ids of a page of a snapshot.
        last_key: The last one.
        fields: The fields.
    """

    entity: str | None = None
    persons: Sequence[str] = ()
    first_seq: int | None = None
    last_seq: int | None = None
    first_key: str | None = None
    last_key: str | None = None
    fields: Sequence[str] = ()


_BASIS: ContextVar[Basis | None] = ContextVar("basis", default=None)


@contextmanager
def on_basis(basis: Basis) -> Iterator[None]:
    """Let what is looked at in this block be written down with a purpose and a legal basis, where none is said beside."""
    token = _BASIS.set(basis)
    try:
        yield
    finally:
        _BASIS.reset(token)


def basis_of_environment(purpose: str) -> Basis:
    """Return what `MOTLAN_PURPOSE`, `MOTLAN_LEGAL_BASIS` and `MOTLAN_CASE` say; the purpose given where none is said."""
    said = (os.environ.get(name) or None for name in ("MOTLAN_PURPOSE", "MOTLAN_LEGAL_BASIS", "MOTLAN_CASE"))
    basis = Basis(*said)
    return basis if basis.purpose else replace(basis, purpose=purpose)


def is_own_id(text: str) -> bool:
    """Tell whether a text is an id as the bus gives them, and no identifier."""
    return _UUID.fullmatch(text) is not None


def record(
    store: Store, principal: str, action: str, subject: str, seen: Seen | None = None, basis: Basis | None = None
) -> int:
    """Write down a look, and append it to the log; return its number.

    Args:
        store: The open store.
        principal: The agency or person who looks, as signed in.
        action: What they do, such as `feed.read` or `lineage.read`.
        subject: The bus's own ids or a range of them, for people; never an identifier or another personal value.
        seen: Whose data, and which; where absent, the persons are those whose ids the subject has.
        basis: Why they may; where absent, as `on_basis` or the environment says it.
    """
    seen = seen or Seen(persons=_UUID.findall(subject))
    basis = basis or _BASIS.get() or basis_of_environment(action)
    values: dict[str, Any] = {
        "principal": principal,
        "action": action,
        "subject": subject,
        "recorded_at": datetime.now(UTC),
        **vars(seen),
        "persons": list(seen.persons) or None,
        "fields": list(seen.fields) or None,
        **vars(basis),
        "salt": secrets.token_bytes(16),
    }
    with store.engine.begin() as connection:
        # Nothing comes back: who adds here need not be able to read.
        number = int(connection.execute(sa.text("select nextval('accesses_id_seq')")).scalar_one())
        values |= {"id": number}
        made = commitment_of(values)
        index = log.append(connection, KIND, {"access": number, "commitment": made.hex()})
        row = values | {"commitment": made, "log_index": index}
        connection.execute(sa.insert(tables.accesses).values(**row).inline())
    return number


def commitment_of(row: Mapping[str, Any]) -> bytes:
    """Return the commitment of an access: SHA-256 of its salt and of the canonical JSON (RFC 8785) of what it says."""
    said = {name: value for name, value in row.items() if name not in _UNBOUND and value is not None}
    said["recorded_at"] = said["recorded_at"].astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return hashlib.sha256(bytes(row["salt"]) + rfc8785.dumps(said)).digest()


def mismatches(connection: sa.Connection, entries: Mapping[int, tuple[str, str]]) -> Iterator[tuple[int, str, str]]:
    """Compare accesses with what the log says of them; give the number, the day and what is wrong of each that differs.

    Args:
        connection: The store's.
        entries: Access -> its commitment in hex, and the day, as the log's entries have them.

    Yields:
        The access, the day (UTC, ISO 8601) on which it was recorded, and `altered`, `removed` or `added`.
    """
    table, found = tables.accesses, set[int]()
    query = sa.select(table).order_by(table.c.id).execution_options(yield_per=_BATCH)
    for row in connection.execute(query).mappings():
        number = row["id"]
        found.add(number)
        expected, day = entries.get(number, (None, str(row["recorded_at"].astimezone(UTC).date())))
        if expected is None:
            yield number, day, "added"
        elif row["salt"] is None or commitment_of(dict(row)).hex() != expected:
            yield number, day, "altered"
    for number in sorted(entries.keys() - found):
        yield number, entries[number][1], "removed"
