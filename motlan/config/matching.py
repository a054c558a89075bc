"""How rows of an entity are linked, as `matching.yaml` (or a configuration of `motlan link`) declares it."""

from __future__ import annotations

from collections.abc import Container, Iterable
from functools import cached_property
from typing import Literal

from pydantic import Field, field_validator, model_validator

from motlan.config.files import Declared, Name
from motlan.expressions import DUCKDB, Expression, parse, quote


class Level(Declared):
    """One level of a comparison: the first whose condition holds counts.

    Attributes:
        is_: What the level is, for people.
        when: Expression over `left_` and `right_` fields.
        missing: The level says nothing, because a side is unknown.
        term_frequency_adjustment: Both sides have the comparison's `frequency` value; the more frequent it is, the less the
            level says.
        m: How often two rows of one person are on it, to start from.
        u: How often two rows of different persons are on it, to start from.
    """

    is_: str = Field(alias="is")
    when: str
    missing: bool = False
    term_frequency_adjustment: bool = False
    m: float | None = Field(default=None, gt=0, le=1)
    u: float | None = Field(default=None, gt=0, le=1)

    @model_validator(mode="after")
    def _says_something(self) -> Level:
        if (self.m is None) != (self.u is None):
            raise ValueError("give m and u, or neither to start from its place among the levels")
        return self


class Comparison(Declared):
    """One comparison of two rows.

    Attributes:
        levels: From the most alike to the least.
        frequency: Field (or derived field) whose value's frequency counts on levels with a term frequency adjustment.
        learned_from: Which pairs teach its m: those of one `identifier`, or those equal in all of `training_key`.
        given: Expression over `left_` and `right_` fields: where it holds, pairs of different persons agree more often (or less),
            so that u is learned apart for them.
    """

    levels: list[Level]
    frequency: Name | None = None
    learned_from: Literal["identifier", "training_key"] = "identifier"
    given: str | None = None

    @property
    def first(self) -> int:
        """The number of the first level that says something."""
        return next(number for number, level in enumerate(self.levels) if not level.missing)

    @field_validator("levels")
    @classmethod
    def _started(cls, levels: list[Level]) -> list[Level]:
        """Start levels without m and u by their place: nine of ten true pairs are on the first, random pairs on the last."""
        if not levels or levels[-1].missing or levels[-1].when.strip() != "True":
            raise ValueError("end with a level for all other pairs: {is: another, when: 'True'}")
        says = [level for level in levels if not level.missing]
        place = {id(level): number for number, level in enumerate(says)}
        m = _geometric(len(says), 0.9, 0.5)
        u = _geometric(len(says), 0.9, 0.1)[::-1]
        return [
            level.model_copy(update={"m": m[place[id(level)]], "u": u[place[id(level)]]})
            if level.m is None and not level.missing
            else level
            for level in levels
        ]


def _geometric(count: int, first: float, ratio: float) -> list[float]:
    """Split 1: `first` to the first, the rest to the others, each getting `ratio` of what the one before it got."""
    others = [ratio**number for number in range(count - 1)]
    return [first, *((1 - first) * part / sum(others) for part in others)] if others else [1.0]


class BlockingRule(Declared):
    """A key that two rows must share to be compared; its two sides may be made differently.

    Attributes:
        left: Expressions over the left row's fields.
        right: As many over the right row's.
    """

    left: list[str]
    right: list[str]


class Errors(Declared):
    """Wanted error rates, from which the thresholds come.

    Attributes:
        max_false_link_rate: Expected share of wrong links among all that the machine makes, at the most.
        max_link_error: A pair is linked where it is wrong with at most this probability, however few such pairs there are.
        deterministic_error: A deterministic link is made at once where it is wrong with at most this probability.
        review_error: Pairs at least this probable, and not linked, go to clerical review.
    """

    max_false_link_rate: float = Field(default=0.0001, gt=0, lt=0.5)
    max_link_error: float = Field(default=0.5, gt=0, le=0.5)
    deterministic_error: float = Field(default=0.0002, gt=0, lt=0.5)
    review_error: float = Field(default=0.02, gt=0, lt=1)


class Matching(Declared):
    """How rows of an entity are linked to persons.

    Attributes:
        spine: Datasets whose rows found persons; none where duplicates are looked for.
        identifiers: Fields that identify, the most believed first.
        derived: Name -> expression over fields, made once for each row.
        exact: Expressions that, equal and unique on both sides, make a candidate without an identifier.
        exact_when: Where the exact key holds.
        training_key: Expressions; rows equal in all of them teach how often identifiers agree.
        blocking_rules: Keys of which two rows must share one to be candidates of what is left.
        histories: Identifiers that a record of the spine may get anew: those that it bore before are its own still.
        doubts: Name -> expression over `left_` and `right_` fields: where one holds of two rows that share no identifier,
            people decide, however much else speaks for them.
        errors: Wanted error rates.
        comparisons: Name -> comparison.
        sample: Pairs that a model is learned from, at most.
        min_training_pairs: Pairs below which the declared m and u stand.
        max_dataset_share: Largest share of the sample that one dataset may have.
        max_drift: Largest change of a level's weight (bits) that a refit may bring without a person's release.
        turned: Bits that speak against it, from which on a record that was corrected is about somebody else than before.
    """

    spine: list[Name] = Field(default=[])
    identifiers: list[Name] = Field(default=[])
    derived: dict[Name, str] = Field(default={})
    exact: list[str] = Field(default=[])
    exact_when: str = "True"
    training_key: list[str] = Field(default=[])
    blocking_rules: list[BlockingRule | list[str]]
    histories: list[Name] = Field(default=[])
    doubts: dict[Name, str] = Field(default={})
    errors: Errors = Errors()
    comparisons: dict[Name, Comparison]
    sample: int = Field(default=100_000, gt=0)
    min_training_pairs: int = Field(default=1_000, gt=0)
    max_dataset_share: float = Field(default=0.5, gt=0, le=1)
    max_drift: float = Field(default=2.0, gt=0)
    turned: float = Field(default=10.0, gt=0)

    @cached_property
    def followed(self) -> tuple[str, ...]:
        """The identifiers whose histories count, in order."""
        return tuple(name for name in self.identifiers if name in self.histories)

    @cached_property
    def fields(self) -> tuple[str, ...]:
        """The canonical fields that linking reads, in order."""
        return tuple(sorted(self._names({*self.exact, self.exact_when, *self.training_key}) - set(self.derived)))

    @cached_property
    def steps(self) -> dict[str, str]:
        """The derived fields, each after those that it is made of."""
        found: dict[str, str] = {}
        waiting = dict(self.derived)
        while ready := {k: v for k, v in waiting.items() if not (_expression(v).fields & set(waiting)) - {k}}:
            found |= ready
            waiting = {name: text for name, text in waiting.items() if name not in ready}
        return found | waiting

    @cached_property
    def by_value(self) -> dict[str, list[str]]:
        """The derived fields that depend on one field alone, by that field: they can be made once for each of its values."""
        made_of: dict[str, frozenset[str]] = {}
        for name, text in self.steps.items():
            made_of[name] = frozenset().union(*(made_of.get(f, {f}) for f in _expression(text).fields))
        found: dict[str, list[str]] = {}
        for name, fields in made_of.items():
            if len(fields) == 1:
                found.setdefault(next(iter(fields)), []).append(name)
        return found

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The fields and derived fields that stages compare or join by: all but those that only derived ones are made of."""
        return tuple(sorted(self._names(set())))

    def _names(self, also: set[str]) -> set[str]:
        texts = also | {text for rule in self.keys for side in rule for text in side}
        if also:
            texts |= set(self.derived.values())
        names = {name for text in texts for name in _expression(text).fields} | set(self.identifiers)
        for comparison in self.comparisons.values():
            names |= {comparison.frequency} if comparison.frequency else set()
            for text in [*(level.when for level in comparison.levels), *filter(None, [comparison.given])]:
                names |= _compared(text)
        return names.union(*map(_compared, self.doubts.values()))

    def rests_on(self, comparison: str) -> frozenset[str]:
        """Return the fields that a comparison rests on, those that its derived ones are made of among them."""
        found, waiting = (
            set[str](),
            {name for level in self.comparisons[comparison].levels for name in _compared(level.when)},
        )
        while waiting:
            found |= waiting
            made = (self.derived[name] for name in waiting if name in self.derived)
            waiting = {name for text in made for name in _expression(text).fields} - found
        return frozenset(found)

    @cached_property
    def keys(self) -> tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]:
        """The blocking rules as (left, right) expressions."""
        return tuple(
            (tuple(rule.left), tuple(rule.right)) if isinstance(rule, BlockingRule) else (tuple(rule), tuple(rule))
            for rule in self.blocking_rules
        )


def _expression(text: str) -> Expression:
    return parse(text, where="matching.yaml")


def _compared(text: str) -> set[str]:
    """Return the fields that an expression over `left_` and `right_` fields compares."""
    return {name.partition("_")[2] for name in _expression(text).fields}


def sql(texts: Iterable[str], alias: str, plain: Container[str] = ()) -> list[str]:
    """Compile expressions over the columns of a relation, some of them named without its alias."""
    found = []
    for text in texts:
        expression = _expression(text)
        columns = {name: quote(name) if name in plain else f"{alias}.{quote(name)}" for name in expression.fields}
        found.append(expression.sql(DUCKDB, columns))
    return found
