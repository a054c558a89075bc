"""Survivorship: per field, by authority, then freshness; an agreeing register that is more precise refines it.

Unknown never beats known. Each golden value points to the landed row that it came from; the values that lost are kept as
conflicts, and a field that registers dispute says so.
"""

from __future__ import annotations

from collections.abc import Mapping

from motlan.engine import DUCKDB, literal, one, parse, quote
from motlan.ledger import runs, versions
from motlan.registry import Authority, Entity
from motlan.workspace import Workspace

PLACES = 1_000_000
"""More places than any person has rows: between two ranks of authority there is room for all of them."""
POINTER = "_pointers"
"""Column with a golden row's pointers: a list of (field, dataset, key, ref, rule, disputed)."""


def _agrees(field: str, rule: Authority, left: str, right: str) -> str:
    expression = parse(rule.agrees, where=f"authority.yaml, {field}.agrees")
    return f"coalesce({expression.sql(DUCKDB, {'left': left, 'right': right})}, false)"


def _precision(field: str, rule: Authority, value: str) -> str:
    expression = parse(rule.precision, where=f"authority.yaml, {field}.precision")
    return expression.sql(DUCKDB, {"value": value})


def _looked_at_closely(rule: Authority) -> bool:
    """Tell whether values that differ may still agree, or refine each other."""
    return rule.precision != "1" or rule.agrees != "left == right"


def _priority(rule: Authority) -> str:
    """Return the SQL of how much a row is believed on a field: authority first, then the row's place; null is not at all."""
    ranks = " ".join(f"when {literal(name)} then {rank}" for rank, name in enumerate(reversed(rule.authority), 1))
    return f"(case dataset {ranks or 'when null then 0'} end * {PLACES} + _place)"


def candidates(field: str, rule: Authority) -> str:
    """Return the SQL of four aggregates: the most believed value, its row's place, whether values differ, and, where it
    matters, all of them.

    They compare numbers and carry plain values: the engine does that thirty times faster than it sorts structs.
    """
    value, priority = quote(field), _priority(rule)
    known = f"filter (where {value} is not null and {priority} is not null)"
    parts = [
        f"arg_max({value}, {priority}) {known} as {quote('first_' + field)}",
        f"arg_max(_place, {priority}) {known} as {quote('place_' + field)}",
        f"coalesce(min({value}) {known} != max({value}) {known}, false) as {quote('differs_' + field)}",
    ]
    if _looked_at_closely(rule):
        said = f"{{'priority': {priority}, 'place': _place, 'value': {value}}}"
        parts.append(f"list({said}) {known} as {quote('all_' + field)}")
    return ", ".join(parts)


def chosen(field: str, rule: Authority) -> str:
    """Return the SQL that picks a field's place: of the most believed value, or the first that says the same more precisely."""
    first, place = quote("first_" + field), quote("place_" + field)
    if not _looked_at_closely(rule):
        return place
    refining = (
        f"list_filter(list_reverse_sort({quote('all_' + field)}), lambda other: "
        f"{_precision(field, rule, 'other.value')} > {_precision(field, rule, first)} "
        f"and {_agrees(field, rule, first, 'other.value')})"
    )
    return f"case when {quote('differs_' + field)} then coalesce({refining}[1].place, {place}) else {place} end"


def disputed(field: str, rule: Authority) -> str:
    """Return the SQL of whether some candidate does not agree with the authority's."""
    differs = quote("differs_" + field)
    if not _looked_at_closely(rule):
        return differs
    disagrees = f"not {_agrees(field, rule, quote('first_' + field), 'other.value')}"
    everyone = f"list_bool_or(list_transform({quote('all_' + field)}, lambda other: {disagrees}))"
    return f"case when {differs} then {everyone} else false end"


def merge_query(entity: Entity, rows: str) -> str:
    """Return the SQL from linked rows (`person_id` beside the facts) to golden rows with pointers.

    A person's rows are put in places first, by the record's own moment (oldest first), then register and key: the same on
    every run. It is what a version stores and what lineage replays.
    """
    fields = entity.authority.items()
    placed = (
        f"select *, row_number() over (partition by person_id order by _moment, dataset, _key) as _place from {rows}"
    )
    gathered = f"""select person_id, list({{'dataset': dataset, 'key': _key, 'ref': _ref}} order by _place) as rows_,
        {", ".join(candidates(*item) for item in fields)} from ({placed}) group by person_id"""
    won = ", ".join(
        f"{chosen(field, rule)} as {quote('won_' + field)}, {disputed(field, rule)} as {quote('disputed_' + field)}"
        for field, rule in fields
    )
    values = ", ".join(_value(*item) for item in fields)
    pointers = ", ".join(_pointer(field) for field in entity.fields)
    return f"""select person_id, {values}, list_filter([{pointers}], lambda pointer: pointer is not null) as {POINTER}
        from (select *, {won} from ({gathered}))"""


def _value(field: str, rule: Authority) -> str:
    first, place, won = (quote(prefix + field) for prefix in ("first_", "place_", "won_"))
    if not _looked_at_closely(rule):
        return f"{first} as {quote(field)}"
    refined = f"list_filter({quote('all_' + field)}, lambda other: other.place = {won})[1].value"
    return f"case when {won} = {place} then {first} else {refined} end as {quote(field)}"


def _pointer(field: str) -> str:
    won, row = quote("won_" + field), f"rows_[{quote('won_' + field)}]"
    rule = f"case when {won} = {quote('place_' + field)} then 'authority' else 'refined' end"
    return (
        f"case when {won} is not null then {{'field': {literal(field)}, 'dataset': {row}.dataset, 'key': {row}.key, "
        f"'ref': {row}.ref, 'rule': {rule}, 'disputed': {quote('disputed_' + field)}}} end"
    )


def conflicts_query(entity: Entity, rows: str, golden: str) -> str:
    """Return the SQL of the values that lost and do not agree: what their owners are asked to correct."""
    parts = []
    for field, rule in entity.authority.items():
        if not rule.correct:
            continue
        column = quote(field)
        parts.append(
            f"select dataset, _key, {literal(field)} as field, r.person_id, r._ref, r.{column} as value, "
            f"g.{column} as golden_value, list_filter(g.{POINTER}, lambda p: p.field = {literal(field)})[1].dataset as authority "
            f"from {rows} as r join {golden} as g using (person_id) "
            f"where r.{column} != g.{column} and not " + _agrees(field, rule, f"g.{column}", f"r.{column}")
        )
    return "\nunion all\n".join(parts)


def body(entity: Entity) -> Mapping[str, str]:
    """Return what a version of the merge must pin: its query over a relation called `linked_rows`."""
    return {"query": merge_query(entity, "linked_rows")}


def merge(work: Workspace, run: runs.Run, inputs: dict[str, list[str]]) -> runs.Counts:
    """Merge the linked rows of a reconcile run into golden rows and conflicts, left in its scratch folder.

    Returns:
        Counts: `persons`, `fields` (filled golden fields), `disputed`, `conflicts`, `version`.
    """
    entity = work.registry.entity(run.subject)
    version = versions.record(work.store, "merge", run.subject, {**body(entity), **work.engine_version()})
    scratch = work.scratch(run.id)
    golden, conflicts, links = (scratch / f"{name}.parquet" for name in ("golden", "conflicts", "links"))
    with work.engine(f"merging {run.subject}") as engine:
        engine.execute(
            f"""create temp table linked_rows as
                select person_id, facts.* from {work.facts(run.subject, inputs)} as facts
                join read_parquet({literal(str(links))}) using (dataset, _key)"""
        )
        query = merge_query(entity, "linked_rows")
        engine.execute(f"create temp table golden as select *, {literal(version)} as _merge_version from ({query})")
        engine.execute(f"copy golden to {literal(str(golden))} (format parquet)")
        lost = conflicts_query(entity, "linked_rows", "golden")
        engine.execute(f"copy ({lost}) to {literal(str(conflicts))} (format parquet)")
        totals = one(
            engine,
            f"""select count(*), sum(len({POINTER})),
                       sum(len(list_filter({POINTER}, lambda pointer: pointer.disputed))) from golden""",
        )
        lost_values = one(engine, f"select count(*) from read_parquet({literal(str(conflicts))})")[0]
    return {
        "persons": totals[0],
        "fields": int(totals[1] or 0),
        "disputed": int(totals[2] or 0),
        "conflicts": lost_values,
        "version": version,
    }
