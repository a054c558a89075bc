"""Learn a model from the data: m from pairs that one identifier (or one full key) joins, u from random pairs.

Pairs that an identifier joins are not all of one person: some bear somebody else's number, often of the same household, so
that they share an address more than random pairs do. So m, and u of such pairs, are learned by expectation and maximisation
over two classes (Winkler 1988), on the counts of the patterns of levels: a few thousand numbers, whatever the size of the
registers. Samples are taken by the rows' own hashed keys: the same on every
run and any number of threads, and no dataset has more than its share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from motlan.config.matching import Matching, sql
from motlan.expressions import literal, quote
from motlan.linking import model as models
from motlan.linking.linking_rows import conditions
from motlan.linking.model import Model
from motlan.linking.relations import Relations
from motlan.settings import sizes

ROUNDS = 30
BORROWED = 0.01
"""Share of rows that bear somebody else's identifier, until the data show it."""
LEAN = 20.0
"""Pairs of different persons that are supposed beside those seen, where u is learned too."""
FEWEST = 2
"""A frequency is kept for values that at least so many rows have; any other is as rare as can be."""

Patterns = list[tuple[tuple[int, ...], float]]
"""A level of each comparison, and how many pairs show it."""


@dataclass(frozen=True)
class Classes:
    """What expectation and maximisation found: the share of true pairs, m and u of each comparison."""

    true: float
    m: dict[str, list[float]]
    u: dict[str, list[float]]


def maximise(
    patterns: Patterns,
    names: Sequence[str],
    u: dict[str, list[float]],
    m: dict[str, list[float]],
    *,
    learn_u: bool = False,
) -> Classes:
    """Find the share of true pairs and m; u is held, or learned too, leaning on what it was by `LEAN` pairs.

    Levels with u of 0 say nothing.
    """
    total, true = sum(count for _, count in patterns), 0.95
    held = {name: u[name] for name in names}
    u = dict(held)
    for _ in range(ROUNDS):
        ours_sums = {name: [0.0] * len(u[name]) for name in names}
        their_sums = {name: [LEAN * share for share in held[name]] for name in names}
        hits = 0.0
        for levels, count in patterns:
            ours, theirs = true, 1 - true
            for name, level in zip(names, levels, strict=True):
                if held[name][level]:
                    ours, theirs = ours * m[name][level], theirs * u[name][level]
            belief = count * ours / (ours + theirs) if ours + theirs else 0.0
            hits += belief
            for name, level in zip(names, levels, strict=True):
                ours_sums[name][level] += belief
                their_sums[name][level] += count - belief
        true = min(max(hits / total, 1e-6), 1 - 1e-6)
        m = {name: smoothed(ours_sums[name], held[name]) for name in names}
        if learn_u:
            u = {name: smoothed(their_sums[name], held[name], 0.0) for name in names}
    return Classes(true, m, u)


def smoothed(counts: Sequence[float], says: Sequence[float], added: float = 0.5) -> list[float]:
    """Turn counts into shares, half a pair added to each level; levels that say nothing get 0."""
    meant = [count + added if held else 0.0 for count, held in zip(counts, says, strict=True)]
    total = sum(meant)
    return [count / total for count in meant]


class ModelTrainer:
    """Learns a model from `left_rows` and the rows that they are compared with, as `Linking` takes them.

    Args:
        relations: The relations of the linking: those rows are among them.
        matching: The declaration.
        compared_with: Relation of the spine's rows, or of all.
        buckets: How many buckets the rows have that are kept outside of memory; 0 of tables in memory.
    """

    def __init__(self, relations: Relations, matching: Matching, compared_with: str, buckets: int = 0) -> None:
        self.relations, self.matching, self.right, self.buckets = relations, matching, compared_with, buckets
        self.start = models.declared(matching)
        self.persons: int = relations.fetch_one(f"select count(*) from {compared_with}")[0]
        self.samples = 0

    def has_enough(self, rows: int) -> bool:
        """Return whether there is enough to learn from, with so many rows of `left_rows`."""
        return self.persons >= 2 and rows >= self.matching.min_training_pairs

    def count_frequencies(self, *, learn: bool = True) -> dict[str, float]:
        """Make `frequencies`; return how often two random rows share a value, for each comparison that has one.

        Args:
            learn: Whether there is enough to learn from; else too few rows do not say how frequent a value
                is, and it stays empty.
        """
        queries = ["select null::varchar as comparison, null::varchar as value, null::double as share where false"]
        collision, made = {}, []
        for name, comparison in self.matching.comparisons.items() if learn else ():
            if comparison.frequency is None:
                continue
            value = quote(comparison.frequency)
            counts = self.relations.make(
                f"value_counts_{name}",
                f"select {value} as value, count(*) as rows from {self.right} where {value} is not null group by all",
            )
            made.append(counts)
            total, squares = self.relations.fetch_one(f"select sum(rows), sum(rows * rows) from {counts}")
            if not total:
                continue
            collision[name] = max(
                float(squares - total) / float(total) / max(float(total - 1), 1), 0.5 / float(total) ** 2
            )
            queries.append(f"select {literal(name)}, value, rows / {total} from {counts} where rows >= {FEWEST}")
        self.relations.make("frequencies", *queries)
        self.relations.drop(*made)
        return collision

    def start_with(self, collision: dict[str, float]) -> Model:
        """Return the model to load rows by: the declared one, with this data's size and frequencies."""
        return self.start.model_copy(update={"collision": collision, "persons": self.persons})

    def learn(self, collision: dict[str, float]) -> Model:
        """Return a fitted model, or the declared one with this data's size where there is too little to learn from.

        The model has no `collision` then: the values' frequencies do not count.
        """
        rows = self.relations.fetch_one("select count(*) from left_rows")[0]
        if not self.has_enough(rows):
            for name in self.matching.identifiers:
                if name in self.start.u:
                    self._set_same(self.start.u, name, BORROWED / max(self.persons, 1))
            return self.start.model_copy(update={"persons": max(self.persons, 1)})
        return self._fit(collision, rows)

    def _fit(self, collision: dict[str, float], rows: int) -> Model:
        u = self._u(collision)
        m = dict(self.start.m)
        learned, pairs, matched = 0, 0, 0.0
        borrowed: dict[str, list[float]] = {}
        for source, keys in self._training_sets():
            names = [name for name, c in self.matching.comparisons.items() if c.learned_from == source]
            patterns = self._patterns(names, keys)
            seen = sum(count for _, count in patterns)
            if seen < self.matching.min_training_pairs:
                continue
            found = maximise(patterns, names, u, m, learn_u=source == "identifier")
            m |= found.m
            learned += int(seen)
            if source == "identifier":
                borrowed, pairs = found.u, self._pairs(keys[0], rows)
                matched = pairs * found.true
        first = self.matching.identifiers[0] if self.matching.identifiers else None
        if first in self.matching.comparisons and pairs:
            self._set_same(u, first, (pairs - matched) / (rows * self.persons))
        for other in self.matching.identifiers[1:]:
            self._learn_collision(other, m, u, rows)
        return Model(
            m=m,
            u=u,
            borrowed=borrowed,
            given=self._u_given(u),
            collision=collision,
            persons=self.persons,
            known=self._known(m, first, matched),
            review_threshold=self.matching.errors.review_error,
            pairs=learned,
        )

    def _learn_collision(
        self, identifier: str, m: dict[str, list[float]], u: dict[str, list[float]], rows: int
    ) -> None:
        """Learn how often rows of different persons bear the same identifier: what the other fields say of its pairs."""
        if identifier not in self.matching.comparisons:
            return
        names = [name for name, c in self.matching.comparisons.items() if c.learned_from == "identifier"]
        patterns = self._patterns(names, [identifier])
        if sum(count for _, count in patterns) >= self.matching.min_training_pairs:
            true = maximise(patterns, names, u, m).true
            self._set_same(u, identifier, self._pairs(identifier, rows) * (1 - true) / (rows * self.persons))

    def _training_sets(self) -> list[tuple[str, list[str]]]:
        sets = []
        if self.matching.identifiers:
            sets.append(("identifier", [self.matching.identifiers[0]]))
        if self.matching.training_key:
            sets.append(("training_key", self.matching.training_key))
        return sets

    def _known(self, m: dict[str, list[float]], first: str | None, matched: float) -> float:
        """Estimate the share of rows whose person is on the spine: true pairs by identifier, over how often it agrees."""
        if first is None or not matched:
            return self.start.known
        identified: int = self.relations.fetch_one(f"select count({quote(first)}) from left_rows")[0]
        agreeing = m[first][self.matching.comparisons[first].first] if first in m else 1.0
        return min(max(matched / max(identified * agreeing, 1.0), 0.5), 0.999)

    def _set_same(self, u: dict[str, list[float]], comparison: str, share: float) -> None:
        """Set u of an identifier's equality: random pairs are too few to show it."""
        u[comparison][self.matching.comparisons[comparison].first] = max(share, 1e-12)

    def _patterns(self, names: Sequence[str], keys: Sequence[str]) -> Patterns:
        """Count the patterns of levels among the pairs that share a key, on a sample of the rows."""
        present = " and ".join(f"{left} is not null" for left in sql(keys, "s"))
        sizes = self.relations.fetch(
            f"select dataset, count(*) from left_rows as s where {present} group by all order by all"
        )
        total = sum(count for _, count in sizes)
        wanted = min(self.matching.sample, total)
        most = wanted * self.matching.max_dataset_share
        steps = " ".join(
            f"when {literal(name)} then {max(1, round(count / max(min(count * wanted / total, most), 1)))}"
            for name, count in sizes
        )
        self.samples += 1
        # A table of its own, so that the engine knows how few they are.
        sample = self.relations.make(
            f"sampled_rows_{self.samples}",
            f"""select * from left_rows as s
                where {present} and n % (case dataset {steps or "when null then 1"} end) = 0""",
        )
        levels = ", ".join(models.level_of(self.matching, name) for name in names)
        found = self.relations.fetch(
            f"select {levels}, count(*) from {sample} as l join {self.right} as r on {_joined(keys)} group by all order by all"
        )
        self.relations.drop(sample)
        return [(tuple(row[:-1]), float(row[-1])) for row in found]

    def _pairs(self, identifier: str, rows: int) -> int:
        """Count all pairs of so many rows and the spine that share an identifier."""
        found = 0
        for some in conditions(self.matching, identifier, rows, self.buckets):
            sides = [
                f"(from {table} where {some}) as {name}" for table, name in (("left_rows", "l"), (self.right, "r"))
            ]
            query = f"select count(*) from {' join '.join(sides)} on {_joined([identifier])}"
            found += int(self.relations.fetch_one(query)[0])
        return found

    def _u(self, collision: dict[str, float]) -> dict[str, list[float]]:
        """Learn u from random pairs; the levels of a comparison with a frequency from the frequencies themselves."""
        names = list(self.matching.comparisons)
        found = self._random(names)
        u = {}
        for place, name in enumerate(names):
            declared = self.matching.comparisons[name].levels
            counts = [0.0] * len(declared)
            for levels, count in found:
                counts[levels[place]] += count
            shares = smoothed(counts, [0.0 if level.missing else 1.0 for level in declared])
            adjusted = [number for number, level in enumerate(declared) if level.term_frequency_adjustment]
            if name in collision and adjusted:
                shares = _rescaled(shares, adjusted, collision[name], self.start.u[name])
            u[name] = shares
        return u

    def _u_given(self, u: dict[str, list[float]]) -> dict[str, list[float]]:
        """Learn u of the pairs where a comparison's `given` holds, leaning on what it is of all."""
        found = {}
        for name, comparison in self.matching.comparisons.items():
            if comparison.given:
                counts = [LEAN * share for share in u[name]]
                for (level,), count in self._random([name], models.condition(comparison.given)):
                    counts[level] += count
                found[name] = smoothed(counts, u[name], 0.0)
        return found

    def _random(self, names: Sequence[str], where: str = "true") -> Patterns:
        """Count the patterns of levels among random pairs."""
        levels = ", ".join(models.level_of(self.matching, name) for name in names)
        left, right = self._drawn("left_rows"), self._drawn(self.right)
        found = self.relations.fetch(
            f"""select {levels}, count(*) from {left} as l, {right} as r where l.n != r.n and {where}
                group by all order by all"""
        )
        return [(tuple(row[:-1]), float(row[-1])) for row in found]

    def _drawn(self, table: str) -> str:
        """Return the SQL of the first rows with the least numbers, found by these alone: rows are wide."""
        (last,) = self.relations.fetch_one(
            f"select max(n) from (select n from {table} order by n limit {sizes().random_rows})"
        )
        return f"(from {table} where n <= {last if last is not None else -1})"


def _joined(keys: Sequence[str]) -> str:
    """Return the condition that joins rows `l` and `r` by a key; where there is no spine, not with themselves."""
    equal = [f"{left} = {right}" for left, right in zip(sql(keys, "l"), sql(keys, "r"), strict=True)]
    return " and ".join([*equal, "l.n != r.n"])


def _rescaled(shares: list[float], adjusted: list[int], collision: float, declared: list[float]) -> list[float]:
    """Give the levels with a term frequency adjustment together the share that the frequencies show, split as declared."""
    split = sum(declared[number] for number in adjusted)
    others = sum(share for number, share in enumerate(shares) if number not in adjusted)
    return [
        collision * declared[number] / split if number in adjusted else share * (1 - collision) / others
        for number, share in enumerate(shares)
    ]
