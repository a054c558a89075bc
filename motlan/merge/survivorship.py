"""Survivorship, compiled: from linked rows to golden rows, one query that a version stores and lineage replays.

Of each field the value of the most believed register wins. Between equally believed ones decide freshness and the
agreement of the other registers, in the order that the field declares; then a value that says the same more precisely
refines it. Unknown never beats known.

Most persons have one row of a register at the most, and one of the register that is believed first on most fields: it leads.
Theirs are joined side by side, the others' rows to the leading one: the engine does that ten times faster than it gathers lists.
Those whose registers say the same are asked no more; the others are found first, and go together, because an expression for a
few rows of each batch costs as much as for all. Persons with more rows are gathered, as the plain definition does with everybody
(`motlan.merge.plain_survivorship`). All ways give the same columns and the same answers as it: a test holds them equal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from motlan.config.registry import Entity
from motlan.expressions import literal
from motlan.merge.field_survivorship import Survivor
from motlan.merge.plain_survivorship import Decided, gathered_query, with_conditions
from motlan.merge.provenance import SOURCES

_STANDS = "_stands_"
AGREED = "agreed"
"""Relation of the persons (`id`) whose rows say the same: see `Ways`."""


@dataclass(frozen=True)
class Ways:
    """The queries of a merge: persons told apart by how their rows are put together, and each kind's golden rows.

    Attributes:
        apart: Name of a relation of persons (`id`) -> its query, which may read those before it.
        agreed: The query of the persons in none of these: their rows say the same. A relation of its own, `AGREED`: an engine
            that sees only that rows are left out takes them for few, and moves them about instead of what they are joined with.
        plain: The query of their golden rows, which reads it.
        close: The queries of all others' golden rows: of `differing`, then of `crowded`; no person is in two.
    """

    apart: Mapping[str, str]
    agreed: str
    plain: str
    close: Sequence[str]

    @property
    def relations(self) -> Mapping[str, str]:
        """All relations of persons that the queries read, in the order in which they can be made."""
        return {**self.apart, AGREED: self.agreed}


def merge_ways(
    entity: Entity,
    rows: str,
    taken: Sequence[str] = (),
    *,
    close: str | None = None,
    placed: str | None = None,
    since: str | None = None,
) -> Ways:
    """Return the queries that `merge_query` puts together: an engine does them faster one by one.

    Args:
        entity: As `merge_query` takes it, and so `rows` and `taken`.
        rows: All rows.
        taken: Fields.
        close: Relation with all rows of the persons in `apart`, among others; by default that of all rows.
        placed: Relation of all persons with `_ordinal`, which plain golden rows shall have too.
        since: Relation that tells since when rows (`_ref`) say each value, where that is not their own moment (see
            `motlan.merge.value_ages`). Without it, rows have just their own moments.
    """
    survivors = [Survivor(field, rule, entity.fields) for field, rule in entity.authority.items()]
    looked = [replace(survivor, dated=since is not None) for survivor in survivors]
    by_field = {survivor.field: survivor for survivor in survivors}
    names = sorted({name for survivor in survivors for name in survivor.rule.datasets}) or [""]
    slots = {name: f"slot_{number}" for number, name in enumerate(names, 1)}
    lead = max(names, key=lambda name: sum(survivor.led(name) for survivor in survivors))
    # Their column has a name of its own: Spark cannot join a table with what it was made of, where columns are the same.
    crowded, differing = (f"(select id as entity_id from {name})" for name in ("crowded", "differing"))
    unknown = f"(from {rows} where dataset not in ({', '.join(map(literal, names))}))"
    leading = f"(from {rows} where dataset = {literal(lead)})"
    others = {name: slot for name, slot in slots.items() if name != lead}

    def held(of: str, fields: Sequence[Survivor] = survivors) -> str:
        return with_conditions(of, fields)

    def aged(of: str) -> str:
        return f"(select * from {of} left join {since} using (_ref))" if since else of

    def near(some: str) -> str:
        return aged(f"(from {close or rows} semi join {some} using (entity_id))")

    not_plain = [condition for survivor in survivors for condition in survivor.not_plain(slots, lead)]
    # What the leading row does not say alone asks more of the others: since when, and which row another field was taken from.
    alike = [new if new.asks_since and not new.led(lead) else old for old, new in zip(survivors, looked, strict=True)]
    unled = [survivor for survivor in alike if not survivor.led(lead)]
    all_led = all(s.led(lead) and by_field[s.rule.follows].led(lead) for s in survivors if s.rule.follows)
    agreeing = Decided(alike, slots, taken, followed=None if all_led else rows)
    said = aged if any(survivor.dated for survivor in alike) else str
    few = [survivor for survivor in looked if survivor.contested]
    beside = f"{differing} {_joins(slots, held(near(differing), looked))}"
    closely = Decided(looked, slots, taken, followed=close or rows)
    ordinal = ", _ordinal" if placed else ""
    led = f"(from {leading} join (select id as entity_id{ordinal} from {AGREED}) using (entity_id))"
    led = f"{held(said(led), unled)} as {slots[lead]} {_joins(others, held(said(rows), unled))}"
    also = [f"{slots[lead]}._ordinal"] if placed else []
    not_agreed = f"anti join {crowded} using (entity_id) anti join {differing} using (entity_id)"
    return Ways(
        {
            "crowded": f"select distinct entity_id as id from (select entity_id from {rows} group by entity_id, dataset "
            "having count(*) > 1)",
            "differing": f"""select distinct id from (
                select entity_id as id from (
                    select entity_id from {held(leading)} as {slots[lead]}
                    {_joins(others, rows)} where {" or ".join(not_plain) or "false"}
                    union all select entity_id from {rows} anti join (select entity_id from {leading}) using (entity_id)
                    union all select entity_id from {unknown}) anti join {crowded} using (entity_id))""",
        },
        f"select entity_id as id{ordinal} from {placed or leading} {not_agreed}",
        agreeing.query(
            [], _side_by_side(slots, [*(s.plain(slots, lead) for s in alike), *also], led), placed=bool(also)
        ),
        (
            closely.query(few, _side_by_side(slots, [s.side_by_side(slots, differs=True) for s in looked], beside)),
            gathered_query(closely, near(crowded)),
        ),
    )


def merge_query(entity: Entity, rows: str, taken: Sequence[str] = (), since: str | None = None) -> str:
    """Return the SQL from linked rows (`entity_id` beside the facts) to golden rows, with `_sources` and `_decided`.

    Rows with one moment stand in the order of register and key, so that it gives the same on every run.

    Args:
        entity: The entity.
        rows: Relation with `entity_id`, `dataset`, `_key`, `_ref`, `_moment` and the entity's fields.
        taken: Fields of which the landed row that each was taken from is told too, in `_from_<field>`, where that is not a
            row of the first authority.
        since: As `merge_ways` takes it.
    """
    ways = merge_ways(entity, rows, taken, since=since)
    persons = ", ".join(f"{name} as materialized ({query})" for name, query in ways.relations.items())
    return f"with {persons}\n{' union all '.join((ways.plain, *ways.close))}"


def _joins(slots: Mapping[str, str], rows: str) -> str:
    return "\n".join(
        f"left join (select * from {rows} where dataset = {literal(name)}) as {slot} using (entity_id)"
        for name, slot in slots.items()
    )


def _side_by_side(slots: Mapping[str, str], columns: Sequence[str], joined: str) -> str:
    places = ", ".join(
        f"case when {slot}._ref is not null then {{'dataset': {literal(name)}, 'key': {slot}._key, 'ref': {slot}._ref, "
        f"'as_of': {slot}._moment}} end"
        for name, slot in slots.items()
    )
    return f"select entity_id, [{places}] as {SOURCES}, {', '.join(columns)} from {joined}"
