"""What a person decides about a quarantined row: how it should read, or that it may pass as it is.

Who, when and why are kept for ever; what a row read before and after is kept as a payload, and never in a log. Nothing
is accepted here: the next replay does that.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from motlan.config.storable import STORABLE
from motlan.errors import ConfigurationError, ContractError, DataError
from motlan.expressions import literal
from motlan.ingest import payloads
from motlan.ingest.raw_columns import is_stored, labels, of_files
from motlan.lake.iceberg import read_parquet
from motlan.lake.tables import raw_table
from motlan.ledger import accesses, log
from motlan.ledger.row_log import commit_rows
from motlan.quarantine import LIVE
from motlan.store import tables
from motlan.workspace import Workspace

_UNWAIVABLE = {rule.name for rule in STORABLE}
SHORTEST = 8
"""Digits of an entry's id that a person must type at the least."""


def find(work: Workspace, entry: str) -> dict[str, Any]:
    """Find an entry by its id, or by a beginning of it that no other has.

    Raises:
        DataError: There is none, or more than one.
    """
    table = tables.quarantine_entries
    found: Sequence[sa.RowMapping] = []
    if len(entry) >= SHORTEST and entry.isalnum():
        with work.store.engine.connect() as connection:
            query = sa.select(table).where(table.c.id.startswith(entry.lower())).limit(2)
            found = connection.execute(query).mappings().all()
    if len(found) != 1:
        raise DataError(
            f"{'no' if not found else 'more than one'} entry of the quarantine has this id",
            next_step=f"see `motlan quarantine list`; type at least {SHORTEST} digits.",
        )
    return dict(found[0])


def require_live(work: Workspace, entry: str, *, waives: bool = False) -> None:
    """Let a person be asked for a decision: the entry is there, waits for something and, to be waived, may be.

    Raises:
        ConfigurationError: The store cannot hold the row, so that it cannot be waived.
        DataError: There is no such entry, or it is closed.
    """
    found = find(work, entry)
    if found["state"] not in LIVE:
        raise _closed()
    if waives:
        _require_waivable(found)


def _closed() -> DataError:
    return DataError("this entry is closed: an accepted row is there", next_step="see `motlan quarantine show`.")


def _require_waivable(entry: Mapping[str, Any]) -> None:
    if kept := sorted(_UNWAIVABLE & set(entry["rules"])):
        raise ConfigurationError(
            f"{kept[0]} cannot be waived: the store cannot hold such a row",
            next_step="say how it should read: `motlan quarantine fix`.",
        )


def raw_row(work: Workspace, entry: Mapping[str, Any]) -> dict[str, str | None]:
    """Return an entry's row as its source sent it, by the source's names. Its caller has written down the look."""
    files = work.lake.files(raw_table(entry["dataset"]), {entry["ref"].split("/", 1)[0]})
    with work.engine(f"reading the quarantine of {entry['dataset']}") as engine:
        query = f"select * from {read_parquet(files)} where _ref = {literal(entry['ref'])}"
        rows = engine.execute(query)
        names = [column[0] for column in rows.description or ()]
        found = rows.fetchall()
    if len(found) != 1:
        raise ContractError("the landed row of this entry is missing", next_step="restore the lake from a backup.")
    shown = labels(of_files(files))
    return {shown[name]: value for name, value in zip(names, found[0], strict=True) if is_stored(name)}


def look(work: Workspace, entry: str, principal: str, action: str) -> tuple[dict[str, Any], dict[str, str | None]]:
    """Write down a look, then return the entry and its raw row."""
    found = find(work, entry)
    accesses.record(work.store, principal, action, found["id"])
    return found, raw_row(work, found)


def fix(work: Workspace, entry: str, principal: str, why: str, changed: Mapping[str, str | None]) -> str:
    """Say how a row should read. The next replay lands it so.

    Args:
        work: The open installation.
        entry: The entry's id.
        principal: Who fixes, as signed in.
        why: In the person's words.
        changed: Raw column -> its new value; None for nothing.

    Returns:
        The entry's id.

    Raises:
        ConfigurationError: A column is not declared, nothing is changed, or the reason is missing.
        DataError: There is no such entry, or it is closed.
    """
    found, before = look(work, entry, principal, "quarantine.fix")
    columns = work.registry.dataset(found["dataset"]).columns
    if strange := sorted(set(changed) - set(columns)):
        raise ConfigurationError(
            f"{len(strange)} of the columns named are not declared", next_step=f"name one of {', '.join(columns)}."
        )
    after = before | dict(changed)
    if after == before:
        raise ConfigurationError("the fix changes nothing", next_step="name a column and its new value.")
    document = {
        "kind": "fix of a quarantined row",
        "entry": found["id"],
        "dataset": found["dataset"],
        "landed_row": found["ref"],
        "who": principal,
        "when": datetime.now(UTC).isoformat(),
        "why": _reason(why),
        "before": before,
        "after": after,
        "salt": secrets.token_hex(16),  # the payload's name is its hash, which nobody shall guess
    }
    payload = payloads.keep(work.settings.payloads, json.dumps(document, ensure_ascii=False, sort_keys=True).encode())
    values = {"state": "fixed", "waived": False, "fix": payload}
    with work.store.engine.begin() as connection:
        _decide(connection, found["id"], values, principal, "fix", document["why"])
    return str(found["id"])


def waive(work: Workspace, entry: str, principal: str, why: str) -> str:
    """Say that a row may pass as it is. The next replay accepts it, its findings attached. Returns the entry's id.

    Raises:
        ConfigurationError: The reason is missing, or the store cannot hold the row.
        DataError: There is no such entry, or it is closed.
    """
    found = find(work, entry)
    _require_waivable(found)
    with work.store.engine.begin() as connection:
        _decide(connection, found["id"], _WAIVED, principal, "waive", _reason(why))
    return str(found["id"])


def waive_all(work: Workspace, dataset: str, rule: str, principal: str, why: str) -> int:
    """Say so of all open rows of a dataset that broke a rule, such as those of a drifted chunk. Returns how many."""
    table, reason = tables.quarantine_entries.c, _reason(why)
    waivable = sa.not_(table.rules.overlap(sorted(_UNWAIVABLE)))
    mine = (
        table.dataset == work.registry.dataset(dataset).name,
        table.state == "open",
        table.rules.contains([rule]),
        waivable,
    )
    with work.store.engine.begin() as connection:
        changed = sa.update(tables.quarantine_entries).where(*mine).values(**_WAIVED).returning(table.id).cte()
        decided = sa.select(changed.c.id, *map(sa.literal, (principal, "waive", reason)))
        names = ["entry", "principal", "action", "reason"]
        kept = sa.insert(tables.quarantine_decisions).from_select(names, decided)
        done = list(connection.scalars(kept.returning(tables.quarantine_decisions.c.id)))
        for first in range(0, len(done), TOGETHER):
            bound = commit_rows(connection, tables.quarantine_decisions, done[first : first + TOGETHER])
            log.append(connection, "quarantine decision", {"dataset": dataset, "rule": rule, "action": "waive"} | bound)
        return len(done)


TOGETHER = 1_000
"""Decisions that one entry of the log binds at the most."""
_WAIVED = {"state": "waived", "waived": True, "fix": None}


def _reason(why: str) -> str:
    if not why.strip():
        raise ConfigurationError("a decision needs its reason", next_step="say why.")
    return why.strip()


def _decide(
    connection: sa.Connection, entry: str, values: Mapping[str, Any], principal: str, action: str, why: str
) -> None:
    table = tables.quarantine_entries
    live = sa.and_(table.c.id == entry, table.c.state.in_(LIVE))
    if not connection.execute(sa.update(table).where(live).values(**values)).rowcount:
        raise _closed()
    said = {"entry": entry, "principal": principal, "action": action, "reason": why, "payload": values["fix"]}
    decided = tables.quarantine_decisions
    number = connection.execute(sa.insert(decided).values(**said).returning(decided.c.id)).scalar_one()
    body = {"entry": entry, "action": action} | commit_rows(connection, decided, [number])
    log.append(connection, "quarantine decision", body)
