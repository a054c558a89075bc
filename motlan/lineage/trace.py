"""The chain of one golden value, from the value back to the landed row and its payload, for a person to read."""

from __future__ import annotations

import difflib
from typing import Any

import sqlalchemy as sa

from motlan import identifier_history
from motlan.adapter import tellable
from motlan.errors import ConfigurationError, DataError
from motlan.ingest.raw_columns import stored
from motlan.lake.tables import golden_table, identifiers_table, raw_table
from motlan.ledger import accesses
from motlan.lineage.evidence import Evidence, gather, golden_rows, run_of
from motlan.lineage.replay import replay
from motlan.store import tables
from motlan.workspace import Workspace

Chain = dict[str, Any]
LISTED = 20
"""Persons of one identifier that are listed at the most."""


def find_person(work: Workspace, entity: str, identifier: str) -> str:
    """Find the bus's own person id of an identifier; a person id that is golden is its own.

    Where nobody has the identifier now, who bore it before is found.

    Raises:
        DataError: Nothing is published; or no golden record has it, or several have: their person ids are listed.
    """
    if work.published_rows(entity, golden_table(entity)) is None:
        raise DataError(f"no {entity} is published yet", next_step="run `motlan reconcile` and `motlan publish` first.")
    columns = work.registry.entity(entity).matching.identifiers
    with work.engine(f"looking up a {entity}") as engine:
        where = " or ".join(f"{column} = $identifier" for column in ("entity_id", *columns))
        query = f"select distinct entity_id from {golden_rows(work, entity)} where {where} order by entity_id limit {LISTED + 1}"
        found = [str(row[0]) for row in engine.execute(query, {"identifier": identifier}).fetchall()]
        if not found:
            query = f"""select distinct entity_id from {_numbers(work, entity)} where value = $identifier
                        order by entity_id limit {LISTED + 1}"""
            found = [str(row[0]) for row in engine.execute(query, {"identifier": identifier}).fetchall()]
    if not found:
        raise DataError(f"no golden {entity} has this identifier", next_step="check the number; try `motlan status`.")
    if len(found) > 1:
        listed = ", ".join(found[:LISTED]) + (" and more" if len(found) > LISTED else "")
        raise DataError(
            f"more than one golden {entity} has this identifier: {listed}",
            next_step="look at one of them: motlan lineage --person ID.",
        )
    return found[0]


def numbers_of(work: Workspace, entity: str, person: str) -> list[Chain]:
    """Return the numbers that a person bore, where one was cancelled and established anew, the oldest first of each identifier.

    It is a part of `trace`, which writes the look into the ledger.

    Returns:
        `field`, `value`, `since` and `until` (the record's own moments; `until` null of the one that stands), `dataset`, `key`.
    """
    with work.engine(f"looking up numbers of a {entity}") as engine:
        query = f"""select field, value, since, until, dataset, _key from {_numbers(work, entity)}
                    where entity_id = $person order by field, since, period"""
        names = ("field", "value", "since", "until", "dataset", "key")
        return [dict(zip(names, row, strict=True)) for row in engine.execute(query, {"person": person}).fetchall()]


def _numbers(work: Workspace, entity: str) -> str:
    """Return the SQL of the published numbers that persons bore, with periods."""
    if found := work.published_rows(entity, identifiers_table(entity)):
        return found
    columns = (*identifier_history.PERIOD_KEY, *identifier_history.PERIOD_COLUMNS)
    return f"(select {', '.join(f'null::varchar as {name}' for name in columns)} where false)"


def check_field(work: Workspace, entity: str, field: str) -> None:
    """Refuse a field that an entity does not have.

    Raises:
        ConfigurationError: It has none of that name; those that it has are listed.
    """
    fields = work.registry.entity(entity).fields
    if field not in fields:
        close = difflib.get_close_matches(field, fields, 1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise ConfigurationError(
            f"{entity} has no field {tellable(field)}", next_step=f"{hint}there are {', '.join(fields)}."
        )


def trace(work: Workspace, entity: str, person: str, fields: list[str], principal: str) -> list[Chain]:
    """Return the chain of each asked golden field, replayed; the look is written into the ledger first.

    Args:
        work: The open installation.
        entity: The entity's name.
        person: The bus's own person id.
        fields: Which fields; all filled ones where empty.
        principal: Who asks.

    Raises:
        DataError: No golden record has this person id, or the record has none of these fields.
    """
    accesses.record(work.store, principal, "lineage.read", person)
    evidence = gather(work, entity, [person])
    if not evidence.golden.num_rows:
        raise DataError(
            f"there is no golden {entity} of this person id", next_step="check it; ended persons have none."
        )
    golden = evidence.golden.to_pylist()[0]
    pointers = [pointer for pointer in golden["_pointers"] if not fields or pointer["field"] in fields]
    if not pointers:
        raise DataError(f"this {entity} has no value of {', '.join(fields) or 'any field'}", where=person)
    verdict = replay(work, evidence, [(person, pointer["field"]) for pointer in pointers])
    broken = {name for _, name in verdict.broken}
    return [
        {
            "field": pointer["field"],
            "value": golden[pointer["field"]],
            "decision": {"rule": pointer["rule"], "disputed": pointer["disputed"], "version": golden["_merge_version"]},
            "source": _source(work, evidence, pointer),
            "replays_equal": pointer["field"] not in broken,
            "reasons": verdict.reasons if pointer["field"] in broken else {},
            "files": verdict.files if pointer["field"] in broken else [],
        }
        for pointer in pointers
    ]


def _source(work: Workspace, evidence: Evidence, pointer: Chain) -> Chain:
    dataset, ref = pointer["dataset"], pointer["ref"]
    row = next(row for row in evidence.raw[dataset].to_pylist() if row["_ref"] == ref)
    link = next(link for link in evidence.links.to_pylist() if link["_ref"] == ref and link["dataset"] == dataset)
    expression = work.registry.dataset(dataset).expressions[pointer["field"]]
    with work.store.engine.connect() as connection:
        query = sa.select(tables.runs.c.started_at).where(tables.runs.c.id == run_of(ref))
        landed_at = connection.execute(query).scalar_one()
    return {
        "dataset": dataset,
        "owner": work.registry.dataset(dataset).owner,
        "key": row["_key"],
        "source_moment": row["_moment"],
        "link": {"rule": link["rule"], "match_weight": link["match_weight"], "version": link["_link_version"]},
        "cleaned_by": {"expression": expression.text, "version": evidence.cleaned_by[ref]},
        "landed": {
            "table": raw_table(dataset),
            "row": ref,
            "at": landed_at.isoformat(),
            "locator": row["_locator"],
            "payload_sha256": row["_payload"],
            "commitment": row["_commitment"],
            "raw": {name: row[stored(name)] for name in sorted(expression.fields) if row.get(stored(name)) is not None},
        },
    }
