"""Set rules: what can be asked of a row only with the other rows beside it. They make findings, and never quarantine."""

from __future__ import annotations

from motlan.engine import DUCKDB, literal, quote
from motlan.rules import SetRule
from motlan.slices import Slice, whole


def used_fields(rule: SetRule) -> set[str]:
    """Return the fields that a rule reads: its own, those of its condition, and the one it refers to."""
    return {*_own_fields(rule), *rule.counted.fields, *([rule.refers.field] if rule.refers else [])}


def _own_fields(rule: SetRule) -> list[str]:
    return rule.unique or [rule.field]


def failing(rule: SetRule, everyone: str, part: Slice = whole) -> str:
    """Return the SQL of what fails a rule, which is little: `dataset` and values used twice, or values that nobody has.

    Args:
        rule: The rule.
        everyone: Relation of all rows, with `dataset` and the canonical fields.
        part: Which values are looked at, by their hash.
    """
    own = _own_fields(rule)
    fields = ", ".join(map(quote, own))
    said = " and ".join(f"{quote(field)} is not null" for field in own)
    asked = "true" if rule.datasets == "*" else f"dataset in ({', '.join(map(literal, rule.datasets))})"
    counted = f"from {everyone} where {asked} and {said} and ({rule.counted.sql(DUCKDB)}) and {_in(part, own[0])} group by all"
    if rule.refers:
        target = quote(rule.refers.field)
        known = (
            f"select {target} as known from {everyone} "
            f"where dataset = {literal(rule.refers.dataset)} and {_in(part, rule.refers.field)}"
        )
        return (
            f"select dataset, {fields} from (select dataset, {fields} {counted}) as told "
            f"anti join ({known}) as others on others.known = told.{fields}"
        )
    return f"select dataset, {fields} {counted} having count(*) > 1"


def _in(part: Slice, field: str) -> str:
    return part(f"abs(hash({quote(field)}))")


def answer(rule: SetRule, row: str, failing: str) -> str:
    """Return the SQL of a rule's answer about a row: true, false, or null where it is not asked.

    Args:
        rule: The rule.
        row: Alias of the row.
        failing: Relation of what `failing` told.
    """
    own = _own_fields(rule)
    filled = " and ".join(f"{row}.{quote(field)} is not null" for field in own)
    when = rule.counted.sql(DUCKDB, {field: f"{row}.{quote(field)}" for field in rule.counted.fields})
    same = " and ".join(f"bad.{quote(field)} = {row}.{quote(field)}" for field in own)
    holds = f"not exists (select 1 from {failing} as bad where bad.dataset = {row}.dataset and {same})"
    return f"case when {filled} and ({when}) then {holds} end"
