"""What an erasure would destroy: the landed rows of a record, the persons that it was linked to, the payloads that hold it."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import duckdb

from motlan.errors import DataError
from motlan.expressions import quote
from motlan.lake.iceberg import read_parquet
from motlan.lake.tables import clean_table, golden_table, links_table, raw_table
from motlan.ledger import erasures
from motlan.stewardship import erased_store
from motlan.stewardship.erased_rows import Erased
from motlan.workspace import Workspace


@dataclass(frozen=True)
class Found:
    """What an erasure would destroy.

    Attributes:
        erased: The record.
        payloads: Payloads that hold it -> how many rows of others they hold.
        entries: Entries of the quarantine.
    """

    erased: Erased
    payloads: Mapping[str, int]
    entries: int

    def counts(self) -> dict[str, Any]:
        """Return it as small counts, without a value."""
        return {
            "dataset": self.erased.dataset,
            "rows": len(self.erased.refs),
            "persons_erased": len(self.erased.gone),
            "persons_left": len(self.erased.shared),
            "payloads": len(self.payloads),
            "rows_of_others_in_payloads": sum(self.payloads.values()),
            "quarantine_entries": self.entries,
        }


def find(work: Workspace, dataset: str, *, key: str | None = None, refs: Sequence[str] = ()) -> Found:
    """Find what of a record is stored.

    Args:
        work: The open installation.
        dataset: Whose record it is.
        key: Its key at the source.
        refs: In place of it, references of landed rows: the records that they are of.

    Raises:
        DataError: Nothing is landed of it.
    """
    name = work.registry.dataset(dataset).name
    entity = work.registry.dataset(dataset).entity
    with work.engine(f"looking for a record of {name}") as engine:
        keys, known, named = _landed(work, engine, name, key, refs)
        if not known:
            raise DataError(
                "nothing is landed of this record, or it was erased before",
                where=name,
                next_step="give its key as `motlan lineage` shows it, or the reference of a landed row.",
            )
        beside = [golden_table(related.name) for related in work.registry.related_to(entity)]
        erased = Erased(name, entity, keys, known, beside=beside, token=erasures.TOKEN + secrets.token_hex(8))
        erased.load(engine)
        gone, shared = _persons(work, engine, erased)
        erased = replace(erased, numbers=_numbers(work, engine, erased), gone=gone, shared=shared)
        held = _others(work, engine, named)
    with work.store.engine.connect() as connection:
        entries, said = erased_store.find_entries(connection, erased)
    return Found(erased, held | dict.fromkeys(said, 0), len(entries))


def _landed(
    work: Workspace, engine: duckdb.DuckDBPyConnection, dataset: str, key: str | None, refs: Sequence[str]
) -> tuple[list[str], list[str], list[str]]:
    """Return the keys, the references and the payloads of a record's landed rows."""
    files = [added.path for added in work.lake.added(raw_table(dataset))]
    if not files:
        return [], [], []
    rows = read_parquet(files)
    keys = [key] if key is not None else []
    if refs:
        query = f"select distinct _key from {rows} where list_contains($refs, _ref) and _key is not null"
        keys = [str(row[0]) for row in engine.execute(query, {"refs": list(refs)}).fetchall()]
    query = (
        f"select _ref, _payload from {rows} where _salt is not null "
        "and (list_contains($keys::varchar[], _key) or list_contains($refs::varchar[], _ref)) order by _ref"
    )
    found = engine.execute(query, {"keys": keys, "refs": list(refs)}).fetchall()
    return keys, [row[0] for row in found], sorted({row[1] for row in found if row[1]})


def _persons(work: Workspace, engine: duckdb.DuckDBPyConnection, erased: Erased) -> tuple[list[str], list[str]]:
    """Return the persons that the record ever was linked to: those of whom no other record is left, and all others."""
    files = [added.path for added in work.lake.added(links_table(erased.entity))]
    if not files:
        return [], []
    query = f"select distinct entity_id from {read_parquet(files)} where {erased.mine()}"
    ever = {str(row[0]) for row in engine.execute(query).fetchall()}
    published = work.published_rows(erased.entity, links_table(erased.entity))
    others: set[str] = set()
    if published:
        query = f"select distinct entity_id from {published} where not {erased.mine()}"
        others = {
            str(row[0])
            for row in engine.execute(f"{query} and list_contains($ever, entity_id)", {"ever": sorted(ever)}).fetchall()
        }
    return sorted(ever - others), sorted(ever & others)


def _numbers(work: Workspace, engine: duckdb.DuckDBPyConnection, erased: Erased) -> list[str]:
    """Return what identifiers the record's accepted rows said."""
    files = [added.path for added in work.lake.added(clean_table(erased.dataset))]
    names = [
        name
        for name in work.registry.entity(erased.entity).matching.identifiers
        if name in work.registry.dataset(erased.dataset).fields
    ]
    if not files or not names:
        return []
    listed = ", ".join(map(quote, names))
    query = (
        f"select distinct unnest([{listed}]) as v from {read_parquet(files)} where _ref in (select v from erased_refs)"
    )
    return sorted(str(row[0]) for row in engine.execute(query).fetchall() if row[0] is not None)


def _others(work: Workspace, engine: duckdb.DuckDBPyConnection, named: Sequence[str]) -> dict[str, int]:
    """Return of payloads how many rows of others they hold."""
    files = [added.path for dataset in sorted(work.registry.datasets) for added in work.lake.added(raw_table(dataset))]
    query = (
        f"select _payload, count(*) from {read_parquet(files)} where list_contains($named::varchar[], _payload) "
        "and _ref not in (select v from erased_refs) group by _payload"
    )
    found = dict(engine.execute(query, {"named": list(named)}).fetchall())
    return {name: int(found.get(name, 0)) for name in named}
