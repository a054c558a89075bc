"""Proof of one value of one person: one file (C2SP tlog-proof), which `check.py` checks with the log's public key alone.

It leads from the value to the golden row that was published last, from there to the log, and likewise from the record that gave
the value. It tells the golden row and that record in full, and of the 63 rows beside each only what tells nothing of them.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import rfc8785
import sqlalchemy as sa

from motlan.errors import ContractError, DataError
from motlan.expressions import literal
from motlan.ingest.raw_columns import is_stored, of_file
from motlan.lake.tables import golden_table, raw_table, salts_table
from motlan.ledger import accesses, log, merkle, runs
from motlan.ledger.row_commitments import BLOCK, hash_blocks
from motlan.lineage.evidence import chunk_of
from motlan.merge.provenance import POINTER, pointed
from motlan.proof import checkpoints
from motlan.publication.golden_commitments import kept_commitments, row_as_text
from motlan.store import tables
from motlan.workspace import Workspace

Part = dict[str, Any]


def prove(work: Workspace, entity: str, person: str, field: str, principal: str) -> str:
    """Return the proof of a golden value, over the log as it stands now; the look is written into the ledger first.

    Args:
        work: The open installation.
        entity: The entity's name.
        person: The bus's own person id.
        field: The golden field.
        principal: Who asks.

    Raises:
        DataError: The person has no such value now.
        ContractError: A row, a salt or an entry that it rests on is missing: `motlan audit verify` tells more.
    """
    accesses.record(work.store, principal, "proof.read", person)
    checkpoint = checkpoints.sign(work.store, work.settings)
    with work.engine(f"proving a value of {entity}") as engine, work.store.engine.connect() as connection:
        building = _Proof(work, engine, connection, entity, checkpoint.size)
        run, golden, pointer = building.golden(person, field)
        entry, index = building.entry("publication", run)
        source = building.source(pointer["dataset"], pointer["ref"])
        path = log.prove_inclusion(connection, index, checkpoint.size)
    said = {
        "entity": entity,
        "id": person,
        "field": field,
        "value": golden["row"][field],
        "entry": entry,
        "golden": golden,
        "source": source,
    }
    extra = base64.b64encode(rfc8785.dumps(said)).decode()
    lines = ["c2sp.org/tlog-proof@v1", f"extra {extra}", f"index {index}", *map(_text, path), "", checkpoint.note]
    return "\n".join(lines)


def _text(node: bytes) -> str:
    return base64.b64encode(node).decode()


@dataclass(frozen=True)
class _Proof:
    """What a proof is made from: the installation, sessions of engine and store, and the size of the log that it is over."""

    work: Workspace
    engine: duckdb.DuckDBPyConnection
    connection: sa.Connection
    entity: str
    size: int

    def golden(self, person: str, field: str) -> tuple[str, Part, Part]:
        """Return the run that published a person's row last, the row with its place in the log, and the field's pointer."""
        table = golden_table(self.entity)
        published = runs.visible(self.connection, "reconcile", self.entity)
        for run in sorted(published, reverse=True):
            for path in self.work.lake.files(table, {run}):
                found = row_as_text(self.engine, path, f"entity_id = {literal(person)}")
                if found is None:
                    continue
                if found["_op"] == "removed" or found.get(field) is None:
                    raise DataError(f"this {self.entity} has no value of {field} now", where=person)
                (salts,) = (
                    one for one in self.work.lake.files(salts_table(table), {run}) if one.endswith(Path(path).name)
                )
                position = int(found.pop("file_row_number") or 0)
                kept = pq.read_table(salts)["_salt"].combine_chunks()
                commitments = kept_commitments(self.engine, path, salts)
                part = _place(position, commitments, found, kept[position].as_py())
                return run, {**part, "table": table, "file": Path(path).name}, self._pointer(path, person, field)
        raise DataError(
            f"there is no golden {self.entity} of this person id", next_step="check it with `motlan lineage`."
        )

    def _pointer(self, path: str, person: str, field: str) -> Part:
        rows = pointed(
            f"(from read_parquet({literal(path)}, hive_partitioning = false) where entity_id = {literal(person)})"
        )
        ((pointers,),) = self.engine.execute(f"select {POINTER} from {rows}").fetchall()
        return next(one for one in pointers if one["field"] == field)

    def source(self, dataset: str, ref: str) -> Part:
        """Return the landed row of a reference, with its place in the log."""
        run, chunk = chunk_of(ref)
        position = int(ref.rsplit("/", 1)[1])
        ending = f"/{chunk:06d}.parquet"
        (path,) = (one for one in self.work.lake.files(raw_table(dataset), {run}) if one.endswith(ending))
        columns = of_file(path)
        names = sorted(name for name in pq.read_schema(path).names if is_stored(name))
        rows = pq.read_table(path, columns=["_salt", "_commitment", *names])
        row = {name: rows[name][position].as_py() for name in names}
        entry, index = self.entry("landing", run)
        if rows["_salt"][position].as_py() is None:
            raise ContractError(
                "the record that gave this value was erased",
                where=ref,
                next_step="reconcile and publish: what other registers say is proved then.",
            )
        part = _place(position, rows["_commitment"].combine_chunks(), row, rows["_salt"][position].as_py())
        log_path = list(map(_text, log.prove_inclusion(self.connection, index, self.size)))
        of_names = [columns[name] for name in names]
        return {**part, "entry": entry, "index": index, "log_path": log_path, "chunk": chunk, "names": of_names}

    def entry(self, kind: str, run: str) -> tuple[Part, int]:
        """Return the log's entry of a kind about a run, as its leaf has it, and its index."""
        table = tables.log_entries
        query = sa.select(table).where(table.c.kind == kind, table.c.body["run"].astext == run)
        found = self.connection.execute(query).mappings().one_or_none()
        if found is None:
            raise ContractError(f"the log has no {kind} of this run", where=run, next_step="run `motlan audit verify`.")
        return log.entry_of(found["recorded_at"], kind, found["body"]), found["index"]


def _place(position: int, commitments: Any, row: dict[str, str | None], salt: str) -> Part:
    """Return a row with what shows that it is under its file's root."""
    block = position // BLOCK
    return {
        "row": row,
        "salt": salt,
        "position": position,
        "rows": len(commitments),
        "block": commitments[block * BLOCK : (block + 1) * BLOCK].to_pylist(),
        "path": list(map(_text, merkle.prove_inclusion(hash_blocks(commitments), block))),
    }
