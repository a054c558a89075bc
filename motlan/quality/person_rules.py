"""Person rules: what all rows that one dataset has of a person say together, beside the golden record."""

from __future__ import annotations

from collections.abc import Sequence

from motlan.config.quality import PersonRule
from motlan.expressions import DUCKDB, Dialect, literal, quote


def counted_fields(rule: PersonRule) -> list[str]:
    """Return the fields whose values a rule counts."""
    return sorted(name.removeprefix("count_") for name in rule.parsed.fields if name.startswith("count_"))


def used_fields(rule: PersonRule) -> set[str]:
    """Return the row fields that a rule reads."""
    return {*counted_fields(rule), *rule.counted.fields}


def golden_fields(rule: PersonRule) -> set[str]:
    """Return the golden fields that a rule reads."""
    return {name.removeprefix("golden_") for name in rule.parsed.fields if name.startswith("golden_")}


def answers_query(
    rules: Sequence[PersonRule], dataset: str, rows: str, golden: str, as_of: str, dialect: Dialect = DUCKDB
) -> str:
    """Return the SQL of what rules answer about each person, one column `_rule_<name>` each, in one pass over the rows.

    A person of whom the dataset has no row is asked too: that may be what is wrong.

    Args:
        rules: Those asked of the dataset.
        dataset: Whose rows count.
        rows: Relation of all linked rows.
        golden: Relation of golden records.
        as_of: SQL of the day that ages are reckoned at.
        dialect: How expressions are written.
    """
    sums, answers = [], []
    for place, rule in enumerate(rules):
        when = f"filter (where {rule.counted.sql(dialect)})"
        sums.append(f"count(*) {when} as rows_{place}")
        columns = {"rows": f"coalesce(r.rows_{place}, 0)", "as_of": as_of}
        columns |= {f"golden_{field}": f"g.{quote(field)}" for field in golden_fields(rule)}
        for number, field in enumerate(counted_fields(rule)):
            low, high = f"low_{place}_{number}", f"high_{place}_{number}"
            value = quote(field)
            sums.append(f"min({value}) {when} as {low}, max({value}) {when} as {high}")
            columns[f"count_{field}"] = f"(case when r.{low} is null then 0 when r.{low} = r.{high} then 1 else 2 end)"
        answers.append(f"({rule.parsed.sql(dialect, columns)}) as {quote('_rule_' + rule.name)}")
    said = (
        f"select entity_id, min(_key) as _key, arg_min(_ref, _key) as _ref, max(area) as area, {', '.join(sums)} "
        f"from {rows} where dataset = {literal(dataset)} group by entity_id"
    )
    return (
        f"select {literal(dataset)} as dataset, coalesce(r._key, 'person/' || g.entity_id) as _key, r._ref, g.entity_id, "
        f"coalesce(r.area, g.area) as area, {', '.join(answers)} "
        f"from {golden} as g left join ({said}) as r using (entity_id)"
    )
