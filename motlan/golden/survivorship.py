"""Survivorship, compiled: from linked rows to golden rows, one query that a version stores and lineage replays.

Of each field the value of the most believed register wins. Between equally believed ones decide freshness and the
agreement of the other registers, in the order that the field declares; then a value that says the same more precisely
refines it. Unknown never beats known.

Most persons have one row of a register at the most. Theirs are joined side by side: the engine does that ten times faster than
it gathers lists. Those whose registers do not differ are asked no more; the others are found first, and go together, because
an expression for a few rows of each batch costs as much as for all. Persons with more rows are gathered in groups. All ways give
the same columns, and the same answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from motlan.authority import Authority, Believed
from motlan.engine import DUCKDB, literal, parse, quote
from motlan.golden.pointers import BETWEEN, DECIDED, DISPUTED, SOURCES
from motlan.registry import Entity

SAID = "struct(rank integer, moment varchar, place integer, source integer, value varchar)[]"
"""What is said on a field: rank (greater is believed more), the record's moment, the row's place, its register, the value."""


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
        """Column: what was said, where that differs."""
        return quote("all_" + self.field)

    @property
    def best(self) -> str:
        """Column: what is most believed, where it differs."""
        return quote("best_" + self.field)

    @property
    def won(self) -> str:
        """Column: what wins, where it differs: the most believed, or what refines it."""
        return quote("won_" + self.field)

    def agrees(self, left: str, right: str) -> str:
        """Whether two values say the same of the person."""
        expression = parse(self.rule.agrees, where=f"authority.yaml, {self.field}.agrees")
        return f"coalesce({expression.sql(DUCKDB, {'left': left, 'right': right})}, false)"

    def precision(self, value: str) -> str:
        """How precise a value is."""
        expression = parse(self.rule.precision, where=f"authority.yaml, {self.field}.precision")
        return expression.sql(DUCKDB, {"value": value})

    def condition(self, entry: Believed, row: str) -> str:
        """Whether a row of an entry's register is believed under it."""
        parts = [f"{row}._moment >= {literal(entry.since)}"] if entry.since else []
        parts += [f"{row}._moment < {literal(entry.until)}"] if entry.until else []
        if entry.when != "True":
            columns = {name: f"{row}.{quote(name)}" for name in self.fields}
            parts.append(parse(entry.when, where=f"authority.yaml, {self.field}.when").sql(DUCKDB, columns))
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
        """The most believed of what was said."""
        votes = "0" if self.rule.ties == "freshness" else self._votes()
        return f"list_max(list_transform({self.all}, lambda c: row(c.rank, {votes}, c.moment, c.place, c)))[5]"

    def _votes(self) -> str:
        """How many registers say the same as `c` does."""
        same = f"list_filter({self.all}, lambda o: {self.agrees('c.value', 'o.value')})"
        return f"len(list_distinct(list_transform({same}, lambda o: o.source)))"

    def refined(self) -> str:
        """The most believed of what says the same as the best more precisely."""
        if self.rule.precision == "1":
            return self.best
        finer = (
            f"list_filter(list_reverse_sort({self.all}), lambda o: {self.precision('o.value')} > "
            f"{self.precision(f'{self.best}.value')} and {self.agrees(f'{self.best}.value', 'o.value')})"
        )
        return f"coalesce({finer}[1], {self.best})"

    def how(self) -> str:
        """What decided, in one word, where it differs."""
        equals = (
            f"len(list_filter({self.all}, lambda o: o.rank = {self.best}.rank and o.value != {self.best}.value)) > 0"
        )
        return (
            f"case when not {self.differs} then 'authority' when {self.won}.place != {self.best}.place then 'refined' "
            f"when {equals} then {literal(self.rule.ties)} else 'authority' end"
        )

    def disputed(self) -> str:
        """Whether somebody who is believed does not agree with the best."""
        others = f"list_filter({self.all}, lambda o: not {self.agrees(f'{self.best}.value', 'o.value')})"
        return f"case when {self.differs} then len({others}) > 0 else false end"

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
            f"case when {self.disputed()} then ' ' || ({self.how()}) || {literal(DISPUTED)} "
            f"when ({self.how()}) != 'authority' then ' ' || ({self.how()}) else '' end"
        )
        return f"case when {self.differs} then {name} || {self.won}.place || ({how}) else {told} end"

    def taken(self, contested: bool) -> str:
        """The landed row that the golden value was taken from, null where another refined it."""
        ref = f"{SOURCES}[{self.place}].ref"
        if contested:
            best = f"case when {self.won}.place = {self.best}.place then {SOURCES}[{self.best}.place].ref end"
            ref = f"case when {self.differs} then {best} else {ref} end"
        return f"{ref} as {quote(taken_from(self.field))}"

    def value(self, contested: bool) -> str:
        """The golden value."""
        value = f"case when {self.differs} then {self.won}.value else {self.first} end" if contested else self.first
        return f"{value} as {quote(self.field)}"

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
        places = " ".join(self._places(slots, everyone))
        known = f"coalesce({', '.join(said)}) as {self.first}, case {places} end as {self.place}"
        if not differs:
            return known
        differing = self.differing(slots)
        return f"{known}, {differing} as {self.differs}, case when {differing} then {everyone} end as {self.all}"

    def differing(self, slots: Mapping[str, str]) -> str:
        """Whether rows side by side differ."""
        known = ", ".join(self.believed(slots[name], name) for name in self.rule.datasets)
        return f"coalesce(least({known}) != greatest({known}), false)"

    def _everyone(self, slots: Mapping[str, str], said: Sequence[str]) -> str:
        return ", ".join(
            f"case when {value} is not null then {{'rank': {self.rank(slots[name], name)}, "
            f"'moment': coalesce({slots[name]}._moment, ''), 'place': {_place(slots, name)}, 'source': {_place(slots, name)}, "
            f"'value': {value}}} end"
            for name, value in zip(self.rule.datasets, said, strict=True)
        )

    def _places(self, slots: Mapping[str, str], everyone: str) -> list[str]:
        """The cases of the place of the most believed row, rank by rank; of equals the newest."""
        cases = []
        for entries in self.rule.ranks:
            known = [
                f"({slots[entry.dataset]}.{quote(self.field)} is not null and {self.condition(entry, slots[entry.dataset])})"
                for entry in entries
            ]
            newest = _newest(everyone) if len(entries) > 1 else str(_place(slots, entries[0].dataset))
            cases.append(f"when {' or '.join(known)} then {newest}")
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
            f"coalesce(min({value}) {known} != max({value}) {known}, false) as {self.differs}, {said} as {self.all}"
        )


def _place(slots: Mapping[str, str], dataset: str) -> int:
    return list(slots).index(dataset) + 1


def _newest(said: str) -> str:
    return f"list_max(list_transform({said}, lambda c: row(c.rank, c.moment, c.place)))[3]"


def taken_from(field: str) -> str:
    """Return the name of a column with the landed row that a golden field was taken from."""
    return "_from_" + field


def merge_query(entity: Entity, rows: str, taken: Sequence[str] = ()) -> str:
    """Return the SQL from linked rows (`person_id` beside the facts) to golden rows, with `_sources` and `_decided`.

    Rows with one moment stand in the order of register and key, so that it gives the same on every run.

    Args:
        entity: The entity.
        rows: Relation with `person_id`, `dataset`, `_key`, `_ref`, `_moment` and the entity's fields.
        taken: Fields of which the landed row that each was taken from is told too, in `_from_<field>`.
    """
    survivors = [Survivor(field, rule, entity.fields) for field, rule in entity.authority.items()]
    names = sorted({name for survivor in survivors for name in survivor.rule.datasets})
    slots = {name: f"slot_{number}" for number, name in enumerate(names, 1)}
    few = [survivor for survivor in survivors if survivor.contested]
    decided = _Decided(survivors, slots, taken)
    crowded = f"select person_id from {rows} group by person_id, dataset having count(*) > 1"
    differing = " or ".join(survivor.differing(slots) for survivor in few) or "false"
    plain = f"(select distinct person_id from {rows} anti join crowded using (person_id) anti join differing using (person_id))"
    return f"""with crowded as materialized (select distinct person_id from ({crowded})),
        differing as materialized (
            select person_id from (select distinct person_id from {rows} anti join crowded using (person_id))
            {_joins(slots, rows)} where {differing})
        {decided.query([], _side_by_side(survivors, slots, rows, plain, differs=False))}
        union all
        {decided.query(few, _side_by_side(survivors, slots, rows, "differing", differs=True))}
        union all
        {decided.query(survivors, _gathered(survivors, rows))}"""


@dataclass(frozen=True)
class _Decided:
    """The SQL of golden rows, of what was said."""

    survivors: Sequence[Survivor]
    slots: Mapping[str, str]
    taken: Sequence[str]

    def query(self, contested: Sequence[Survivor], said: str) -> str:
        """Return it; only contested fields may differ."""
        best = "".join(f", case when {s.differs} then {s.chosen()} end as {s.best}" for s in contested)
        won = "".join(f", case when {s.differs} then {s.refined()} end as {s.won}" for s in contested)
        values = ", ".join(survivor.value(survivor in contested) for survivor in self.survivors)
        told = ", ".join(
            s.told(s in contested, [_place(self.slots, n) for n in s.rule.datasets]) for s in self.survivors
        )
        taken = "".join(f", {s.taken(s in contested)}" for s in self.survivors if s.field in self.taken)
        return f"""select person_id, {values}, {SOURCES}, concat_ws({literal(BETWEEN)}, {told}) as {DECIDED}{taken}
            from (select *{won} from (select *{best} from ({said})))"""


def _joins(slots: Mapping[str, str], rows: str) -> str:
    return "\n".join(
        f"left join (select * from {rows} where dataset = {literal(name)}) as {slot} using (person_id)"
        for name, slot in slots.items()
    )


def _side_by_side(
    survivors: Sequence[Survivor], slots: Mapping[str, str], rows: str, persons: str, *, differs: bool
) -> str:
    places = ", ".join(
        f"case when {slot}._ref is not null then {{'dataset': {literal(name)}, 'key': {slot}._key, 'ref': {slot}._ref, "
        f"'as_of': {slot}._moment}} end"
        for name, slot in slots.items()
    )
    columns = ", ".join(survivor.side_by_side(slots, differs=differs) for survivor in survivors)
    return f"select person_id, [{places}] as {SOURCES}, {columns} from {persons} {_joins(slots, rows)}"


def _gathered(survivors: Sequence[Survivor], rows: str) -> str:
    columns = ", ".join(survivor.gathered() for survivor in survivors)
    row = "{'dataset': r.dataset, 'key': r._key, 'ref': r._ref, 'as_of': r._moment}"
    return f"""select person_id, list({row} order by r._place) as {SOURCES}, {columns}
        from (select *, row_number() over (partition by person_id order by dataset, _key)::integer as _place,
                     dense_rank() over (partition by person_id order by dataset)::integer as _source
              from {rows} semi join crowded using (person_id)) as r
        group by person_id"""
