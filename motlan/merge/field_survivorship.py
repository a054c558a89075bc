"""The survivorship of one field, compiled: who is believed on it, what wins, what decided, and whether somebody disagrees."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from motlan.config.authority import Authority, Believed
from motlan.expressions import DUCKDB, literal, parse, quote
from motlan.merge.provenance import DISPUTED, SOURCES

SAID = "struct(rank integer, moment varchar, place integer, source integer, value varchar, among varchar)[]"
"""What is said on a field: rank (greater is believed more), since when the record says it, the row's place, its register, the
value, and the candidates among which that is a guess."""
IN_FORCE, CERTAIN, RANKS = 200, 100, 100
"""What a rank is raised by of a row that is in force, and of one that is certain: more than all ranks, which are fewer than
`RANKS`."""


@dataclass(frozen=True)
class Survivor:
    """The SQL of one field's survivorship.

    Attributes:
        field: Its name; `rule` who is believed on it; `fields` all fields, which conditions may read.
        dated: Whether rows have since when each value is said (`since_column`), and not just their own moment.
    """

    field: str
    rule: Authority
    fields: Sequence[str]
    dated: bool = False

    @property
    def contested(self) -> bool:
        """Whether several registers are believed on it."""
        return len(self.rule.datasets) > 1

    @property
    def asks_since(self) -> bool:
        """Whether since when rows say a value matters even where all say the same: to whose it is, or who is believed."""
        entries = [entry for rank in self.rule.ranks for entry in rank]
        return len(entries) > len(self.rule.ranks) or any(entry.changed and entry.after for entry in entries)

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
    def reason(self) -> str:
        """Column: what decided, in one word, where it differs."""
        return quote("reason_" + self.field)

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

    def same(self, left: str, right: str) -> str:
        """Whether two things that were said say the same: their values agree, or one is a guess among what the other says."""
        agree = self.agrees(f"{left}.value", f"{right}.value")
        if not self.rule.candidates:
            return agree
        guesses = (is_among(f"{one}.value", f"{other}.among") for one, other in ((left, right), (right, left)))
        return f"({' or '.join((agree, *guesses))})"

    def since(self, row: str) -> str:
        """Since when a row's record says its value; the row's own moment where that is not told."""
        return f"coalesce({f'{row}.{since_column(self.field)}, ' if self.dated and self.rule.datasets else ''}{row}._moment, '')"

    def condition(self, entry: Believed, row: str) -> str:
        """Whether a row of an entry's register is believed under it: by the column that `merge_query` gives the rows."""
        asked = self._asked(entry)
        return "true" if asked == "true" else f"{row}.{_holds(asked)}"

    def conditions(self) -> dict[str, str]:
        """Columns of rows, and their SQL: whether each condition under which a row is believed holds."""
        asked = [self._asked(entry) for rank in self.rule.ranks for entry in rank]
        asked += [self._in_force] if self._in_force else []
        return {_holds(condition): condition for condition in asked if condition != "true"}

    @property
    def _in_force(self) -> str | None:
        """SQL of whether a row is in force, where the field stands alone: of a group, see `Together`."""
        if not self.rule.in_force or self.rule.together:
            return None
        return in_force(self.rule.in_force)

    def _asked(self, entry: Believed) -> str:
        parts = [f"_moment >= {literal(entry.since)}"] if entry.since else []
        parts += [f"_moment < {literal(entry.until)}"] if entry.until else []
        if entry.when != "True":
            parts.append(parse(entry.when, where=f"authority.yaml, {self.field}.when").sql(DUCKDB))
        asked = " and ".join(f"coalesce({part}, false)" for part in parts) or "true"
        if not (self.dated and entry.changed and entry.after):
            return asked
        # Where the older versions of the record are not known, all that it says began at once.
        after = f"coalesce({said_at(entry.after)}, 0)"
        newer = (f"({quote(name)} is not null and coalesce({said_at(name)}, 0) > {after})" for name in entry.changed)
        return f"({asked} or {' or '.join(newer)})"

    def rank(self, row: str, dataset: str | None = None) -> str:
        """How much a row is believed, null where it is not; of a known dataset, or by the row's own column."""
        cases = [
            f"when {'true' if dataset else f'{row}.dataset = {literal(entry.dataset)}'} and {self.condition(entry, row)} "
            f"then {rank}"
            for rank, entries in enumerate(reversed(self.rule.ranks), 1)
            for entry in entries
            if dataset in (None, entry.dataset)
        ]
        raised = f"(case {' '.join(reversed(cases)) or 'when false then 0'} end)"
        if self._in_force:
            raised += f" + case when {row}.{_holds(self._in_force)} then {IN_FORCE} else 0 end"
        if self.rule.candidates:
            raised += f" + case when {row}.{quote(self.rule.candidates)} is null then {CERTAIN} else 0 end"
        return f"({raised})"

    def believed(self, row: str, dataset: str) -> str:
        """What a register's row says, null where it is not believed."""
        value = f"{row}.{quote(self.field)}"
        if any(entry.always for rank in self.rule.ranks for entry in rank if entry.dataset == dataset):
            return value
        return f"(case when {self.rank(row, dataset)} is not null then {value} end)"

    def chosen(self) -> str:
        """The most believed of what was said. Votes are counted where equals stand against each other."""
        first, second = f"{self.all}[1]", f"{self.all}[2]"
        votes = "0" if self.rule.ties == "freshness" else self._votes()
        if self.rule.candidates:
            # Of what is certain, first what the guesses of those who are believed more allow.
            sure = f"c.rank // {CERTAIN}"
            allows = f"o.among is not null and o.rank % {RANKS} > c.rank % {RANKS} and {is_among('c.value', 'o.among')}"
            fits = f"case when c.among is null then len(list_filter({self.all}, lambda o: {allows})) else 0 end"
            ordered = f"row({sure}, {fits}, c.rank, {votes}, c.moment, c.place, c)"
            return f"list_max(list_transform({self.all}, lambda c: {ordered}))[7]"
        if self.rule.ties == "freshness":
            return first
        best = f"list_max(list_transform({self.all}, lambda c: row(c.rank, {votes}, c.moment, c.place, c)))[5]"
        return f"case when {second}.rank = {first}.rank then {best} else {first} end"

    def _votes(self) -> str:
        """How many registers say the same as `c` does."""
        same = f"list_filter({self.all}, lambda o: {self.same('c', 'o')})"
        return f"len(list_distinct(list_transform({same}, lambda o: o.source)))"

    def refined(self) -> str:
        """What says the same as the best most precisely: the most believed that refines it, then what refines that, and so on.

        Of equals as `ties` has it. Each says the same as the best and as the one that it refines. So a row that says what won
        changes nothing, whichever becomes the best by it.
        """
        if self.rule.precision == "1":
            return self.best
        finer = f"list_filter({self.all}, lambda o: {self._refines('o', self.best)})"
        if self.rule.ties != "freshness":
            order = (
                f"{{'rank': c.rank, 'votes': {self._votes()}, 'precision': {self.precision('c.value')}, "
                "'moment': c.moment, 'place': c.place, 'said': c}"
            )
            ordered = f"list_reverse_sort(list_transform({finer}, lambda c: {order}))"
            finer = f"list_transform({ordered}, lambda c: c.said)"
        return f"list_reduce({finer}, lambda w, o: case when {self._refines('o', 'w')} then o else w end, {self.best})"

    def _refines(self, finer: str, coarser: str) -> str:
        """Whether something that was said is more precise than another thing, and says the same."""
        more = f"{self.precision(f'{finer}.value')} > {self.precision(f'{coarser}.value')}"
        return f"case when {more} then {self.agrees(f'{coarser}.value', f'{finer}.value')} else false end"

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
        """Whether somebody who is believed does not agree with the best, or with what refines it."""
        best, won = self.best, self.won
        if self.rule.precision == "1":
            others = f"list_filter({self.all}, lambda o: o.value != {best}.value)"
            return f"len(list_filter({others}, lambda o: not {self.same(best, 'o')})) > 0"
        others = f"list_filter({self.all}, lambda o: o.value != {best}.value or o.value != {won}.value)"
        return f"len(list_filter({others}, lambda o: not ({self.same(best, 'o')} and {self.same(won, 'o')}))) > 0"

    def final_place(self, contested: bool) -> str:
        """The place of the row of the golden value."""
        return f"case when {self.differs} then {self.won}.place else {self.place} end" if contested else self.place

    def follow(self, leader: Survivor, contested: Sequence[Survivor], row: str) -> tuple[str, str]:
        """The golden value, and where it came from, of a field that follows another: where that is known, as its row says it.

        Args:
            leader: The field that it follows.
            contested: Fields that may differ.
            row: Alias of the row that the leader's value was taken from.
        """
        value, place = f"{row}.{quote(self.field)}", leader.final_place(leader in contested)
        differs = (
            f"case when {self.differs} then {literal(' authority' + DISPUTED)} else '' end"
            if self in contested
            else "''"
        )
        own, _ = self.value(self in contested).rsplit(" as ", 1)
        told = f"{literal(self.field + ' ')} || ({place}) || {differs}"
        return (
            f"case when {value} is not null then {value} else {own} end as {quote(self.field)}",
            f"case when {value} is not null then {told} else {self.told(self in contested, ())} end",
        )

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
            f"case when {self.disputed} then ' ' || {self.reason} || {literal(DISPUTED)} "
            f"when {self.reason} != 'authority' then ' ' || {self.reason} else '' end"
        )
        return f"case when {self.differs} then {name} || {self.won}.place || ({how}) else {told} end"

    def taken(self, contested: bool, slots: Mapping[str, str]) -> str:
        """The landed row that the golden value was taken from, null where another refined it or it is the first authority's."""
        place = self.place
        if contested:
            best = f"case when {self.won}.place = {self.best}.place then {self.best}.place end"
            place = f"case when {self.differs} then {best} else {place} end"
        source = f"{SOURCES}[{place}]"
        first = ", ".join(str(place_in(slots, name)) if slots else literal(name) for name in self.rule.first)
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
        return (
            f"{value} as {self.first}, case when {value} is not null then {place_in(slots, lead)} end as {self.place}"
        )

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
            place = f"case when {value} is not null then {place_in(slots, mine[0])} end" if said else "null::integer"
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
            f"'moment': {self.since(slots[name])}, 'place': {place_in(slots, name)}, "
            f"'source': {place_in(slots, name)}, 'value': {value}, 'among': {self._among(slots[name])}}} end"
            for name, value in zip(self.rule.datasets, said, strict=True)
        )

    def _among(self, row: str) -> str:
        return f"{row}.{quote(self.rule.candidates)}" if self.rule.candidates else "null::varchar"

    def _places(self, slots: Mapping[str, str]) -> list[str]:
        """The cases of the place of the most believed row, rank by rank; of equals the newest."""
        cases = []
        for entries in self.rule.ranks:
            known = {
                slots[entry.dataset]: f"({slots[entry.dataset]}.{quote(self.field)} is not null "
                f"and {self.condition(entry, slots[entry.dataset])})"
                for entry in entries
            }
            place = {slot: place_in(slots, entry.dataset) for slot, entry in zip(known, entries, strict=True)}
            # The greatest of moment and place, as one text: no list is made for it.
            told = ", ".join(
                f"case when {asked} then {self.since(slot)} || {_BEHIND} || '{place[slot]:03}' end"
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
            f"(list({{'rank': {rank}, 'moment': {self.since('r')}, 'place': r._place, 'source': r._source, "
            f"'value': {value}, 'among': {self._among('r')}}}) {known})::{SAID}"
        )
        return (
            f"min({value}) {known} as {self.first}, {_newest(said)} as {self.place}, "
            f"coalesce(min({value}) {known} != max({value}) {known}, false) as {self.differs}, "
            f"list_reverse_sort({said}) as {self.all}"
        )


def since_column(field: str) -> str:
    """Return the name of a column that tells since when a row's record says its value of a field (`motlan.merge.value_ages`)."""
    return quote("_since_" + field)


def said_at(field: str) -> str:
    """Return the name of a column that tells with which version of the row's record its value of a field began."""
    return quote("_said_" + field)


def in_force(expression: str) -> str:
    """Return the SQL of whether a row holds now, by an expression over its fields."""
    return f"coalesce({parse(expression, where='authority.yaml, in_force').sql(DUCKDB)}, false)"


_AMONG = parse("candidate_of(value, candidates)")


def is_among(value: str, candidates: str) -> str:
    """Return the SQL of whether a value is one of several candidates, `;` between them."""
    return f"coalesce({_AMONG.sql(DUCKDB, {'value': value, 'candidates': candidates})}, false)"


def _holds(condition: str) -> str:
    """Return the name of the column that tells whether a condition holds."""
    return f"_holds_{hashlib.sha256(condition.encode()).hexdigest()[:12]}"


_BEHIND = literal("\x01")
"""Stands behind a moment: sorts before whatever a longer one goes on with."""


def _differ(values: Sequence[str]) -> str:
    known = ", ".join(values)
    return f"coalesce(least({known}) != greatest({known}), false)"


def place_in(slots: Mapping[str, str], dataset: str) -> int:
    """Return the place of a register's row among rows side by side, counted from 1."""
    return list(slots).index(dataset) + 1


def _newest(said: str) -> str:
    return f"list_max(list_transform({said}, lambda c: row(c.rank % {RANKS}, c.moment, c.place)))[3]"


def taken_from(field: str) -> str:
    """Return the name of a column with the landed row that a golden field was taken from."""
    return "_from_" + field
