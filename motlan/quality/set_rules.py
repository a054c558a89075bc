"""Set rules: what can be asked of a row only with the other rows beside it. They make findings, and never quarantine."""

from __future__ import annotations

from collections.abc import Sequence

from motlan.config.quality import SetRule
from motlan.expressions import DUCKDB, Dialect, literal, quote
from motlan.partitioning import Bucket, whole


def used_fields(rule: SetRule) -> set[str]:
    """Return the fields that a rule reads: its own, those of its condition, and the one it refers to."""
    return {*own_fields(rule), *rule.counted.fields, *([rule.refers.field] if rule.refers else [])}


def own_fields(rule: SetRule) -> list[str]:
    """Return the fields whose values together are looked for in other rows."""
    return rule.unique or [rule.field]


def failing_name(rule: SetRule) -> str:
    """Return the name of the relation of what fails a rule."""
    return f"failing_{rule.name}"


def failing(
    rule: SetRule, datasets: Sequence[str], everyone: str, part: Bucket = whole, dialect: Dialect = DUCKDB
) -> str:
    """Return the SQL of what fails a rule, which is little: values used twice in a dataset, or values that nobody has.

    Columns: `dataset`, the rule's own fields, and `number`: how many of the dataset's rows have them.

    Args:
        rule: The rule.
        datasets: The datasets that it is asked of here.
        everyone: Relation of the rows of these, and of the dataset that it refers to, with `dataset` and the canonical fields.
        part: Which values are looked at, by their hash.
        dialect: How its condition is written.
    """
    own = own_fields(rule)
    fields = ", ".join(map(quote, own))
    # Of one dataset its name is no part of the groups: they are half as big.
    name = literal(datasets[0]) if len(datasets) == 1 else "dataset"
    asked = f"{everyone} where {assessed(rule, datasets, dialect)} and {_in(part, own[0])}"
    grouped = f"group by {'' if len(datasets) == 1 else 'dataset, '}{fields}"
    if rule.refers:
        known = (
            f"select {quote(rule.refers.field)} as known from {everyone} "
            f"where dataset = {literal(rule.refers.dataset)} and {_in(part, rule.refers.field)}"
        )
        told = f"(select dataset, {fields} from {asked}) as told anti join ({known}) as others on others.known = told.{fields}"
        return f"select {name} as dataset, {fields}, count(*) as number from {told} {grouped}"
    return f"select {name} as dataset, {fields}, count(*) as number from {asked} {grouped} having count(*) > 1"


def assessed(rule: SetRule, datasets: Sequence[str], dialect: Dialect = DUCKDB) -> str:
    """Return the SQL of whether a rule that is asked of some datasets assesses a row, by its `dataset` and canonical fields."""
    filled = " and ".join(f"{quote(field)} is not null" for field in own_fields(rule))
    return f"dataset in ({', '.join(map(literal, datasets))}) and {filled} and ({rule.counted.sql(dialect)})"


def _in(part: Bucket, field: str) -> str:
    return part(f"abs(hash({quote(field)}))")


def answer(rule: SetRule, row: str, failing: str, dialect: Dialect = DUCKDB) -> str:
    """Return the SQL of a rule's answer about a row: true, false, or null where it is not asked.

    Args:
        rule: The rule.
        row: Alias of the row.
        failing: Relation of what `failing` told.
        dialect: How its condition is written.
    """
    own = own_fields(rule)
    filled = " and ".join(f"{row}.{quote(field)} is not null" for field in own)
    when = rule.counted.sql(dialect, {field: f"{row}.{quote(field)}" for field in rule.counted.fields})
    same = " and ".join(f"bad.{quote(field)} = {row}.{quote(field)}" for field in own)
    holds = f"not exists (select 1 from {failing} as bad where bad.dataset = {row}.dataset and {same})"
    return f"case when {filled} and ({when}) then {holds} end"
