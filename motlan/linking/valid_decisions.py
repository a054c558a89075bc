"""Which decisions of people are valid in a linking: those whose records are still about whom they were made.

A decision remembers the landed rows that it was made on. A record that has become another person's since takes its decisions'
ground away: they are `stale`, do not hold, and are for people again. A small correction does not make a record another's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import duckdb
import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from motlan.config.matching import Matching
from motlan.expressions import literal, quote
from motlan.lake.iceberg import read_parquet
from motlan.linking import linking_rows as loading
from motlan.linking import model as models
from motlan.linking.decision_constraints import CONTRADICTION, Pair
from motlan.linking.model import Model
from motlan.linking.relations import Relations, create_table
from motlan.partitioning import hash_number
from motlan.store import Store, tables
from motlan.workspace import Workspace

STALE = "stale"
"""Why a decision is for people again: one of its records has become another person's."""
SIDES = ("left", "right")
Record = tuple[str, str]
"""Register and key."""
_KINDS = {**dict.fromkeys(tables.PAIR, pa.string()), "same": pa.bool_()}


@dataclass(frozen=True)
class Standing:
    """The decisions of an entity that nobody withdrew.

    Attributes:
        held: The pairs that are decided, and whose decision holds (`tables.PAIR`), each with `same`.
        numbers: Pair -> its decisions, those that are stale left out.
        stale: Decisions about a record that has become another's.
    """

    held: Sequence[tuple[str, str, str, str, bool]] = ()
    numbers: Mapping[tuple[str, ...], Sequence[int]] = field(default_factory=dict)
    stale: Sequence[int] = ()


def read(
    work: Workspace,
    engine: duckdb.DuckDBPyConnection,
    entity: str,
    inputs: Mapping[str, Sequence[str]],
    facts: str,
    model: Model | None,
) -> Standing:
    """Read the decisions that hold of the records as they are now.

    Args:
        work: The open installation.
        engine: A session that has the facts.
        entity: The entity's name.
        inputs: Dataset -> the sync runs to read.
        facts: Relation of the current rows: `dataset`, `_key`, `_ref`.
        model: The model to hold versions of a record against each other by; the declared one where there is none.
    """
    found = _decisions(work.store, entity)
    if not found:
        return Standing()
    records = {record for row in found for record in _records(row)}
    now = _current(engine, facts, records)
    _remember(work.store, [row for row in found if None in (row["left_ref"], row["right_ref"])], now)
    pairs = {
        (record, seen, now[record])
        for row in found
        for record, seen in zip(_records(row), (row["left_ref"], row["right_ref"]), strict=True)
        if seen is not None and record in now and now[record] != seen
    }
    others = _anothers(work, entity, inputs, pairs, model)
    stale = [
        row["id"]
        for row in found
        if any(
            (record, seen) in others
            for record, seen in zip(_records(row), (row["left_ref"], row["right_ref"]), strict=True)
        )
    ]
    return _counted([row for row in found if row["id"] not in set(stale)], stale)


def find_records(store: Store, entity: str, previous: str) -> set[Record]:
    """Return the records of which people decided something that holds, or did when a run began."""
    decision, assignment = tables.link_decisions.c, tables.link_assignments.c
    query = (
        sa.select(*(decision[name] for name in tables.PAIR))
        .join_from(tables.link_decisions, tables.link_assignments, assignment.id == decision.assignment)
        .where(decision.entity == entity, assignment.purpose != "known")
        .where(sa.or_(decision.withdrawn_at.is_(None), decision.withdrawn_at >= _began(previous)))
    )
    with store.engine.connect() as connection:
        found = connection.execute(query).mappings().all()
    return {record for row in found for record in _records(row)}


def changed_since(store: Store, entity: str, previous: str) -> bool:
    """Return whether people decided something about an entity's rows since a run began, or took it back."""
    decision = tables.link_decisions.c
    moments = sa.or_(decision.recorded_at >= _began(previous), decision.withdrawn_at >= _began(previous))
    with store.engine.connect() as connection:
        query = sa.select(decision.id).where(decision.entity == entity, moments).limit(1)
        return connection.execute(query).first() is not None


def _began(run: str) -> sa.ScalarSelect[Any]:
    return sa.select(tables.runs.c.started_at).where(tables.runs.c.id == run).scalar_subquery()


def carry(store: Store, previous: str, run: str) -> None:
    """Write down that the decisions which did not hold in a run do not hold in a later one, which linked nothing anew."""
    table = tables.link_contradictions
    held = sa.select(sa.literal(run), table.c.decision, table.c.reason).where(table.c.run == previous)
    with store.engine.begin() as connection:
        connection.execute(sa.delete(table).where(table.c.run == run))
        connection.execute(insert(table).from_select(["run", "decision", "reason"], held))


def _records(row: sa.RowMapping) -> tuple[Record, Record]:
    return (row["left_dataset"], row["left_key"]), (row["right_dataset"], row["right_key"])


def _decisions(store: Store, entity: str) -> Sequence[sa.RowMapping]:
    decision, assignment = tables.link_decisions.c, tables.link_assignments.c
    query = (
        sa.select(tables.link_decisions, assignment.needed)
        .join_from(tables.link_decisions, tables.link_assignments, assignment.id == decision.assignment)
        .where(decision.entity == entity, decision.withdrawn_at.is_(None), assignment.purpose != "known")
        .order_by(decision.id)
    )
    with store.engine.connect() as connection:
        return connection.execute(query).mappings().all()


def _current(engine: duckdb.DuckDBPyConnection, facts: str, records: Iterable[Record]) -> dict[Record, str]:
    create_table(engine, "decided_records", sorted(records), {"dataset": pa.string(), "_key": pa.string()})
    found = engine.execute(
        f"select dataset, _key, _ref from {facts} as f semi join decided_records using (dataset, _key)"
    ).fetchall()
    engine.execute("drop table decided_records")
    return {(dataset, key): ref for dataset, key, ref in found}


def _remember(store: Store, unseen: Sequence[sa.RowMapping], now: Mapping[Record, str]) -> None:
    """Give decisions without the rows that they were made on those of today."""
    table = tables.link_decisions
    with store.engine.begin() as connection:
        for row in unseen:
            left, right = (now.get(record) for record in _records(row))
            values = {"left_ref": row["left_ref"] or left, "right_ref": row["right_ref"] or right}
            connection.execute(sa.update(table).where(table.c.id == row["id"]).values(**values))


def _counted(found: Sequence[sa.RowMapping], stale: Sequence[int]) -> Standing:
    """Count verdicts: a pair is decided where as many agree as are needed, and more than say otherwise."""
    by_pair: dict[tuple[str, ...], list[sa.RowMapping]] = defaultdict(list)
    for row in found:
        by_pair[tuple(row[name] for name in tables.PAIR)].append(row)
    held, numbers = [], {}
    for pair, rows in sorted(by_pair.items()):
        same, different = (sum(row["verdict"] == verdict for row in rows) for verdict in ("same", "different"))
        if same != different and max(same, different) >= max(row["needed"] for row in rows):
            held.append((pair[0], pair[1], pair[2], pair[3], same > different))
            numbers[pair] = [row["id"] for row in rows]
    return Standing(held, numbers, stale)


def load(relations: Relations, standing: Standing) -> bool:
    """Make `decisions` (`n`, `other`, `same`) and `decided_pairs` (the same with `tables.PAIR`); return whether there is any."""
    given = relations.load("decided_records_of_pairs", standing.held, _KINDS)
    n, other = (hash_number(f"{side}_dataset || '/' || {side}_key") for side in SIDES)
    relations.make("decided_pairs", f"select {n} as n, {other} as other, given.* from {given} as given")
    relations.make("decisions", "select n, other, same from decided_pairs")
    relations.drop(given)
    return bool(standing.held)


def note(store: Store, engine: duckdb.DuckDBPyConnection, run: str, standing: Standing, *, linked: bool) -> int:
    """Write down which decisions did not hold in a run, once it has linked; return how many pairs and stale ones they are.

    Args:
        store: The open store.
        engine: The session, with the relation `contradicted_pairs` where there were decisions.
        run: The run.
        standing: What it read.
        linked: Whether there were any.
    """
    reasons = dict.fromkeys(standing.stale, STALE)
    pairs = engine.execute(_CONTRADICTED).fetchall() if linked else []
    for pair in pairs:
        reasons |= dict.fromkeys(standing.numbers[tuple(pair)], CONTRADICTION)
    table = tables.link_contradictions
    with store.engine.begin() as connection:
        connection.execute(sa.delete(table).where(table.c.run == run))
        if reasons:
            values = [{"run": run, "decision": decision, "reason": reason} for decision, reason in reasons.items()]
            connection.execute(insert(table), values)
    return len(pairs) + len(standing.stale)


_CONTRADICTED = f"""
    select distinct {", ".join(tables.PAIR)} from decided_pairs as d join contradicted_pairs as c
    on (c.n = d.n and c.other = d.other) or (c.n = d.other and c.other = d.n)"""


def _anothers(
    work: Workspace,
    entity: str,
    inputs: Mapping[str, Sequence[str]],
    versions: Iterable[tuple[Record, str, str]],
    model: Model | None,
) -> set[tuple[Record, str]]:
    """Return the records, by the version that was seen, that are another person's in the version of now."""
    changed = sorted(versions)
    if not changed:
        return set()
    matching = work.registry.entity(entity).matching
    refs: dict[str, set[str]] = defaultdict(set)
    for (dataset, _), seen, now in changed:
        refs[dataset] |= {seen, now}
    with work.engine(f"holding records of {entity} against what they were") as engine:
        parts = [_rows(work, entity, dataset, inputs, wanted) for dataset, wanted in sorted(refs.items())]
        if parts := [part for part in parts if part]:
            engine.execute(f"create temp table versions_ as {' union all by name '.join(parts)}")
            found = compared(engine, matching, model or models.declared(matching), [(s, n) for _, s, n in changed])
            return {(record, seen) for (record, seen, _), other in zip(changed, found, strict=True) if other}
    return set()


def _rows(work: Workspace, entity: str, dataset: str, inputs: Mapping[str, Sequence[str]], refs: set[str]) -> str:
    """Return the SQL of landed rows as linking reads them, each under its `_ref`; nothing where there are none."""
    runs = {ref.split("/", 1)[0] for ref in refs} & set(inputs.get(dataset, ()))
    files = work.clean_files(dataset, {dataset: sorted(runs)})
    if not files:
        return ""
    known = work.registry.dataset(dataset).fields
    fields = ", ".join(
        quote(name) if name in known else f"null::varchar as {quote(name)}"
        for name in work.registry.entity(entity).matching.fields
    )
    wanted = ", ".join(map(literal, sorted(refs)))
    rows = f"(select {fields}, _ref from {read_parquet(files)} where _ref in ({wanted}))"
    return f"select {literal(dataset)} as dataset, _ref as _key, * exclude (_ref) from {rows}"


def compared(
    engine: duckdb.DuckDBPyConnection, matching: Matching, model: Model, versions: Sequence[Pair | tuple[str, str]]
) -> list[bool]:
    """Tell of versions of records whether the later one is another person's.

    It is where the model weighs the two as different; where name and birth date (the fields of `exact` whose values' frequency
    counts) both say another; and where an identifier does, and one of these.

    Args:
        engine: A session with `versions_`: `dataset`, `_key` (the version), and the fields that linking reads.
        matching: The declaration.
        model: The model.
        versions: Earlier and later version.
    """
    everything = matching.model_copy(update={"spine": []})
    relations = Relations(engine)
    plain = model.model_copy(update={"collision": {}})
    loading.load_values(relations, everything, "versions_")
    loading.load_left(relations, everything, plain, "versions_")
    relations.load("compared_versions", [(place, *pair) for place, pair in enumerate(versions)], _VERSIONS)
    weights = [models.weight_of(matching, plain, name) for name in matching.comparisons]
    known = [name for name, comparison in matching.comparisons.items() if comparison.frequency in matching.exact]
    compared_weights = ", ".join(
        f"{text} as {quote('weight_' + name)}" for name, text in zip(matching.comparisons, weights, strict=True)
    )
    against = " + ".join(f"({quote('weight_' + name)} < 0)::int" for name in known) or "0"
    numbers = " or ".join(f"{quote('weight_' + n)} < 0" for n in matching.identifiers if n in matching.comparisons)
    whole = " + ".join(quote("weight_" + name) for name in matching.comparisons)
    found = engine.execute(
        f"""with keyed as (select distinct {loading.ROW} as n, _key from versions_),
                 weighed as (
                     select place, {compared_weights} from compared_versions
                     join keyed as a on a._key = seen join keyed as b on b._key = now
                     join left_rows as l on l.n = a.n join left_rows as r on r.n = b.n)
            select place, {whole} < 0 or ({against}) > 1 or (({numbers or "false"}) and ({against}) > 0) from weighed"""
    ).fetchall()
    changed = dict(found)
    return [bool(changed.get(place)) for place in range(len(versions))]


_VERSIONS: Mapping[str, Any] = {"place": pa.int64(), "seen": pa.string(), "now": pa.string()}
