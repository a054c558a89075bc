"""The second circuit breaker: a merge that changes too much is not published before people let it go.

Changes are counted by register and province, beside the persons that the register knows there. What a register says for the
first time is no change, nor is the first publication. Counts carry no personal value.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import duckdb

from motlan.authority import ChangeLimits
from motlan.engine import literal, quote
from motlan.golden.pointers import BETWEEN, DECIDED, SOURCES, pointer
from motlan.registry import Entity

PASSED = ("measure", "source", "province", "changed", "known", "limit")
"""What is told of a limit that is passed; the province is null where it is passed over the whole country."""
DETAILS = "guard"
"""Where in the counts of a step the report is kept."""


def count(engine: duckdb.DuckDBPyConnection, entity: Entity, province: str, persons: str) -> list[list[Any]]:
    """Count what a merge changes of some persons, in the connection that compared them.

    Reads `fresh`, `published`, `difference`, and `moved` (see `diff`).

    Args:
        engine: Where golden rows were compared.
        entity: The entity.
        province: The field that persons are grouped by.
        persons: SQL of which persons of `moved` these are.

    Returns:
        Of each measure, register and province, and of each measure and register (whole): how many persons.
    """
    place = place_of(entity, province)
    changed, moved = _changed(entity, place), _moved(persons, place)
    return [list(row) for row in engine.execute(_measures(entity, changed, moved)).fetchall()]


def place_of(entity: Entity, province: str) -> str:
    """Return the SQL of the province that a person is counted in."""
    return quote(province) if province in entity.fields else "null::varchar"


def judge(
    engine: duckdb.DuckDBPyConnection, limits: ChangeLimits, counted: Iterable[list[Any]], known: str
) -> dict[str, Any]:
    """Hold counts against the limits.

    Args:
        engine: Any engine.
        limits: The entity's.
        counted: What `count` told of all persons.
        known: Relation of the published links with the province of their persons: `dataset`, `person_id`, `place`.

    Returns:
        `held`: how many limits are passed; `guard`: those, in `passed`, and all counts by measure and register in `counts`.
    """
    sums: Counter[tuple[Any, ...]] = Counter()
    for *what, changed in counted:
        sums[tuple(what)] += changed
    counts: dict[str, dict[str, int]] = {}
    for (name, source, _, whole), changed in sorted(sums.items(), key=lambda one: _order(one[0][:2])):
        if whole:
            counts.setdefault(name, {})[source] = changed
    passed = _passed(engine, limits, sums, known)
    return {"held": len(passed), DETAILS: {"counts": counts, "passed": passed, "approvals": limits.approvals}}


def _changed(entity: Entity, place: str) -> str:
    """Persons and fields that changed, by the register that the new value is of, or the old one where there is none."""
    death = quote(entity.limits.death_field)
    died = f"new.{death} is not null and old.{death} is null" if entity.limits.death_field in entity.fields else "false"
    lost = " ".join(f"when {literal(field)} then old.{quote(field)} is not null" for field in entity.fields)
    updated = f"""
        select person_id, name as field, coalesce({pointer("name", "new.")}.dataset, {pointer("name", "old.")}.dataset) as source,
               coalesce(new.{place}, old.{place}) as province, case name {lost} end as known_before,
               name = {literal(entity.limits.death_field)} and {died} as died
        from (select person_id, unnest(_changed) as name from difference where _op = 'updated')
        join fresh as new using (person_id) join published as old using (person_id)"""
    whole = f"""
        select person_id, field, {pointer("field")}.dataset as source, province, false as known_before, false as died
        from (select person_id, {place} as province, {SOURCES}, {DECIDED}, split_part(told, ' ', 1) as field
              from (select *, unnest(string_split({DECIDED}, {literal(BETWEEN)})) as told from difference where _op != 'updated')
              where told != '')"""
    return f"{updated} union all {whole}"


def _moved(persons: str, place: str) -> str:
    """Persons of whom a row went over to another person, who was known before (`merges`) or was not (`splits`)."""
    return f"""
        select dataset as source, moved.old as person_id, {place} as province,
               case when known then 'merges' else 'splits' end as measure
        from (from moved where {persons}) as moved left join published on published.person_id = moved.old"""


def _measures(entity: Entity, changed: str, moved: str) -> str:
    """Counts of persons by measure, register and province, and by measure and register (`whole`)."""
    guarded = [field for field, rule in entity.authority.items() if rule.guarded]
    among = ", ".join(map(literal, guarded)) or "null"
    return f"""
        with changed as materialized ({changed}), moves as ({moved})
        select measure, source, province, grouping(province) = 1 as whole, count(distinct person_id) as changed
        from (select 'changes' as measure, source, province, person_id from changed
              union all select 'deaths', source, province, person_id from changed where died
              union all select field, source, province, person_id from changed where field in ({among}) and known_before
              union all select measure, source, province, person_id from moves)
        group by grouping sets ((measure, source, province), (measure, source))"""


def _passed(
    engine: duckdb.DuckDBPyConnection, limits: ChangeLimits, sums: Mapping[tuple[Any, ...], int], known: str
) -> Sequence[dict[str, Any]]:
    """The limits that are passed. What is known is counted only where enough changed."""
    many = [(*what, changed) for what, changed in sums.items() if changed >= limits.minimum]
    if not many:
        return []
    found = {
        (source, province, bool(whole)): number
        for source, province, whole, number in engine.execute(
            f"""select dataset, place, grouping(place) = 1, count(distinct person_id) from {known}
                group by grouping sets ((dataset, place), (dataset))"""
        ).fetchall()
    }
    sources = {source for source, _, _ in found}
    passed = [
        (name, source, province, changed, found.get((source, province, whole), 0), limits.of(name))
        for name, source, province, whole, changed in many
        if source in sources and changed > found.get((source, province, whole), 0) * limits.of(name)
    ]
    return [dict(zip(PASSED, row, strict=True)) for row in sorted(passed, key=_order)]


def _order(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Sort as the engine does: what is null last."""
    return tuple((value is None, "" if value is None else value) for value in row)
