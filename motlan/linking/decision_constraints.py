"""What people decided about pairs of rows, made into constraints that linking keeps; and what among it contradicts itself.

A decision binds a pair, whatever identifiers its rows bear. `same` carries over: rows of one group are one person. `different`
holds between their whole groups. Two decisions contradict each other where rows that are said to be different are connected by
rows that are said to be the same, or where a row is said to be two persons of the spine that nobody says are one. Then nobody
chooses: no `same` on a way between the two is applied, `different` holds on, and all of them are for people to decide again.

What the machine joins is checked last, of the groups that a decision speaks of alone: pairs are taken in the order of their
weight, and one that would bring together what is different, or two persons of the spine, is refused. So the outcome does not
depend on the order in which decisions arrive.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, product

import pyarrow as pa

from motlan.linking.relations import Relations

CONTRADICTION = "contradiction"
"""Why a decision is for people again: it contradicts others."""

Pair = tuple[int, int]
"""Two rows by their numbers, the lesser first."""
Near = Mapping[int, set[int]]
"""Row -> the rows that it is said to be the same as."""


def pair_of(one: int, other: int) -> Pair:
    """Return two rows, the lesser first."""
    return (one, other) if one < other else (other, one)


class Groups:
    """Rows in groups that only grow, and that keep apart what must not come together.

    Args:
        apart: Pairs of rows that must not be in one group.
        spine: Rows of the spine.
    """

    def __init__(self, apart: Iterable[Pair] = (), spine: Iterable[int] = ()) -> None:
        self._over: dict[int, int] = {}
        self._members: dict[int, list[int]] = {}
        self._foes: dict[int, set[int]] = defaultdict(set)
        self._founding = set(spine)
        for one, other in apart:
            self._foes[one].add(other)
            self._foes[other].add(one)

    def of(self, row: int) -> int:
        """Return the row that a row's group is known by."""
        top = row
        while (over := self._over.get(top, top)) != top:
            top = over
        while (over := self._over.get(row, row)) != top:
            self._over[row], row = top, over
        return top

    def rows(self, row: int) -> list[int]:
        """Return the rows of a row's group, in order."""
        return sorted(self._members.get(self.of(row), [row]))

    def foes(self, row: int) -> set[int]:
        """Return the groups that a row's group must not be joined with."""
        return {self.of(foe) for foe in self._foes.get(self.of(row), ())}

    def join(self, one: int, other: int, *, founders: bool = False) -> bool:
        """Make one group of two rows' groups; return whether they are one.

        Args:
            one: A row.
            other: Another one.
            founders: Whether they may be one where both have a row of the spine.
        """
        mine, theirs = self.of(one), self.of(other)
        if mine == theirs:
            return True
        if theirs in self.foes(mine) or (not founders and {mine, theirs} <= self._founding):
            return False
        if len(self._members.get(mine, ())) < len(self._members.get(theirs, ())):
            mine, theirs = theirs, mine
        self._over[theirs] = mine
        self._members[mine] = [*self._members.pop(mine, [mine]), *self._members.pop(theirs, [theirs])]
        self._foes[mine] |= self._foes.pop(theirs, set())
        if theirs in self._founding:
            self._founding.add(mine)
        return True


@dataclass(frozen=True)
class Constraints:
    """Decisions without those that contradict each other.

    Attributes:
        same: Pairs that are one person.
        different: Pairs that are not.
        contradicted: Pairs whose decisions contradict others.
        duplicates: Row of the spine -> the row that founds its person.
    """

    same: frozenset[Pair]
    different: frozenset[Pair]
    contradicted: frozenset[Pair]
    duplicates: Mapping[int, int] = field(default_factory=dict)

    def groups(self) -> Groups:
        """Return the groups of rows that are one person by decision, or as rows of the spine."""
        groups = Groups(self.different)
        for one, other in (*sorted(self.same), *sorted(self.duplicates.items())):
            groups.join(one, other, founders=True)
        return groups

    def barred(self) -> set[Pair]:
        """Return all pairs that must not be one person: what is said of a pair holds of their groups."""
        groups = self.groups()
        met = {(groups.of(one), groups.of(other)) for one, other in self.different}
        return {pair_of(*rows) for one, other in met for rows in product(groups.rows(one), groups.rows(other))}


def consistent(
    same: Iterable[Pair], different: Iterable[Pair], spine: Iterable[int] = (), duplicates: Sequence[Pair] = ()
) -> Constraints:
    """Find what contradicts itself among decisions, and leave it out.

    Args:
        same: Pairs that people call the same.
        different: Pairs that they call different.
        spine: Which of their rows are of the spine.
        duplicates: Pairs of rows of the spine that the machine takes for one person's, the surest first: row, founder.
    """
    alike, apart, founding = frozenset(same), frozenset(different), set(spine)
    against = _against(alike, apart)
    kept = alike - against
    classes, accepted = _classes(kept, apart, founding, duplicates)
    two = _of_two(kept, founding, classes)
    opposed = {pair for pair in apart if _connected(alike, pair)} if against else set()
    founders = {row: min(classes.rows(row)) for row in {*founding, *(row for pair in accepted for row in pair)}}
    return Constraints(
        kept - two,
        apart,
        frozenset({*against, *two, *opposed}),
        {row: founder for row, founder in founders.items() if row != founder},
    )


def _near(pairs: Iterable[Pair]) -> Near:
    near: dict[int, set[int]] = defaultdict(set)
    for one, other in pairs:
        near[one].add(other)
        near[other].add(one)
    return near


def _against(same: Iterable[Pair], different: Iterable[Pair]) -> set[Pair]:
    """Return the pairs called the same that lie on a way between two rows called different."""
    near, groups = _near(same), Groups()
    for pair in same:
        groups.join(*pair, founders=True)
    met = (pair for pair in different if groups.of(pair[0]) == groups.of(pair[1]))
    return {way for pair in met for way in ways_between(near, *pair)}


def _connected(same: Iterable[Pair], pair: Pair) -> bool:
    groups = Groups()
    for one, other in same:
        groups.join(one, other, founders=True)
    return groups.of(pair[0]) == groups.of(pair[1])


def _classes(
    same: Iterable[Pair], different: Iterable[Pair], spine: set[int], duplicates: Sequence[Pair]
) -> tuple[Groups, list[Pair]]:
    """Return which rows of the spine are one person's: what people say of two of them, and the machine's that it leaves.

    Returns:
        The groups, and the machine's pairs among them.
    """
    everything, classes = Groups(different), Groups()
    for one, other in sorted(same):
        everything.join(one, other, founders=True)
        if {one, other} <= spine:
            classes.join(one, other)
    accepted = [pair for pair in duplicates if everything.join(*pair, founders=True)]
    for pair in accepted:
        classes.join(*pair)
    return classes, accepted


def _of_two(same: Iterable[Pair], spine: set[int], classes: Groups) -> set[Pair]:
    """Return the pairs called the same on ways between persons of the spine that nobody calls one."""
    meant: dict[Pair, list[Pair]] = defaultdict(list)
    whole = Groups()
    for one, other in same:
        whole.join(one, other, founders=True)
        ends = [classes.of(row) if row in spine else row for row in (one, other)]
        if ends[0] != ends[1]:
            meant[pair_of(*ends)].append((one, other))
    found: set[Pair] = set()
    near, together = _near(meant), defaultdict(set)
    for row in sorted(spine):
        together[whole.of(row)].add(classes.of(row))
    for persons in together.values():
        for pair in combinations(sorted(persons), 2):
            found |= {decided for way in ways_between(near, *pair) for decided in meant[way]}
    return found


def ways_between(near: Near, start: int, end: int) -> set[Pair]:
    """Return the pairs on any way between two rows that passes no row twice.

    They are the biconnected component of the pair itself (Hopcroft and Tarjan 1973).
    """
    seen, low = {start: 1}, {start: 1}
    met: list[Pair] = []
    path: list[tuple[int, int | None, Iterator[int]]] = [(start, None, iter(sorted(near.get(start, ()))))]
    while path:
        row, before, others = path[-1]
        for other in others:
            if other == before:
                continue
            if other not in seen:
                seen[other] = len(seen) + 1
                low[other] = 0 if other == end else seen[other]
                met.append((row, other))
                path.append((other, row, iter(sorted(near[other]))))
                break
            if seen[other] < seen[row]:
                met.append((row, other))
                low[row] = min(low[row], seen[other])
        else:
            path.pop()
            if before is not None:
                low[before] = min(low[before], low[row])
                if low[row] >= seen[before]:
                    while met.pop() != (before, row):
                        pass
    return {pair_of(*pair) for pair in met} if end in seen else set()


def constrain(relations: Relations, decisions: str, found_duplicates: str) -> Constraints:
    """Make constraints of what people decided, before rows are linked.

    Makes `binding_decisions` (`n`, `other`, `same`), the pairs that bind, those that follow from others included;
    `contradicted_pairs` (`n`, `other`), those that contradict others; `duplicates`, less what people deny, and with what they say
    of rows of the spine; and `decided_persons` (`n`, `other`): of other rows, the row of the spine that they are by decision.

    Args:
        relations: The relations of the linking.
        decisions: Relation of what people decided: `n`, `other`, `same`.
        found_duplicates: Relation of the duplicates that the machine found.
    """
    decided = relations.fetch(f"select distinct n, other, same from {decisions} where n != other order by all")
    named = f"(select n from {decisions} union select other from {decisions})"
    spine = [n for (n,) in relations.fetch(f"select n from spine_rows semi join {named} using (n) order by n")]
    duplicates = relations.fetch(
        f"""select n, person from {found_duplicates}
            where person in (select coalesce(d.person, named.n) from {named} as named
                             left join {found_duplicates} as d using (n))
            order by match_weight desc, n"""
    )
    found = consistent(
        (pair_of(one, other) for one, other, same in decided if same),
        (pair_of(one, other) for one, other, same in decided if not same),
        {*spine, *(row for pair in duplicates for row in pair)},
        duplicates,
    )
    _keep_duplicates(relations, found_duplicates, [(row, person) for row, person in duplicates], found)
    bound = [*((*pair, True) for pair in sorted(found.same)), *((*pair, False) for pair in sorted(found.barred()))]
    relations.load("binding_decisions", bound, {"n": pa.int64(), "other": pa.int64(), "same": pa.bool_()})
    pairs = {"n": pa.int64(), "other": pa.int64()}
    relations.load("contradicted_pairs", sorted(found.contradicted), pairs)
    relations.load("decided_persons", sorted(_persons(found, set(spine))), pairs)
    return found


def _persons(found: Constraints, spine: set[int]) -> Iterator[Pair]:
    """Give the rows that are a person of the spine by decision, with its row: the one they are said to be, else the least."""
    near = _near(found.same)
    groups = found.groups()
    for row in near:
        if row not in spine and (theirs := [other for other in groups.rows(row) if other in spine]):
            yield row, min((other for other in theirs if other in near[row]), default=theirs[0])


def _keep_duplicates(relations: Relations, found_duplicates: str, before: Sequence[Pair], found: Constraints) -> None:
    """Make `duplicates` as people leave them, of the persons that they speak of."""
    was = dict(before)
    if was == dict(found.duplicates):
        relations.show("duplicates", f"from {found_duplicates}")
        return
    columns = {"n": pa.int64(), "person": pa.int64()}
    now = relations.load("duplicates_by_decision", sorted(found.duplicates.items()), columns)
    replaced = relations.load("duplicates_replaced", sorted(was.items()), columns)
    relations.make(
        "duplicates",
        f"""select n, person, match_weight, probability from {found_duplicates} anti join {replaced} using (n)
            union all
            select now.n, now.person, case when d.person = now.person then d.match_weight end as match_weight,
                   case when d.person = now.person then d.probability else 1 end as probability
            from {now} as now left join {found_duplicates} as d on d.n = now.n""",
    )
