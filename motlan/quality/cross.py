"""Cross-register rules: what only a bus can see. They make findings, and never quarantine."""

from __future__ import annotations

from motlan.engine import DUCKDB, literal, one, quote
from motlan.ledger import runs
from motlan.registry import CrossRule, Entity
from motlan.workspace import Workspace


def _columns(entity: Entity) -> dict[str, str]:
    """The names that a cross rule may use, as columns of rows `r` and golden records `g`."""
    names = {f"row_{field}": f"r.{quote(field)}" for field in entity.fields}
    names |= {f"golden_{field}": f"g.{quote(field)}" for field in entity.fields}
    return {**names, "dataset": "r.dataset", "row_moment": "r._moment"}


def check(work: Workspace, run: runs.Run, inputs: dict[str, list[str]]) -> runs.Counts:
    """Ask every cross rule of every linked row; leave the findings in the run's scratch folder.

    Returns:
        Counts: `findings`, `rules` (dataset -> rule -> [assessed, passed]).
    """
    entity = work.registry.entity(run.subject)
    scratch = work.scratch(run.id)
    links, golden = (f"read_parquet({literal(str(scratch / (name + '.parquet')))})" for name in ("links", "golden"))
    found = scratch / "findings.parquet"
    results: dict[str, dict[str, list[int]]] = {}
    with work.engine(f"checking {run.subject} across registers") as engine:
        engine.execute(
            f"""create temp table seen as
                select r.dataset, r._key, r._ref, person_id{_answers(entity, work.registry.cross_rules)}
                from {work.facts(run.subject, inputs)} as r
                join {links} using (dataset, _key) join {golden} as g using (person_id)"""
        )
        parts = [
            "select null::varchar as dataset, null::varchar as _key, null::varchar as rule, null::varchar as person_id, "
            "null::varchar as _ref, null::varchar as dimension, null::varchar as severity, null::varchar as field where false"
        ]
        for rule in work.registry.cross_rules:
            answer, datasets = quote("_rule_" + rule.name), _asked(rule)
            parts.append(
                f"select dataset, _key, {literal(rule.name)}, person_id, _ref, {literal(rule.dimension)}, "
                f"{literal(rule.severity)}, {literal(rule.field)} from seen where {answer} is false and {datasets}"
            )
            counted = engine.execute(
                f"select dataset, count({answer}), count(*) filter ({answer}) from seen where {datasets} group by dataset"
            )
            for dataset, assessed, passed in counted.fetchall():
                results.setdefault(dataset, {})[rule.name] = [assessed, passed]
        engine.execute(f"copy ({' union all '.join(parts)}) to {literal(str(found))} (format parquet)")
        findings = one(engine, f"select count(*) from read_parquet({literal(str(found))})")[0]
    return {"findings": findings, "rules": results}


def _answers(entity: Entity, rules: tuple[CrossRule, ...]) -> str:
    columns = _columns(entity)
    return "".join(f", ({rule.parsed.sql(DUCKDB, columns)}) as {quote('_rule_' + rule.name)}" for rule in rules)


def _asked(rule: CrossRule) -> str:
    if rule.datasets == "*":
        return "true"
    return f"dataset in ({', '.join(map(literal, rule.datasets))})"
