"""Survivorship, compiled: from linked rows to golden rows, one query that a version stores and lineage replays.

Of each field the value of the most believed register wins. Between equally believed ones decide freshness and the
agreement of the other registers, in the order that the field declares; then a value that says the same more precisely
refines it. Unknown never beats known.

Most persons have one row of a register at the most, and one of the register that is believed first on most fields: it leads.
Theirs are joined side by side, the others' rows to the leading one: the engine does that ten times faster than it gathers lists.
Those whose registers say the same are asked no more; the others are found first, and go together, because an expression for a
few rows of each batch costs as much as for all. Persons with more rows are gathered in groups. All ways give the same columns,
and the same answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from motlan.config.registry import Entity
from motlan.expressions import literal, quote
from motlan.merge.field_survivorship import Survivor, in_force, place_in
from motlan.merge.provenance import BETWEEN, DECIDED, SOURCES

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
        close: The queries of all others' golden rows; no person is in two.
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
    names = sorted({name for survivor in survivors for name in survivor.rule.datasets}) or [""]
    slots = {name: f"slot_{number}" for number, name in enumerate(names, 1)}
    lead = max(names, key=lambda name: sum(survivor.led(name) for survivor in survivors))
    decided = _Decided(survivors, slots, taken)
    # Their column has a name of its own: Spark cannot join a table with what it was made of, where columns are the same.
    crowded, differing = (f"(select id as person_id from {name})" for name in ("crowded", "differing"))
    unknown = f"(from {rows} where dataset not in ({', '.join(map(literal, names))}))"
    leading = f"(from {rows} where dataset = {literal(lead)})"
    others = {name: slot for name, slot in slots.items() if name != lead}

    def held(of: str, fields: Sequence[Survivor] = survivors) -> str:
        """Give rows the conditions of fields, as columns."""
        conditions = {name: asked for survivor in fields for name, asked in survivor.conditions().items()}
        return f"(select {', '.join(['*', *(f'{asked} as {name}' for name, asked in conditions.items())])} from {of})"

    def near(some: str) -> str:
        found = f"(from {close or rows} semi join {some} using (person_id))"
        return f"(select * from {found} left join {since} using (_ref))" if since else found

    not_plain = [condition for survivor in survivors for condition in survivor.not_plain(slots, lead)]
    unled = [survivor for survivor in survivors if not survivor.led(lead)]
    few = [survivor for survivor in looked if survivor.contested]
    beside = f"{differing} {_joins(slots, held(near(differing), looked))}"
    closely = replace(decided, survivors=looked, followed=close or rows)
    ordinal = ", _ordinal" if placed else ""
    led = f"(from {leading} join (select id as person_id{ordinal} from {AGREED}) using (person_id))"
    led = f"{held(led, unled)} as {slots[lead]} {_joins(others, held(rows, unled))}"
    also = [f"{slots[lead]}._ordinal"] if placed else []
    not_agreed = f"anti join {crowded} using (person_id) anti join {differing} using (person_id)"
    return Ways(
        {
            "crowded": f"select distinct person_id as id from (select person_id from {rows} group by person_id, dataset "
            "having count(*) > 1)",
            "differing": f"""select distinct id from (
                select person_id as id from (
                    select person_id from {held(leading)} as {slots[lead]}
                    {_joins(others, rows)} where {" or ".join(not_plain) or "false"}
                    union all select person_id from {rows} anti join (select person_id from {leading}) using (person_id)
                    union all select person_id from {unknown}) anti join {crowded} using (person_id))""",
        },
        f"select person_id as id{ordinal} from {placed or leading} {not_agreed}",
        decided.query(
            [], _side_by_side(slots, [*(s.plain(slots, lead) for s in survivors), *also], led), placed=bool(also)
        ),
        (
            closely.query(few, _side_by_side(slots, [s.side_by_side(slots, differs=True) for s in looked], beside)),
            closely.query(looked, _gathered(looked, held(near(crowded), looked)), gathered=True),
        ),
    )


def merge_query(entity: Entity, rows: str, taken: Sequence[str] = (), since: str | None = None) -> str:
    """Return the SQL from linked rows (`person_id` beside the facts) to golden rows, with `_sources` and `_decided`.

    Rows with one moment stand in the order of register and key, so that it gives the same on every run.

    Args:
        entity: The entity.
        rows: Relation with `person_id`, `dataset`, `_key`, `_ref`, `_moment` and the entity's fields.
        taken: Fields of which the landed row that each was taken from is told too, in `_from_<field>`, where that is not a
            row of the first authority.
        since: As `merge_ways` takes it.
    """
    ways = merge_ways(entity, rows, taken, since=since)
    persons = ", ".join(f"{name} as materialized ({query})" for name, query in ways.relations.items())
    return f"with {persons}\n{' union all '.join((ways.plain, *ways.close))}"


@dataclass(frozen=True)
class _Decided:
    """The SQL of golden rows, of what was said."""

    survivors: Sequence[Survivor]
    slots: Mapping[str, str]
    taken: Sequence[str]
    followed: str | None = None
    """Relation of rows, where fields that follow others are taken from the others' rows; else they come from these already."""

    def query(self, contested: Sequence[Survivor], said: str, *, gathered: bool = False, placed: bool = False) -> str:
        """Return it.

        Args:
            contested: Fields that may differ.
            said: What was said.
            gathered: Whether rows stand in places of no register.
            placed: Whether there is `_ordinal` beside it.
        """
        steps = (
            [f"{s.chosen()} end as {s.best}" for s in contested],
            [f"{s.refined()} end as {s.won}" for s in contested],
            [f"{s.decided()} end as {s.how}" for s in contested],
            [f"{s.opposed()} end as {s.disputed}" for s in contested],
        )
        for made in steps:
            told = "".join(f", case when {s.differs} then {one}" for s, one in zip(contested, made, strict=True))
            said = f"select *{told} from ({said})"
        followed = self._followed(contested) if self.followed else {}
        values = ", ".join(
            followed[s.field][0] if s.field in followed else s.value(s in contested) for s in self.survivors
        )
        joins = "".join(join for *_, join in followed.values())
        how = {field: decided for field, (_, decided, _) in followed.items()}
        slots = {} if gathered else self.slots
        taken = "".join(f", {s.taken(s in contested, slots)}" for s in self.survivors if s.field in self.taken)
        also = ", _ordinal" if placed else ""
        return f"""select person_id, {values}, {SOURCES}, {self._told(contested, how)} as {DECIDED}{taken}{also}
            from ({said}) as said{joins}"""

    def _followed(self, contested: Sequence[Survivor]) -> dict[str, tuple[str, str, str]]:
        """Field that follows another -> its value, where it came from, and the join with the other's row."""
        by_field = {survivor.field: survivor for survivor in self.survivors}
        found = {}
        for number, survivor in enumerate(s for s in self.survivors if s.rule.follows):
            leader, row = by_field[survivor.rule.follows or ""], f"followed_{number}"
            place = leader.final_place(leader in contested)
            row_said = f"(select _ref as _ref_{number}, {quote(survivor.field)} from {self.followed})"
            join = f" left join {row_said} as {row} on {row}._ref_{number} = {SOURCES}[{place}].ref"
            found[survivor.field] = (*survivor.follow(leader, contested, row), join)
        return found

    def _told(self, contested: Sequence[Survivor], followed: Mapping[str, str]) -> str:
        """What decided, of all fields: most persons have rows of few registers, so fields of one register go together."""
        parts = []
        for _, group in groupby(
            self.survivors, lambda s: s.field if s.contested or s.field in followed else s.rule.datasets
        ):
            fields = list(group)
            if fields[0].field in followed:
                parts.append(followed[fields[0].field])
                continue
            told = [s.told(s in contested, [place_in(self.slots, n) for n in s.rule.datasets]) for s in fields]
            known = f"coalesce({', '.join(s.place for s in fields)}) is not null"
            parts += told if len(told) == 1 else [f"case when {known} then {_together(told)} end"]
        return _together(parts)


def _together(told: Sequence[str]) -> str:
    return f"concat_ws({literal(BETWEEN)}, {', '.join(told)})"


def _joins(slots: Mapping[str, str], rows: str) -> str:
    return "\n".join(
        f"left join (select * from {rows} where dataset = {literal(name)}) as {slot} using (person_id)"
        for name, slot in slots.items()
    )


def _side_by_side(slots: Mapping[str, str], columns: Sequence[str], joined: str) -> str:
    places = ", ".join(
        f"case when {slot}._ref is not null then {{'dataset': {literal(name)}, 'key': {slot}._key, 'ref': {slot}._ref, "
        f"'as_of': {slot}._moment}} end"
        for name, slot in slots.items()
    )
    return f"select person_id, [{places}] as {SOURCES}, {', '.join(columns)} from {joined}"


def _whole(survivors: Sequence[Survivor], rows: str) -> str:
    """Return rows of which one of a register's several rows about a person says all fields of a group that go together."""
    groups: dict[str, list[Survivor]] = {}
    for survivor in survivors:
        if survivor.rule.together:
            groups.setdefault(survivor.rule.together, []).append(survivor)
    if not groups:
        return rows
    stands, kept = [], []
    for number, fields in enumerate(groups.values()):
        expression = fields[0].rule.in_force
        known = " or ".join(f"r.{quote(one.field)} is not null" for one in fields)
        order = [f"({known}) desc", *([f"{in_force(expression)} desc"] if expression else [])]
        order += [f"greatest({', '.join(one.since('r') for one in fields)}) desc", "_key desc"]
        stands.append(
            f"row_number() over (partition by person_id, dataset order by {', '.join(order)}) as {_STANDS}{number}"
        )
        kept += [f"case when {_STANDS}{number} = 1 then {quote(one.field)} end as {quote(one.field)}" for one in fields]
    numbered = ", ".join(f"{_STANDS}{number}" for number in range(len(groups)))
    return f"(select * exclude ({numbered}) replace ({', '.join(kept)}) from (select r.*, {', '.join(stands)} from {rows} as r))"


def _gathered(survivors: Sequence[Survivor], rows: str) -> str:
    columns = ", ".join(survivor.gathered() for survivor in survivors)
    row = "{'dataset': r.dataset, 'key': r._key, 'ref': r._ref, 'as_of': r._moment}"
    return f"""select person_id, list({row} order by r._place) as {SOURCES}, {columns}
        from (select *, row_number() over (partition by person_id order by dataset, _key)::integer as _place,
                     dense_rank() over (partition by person_id order by dataset)::integer as _source
              from {_whole(survivors, rows)}) as r
        group by person_id"""
