"""How many links are expected to be wrong, and how many rows to be missed, by groups of people.

A link is wrong with what its probability lacks to one; a row that was left to people belongs to the person it was compared with
at its probability. These are the model's own words: `calibration` holds them against what people found.
"""

from __future__ import annotations

from typing import Any

import duckdb

from motlan.config.review import Group, review_rules
from motlan.expressions import literal, quote
from motlan.lake.tables import golden_table, reviews_table
from motlan.ledger import runs
from motlan.stewardship import published_links
from motlan.stewardship.review_measures import calibration
from motlan.workspace import Workspace


def expected(work: Workspace, entity: str) -> dict[str, Any]:
    """Return the expected errors of the published links.

    Returns:
        `all`, and `by`: name of a declared grouping -> its groups. Each has `links` (made by the machine), `wrong` (expected),
        `wrong_rate`, `reviews` (rows left to people), `missed` (expected among them), `missed_rate` (of all rows that belong to
        somebody), and the `group`, null where the field is unknown. `clerical`: what people found of sampled links.
    """
    groups = review_rules(work.registry, entity).errors_by
    with work.engine(f"expecting errors of {entity}") as engine:
        _load(work, engine, entity, groups)
        by = {}
        for name in groups:
            by[name] = _counted(engine, f'{quote("by_" + name)} as "group",', "group by all order by 1 nulls last")
        return {"all": _counted(engine, "", "")[0], "by": by, "clerical": calibration(work, entity)["links"]}


def _load(work: Workspace, engine: duckdb.DuckDBPyConnection, entity: str, groups: dict[str, Group]) -> None:
    """Make `told`: each published row that is linked to another or left to people, with its groups."""
    links = published_links.links(work, entity)
    reviews = work.published_rows(entity, reviews_table(entity))
    none = "(select '' as dataset, '' as _key, 0.0 as probability where false)"
    golden = work.published_rows(entity, golden_table(entity))
    own = sorted({group.row for group in groups.values() if group.row})
    merged = sorted({group.golden for group in groups.values() if group.golden})
    fields = "".join(f", {quote(field)}" for field in own)
    engine.execute(
        f"create temp table rows_ as select dataset, _key{fields} from {published_links.facts(work, entity)}"
    )
    with work.store.engine.connect() as connection:
        day = runs.visible(connection, "reconcile", entity)[-1][:8]  # a run's id begins with its day
    columns = "".join(f", {_group(group, day)} as {quote('by_' + name)}" for name, group in groups.items())
    kept = "".join(f", {quote(field)}" for field in merged)
    engine.execute(
        f"""create temp table told as
            select l.rule, l.match_weight, l.probability, r.probability as left_probability{columns}
            from {links} as l left join {reviews or none} as r using (dataset, _key)
            left join rows_ using (dataset, _key)
            left join (select entity_id{kept} from {golden}) as golden using (entity_id)
            where l.match_weight is not null or r.probability is not null"""
    )


def _group(group: Group, day: str) -> str:
    value = f"rows_.{quote(group.row)}" if group.row else f"golden.{quote(group.golden or '')}"
    if not group.years:
        return value
    age = (
        f"(date_diff('year', try_cast(substr({value}, 1, 4) || '-01-01' as date), strptime({literal(day)}, '%Y%m%d')))"
    )
    low = f"({age} // {group.years} * {group.years})"
    return f"({low} || ' to ' || ({low} + {group.years - 1}))"


def _counted(engine: duckdb.DuckDBPyConnection, group: str, grouped: str) -> list[dict[str, Any]]:
    found = engine.execute(
        f"""select {group} count(*) filter (where match_weight is not null) as links,
                   round(coalesce(sum(1 - probability) filter (where match_weight is not null), 0), 4) as wrong,
                   round(wrong / nullif(links, 0), 8) as wrong_rate,
                   count(left_probability) filter (where match_weight is null) as reviews,
                   round(coalesce(sum(left_probability) filter (where match_weight is null), 0), 4) as missed,
                   round(missed / nullif(links - wrong + missed, 0), 8) as missed_rate
            from told {grouped}"""
    )
    names = [column[0] for column in found.description or ()]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]
