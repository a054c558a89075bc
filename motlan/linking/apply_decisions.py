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

import duckdb
import pyarrow as pa

from motlan.linking.decision_constraints import Constraints, Groups, Pair, make_table, pair_of

DECIDED, PROVISIONAL = "decided", "provisional"
"""Rules of a row that is its person by decision, and of one that is with others whom nobody on the spine is."""


@dataclass(frozen=True)
class Edge:
    """A pair that the machine joined: row, the other one, and the rule, weight and probability of it.

    Attributes:
        towards: The row of today that it joins the row with, where the other one is an earlier version.
    """

    n: int
    other: int
    rule: str
    weight: float | None
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
        linked: Rows with their persons, as of the table `linked` (`n` to `probability`).
        alone: Founders that are not of the spine.
        refused: The machine's pairs that were refused, and that nobody decided.
    """

    linked: list[tuple[Any, ...]] = field(default_factory=list)
    alone: list[int] = field(default_factory=list)
    refused: list[Edge] = field(default_factory=list)


def settle(
    constraints: Constraints,
    spine: set[int],
    doubles: Iterable[Pair],
    rows: Iterable[int],
    links: Sequence[Edge],
    rest: Sequence[Edge],
) -> Settled:
    """Put persons together by decisions first, then by the machine's pairs, the heaviest first.

    Args:
        constraints: What people decided.
        spine: The rows of the spine among them.
        doubles: Pairs of these that are one person's.
        rows: All rows.
        links: Of each row that the machine linked, the pair that it was linked by.
        rest: The machine's pairs of rows that belong to nobody on the spine.
    """
    groups = Groups(constraints.different, spine)
    near: Ways = defaultdict(list)
    for pair in (*sorted(constraints.same), *sorted(doubles)):
        groups.join(*pair, founders=True)
        _connect(near, *pair, None)
    refused: dict[Pair, Edge] = {}
    edges = [edge for edge in (*links, *rest) if edge.weight is not None and edge.rule != PROVISIONAL]
    for edge in sorted(edges, key=lambda edge: (-(edge.weight or 0), edge.pair)):
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
            found.alone.append(founder)
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
    return Edge(row, other, PROVISIONAL, edge.weight, edge.probability)


def _link(row: int, founder: int, edge: Edge) -> tuple[Any, ...]:
    return row, founder, edge.other, edge.rule, edge.weight, edge.probability


def keep_decisions(engine: duckdb.DuckDBPyConnection, constraints: Constraints) -> None:
    """Let decisions hold of `linked`, `waiting` and `reviews`, of the persons that they speak of; others are not touched.

    Args:
        engine: A session with the tables that the stages leave, `edges` among them.
        constraints: As `heed` returned them.
    """
    engine.execute(
        """create or replace temp table touched as
           with named as (select n from decided union select other from decided),
                told as (select n, person from linked union all select n, person from doubles)
           select distinct coalesce(told.person, named.n) as person from named left join told using (n)"""
    )
    engine.execute(
        """create or replace temp table settling as
           select n from linked semi join touched using (person) union select n from doubles semi join touched using (person)
           union select person from touched"""
    )
    spine, left = (
        [n for (n,) in engine.execute(f"select n from {table} semi join settling using (n)").fetchall()]
        for table in ("spine_rows", "left_rows")
    )
    there = {*spine, *left}
    links, rest = _edges(engine, there)
    doubles = engine.execute("select n, person from doubles semi join touched using (person)").fetchall()
    _write(engine, settle(constraints, set(spine), doubles, there, links, rest))


def _edges(engine: duckdb.DuckDBPyConnection, there: set[int]) -> tuple[list[Edge], list[Edge]]:
    """Read the machine's pairs of `settling`: those that rows were linked by, and those of rows that nobody on the spine is."""
    links = [
        Edge(n, compared, rule, weight, probability, compared if compared in there else person)
        for n, person, compared, rule, weight, probability in engine.execute(
            "select n, person, compared, rule, weight, probability from linked semi join touched using (person)"
        ).fetchall()
    ]
    rest = engine.execute(
        "select n, other, 'pair' as rule, weight, probability from edges semi join settling using (n)"
    ).fetchall()
    return links, [Edge(*row) for row in rest]


def _write(engine: duckdb.DuckDBPyConnection, found: Settled) -> None:
    """Put what is settled into the tables of linking."""
    numbers = dict.fromkeys(("n", "person", "compared"), pa.int64())
    shares = dict.fromkeys(("weight", "probability"), pa.float64())
    make_table(engine, "settled", found.linked, {**numbers, "rule": pa.string(), **shares})
    make_table(engine, "settled_alone", [(row,) for row in found.alone], {"n": pa.int64()})
    refused = [(edge.n, sum(edge.pair) - edge.n, edge.weight, edge.probability) for edge in found.refused]
    make_table(engine, "refused", refused, {"n": pa.int64(), "other": pa.int64(), **shares})
    engine.execute(
        """create or replace temp table settled_links as
               select s.n, s.person, s.compared, s.rule, s.weight, s.probability,
                      case when was.person = s.person and was.compared = s.compared then was.home end as home
               from settled as s left join linked as was on was.n = s.n;
           delete from linked where exists (from settling where settling.n = linked.n);
           insert into linked from settled_links;
           create or replace temp table reviews_kept as
               with persons as (select n, person from settled union all select n, n from settled_alone)
               select reviews.* from reviews anti join settled on settled.n = reviews.n
               left join persons as mine on mine.n = reviews.n left join persons as theirs on theirs.n = reviews.other
               where coalesce(mine.person, reviews.n) != coalesce(theirs.person, reviews.other);
           create or replace temp table reviews_now as
               from reviews_kept union all by name
               (select n, other, weight, probability from refused anti join reviews_kept using (n)
                qualify row_number() over (partition by n order by weight desc, other) = 1);
           drop table reviews_kept;
           drop table reviews; alter table reviews_now rename to reviews"""
    )


def let_wait(engine: duckdb.DuckDBPyConnection) -> None:
    """Add to the table `waiting` the rows that found a person by decision and did not before."""
    engine.execute(
        """create or replace temp table still as
               from waiting union all (from left_rows semi join settled_alone using (n) anti join waiting using (n))"""
    )
