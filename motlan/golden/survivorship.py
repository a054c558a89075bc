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

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from motlan.authority import Authority, Believed
from motlan.engine import DUCKDB, literal, parse, quote
from motlan.golden.pointers import BETWEEN, DECIDED, DISPUTED, SOURCES
from motlan.registry import Entity

SAID = "struct(rank integer, moment varchar, place integer, source integer, value varchar)[]"
"""What is said on a field: rank (greater is believed more), the record's moment, the row's place, its register, the value."""
AGREED = "agreed"
"""Relation of the persons (`id`) whose rows say the same: see `Ways`."""


@dataclass(frozen=True)
class Survivor:
    """The SQL of one field's survivorship.

    Attributes:
        field: Its name; `rule` who is believed on it; `fields` all fields, which conditions may read.
    """

    field: str
    rule: Authority
    fields: Sequence[str]

    @property
    def contested(self) -> bool:
        """Whether several registers are believed on it."""
        return len(self.rule.datasets) > 1

    @property
    def first(self) -> str:
        """Column: the value, where all that is said is the same."""
        return quote("first_" + self.field)

    @property
    def place(self) -> str:
        """Column: the place of the most believed row that says it."""
        return quote("place_" + self.field)

    @property
    def differs(self) -> str:
        """Column: whether there are several values."""
        return quote("differs_" + self.field)

    @property
    def all(self) -> str:
        """Column: what was said, where that differs; the most believed first, of equals the newest."""
        return quote("all_" + self.field)

    @property
    def best(self) -> str:
        """Column: what is most believed, where it differs."""
        return quote("best_" + self.field)

    @property
    def won(self) -> str:
        """Column: what wins, where it differs: the most believed, or what refines it."""
        return quote("won_" + self.field)

    @property
    def how(self) -> str:
        """Column: what decided, in one word, where it differs."""
        return quote("how_" + self.field)

    @property
    def disputed(self) -> str:
        """Column: whether somebody who is believed does not agree with the best, where it differs."""
        return quote("disputed_" + self.field)

    def agrees(self, left: str, right: str) -> str:
        """Whether two values say the same of the person."""
        expression = parse(self.rule.agrees, where=f"authority.yaml, {self.field}.agrees")
        return f"coalesce({expression.sql(DUCKDB, {'left': left, 'right': right})}, false)"

    def precision(self, value: str) -> str:
        """How precise a value is."""
        expression = parse(self.rule.precision, where=f"authority.yaml, {self.field}.precision")
        return expression.sql(DUCKDB, {"value": value})

    def condition(self, entry: Believed, row: str) -> str:
        """Whether a row of an entry's register is believed under it: by the column that `merge_query` gives the rows."""
        asked = self._asked(entry)
        return "true" if asked == "true" else f"{row}.{_holds(asked)}"

    def conditions(self) -> dict[str, str]:
        """Columns of rows, and their SQL: whether each condition under which a row is believed holds."""
        asked = [self._asked(entry) for rank in self.rule.ranks for entry in rank]
        return {_holds(condition): condition for condition in asked if condition != "true"}

    def _asked(self, entry: Believed) -> str:
        parts = [f"_moment >= {literal(entry.since)}"] if entry.since else []
        parts += [f"_moment < {literal(entry.until)}"] if entry.until else []
        if entry.when != "True":
            parts.append(parse(entry.when, where=f"authority.yaml, {self.field}.when").sql(DUCKDB))
        return " and ".join(f"coalesce({part}, false)" for part in parts) or "true"

    def rank(self, row: str, dataset: str | None = None) -> str:
        """How much a row is believed, null where it is not; of a known dataset, or by the row's own column."""
        cases = [
            f"when {'true' if dataset else f'{row}.dataset = {literal(entry.dataset)}'} and {self.condition(entry, row)} "
            f"then {rank}"
            for rank, entries in enumerate(reversed(self.rule.ranks), 1)
            for entry in entries
            if dataset in (None, entry.dataset)
        ]
        return f"(case {' '.join(reversed(cases)) or 'when false then 0'} end)"

    def believed(self, row: str, dataset: str) -> str:
        """What a register's row says, null where it is not believed."""
        value = f"{row}.{quote(self.field)}"
        if any(entry.always for rank in self.rule.ranks for entry in rank if entry.dataset == dataset):
            return value
        return f"(case when {self.rank(row, dataset)} is not null then {value} end)"

    def chosen(self) -> str:
        """The most believed of what was said. Votes are counted where equals stand against each other."""
        first, second = f"{self.all}[1]", f"{self.all}[2]"
        if self.rule.ties == "freshness":
            return first
        best = f"list_max(list_transform({self.all}, lambda c: row(c.rank, {self._votes()}, c.moment, c.place, c)))[5]"
        return f"case when {second}.rank = {first}.rank then {best} else {first} end"

    def _votes(self) -> str:
        """How many registers say the same as `c` does."""
        same = f"list_filter({self.all}, lambda o: {self.agrees('c.value', 'o.value')})"
        return f"len(list_distinct(list_transform({same}, lambda o: o.source)))"

    def refined(self) -> str:
        """The most believed of what says the same as the best more precisely."""
        if self.rule.precision == "1":
            return self.best
        finer = (
            f"list_filter({self.all}, lambda o: case when {self.precision('o.value')} > "
            f"{self.precision(f'{self.best}.value')} then {self.agrees(f'{self.best}.value', 'o.value')} else false end)"
        )
        return f"coalesce({finer}[1], {self.best})"

    def decided(self) -> str:
        """What decided, in one word."""
        equals = (
            f"len(list_filter({self.all}, lambda o: o.rank = {self.best}.rank and o.value != {self.best}.value)) > 0"
        )
        return (
            f"case when {self.won}.place != {self.best}.place then 'refined' "
            f"when {equals} then {literal(self.rule.ties)} else 'authority' end"
        )

    def opposed(self) -> str:
        """Whether somebody who is believed does not agree with the best."""
        others = f"list_filter({self.all}, lambda o: o.value != {self.best}.value)"
        return f"len(list_filter({others}, lambda o: not {self.agrees(f'{self.best}.value', 'o.value')})) > 0"

    def told(self, contested: bool, places: Sequence[int]) -> str:
        """Where the golden value came from and what decided, as `_decided` has it; null where there is none.

        Args:
            contested: Whether it may differ.
            places: The usual places, of which the text need not be put together.
        """
        name = literal(self.field + " ")
        usual = " ".join(f"when {place} then {literal(f'{self.field} {place}')}" for place in places)
        told = f"case {self.place} {usual} else {name} || {self.place} end" if usual else f"{name} || {self.place}"
        if not contested:
            return told
        how = (
            f"case when {self.disputed} then ' ' || {self.how} || {literal(DISPUTED)} "
            f"when {self.how} != 'authority' then ' ' || {self.how} else '' end"
        )
        return f"case when {self.differs} then {name} || {self.won}.place || ({how}) else {told} end"

    def taken(self, contested: bool, slots: Mapping[str, str]) -> str:
        """The landed row that the golden value was taken from, null where another refined it or it is the first authority's."""
        place = self.place
        if contested:
            best = f"case when {self.won}.place = {self.best}.place then {self.best}.place end"
            place = f"case when {self.differs} then {best} else {place} end"
        source = f"{SOURCES}[{place}]"
        first = ", ".join(str(_place(slots, name)) if slots else literal(name) for name in self.rule.first)
        asked = f"({place})" if slots else f"{source}.dataset"
        ref = f"case when {asked} not in ({first}) then {source}.ref end" if first else f"{source}.ref"
        return f"{ref} as {quote(taken_from(self.field))}"

    def value(self, contested: bool) -> str:
        """The golden value."""
        value = f"case when {self.differs} then {self.won}.value else {self.first} end" if contested else self.first
        return f"{value} as {quote(self.field)}"

    def led(self, lead: str) -> bool:
        """Whether nobody is believed more, or as much, as a register."""
        return self.rule.first == (lead,)

    def plain(self, slots: Mapping[str, str], lead: str) -> str:
        """The columns of persons of whom rows side by side say the same, and the leading one says all that it is asked first.

        Args:
            slots: Register -> alias of its row.
            lead: The leading register.
        """
        if not self.led(lead):
            return self.side_by_side(slots, differs=False)
        value = f"{slots[lead]}.{quote(self.field)}"
        return f"{value} as {self.first}, case when {value} is not null then {_place(slots, lead)} end as {self.place}"

    def side_by_side(self, slots: Mapping[str, str], *, differs: bool) -> str:
        """The columns of persons with one row of a register at the most, whose rows are aliases side by side.

        Args:
            slots: Register -> alias of its row.
            differs: Whether what they say may differ.
        """
        mine = self.rule.datasets
        said = [self.believed(slots[name], name) for name in mine]
        if not self.contested:
            value = said[0] if said else "null::varchar"
            place = f"case when {value} is not null then {_place(slots, mine[0])} end" if said else "null::integer"
            return f"{value} as {self.first}, {place} as {self.place}"
        everyone = f"list_filter([{self._everyone(slots, said)}]::{SAID}, lambda c: c is not null)"
        places = " ".join(self._places(slots))
        known = f"coalesce({', '.join(said)}) as {self.first}, case {places} end as {self.place}"
        if not differs:
            return known
        differing = _differ(said)
        every = f"case when {differing} then list_reverse_sort({everyone}) end"
        return f"{known}, {differing} as {self.differs}, {every} as {self.all}"

    def not_plain(self, slots: Mapping[str, str], lead: str) -> list[str]:
        """Conditions under which `plain` is not enough for rows side by side, believed or not.

        Args:
            slots: Register -> alias of its row.
            lead: The leading register; its row is there.
        """
        values = {name: f"{slot}.{quote(self.field)}" for name, slot in slots.items()}
        asked = self.contested or self.rule.correct
        if not self.led(lead):
            return [_differ([*values.values()])] if asked else []
        own, (entry,) = values.pop(lead), self.rule.ranks[0]
        found = [f"({value} is not null and {value} is distinct from {own})" for value in values.values() if asked]
        if not entry.always:
            found.append(f"({own} is not null and not {self.condition(entry, slots[lead])})")
        return found

    def _everyone(self, slots: Mapping[str, str], said: Sequence[str]) -> str:
        return ", ".join(
            f"case when {value} is not null then {{'rank': {self.rank(slots[name], name)}, "
            f"'moment': coalesce({slots[name]}._moment, ''), 'place': {_place(slots, name)}, 'source': {_place(slots, name)}, "
            f"'value': {value}}} end"
            for name, value in zip(self.rule.datasets, said, strict=True)
        )

    def _places(self, slots: Mapping[str, str]) -> list[str]:
        """The cases of the place of the most believed row, rank by rank; of equals the newest."""
        cases = []
        for entries in self.rule.ranks:
            known = {
                slots[entry.dataset]: f"({slots[entry.dataset]}.{quote(self.field)} is not null "
                f"and {self.condition(entry, slots[entry.dataset])})"
                for entry in entries
            }
            place = {slot: _place(slots, entry.dataset) for slot, entry in zip(known, entries, strict=True)}
            # The greatest of moment and place, as one text: no list is made for it.
            told = ", ".join(
                f"case when {asked} then coalesce({slot}._moment, '') || {_BEHIND} || '{place[slot]:03}' end"
                for slot, asked in known.items()
            )
            newest = (
                f"split_part(greatest({told}), {_BEHIND}, 2)::integer"
                if len(known) > 1
                else f"{place[next(iter(known))]}"
            )
            cases.append(f"when {' or '.join(known.values())} then {newest}")
        return cases

    def gathered(self) -> str:
        """The columns of the other persons, as aggregates over their rows `r`."""
        value, rank = f"r.{quote(self.field)}", self.rank("r")
        known = f"filter (where {value} is not null and {rank} is not null)"
        said = (
            f"(list({{'rank': {rank}, 'moment': coalesce(r._moment, ''), 'place': r._place, 'source': r._source, "
            f"'value': {value}}}) {known})::{SAID}"
        )
        return (
            f"min({value}) {known} as {self.first}, {_newest(said)} as {self.place}, "
            f"coalesce(min({value}) {known} != max({value}) {known}, false) as {self.differs}, "
            f"list_reverse_sort({said}) as {self.all}"
        )


def _holds(condition: str) -> str:
    """Return the name of the column that tells whether a condition holds."""
    return f"_holds_{hashlib.sha256(condition.encode()).hexdigest()[:12]}"


_BEHIND = literal("\x01")
"""Stands behind a moment: sorts before whatever a longer one goes on with."""


def _differ(values: Sequence[str]) -> str:
    known = ", ".join(values)
    return f"coalesce(least({known}) != greatest({known}), false)"


def _place(slots: Mapping[str, str], dataset: str) -> int:
    return list(slots).index(dataset) + 1


def _newest(said: str) -> str:
    return f"list_max(list_transform({said}, lambda c: row(c.rank, c.moment, c.place)))[3]"


def taken_from(field: str) -> str:
    """Return the name of a column with the landed row that a golden field was taken from."""
    return "_from_" + field


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
    entity: Entity, rows: str, taken: Sequence[str] = (), *, close: str | None = None, placed: str | None = None
) -> Ways:
    """Return the queries that `merge_query` puts together: an engine does them faster one by one.

    Args:
        entity: As `merge_query` takes it, and so `rows` and `taken`.
        rows: All rows.
        taken: Fields.
        close: Relation with all rows of the persons in `apart`, among others; by default that of all rows.
        placed: Relation of all persons with `_ordinal`, which plain golden rows shall have too.
    """
    survivors = [Survivor(field, rule, entity.fields) for field, rule in entity.authority.items()]
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
        return f"(from {close or rows} semi join {some} using (person_id))"

    not_plain = [condition for survivor in survivors for condition in survivor.not_plain(slots, lead)]
    unled = [survivor for survivor in survivors if not survivor.led(lead)]
    few = [survivor for survivor in survivors if survivor.contested]
    beside = f"{differing} {_joins(slots, held(near(differing)))}"
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
            decided.query(few, _side_by_side(slots, [s.side_by_side(slots, differs=True) for s in survivors], beside)),
            decided.query(survivors, _gathered(survivors, held(near(crowded))), gathered=True),
        ),
    )


def merge_query(entity: Entity, rows: str, taken: Sequence[str] = ()) -> str:
    """Return the SQL from linked rows (`person_id` beside the facts) to golden rows, with `_sources` and `_decided`.

    Rows with one moment stand in the order of register and key, so that it gives the same on every run.

    Args:
        entity: The entity.
        rows: Relation with `person_id`, `dataset`, `_key`, `_ref`, `_moment` and the entity's fields.
        taken: Fields of which the landed row that each was taken from is told too, in `_from_<field>`, where that is not a
            row of the first authority.
    """
    ways = merge_ways(entity, rows, taken)
    persons = ", ".join(f"{name} as materialized ({query})" for name, query in ways.relations.items())
    return f"with {persons}\n{' union all '.join((ways.plain, *ways.close))}"


@dataclass(frozen=True)
class _Decided:
    """The SQL of golden rows, of what was said."""

    survivors: Sequence[Survivor]
    slots: Mapping[str, str]
    taken: Sequence[str]

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
        values = ", ".join(survivor.value(survivor in contested) for survivor in self.survivors)
        slots = {} if gathered else self.slots
        taken = "".join(f", {s.taken(s in contested, slots)}" for s in self.survivors if s.field in self.taken)
        also = ", _ordinal" if placed else ""
        return f"""select person_id, {values}, {SOURCES}, {self._told(contested)} as {DECIDED}{taken}{also}
            from ({said})"""

    def _told(self, contested: Sequence[Survivor]) -> str:
        """What decided, of all fields: most persons have rows of few registers, so fields of one register go together."""
        parts = []
        for _, group in groupby(self.survivors, lambda s: s.field if s.contested else s.rule.datasets):
            fields = list(group)
            told = [s.told(s in contested, [_place(self.slots, n) for n in s.rule.datasets]) for s in fields]
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


def _gathered(survivors: Sequence[Survivor], rows: str) -> str:
    columns = ", ".join(survivor.gathered() for survivor in survivors)
    row = "{'dataset': r.dataset, 'key': r._key, 'ref': r._ref, 'as_of': r._moment}"
    return f"""select person_id, list({row} order by r._place) as {SOURCES}, {columns}
        from (select *, row_number() over (partition by person_id order by dataset, _key)::integer as _place,
                     dense_rank() over (partition by person_id order by dataset)::integer as _source
              from {rows}) as r
        group by person_id"""
