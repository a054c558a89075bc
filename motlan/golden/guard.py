"""The second circuit breaker: a merge that changes too much is not published before people let it go.

Changes are counted by register and province, beside the persons that the register knows there. What a register says for the
first time is no change, nor is the first publication. Counts carry no personal value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import duckdb

from motlan.authority import ChangeLimits
from motlan.engine import literal, quote
from motlan.golden.survivorship import POINTER
from motlan.registry import Entity

PASSED = ("measure", "source", "province", "changed", "known", "limit")
"""What is told of a limit that is passed; the province is null where it is passed over the whole country."""
DETAILS = "guard"
"""Where in the counts of a step the report is kept."""


def measure(
    engine: duckdb.DuckDBPyConnection, entity: Entity, province: str, before: str, after: str
) -> dict[str, Any]:
    """Count what a merge changes, in the connection that compared it (tables `fresh`, `published`, `difference`).

    Args:
        engine: Where golden rows were compared.
        entity: The entity.
        province: The field that persons are grouped by.
        before: Relation of the published links (`dataset`, `_key`, `person_id`); of none on the first publication.
        after: Relation of the new links.

    Returns:
        `held`: how many limits are passed; `guard`: those, in `passed`, and all counts by measure and register in `counts`.
    """
    place = quote(province) if province in entity.fields else "null::varchar"
    engine.execute(f"create temp table changed as {_changed(entity, place)}")
    engine.execute(f"create temp table moved as {_moved(before, after, place)}")
    engine.execute(f"create temp table measured as {_measures(entity)}")
    counts: dict[str, dict[str, int]] = {}
    for name, source, changed in engine.execute(
        "select measure, source, changed from measured where whole order by all"
    ).fetchall():
        counts.setdefault(name, {})[source] = changed
    passed = _passed(engine, entity.limits, before, place)
    return {"held": len(passed), DETAILS: {"counts": counts, "passed": passed, "approvals": entity.limits.approvals}}


def _changed(entity: Entity, place: str) -> str:
    """Persons and fields that changed, by the register that the new value is of, or the old one where there is none."""
    death = quote(entity.limits.death_field)
    died = f"new.{death} is not null and old.{death} is null" if entity.limits.death_field in entity.fields else "false"
    lost = " ".join(f"when {literal(field)} then old.{quote(field)} is not null" for field in entity.fields)
    by_field = f"[list_filter({{0}}.{POINTER}, lambda p: p.field = name)[1].dataset][1]"
    updated = f"""
        select person_id, name as field, coalesce({by_field.format("new")}, {by_field.format("old")}) as source,
               coalesce(new.{place}, old.{place}) as province, case name {lost} end as known_before,
               name = {literal(entity.limits.death_field)} and {died} as died
        from (select person_id, unnest(_changed) as name from difference where _op = 'updated')
        join fresh as new using (person_id) join published as old using (person_id)"""
    whole = f"""
        select person_id, pointer.field, pointer.dataset as source, {place} as province, false as known_before, false as died
        from (select person_id, {place}, unnest({POINTER}) as pointer from difference where _op != 'updated')"""
    return f"{updated} union all {whole}"


def _moved(before: str, after: str, place: str) -> str:
    """Persons of whom a row went over to another person, who was known before (`merges`) or was not (`splits`)."""
    return f"""
        with was as (from {before}), moved as (
            select was.dataset as source, was.person_id, now.person_id as other
            from was join {after} as now using (dataset, _key) where was.person_id != now.person_id)
        select source, moved.person_id, {place} as province,
               case when other in (select person_id from was) then 'merges' else 'splits' end as measure
        from moved left join published using (person_id)"""


def _measures(entity: Entity) -> str:
    """Counts of persons by measure, register and province, and by measure and register (`whole`)."""
    guarded = [field for field, rule in entity.authority.items() if rule.guarded]
    among = ", ".join(map(literal, guarded)) or "null"
    return f"""
        select measure, source, province, grouping(province) = 1 as whole, count(distinct person_id) as changed
        from (select 'changes' as measure, source, province, person_id from changed
              union all select 'deaths', source, province, person_id from changed where died
              union all select field, source, province, person_id from changed where field in ({among}) and known_before
              union all select measure, source, province, person_id from moved)
        group by grouping sets ((measure, source, province), (measure, source))"""


def _passed(
    engine: duckdb.DuckDBPyConnection, limits: ChangeLimits, before: str, place: str
) -> Sequence[dict[str, Any]]:
    """The limits that are passed. What is known is counted only where enough changed."""
    many = f"changed >= {limits.minimum}"
    names = engine.execute(f"select distinct measure from measured where {many}").fetchall()
    if not names:
        return []
    limit = " ".join(f"when {literal(name)} then {limits.of(name)}::double" for (name,) in names)
    found = engine.execute(
        f"""with known as (
                select dataset as source, {place} as province, grouping({place}) = 1 as whole,
                       count(distinct person_id) as known
                from {before} left join published using (person_id)
                group by grouping sets ((dataset, {place}), (dataset)))
            select * from (
                select measure, m.source, m.province, changed, coalesce(k.known, 0) as known,
                       case measure {limit} end as "limit"
                from measured as m left join known as k
                on k.source = m.source and k.whole = m.whole and k.province is not distinct from m.province where {many})
            where changed > known * "limit" and source in (select source from known)
            order by all"""
    ).fetchall()
    return [dict(zip(PASSED, row, strict=True)) for row in found]
