"""Negative controls: evidence altered on purpose, one thing at a time. A replay that does not notice is worth nothing."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from motlan.ingest.raw_columns import is_stored
from motlan.lineage.evidence import Evidence, gather
from motlan.lineage.replay import Sample, replay
from motlan.workspace import Workspace

EACH = 10
"""On how many persons' fields each kind of control is tried."""
NEIGHBOURS = 40
"""How many persons the evidence is about: an altered link needs somebody else's row."""


def _set(table: pa.Table, column: str, row: int, value: object) -> pa.Table:
    values = table[column].to_pylist()
    values[row] = value
    return table.set_column(table.column_names.index(column), column, pa.array(values, table[column].type))


def _pointed(evidence: Evidence, person: str, field: str) -> tuple[dict[str, Any], int]:
    row = pc.index(evidence.golden["entity_id"], person).as_py()
    pointers = evidence.golden["_pointers"][row].as_py()
    return next(pointer for pointer in pointers if pointer["field"] == field), row


def altered_row(evidence: Evidence, person: str, field: str, dice: random.Random) -> Evidence:
    """One character of one raw value of the landed row is another."""
    pointer, _ = _pointed(evidence, person, field)
    rows = evidence.raw[pointer["dataset"]]
    at = pc.index(rows["_ref"], pointer["ref"]).as_py()
    filled = [name for name in rows.column_names if is_stored(name) and rows[name][at].as_py()]
    column = dice.choice(filled)
    value = rows[column][at].as_py()
    return replace(evidence, raw={**evidence.raw, pointer["dataset"]: _set(rows, column, at, value[:-1] + "~")})


def altered_payload(evidence: Evidence, person: str, field: str, dice: random.Random) -> Evidence:
    """One bit of the payload that the row came in is another."""
    pointer, _ = _pointed(evidence, person, field)
    rows = evidence.raw[pointer["dataset"]]
    target = rows["_payload"][pc.index(rows["_ref"], pointer["ref"]).as_py()].as_py()

    def read(name: str) -> bytes:
        payload = bytearray(evidence.payload(name))
        if name == target:
            payload[dice.randrange(len(payload))] ^= 1
        return bytes(payload)

    return replace(evidence, payload=read)


def altered_rule(evidence: Evidence, person: str, field: str, dice: random.Random) -> Evidence:
    """The stored query that cleaned, linked or merged says something else."""
    pointer, row = _pointed(evidence, person, field)
    link = pc.index(evidence.links["_ref"], pointer["ref"]).as_py()
    used = [
        evidence.cleaned_by[pointer["ref"]],
        evidence.golden["_merge_version"][row].as_py(),
        evidence.links["_link_version"][link].as_py(),
    ]
    version = dice.choice(used)
    kind, subject, body = evidence.versions[version]
    key = "match_weight" if kind == "link" else "query"
    changed = {**body, key: str(body[key]).replace("1", "2", 1)}
    return replace(evidence, versions={**evidence.versions, version: (kind, subject, changed)})


def altered_value(evidence: Evidence, person: str, field: str, dice: random.Random) -> Evidence:
    """The golden value itself is another."""
    _, row = _pointed(evidence, person, field)
    value = evidence.golden[field][row].as_py()
    return replace(evidence, golden=_set(evidence.golden, field, row, value + dice.choice("0xạ")))


def altered_decision(evidence: Evidence, person: str, field: str, dice: random.Random) -> Evidence:
    """The pointer says that another register was believed."""
    pointer, row = _pointed(evidence, person, field)
    pointers = evidence.golden["_pointers"][row].as_py()
    others = [name for name in evidence.raw if name != pointer["dataset"]]
    changed = [{**other, "dataset": dice.choice(others)} if other["field"] == field else other for other in pointers]
    return replace(evidence, golden=_set(evidence.golden, "_pointers", row, changed))


def altered_link(evidence: Evidence, person: str, field: str, dice: random.Random) -> Evidence:
    """The row that gave the value is linked to this person by comparison with somebody else's row."""
    pointer, _ = _pointed(evidence, person, field)
    at = pc.index(evidence.links["_ref"], pointer["ref"]).as_py()
    others = [link for link in evidence.links.to_pylist() if link["entity_id"] != person]
    other = dice.choice(others)
    links = evidence.links
    for column, value in (("compared", other["compared"]), ("compared_ref", other["compared_ref"]), ("rule", "exact")):
        links = _set(links, column, at, value)
    return replace(evidence, links=links)


KINDS: tuple[Callable[[Evidence, str, str, random.Random], Evidence], ...] = (
    altered_row,
    altered_payload,
    altered_rule,
    altered_value,
    altered_decision,
    altered_link,
)


def controls(work: Workspace, entity: str, checked: Sample, seed: int) -> Iterator[tuple[str, bool]]:
    """Try every kind of control on fields that replayed equal; give its name and whether it was noticed.

    The fields of one kind are altered together and replayed together: each of them must be found broken.
    """
    dice = random.Random(seed)
    fields = list(dict(dice.sample(list(checked), len(list(checked)))).items())[:NEIGHBOURS]
    targets = fields[:EACH]
    evidence = gather(work, entity, sorted(person for person, _ in fields))
    for kind in KINDS:
        altered = evidence
        for person, field in targets:
            altered = kind(altered, person, field, dice)
        broken = set(replay(work, altered, targets).broken)
        for target in targets:
            yield kind.__name__, target in broken
