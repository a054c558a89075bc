"""The second circuit breaker: a merge that changes too much is not published before people let it go.

Changes are counted by register and area, beside the persons that the register knows there. What a register says for the
first time is no change, nor is the first publication. They are counted once more together with those of the publications of the
last days, so that what comes in small portions is held as well: a person who changed in two of them counts twice. What people
released they have seen: counting begins anew after it. Counts carry no personal value.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import duckdb
import sqlalchemy as sa

from motlan.config.authority import ChangeLimits
from motlan.config.registry import Entity
from motlan.expressions import literal, quote
from motlan.merge.provenance import BETWEEN, DECIDED, SOURCES, pointer
from motlan.store import Store, tables

NOWHERE = "null::varchar"
"""The SQL of the area of persons where the declared half groups by none."""
PASSED = ("measure", "source", "area", "changed", "known", "limit")
"""What is told of a limit that is passed; the area is null where it is passed over the whole country. One that is passed by
several publications together has `days` beside."""
DETAILS = "guard"
"""Where in the counts of a step the report is kept."""
Sums = Counter[tuple[str, str, str | None, bool]]
"""Measure, register, area, and whether it is of the whole country -> persons who changed."""


def count(engine: duckdb.DuckDBPyConnection, entity: Entity, area: str, persons: str) -> list[list[Any]]:
    """Count what a merge changes of some persons, in the connection that compared them.

    Reads `fresh`, `published`, `difference`, and `moved` (see `diff`).

    Args:
        engine: Where golden rows were compared.
        entity: The entity.
        area: The field that persons are grouped by.
        persons: SQL of which persons of `moved` these are.

    Returns:
        Of each measure, register and area, and of each measure and register (whole): how many persons.
    """
    changed, moved = _changed(entity, area), _moved(persons, place_of(entity, area))
    return [list(row) for row in engine.execute(_measures(entity, changed, moved)).fetchall()]


def place_of(entity: Entity, area: str, row: str = "") -> str:
    """Return the SQL of the area that a person is counted in.

    Args:
        entity: The entity.
        area: The field that persons are grouped by.
        row: Alias of the row, with its point.
    """
    return f"{row}{quote(area)}" if area in entity.fields else NOWHERE


def judge(
    engine: duckdb.DuckDBPyConnection,
    limits: ChangeLimits,
    counted: Iterable[list[Any]],
    known: str,
    before: Sums | None = None,
) -> dict[str, Any]:
    """Hold counts against the limits.

    Args:
        engine: Any engine.
        limits: The entity's.
        counted: What `count` told of all persons.
        known: Relation of the published links with the area of their persons: `dataset`, `entity_id`, `place`.
        before: What `recent` returned.

    Returns:
        `held`: how many limits are passed; `guard`: those, in `passed`, all counts by measure and register in `counts`, and these
        by area in `by_area`.
    """
    sums: Sums = Counter()
    for name, source, area, whole, changed in counted:
        sums[name, source, area, bool(whole)] += changed
    counts: dict[str, dict[str, int]] = {}
    places: dict[str, dict[str, dict[str, int]]] = {}
    for (name, source, area, whole), changed in sorted(sums.items(), key=lambda one: _order(one[0])):
        if whole:
            counts.setdefault(name, {})[source] = changed
        elif area is not None:
            places.setdefault(name, {}).setdefault(source, {})[area] = changed
    passed = _passed(engine, limits, sums, before or Counter(), known)
    told = {"counts": counts, "by_area": places, "passed": passed, "approvals": limits.approvals}
    return {"held": len(passed), DETAILS: told}


def recent(store: Store, entity: str, limits: ChangeLimits) -> Sums:
    """Add up what the publications of the last days changed, since people released one.

    Args:
        store: The open store.
        entity: The entity's name.
        limits: The entity's.
    """
    sums: Sums = Counter()
    if not limits.window_days:
        return sums
    publication, run = tables.publications.c, tables.runs.c
    since = sa.func.now() - sa.func.make_interval(0, 0, 0, limits.window_days)
    query = (
        sa.select(run.steps["diff"]["held"].as_integer(), run.steps["diff"][DETAILS])
        .join_from(tables.publications, tables.runs, run.id == publication.run)
        .where(publication.entity == entity, publication.recorded_at >= since)
        .order_by(publication.number.desc())
    )
    with store.engine.connect() as connection:
        found = connection.execute(query).all()
    for held, told in found:
        if held:
            break
        for name, by_source in (told or {}).get("counts", {}).items():
            for source, changed in by_source.items():
                sums[name, source, None, True] += changed
        for name, by_source in (told or {}).get("by_area", {}).items():
            for source, by_place in by_source.items():
                for area, changed in by_place.items():
                    sums[name, source, area, False] += changed
    return sums


def _changed(entity: Entity, area: str) -> str:
    """Persons and fields that changed, by the register that the new value is of, or the old one where there is none."""
    death = quote(entity.limits.death_field)
    died = f"new.{death} is not null and old.{death} is null" if entity.limits.death_field in entity.fields else "false"
    lost = " ".join(f"when {literal(field)} then old.{quote(field)} is not null" for field in entity.fields)
    here, new, old = (place_of(entity, area, row) for row in ("", "new.", "old."))
    # Columns made here begin with a line, as no field does: a field may be called `name`.
    updated = f"""
        select entity_id, _name as _field,
               coalesce({pointer("_name", "new.")}.dataset, {pointer("_name", "old.")}.dataset) as _source,
               coalesce({new}, {old}) as _area, case _name {lost} end as _known_before,
               _name = {literal(entity.limits.death_field)} and {died} as _died
        from (select entity_id, unnest(_changed) as _name from difference where _op = 'updated')
        join fresh as new using (entity_id) join published as old using (entity_id)"""
    whole = f"""
        select entity_id, _field, {pointer("_field")}.dataset, _area, false, false
        from (select entity_id, {here} as _area, {SOURCES}, {DECIDED}, split_part(_told, ' ', 1) as _field
              from (select *, unnest(string_split({DECIDED}, {literal(BETWEEN)})) as _told from difference where _op != 'updated')
              where _told != '')"""
    return f"{updated} union all {whole}"


def _moved(persons: str, place: str) -> str:
    """Persons of whom a row went over to another person, who was known before (`merges`) or was not (`splits`)."""
    return f"""
        select dataset as _source, moved.old as entity_id, {place} as _area,
               case when known then 'merges' else 'splits' end as _measure
        from (from moved where {persons}) as moved left join published on published.entity_id = moved.old"""


def _measures(entity: Entity, changed: str, moved: str) -> str:
    """Counts of persons by measure, register and area, and by measure and register (`whole`)."""
    guarded = [field for field, rule in entity.authority.items() if rule.guarded]
    among = ", ".join(map(literal, guarded)) or "null"
    return f"""
        with changed as materialized ({changed}), moves as ({moved})
        select _measure, _source, _area, grouping(_area) = 1 as whole, count(distinct entity_id) as changed
        from (select 'changes' as _measure, _source, _area, entity_id from changed
              union all select 'deaths', _source, _area, entity_id from changed where _died
              union all select _field, _source, _area, entity_id from changed where _field in ({among}) and _known_before
              union all select _measure, _source, _area, entity_id from moves)
        group by grouping sets ((_measure, _source, _area), (_measure, _source))"""


def _passed(
    engine: duckdb.DuckDBPyConnection, limits: ChangeLimits, sums: Sums, before: Sums, known: str
) -> Sequence[dict[str, Any]]:
    """The limits that are passed: at once, else together with what came before.

    What is known is counted only where enough changed.
    """
    together: Sums = Counter({what: changed + before[what] for what, changed in sums.items() if before[what]})
    if not any(changed >= limits.minimum for changed in (*sums.values(), *together.values())):
        return []
    found = {
        (source, area, bool(whole)): number
        for source, area, whole, number in engine.execute(
            f"""select dataset, place, grouping(place) = 1, count(distinct entity_id) from {known}
                group by grouping sets ((dataset, place), (dataset))"""
        ).fetchall()
    }
    passed = [dict(zip(PASSED, row, strict=True)) for row in _beyond(sums, found, limits.minimum, limits.of)]
    at_once = {(row["measure"], row["source"], row["area"]) for row in passed}
    days = {"days": limits.window_days}
    by_and_by = _beyond(together, found, limits.minimum, limits.within)
    return [*passed, *(dict(zip(PASSED, row, strict=True)) | days for row in by_and_by if row[:3] not in at_once)]


def _beyond(
    sums: Sums, known: Mapping[tuple[Any, ...], int], minimum: int, limit: Callable[[str], float]
) -> list[tuple[Any, ...]]:
    """Return the rows of `PASSED` where more changed than a limit lets, in order."""
    sources = {source for source, _, _ in known}
    return sorted(
        (
            (name, source, area, changed, known.get((source, area, whole), 0), limit(name))
            for (name, source, area, whole), changed in sums.items()
            if changed >= minimum and source in sources and changed > known.get((source, area, whole), 0) * limit(name)
        ),
        key=_order,
    )


def _order(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Sort as the engine does: what is null last."""
    return tuple((value is None, "" if value is None else value) for value in row)
