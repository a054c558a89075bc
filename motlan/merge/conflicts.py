"""Conflicts: the values that lost and do not agree with what won, with the evidence for it. Their owners get corrections."""

from __future__ import annotations

from collections.abc import Sequence

from motlan.config.registry import Entity
from motlan.expressions import literal, quote
from motlan.merge.field_survivorship import Survivor, is_among
from motlan.merge.provenance import pointer

COLUMNS = ("entity_id", "_ref", "value", "golden_value", "authority", "severity", "evidence")
"""Columns of a conflict beside its key (`dataset`, `_key`, `field`). `authority` is the register whose value won, or `excluded`
where people decided that the losing one is not to be believed. `evidence` is JSON: the landed row of the golden value (`ref`),
its own moment (`as_of`), the `rule` that chose it, and how many registers say the golden value (`for`) and the other
(`against`)."""
EXCLUDED = "excluded"
_LOST = "struct(field varchar, value varchar, golden_value varchar)[]"


def losing_values_query(entity: Entity, rows: str, golden: str, withheld: str, everyone: str | None = None) -> str:
    """Return the SQL of what lost: `dataset`, `_key`, `entity_id`, `_ref`, `field`, `value`, `golden_value`, `pointer`.

    Every row is compared once; only those that differ are looked at closely. What was set aside, and is the golden value all the
    same because another register says it, is not lost.

    Args:
        entity: The entity.
        rows: Relation of linked rows.
        golden: Relation of golden rows.
        withheld: Relation of the values that were set aside, taken out of the rows.
        everyone: Relation of the golden rows of all persons of whom values were set aside, where `golden` may lack some.
    """
    corrected = _corrected(entity)
    differs = " or ".join(f"r.{quote(s.field)} != g.{quote(s.field)}" for s in corrected) or "false"
    values = ", ".join(_lost(survivor) for survivor in corrected)
    golden_value = " ".join(f"when {literal(field)} then g.{quote(field)}" for field in entity.fields)
    told = ", ".join(
        f"{'' if name == 'entity_id' else 'l.'}{name}"
        for name in ("dataset", "_key", "entity_id", "_ref", "field", "value", "golden_value")
    )
    return f"""
        with losing as (
            select dataset, _key, entity_id, _ref, lost.field, lost.value, lost.golden_value
            from (select r.dataset, r._key, r.entity_id, r._ref,
                         unnest(list_filter([{values}]::{_LOST}, lambda l: l is not null)) as lost
                  from {rows} as r join {golden} as g using (entity_id) where {differs}))
        select {told}, {pointer("l.field", "g.")} as pointer from losing as l join {golden} as g using (entity_id)
        union all by name
        select w.*, case w.field {golden_value} end as golden_value, null as pointer
        from {withheld} as w join {everyone or golden} as g using (entity_id)
        where (case w.field {golden_value} end) is distinct from w.value"""


def _corrected(entity: Entity) -> Sequence[Survivor]:
    return [Survivor(field, rule, entity.fields) for field, rule in entity.authority.items() if rule.correct]


def _lost(survivor: Survivor) -> str:
    row, golden = (f"{alias}.{quote(survivor.field)}" for alias in "rg")
    return (
        f"case when {row} != {golden} and not {survivor.agrees(golden, row)}{_unless_guessed(survivor, golden)} "
        f"then {{'field': {literal(survivor.field)}, 'value': {row}, 'golden_value': {golden}}} end"
    )


def _unless_guessed(survivor: Survivor, golden: str) -> str:
    """Return the SQL of what else must hold: no guess that allows the golden value, and none of the first authority, lost."""
    if not survivor.rule.candidates:
        return ""
    among = f"r.{quote(survivor.rule.candidates)}"
    spared = [is_among(golden, among)]
    if first := ", ".join(map(literal, survivor.rule.first)):
        spared.append(f"({among} is not null and r.dataset in ({first}))")
    return "".join(f" and not {one}" for one in spared)


def conflicts_query(entity: Entity, rows: str, lost: str) -> str:
    """Return the SQL of conflicts, of what `losing_values_query` gave, with how grave each is and the evidence.

    Columns: `dataset`, `_key`, `field` and `COLUMNS`.
    """
    survivors = [Survivor(field, rule, entity.fields) for field, rule in entity.authority.items()]
    said = " ".join(f"when {literal(s.field)} then o.{quote(s.field)}" for s in survivors)
    severity = " ".join(f"when {literal(s.field)} then {literal(s.rule.severity)}" for s in survivors)
    votes = ", ".join(
        f"count(distinct source) filter (case when said = {value} then true when said is not null "
        f"then case field {_agreeing(survivors, value)} end end) as {name}"
        for value, name in (("golden_value", "votes_for"), ("value", "votes_against"))
    )
    evidence = (
        "to_json({'ref': pointer.ref, 'as_of': pointer.as_of, 'rule': coalesce(pointer.rule, 'excluded'), "
        "'for': votes_for, 'against': votes_against})::varchar"
    )
    return f"""
        select dataset, _key, field, entity_id, _ref, value, golden_value,
               coalesce(pointer.dataset, {literal(EXCLUDED)}) as authority, case field {severity} end as severity,
               {evidence} as evidence
        from (select * from {lost} join (
                  select dataset, _key, field, {votes} from (
                      select l.dataset, l._key, l.field, l.value, l.golden_value, o.dataset as source,
                             case l.field {said} end as said
                      from {lost} as l join {rows} as o using (entity_id)) group by dataset, _key, field)
              using (dataset, _key, field))"""


def _agreeing(survivors: Sequence[Survivor], value: str) -> str:
    return " ".join(f"when {literal(s.field)} then {s.agrees(value, 'said')}" for s in survivors)
