"""Set rules: what can be asked of a row only with the other rows beside it. They make findings, and never quarantine."""

from __future__ import annotations

from motlan.engine import DUCKDB, literal, quote
from motlan.rules import SetRule


def used_fields(rule: SetRule) -> set[str]:
    """Return the fields that a rule reads: its own, those of its condition, and the one it refers to."""
    return {*_own_fields(rule), *rule.counted.fields, *([rule.refers.field] if rule.refers else [])}


def _own_fields(rule: SetRule) -> list[str]:
    return rule.unique or [rule.field]


def answer(rule: SetRule, row: str, everyone: str) -> str:
    """Return the SQL of a rule's answer about a row: true, false, or null where it is not asked.

    Values used twice are few, so they are gathered first, and the rows looked up in them.

    Args:
        rule: The rule.
        row: Alias of the row.
        everyone: Relation of all rows, with `dataset` and the canonical fields.
    """
    own = _own_fields(rule)
    filled = " and ".join(f"{row}.{quote(field)} is not null" for field in own)
    when = rule.counted.sql(DUCKDB, {field: f"{row}.{quote(field)}" for field in rule.counted.fields})
    if rule.refers:
        target = f"other.dataset = {literal(rule.refers.dataset)} and other.{quote(rule.refers.field)}"
        holds = f"exists (select 1 from {everyone} as other where {target} = {row}.{quote(own[0])})"
    else:
        fields = ", ".join(quote(field) for field in own)
        said = " and ".join(f"{quote(field)} is not null" for field in own)
        twice = (
            f"select dataset, {fields} from {everyone} where {said} and ({rule.counted.sql(DUCKDB)}) "
            "group by all having count(*) > 1"
        )
        same = " and ".join(f"twice.{quote(field)} = {row}.{quote(field)}" for field in own)
        holds = f"not exists (select 1 from ({twice}) as twice where twice.dataset = {row}.dataset and {same})"
    return f"case when {filled} and ({when}) then {holds} end"
