"""What only a bus can see, and what needs a whole register: set, cross and person rules. They never quarantine.

The same pass scores every register as it stands. đúng across registers counts the fields of which a register is not itself
the authority: neither is the first authority asked, nor a row that the golden value was taken from.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import duckdb

from motlan.engine import DUCKDB, literal, one, quote
from motlan.ledger import runs
from motlan.quality import due, persons, sets
from motlan.quality.standing import standing
from motlan.quality.tally import Tally
from motlan.registry import CrossRule, Entity
from motlan.rules import Rule, Rules
from motlan.workspace import Workspace

TALLY = "tally.json"
"""File in the run's scratch folder with the counts by province."""
FINDING = ("dataset", "_key", "rule", "person_id", "_ref", "dimension", "severity", "field")
_DAY = r"'^\d{4}-\d{2}-\d{2}'"


def check(work: Workspace, run: runs.Run, inputs: dict[str, list[str]]) -> runs.Counts:
    """Ask every rule that needs more than a row; leave findings and counts by province in the run's scratch folder.

    Returns:
        Counts: `findings`, `rules` (dataset -> rule -> [assessed, passed], row rules as the register stands).
    """
    entity, rules = work.registry.entity(run.subject), work.registry.rules
    scratch, tally = work.scratch(run.id), Tally()
    found = scratch / "findings.parquet"
    names = [dataset.name for dataset in work.registry.datasets_of(run.subject)]
    with work.bulk_engine(f"checking {run.subject} across registers") as engine:
        _load(work, run, inputs, engine, entity)
        parts = [_nothing()]
        row_rules: tuple[Rule, ...] = (*rules.cross, *rules.sets)
        engine.execute(f"create temp table seen as {_rows_query(entity, rules, _as_of(engine))}")
        parts += _found(engine, "seen", row_rules, tally)
        for place, dataset in enumerate(names):
            asked = [rule for rule in rules.persons if rule.applies_to(dataset)]
            if asked and _has_rows(engine, dataset):
                query = persons.answers_query(asked, dataset, "linked", "golden", _as_of(engine))
                engine.execute(f"create temp table persons_{place} as {query}")
                parts += _found(engine, f"persons_{place}", asked, tally)
        engine.execute(f"copy ({' union all '.join(parts)}) to {literal(str(found))} (format parquet)")
        findings = one(engine, f"select count(*) from read_parquet({literal(str(found))})")[0]
        due.count_changes(work, run, engine, tally)
        for dataset in names:
            standing(work, engine, work.registry.dataset(dataset), inputs.get(dataset, []), tally)
    tally.save(scratch / TALLY)
    return {"findings": findings, "rules": tally.results()}


def _nothing() -> str:
    return "select " + ", ".join(f"null::varchar as {name}" for name in FINDING) + " where false"


def _load(
    work: Workspace, run: runs.Run, inputs: dict[str, list[str]], engine: duckdb.DuckDBPyConnection, entity: Entity
) -> None:
    """Load the linked rows and golden records, as narrow as the rules allow."""
    rules, scratch = work.registry.rules, work.scratch(run.id)
    links, golden = (f"read_parquet({literal(str(scratch / (name + '.parquet')))})" for name in ("links", "golden"))
    province = work.registry.scoring.province_field
    place = quote(province) if province in entity.fields else "null::varchar"
    row_fields, golden_fields = _used(rules)
    kept = "".join(f", r.{quote(field)}" for field in entity.fields if field in row_fields)
    engine.execute(
        f"""create temp table linked as
            select r.dataset, r._key, r._ref, r._moment, person_id, {place} as province{kept}
            from {work.facts(run.subject, inputs)} as r join {links} using (dataset, _key)"""
    )
    values = "".join(f", {quote(field)}" for field in entity.fields if field in golden_fields)
    owned = "".join(
        f", list_filter(_pointers, lambda p: p.field = {literal(field)} and p.rule != 'refined')[1].ref "
        f"as {quote('_from_' + field)}"
        for field in _agreed_fields(rules)
    )
    engine.execute(f"create temp table golden as select person_id, {place} as province{values}{owned} from {golden}")


def _used(rules: Rules) -> tuple[set[str], set[str]]:
    """Return the row fields and the golden fields that the rules read."""
    rows: set[str] = set()
    golden: set[str] = set()
    for rule in rules.cross:
        rows |= {name.removeprefix("row_") for name in rule.parsed.fields if name.startswith("row_")}
        golden |= {name.removeprefix("golden_") for name in rule.parsed.fields if name.startswith("golden_")}
    for person_rule in rules.persons:
        rows |= persons.used_fields(person_rule)
        golden |= persons.golden_fields(person_rule)
    for set_rule in rules.sets:
        rows |= sets.used_fields(set_rule)
    return rows, golden


def _agreed_fields(rules: Rules) -> list[str]:
    return sorted({rule.field for rule in rules.cross if rule.dimension == "dung"})


def _as_of(engine: duckdb.DuckDBPyConnection) -> str:
    """Return the SQL of the day of the newest change that any register told of."""
    day = one(engine, f"select max(substr(_moment, 1, 10)) from linked where regexp_matches(_moment, {_DAY})")[0]
    return literal(day) if day else "null::varchar"


def _has_rows(engine: duckdb.DuckDBPyConnection, dataset: str) -> bool:
    return bool(one(engine, f"select count(*) from (from linked where dataset = {literal(dataset)} limit 1)")[0])


def cross_answer(rule: CrossRule, entity: Entity, as_of: str) -> str:
    """Return the SQL of a cross rule's answer about a row `r` with its golden record `g`, null where it is not asked."""
    columns = {f"row_{field}": f"r.{quote(field)}" for field in entity.fields}
    columns |= {f"golden_{field}": f"g.{quote(field)}" for field in entity.fields}
    columns |= {"dataset": "r.dataset", "row_moment": "r._moment", "as_of": as_of}
    asked = _asked(rule)
    if rule.dimension == "dung":
        authority = entity.authority[rule.field].first
        asked += "".join(f" and r.dataset != {literal(name)}" for name in authority)
        asked += f" and g.{quote('_from_' + rule.field)} is distinct from r._ref"
    return f"case when {asked} then {rule.parsed.sql(DUCKDB, columns)} end"


def _rows_query(entity: Entity, rules: Rules, as_of: str) -> str:
    answers = {rule.name: cross_answer(rule, entity, as_of) for rule in rules.cross}
    answers |= {
        rule.name: f"case when {_asked(rule)} then {sets.answer(rule, 'r', 'linked')} end" for rule in rules.sets
    }
    columns = "".join(f", {sql} as {quote('_rule_' + name)}" for name, sql in answers.items())
    return (
        f"select r.dataset, r._key, r._ref, person_id, coalesce(r.province, g.province) as province{columns} "
        "from linked as r join golden as g using (person_id)"
    )


def _asked(rule: Rule) -> str:
    if rule.datasets == "*":
        return "true"
    return f"r.dataset in ({', '.join(map(literal, rule.datasets))})"


def _found(engine: duckdb.DuckDBPyConnection, relation: str, rules: Sequence[Rule], tally: Tally) -> Iterable[str]:
    """Count the answers into a tally; return the SQL of the findings."""
    names = [quote("_rule_" + rule.name) for rule in rules]
    if not names:
        return []
    sums = ", ".join(f"count({name}), count(*) filter ({name})" for name in names)
    for dataset, province, *counts in engine.execute(
        f"select dataset, province, {sums} from {relation} group by dataset, province"
    ).fetchall():
        for rule, assessed, passed in zip(rules, counts[::2], counts[1::2], strict=True):
            tally.add(dataset, rule.name, province, assessed, passed)
    return [
        f"select dataset, _key, {literal(rule.name)}, person_id, _ref, {literal(rule.dimension)}, "
        f"{literal(rule.severity)}, {literal(rule.field)} from {relation} where {name} is false"
        for rule, name in zip(rules, names, strict=True)
    ]
