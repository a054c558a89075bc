"""What was published of a person, publication by publication: since when a value has been so, and what it was before.

Two times are kept apart. Recorded time is ours: when a publication said it. Valid time is the source's: of when its record is,
and since when that record says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import duckdb
import sqlalchemy as sa

from motlan.expressions import literal, quote
from motlan.lake.iceberg import read_parquet
from motlan.lake.tables import corrections_table, golden_table
from motlan.lineage.evidence import Evidence, InForce
from motlan.merge.provenance import POINTER, pointed
from motlan.store import tables
from motlan.workspace import Workspace

Tree = dict[str, Any]


@dataclass(frozen=True)
class Published:
    """What the publications in force say of one person.

    Attributes:
        rows: The golden row as each publication that touched it left it, oldest first, with `_run`, `_op`, `_ordinal` and
            `_changed`.
        publications: Run -> number, moment (ISO 8601) and the first number of its feed.
    """

    rows: list[dict[str, Any]]
    publications: dict[str, tuple[int, str, int]]

    def history(self, field: str) -> list[Tree]:
        """Return the values that a field had, oldest first.

        Returns:
            Of each: `publication`, `recorded_at`, `event`, `value`, and `dataset`, `as_of`, `rule`, `disputed` where it is known.
        """
        told: list[Tree] = []
        before: Any = None
        for row in self.rows:
            pointer = next((one for one in row[POINTER] or () if one["field"] == field), None)
            said = {name: pointer[name] if pointer else None for name in ("dataset", "as_of", "rule", "disputed")}
            now = (row[field] if row["_op"] != "removed" else None, said)
            if row["_op"] == "updated" and now == before:
                continue
            before = now
            number, at, _ = self.publications[row["_run"]]
            told.append({"publication": number, "recorded_at": at, "event": row["_op"], "value": now[0], **said})
        return told

    def feed_numbers(self) -> list[Tree]:
        """Return the feed's numbers of this person: `seq`, `publication`, `recorded_at`, `event`, `changed`, and the row."""
        told = []
        for row in self.rows:
            number, at, first = self.publications[row["_run"]]
            if row["_ordinal"] is not None:
                seq = first - 1 + int(row["_ordinal"])
                named = {"seq": seq, "publication": number, "recorded_at": at, "event": row.get("_event") or row["_op"]}
                told.append({**named, "changed": row["_changed"] or [], "row": row})
        return told


def read_history(
    engine: duckdb.DuckDBPyConnection, work: Workspace, evidence: Evidence, person: str, at: InForce
) -> Published:
    """Read what the publications in force say of a person."""
    entity = evidence.entity
    table = tables.publications.c
    query = sa.select(table.run, table.number, table.recorded_at, table.first_seq).where(table.run.in_(at.runs))
    with work.store.engine.connect() as connection:
        publications = {
            run: (number, moment.isoformat(), seq) for run, number, moment, seq in connection.execute(query)
        }
    if evidence.published is not None:
        engine.register("versions_of_rows", evidence.published)
        versions = "versions_of_rows"
    elif files := work.lake.files(golden_table(entity), set(at.runs)):
        versions = read_parquet(files)
    else:
        return Published([], publications)
    rows = pointed(f"(from {versions} where entity_id = {literal(person)})")
    found = engine.execute(f"select * from {rows} order by _run")
    names = [column[0] for column in found.description]
    fields = dict.fromkeys(work.registry.entity(entity).fields)
    return Published([{**fields, **dict(zip(names, row, strict=True))} for row in found.fetchall()], publications)


def read_corrections(
    engine: duckdb.DuckDBPyConnection,
    work: Workspace,
    entity: str,
    person: str,
    keys: set[tuple[str, str]],
    at: InForce,
) -> list[Tree]:
    """Return the corrections that were offered to owners of a person's records, oldest first.

    Returns:
        Of each change of one: `dataset`, `key`, `field`, `event` (`opened`, `refreshed`, `closed`), `value` (what the register
        says), `golden_value`, `authority`, `severity`, `publication`, `recorded_at`.
    """
    files = work.lake.files(corrections_table(entity), set(at.runs))
    if not files:
        return []
    listed = ", ".join(literal(key) for _, key in sorted(keys)) or "null"
    names = ("run", "op", "dataset", "key", "field", "value", "golden_value", "authority", "severity")
    columns = ", ".join(quote(name) for name in ("_run", "_op", "dataset", "_key", *names[4:]))
    found = engine.execute(
        f"select {columns} from {read_parquet(files)} where _key in ({listed}) and entity_id = {literal(person)} "
        "order by _run, dataset, _key, field"
    ).fetchall()
    table = tables.publications.c
    with work.store.engine.connect() as connection:
        query = sa.select(table.run, table.number, table.recorded_at).where(table.run.in_(at.runs))
        published = {run: (number, moment.isoformat()) for run, number, moment in connection.execute(query)}
    events = {"created": "opened", "updated": "refreshed", "removed": "closed"}
    told = []
    for row in found:
        named = dict(zip(names, row, strict=True))
        number, moment = published[named.pop("run")]
        told.append({"event": events[named.pop("op")], **named, "publication": number, "recorded_at": moment})
    return told
