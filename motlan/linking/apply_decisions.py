"""The last stage of linking: what people decided holds of the persons that the stages before it made.

Rows may come together through others: two cards that are said to be different bear one citizen's number. So the persons that a
decision speaks of are put together anew, from what people say first, then from the machine's pairs in the order of their
weight; what a decision does not allow is refused, and left to people.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from motlan.linking.clustering import PROVISIONAL
from motlan.linking.decision_constraints import Constraints, Groups, Pair, pair_of
from motlan.linking.deterministic import DECIDED
from motlan.linking.relations import Relations
from motlan.linking.scored_pairs import LINK_COLUMNS


@dataclass(frozen=True)
class Edge:
    """A pair that the machine joined: row, the other one, and the rule, match weight and probability of it.

    Attributes:
        towards: The row of today that it joins the row with, where the other one is an earlier version.
    """

    n: int
    other: int
    rule: str
    match_weight: float | None
    probability: float | None
    towards: int | None = None

    @property
    def pair(self) -> Pair:
        """The two rows that it joins."""
        return pair_of(self.n, self.other if self.towards is None else self.towards)


Ways = defaultdict[int, list[tuple[int, Edge | None]]]
"""Row -> the rows that it was joined with, each with the machine's pair; None by decision."""


@dataclass(frozen=True)
class Settled:
    """The persons that decisions speak of, put together anew.

    Attributes:
        linked: Rows with their persons, as of `LINK_COLUMNS` without `bucket`.
        founders: Founders that are not of the spine.
        refused: The machine's pairs that were refused, and that nobody decided.
    """

    linked: list[tuple[Any, ...]] = field(default_factory=list)
    founders: list[int] = field(default_factory=list)
    refused: list[Edge] = field(default_factory=list)


def settle(
    constraints: Constraints,
    spine: set[int],
    duplicates: Iterable[Pair],
    rows: Iterable[int],
    links: Sequence[Edge],
    pairs: Sequence[Edge],
) -> Settled:
    """Put persons together by decisions first, then by the machine's pairs, the heaviest first.

    Args:
        constraints: What people decided.
        spine: The rows of the spine among them.
        duplicates: Pairs of these that are one person's.
        rows: All rows.
        links: Of each row that the machine linked, the pair that it was linked by.
        pairs: The machine's pairs of rows that belong to nobody on the spine.
    """
    groups = Groups(constraints.different, spine)
    near: Ways = defaultdict(list)
    for pair in (*sorted(constraints.same), *sorted(duplicates)):
        groups.join(*pair, founders=True)
        _connect(near, *pair, None)
    refused: dict[Pair, Edge] = {}
    edges = [edge for edge in (*links, *pairs) if edge.match_weight is not None and edge.rule != PROVISIONAL]
    for edge in sorted(edges, key=lambda edge: (-(edge.match_weight or 0), edge.pair)):
        if groups.join(*edge.pair):
            _connect(near, *edge.pair, edge)
        elif edge.pair not in constraints.different:
            refused.setdefault(edge.pair, edge)
    found, there = Settled(refused=[edge for _, edge in sorted(refused.items())]), set(rows)
    own = {edge.n: edge for edge in links if groups.of(edge.pair[0]) == groups.of(edge.pair[1])}
    by_group: dict[int, list[int]] = defaultdict(list)
    for row in sorted(there):
        by_group[groups.of(row)].append(row)
    for members in by_group.values():
        founders = [row for row in members if row in spine]
        founder = min(founders or members)
        if not founders:
            found.founders.append(founder)
        ways = _ways(near, founder)
        others = [row for row in members if row != founder and row not in spine]
        found.linked.extend(_link(row, founder, own.get(row) or _way(ways, row, there)) for row in others)
    return found


def _connect(near: Ways, one: int, other: int, edge: Edge | None) -> None:
    near[one].append((other, edge))
    near[other].append((one, edge))


def _ways(near: Ways, founder: int) -> dict[int, tuple[int, Edge | None]]:
    """Return, of each row that is connected with a founder, the next one on the way to it, and by which pair."""
    ways: dict[int, tuple[int, Edge | None]] = {}
    waiting = deque([founder])
    while waiting:
        row = waiting.popleft()
        for other, edge in near.get(row, ()):
            if other != founder and other not in ways:
                ways[other] = row, edge
                waiting.append(other)
    return ways


def _way(ways: Mapping[int, tuple[int, Edge | None]], row: int, there: set[int]) -> Edge:
    """Return the pair by which a row is its person: with the next row towards the founder that is still there."""
    other, edge = ways[row]
    while other not in there:
        other, _ = ways[other]
    if edge is None:
        return Edge(row, other, DECIDED, None, 1.0)
    return Edge(row, other, PROVISIONAL, edge.match_weight, edge.probability)


def _link(row: int, founder: int, edge: Edge) -> tuple[Any, ...]:
    return row, founder, edge.other, edge.rule, edge.match_weight, edge.probability


def apply(relations: Relations, constraints: Constraints, links: str, reviews: str) -> None:
    """Let decisions hold of the persons that they speak of; others are not touched.

    Makes `row_links` and `review_pairs`, and `founders_by_decision` (`n`): rows that are not of the spine and found a person.

    Args:
        relations: The relations, with `binding_decisions`, `duplicates` and `cluster_edges`.
        constraints: As `constrain` returned them.
        links: Relation of the links that the stages made.
        reviews: Relation of the pairs that they leave to people.
    """
    relations.make(
        "persons_decided_on",
        f"""with named as (select n from binding_decisions union select other from binding_decisions),
                 persons as (select n, person from {links} union all select n, person from duplicates)
            select distinct coalesce(persons.person, named.n) as person from named left join persons using (n)""",
    )
    relations.make(
        "rows_decided_on",
        f"""select n from {links} semi join persons_decided_on using (person)
            union select n from duplicates semi join persons_decided_on using (person)
            union select person from persons_decided_on""",
    )
    spine, left = (
        [n for (n,) in relations.fetch(f"select n from {rows} semi join rows_decided_on using (n)")]
        for rows in ("spine_rows", "left_rows")
    )
    there = {*spine, *left}
    linked, clustered = _edges(relations, links, there)
    duplicates = [
        (row, person)
        for row, person in relations.fetch(
            "select n, person from duplicates semi join persons_decided_on using (person)"
        )
    ]
    _write(relations, settle(constraints, set(spine), duplicates, there, linked, clustered), links, reviews)


def _edges(relations: Relations, links: str, there: set[int]) -> tuple[list[Edge], list[Edge]]:
    """Read the machine's pairs of `rows_decided_on`: those that they were linked by, and those of clusters."""
    linked = [
        Edge(n, compared, rule, weight, probability, compared if compared in there else person)
        for n, person, compared, rule, weight, probability in relations.fetch(
            f"""select n, person, compared, rule, match_weight, probability
                from {links} semi join persons_decided_on using (person)"""
        )
    ]
    clustered = relations.fetch(
        """select n, other, 'pair' as rule, match_weight, probability
           from cluster_edges semi join rows_decided_on using (n)"""
    )
    return linked, [Edge(*row) for row in clustered]


def _write(relations: Relations, found: Settled, links: str, reviews: str) -> None:
    """Make relations of what is settled, and of what stays as it was."""
    numbers = dict.fromkeys(("n", "person", "compared"), pa.int64())
    shares = dict.fromkeys(("match_weight", "probability"), pa.float64())
    settled = relations.load("settled_rows", found.linked, {**numbers, "rule": pa.string(), **shares})
    founders = relations.load("founders_by_decision", [(row,) for row in found.founders], {"n": pa.int64()})
    refused_pairs = [(edge.n, sum(edge.pair) - edge.n, edge.match_weight, edge.probability) for edge in found.refused]
    refused = relations.load("refused_pairs", refused_pairs, {"n": pa.int64(), "other": pa.int64(), **shares})
    relations.make(
        "settled_links",
        f"""select s.n, s.person, s.compared, s.rule, s.match_weight, s.probability,
                   case when was.person = s.person and was.compared = s.compared then was.bucket end as bucket
            from {settled} as s left join {links} as was on was.n = s.n""",
    )
    relations.show(
        "row_links",
        f"""select {LINK_COLUMNS} from {links} anti join rows_decided_on using (n)
            union all select {LINK_COLUMNS} from settled_links""",
    )
    relations.make(
        "reviews_kept",
        f"""with persons as (select n, person from {settled} union all select n, n as person from {founders})
            select r.* from {reviews} as r anti join {settled} as s on s.n = r.n
            left join persons as mine on mine.n = r.n left join persons as theirs on theirs.n = r.other
            where coalesce(mine.person, r.n) != coalesce(theirs.person, r.other)""",
    )
    relations.make(
        "review_pairs",
        f"""from reviews_kept union all by name
            (select n, other, match_weight, probability from {refused} anti join reviews_kept using (n)
             qualify row_number() over (partition by n order by match_weight desc, other) = 1)""",
    )
