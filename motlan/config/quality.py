"""The rules of quality, as a country declares them in `mapping/quality.yaml`. They are data: this module only reads them.

    rules            one question of every row of a dataset, in one pass, before linking
    set_rules        of every row, which the other rows answer: used twice? does it refer to a row that exists?
    register_rules   of a dataset as a whole: are all records here, and as young as was promised?
    cross_rules      of a row beside the golden record of its person
    person_rules     of a person, about all rows that one dataset has of them
    end_rules        of a record that its register no longer has

Row rules may quarantine; the others make findings. No rule asks what today is: a replay answers as the first run did.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

from pydantic import Field, PrivateAttr, model_validator

from motlan.config.files import Declared, Dimension, Name, Place, Text, check, plainly, read, refusal
from motlan.errors import ConfigurationError
from motlan.expressions import Expression, parse

Example = dict[str, Any]
STILL_THERE = "still_in_the_register"
"""Name of the end rule that holds where no other is declared."""
_R = TypeVar("_R", bound="Rule")
REGISTER_NAMES = frozenset(
    ("records", "accepted", "quarantined", "pulled", "source_rows", "source_total", "age", "freshness", "expected")
)
"""What a register rule may read: records (distinct keys held), those among them accepted or quarantined in their newest
version, rows pulled and announced in the newest pull that had any, the source's own count, age of the newest change and
the promise, both in seconds, and how many changes the register's own pace lets expect within the promised time."""


class OfEntity(Declared):
    """All datasets whose rows are about an entity, declared today or later."""

    entity: Name


_PREFIXES = ("sent(", "row_", "golden_", "count_")
"""Before a field's name in expressions: which of its values is read."""
_BESIDE_FIELDS = REGISTER_NAMES | {"dataset", "row_moment", "as_of", "rows"}
"""Names in expressions that are no entity's fields."""


class Rule(Declared):
    """What all rules have.

    Attributes:
        name: Unique among all rules; it stands in findings.
        datasets: Those that are asked: their names, all (`"*"`), or all of an entity (`{entity: person}`).
        excepted: Those that are spared where `datasets` names none.
        field: The canonical field that it is about: a finding is charged to it.
        dimension: Which dimension of quality it measures.
        severity: `blocking` holds a row back; `error` and `warning` make findings.
        weight: Its share in its field's score.
        message: What is wrong, for people, in both languages.
    """

    section: ClassVar[str]
    name: Name
    datasets: list[Name] | Literal["*"] | OfEntity = "*"
    excepted: list[Name] = Field(default=[])
    field: str
    dimension: Dimension
    severity: Literal["blocking", "error", "warning"]
    weight: int = Field(default=1, gt=0)
    message: Text

    _among: tuple[str, ...] | None = PrivateAttr(default=None)

    @property
    def among(self) -> tuple[str, ...] | None:
        """The datasets that are asked; None for all there are."""
        return tuple(self.datasets) if isinstance(self.datasets, list) else self._among

    def find_datasets(self, entities: Mapping[str, str]) -> None:
        """Settle which datasets are asked.

        Args:
            entities: Every dataset -> the entity that its rows are about.
        """
        if isinstance(self.datasets, OfEntity) or self.excepted:
            entity = self.datasets.entity if isinstance(self.datasets, OfEntity) else None
            self._among = tuple(
                name for name, of in entities.items() if entity in (None, of) and name not in self.excepted
            )

    def applies_to(self, dataset: str) -> bool:
        """Tell whether the rule is asked of a dataset."""
        return self.among is None or dataset in self.among

    def expressions(self) -> dict[str, Expression]:
        """The rule's expressions, by key."""
        return {}

    def is_about(self, fields: Collection[str]) -> bool:
        """Tell whether the rule can be asked of an entity with these fields: one that names no dataset reads no other field."""
        return self.datasets != "*" or self._fields() <= {*fields, "_key", "_moment"}

    def _fields(self) -> set[str]:
        """Return the canonical fields that the rule is about or reads."""
        read = {name for expression in self.expressions().values() for name in expression.fields}
        named = {
            name.removeprefix(prefix).removesuffix(")")
            for name in read
            for prefix in _PREFIXES
            if name.startswith(prefix)
        }
        plain = {name for name in read if not name.startswith((*_PREFIXES, "raw_"))}
        return {self.field, *named, *plain} - _BESIDE_FIELDS


class Asked(Rule):
    """A rule with an expression: true passes, false fails, null is not assessed.

    Attributes:
        expression: The question, in the expression language.
        examples: Rows that pass and rows that fail; they are the rule's tests.
    """

    expression: str
    examples: dict[Literal["pass", "fail"], list[Example]] = Field(default={})

    @cached_property
    def parsed(self) -> Expression:
        """The expression, parsed."""
        return parse(self.expression, where=f"rule {self.name}")

    def expressions(self) -> dict[str, Expression]:
        """The rule's expressions, by key."""
        return {"expression": self.parsed}


@dataclass(frozen=True)
class Mapped:
    """What a row rule is asked of: a dataset's canonical fields, and what was sent for each, as expressions.

    `sent` reads raw columns as `raw_<column>`; a field that is made of other fields alone is not in it.
    """

    fields: Mapping[str, Expression]
    sent: Mapping[str, str]


class RowRule(Asked):
    """One question asked of every row of a dataset: canonical fields, `sent(field)`, `_key`, `_moment`.

    A blocking rule holds for every dataset, or every one of an entity, declared today or later, but those that `excepted`
    names: a field that a dataset does not have is null to it.
    """

    section = "rules"

    def bound(self, mapped: Mapped) -> RowRule | None:
        """Return the rule as a dataset is asked it; None where it cannot be asked, or need not be."""
        names: dict[str, str | None] = {}
        for name in self.parsed.fields - mapped.fields.keys() - {"_key", "_moment"}:
            names[name] = mapped.sent.get(name.removeprefix("sent(").removesuffix(")")) if "(" in name else None
            if names[name] is None and self.severity != "blocking":
                return None
        if not names:
            return self
        return RowRule.model_validate(self.model_dump() | {"expression": self.parsed.with_names(names)})


class CrossRule(Asked):
    """A question of a row beside its golden record: `row_<field>`, `golden_<field>`, `dataset`, `row_moment`, `as_of`."""

    section = "cross_rules"


class PersonRule(Asked):
    """A question of a person, charged to each of the datasets: `golden_<field>`, `rows`, `count_<field>`, `as_of`.

    `rows` is how many rows the dataset has of the person, `count_<field>` how many values of a field are in them: 0, 1, or
    2 for more than one. `when` says which rows count.
    """

    section = "person_rules"
    when: str = "True"

    @cached_property
    def counted(self) -> Expression:
        """The expression over a row's fields that says whether it counts."""
        return parse(self.when, where=f"rule {self.name}, when")

    def expressions(self) -> dict[str, Expression]:
        """The rule's expressions, by key."""
        return {"expression": self.parsed, "when": self.counted}


class Reference(Declared):
    """A field of a dataset that a value must stand in.

    Attributes:
        dataset: Its name.
        field: A canonical field of it.
    """

    dataset: Name
    field: Name


class SetRule(Rule):
    """A question of a row that the other rows answer; asked where its fields are filled and `when` holds.

    Attributes:
        unique: Fields that no second row of the same dataset may have alike.
        refers: Where the rule's field must be found.
        when: Expression over the row's fields.
        examples: Each a whole set of rows, with `dataset` beside their fields; in a failing one some row fails.
    """

    section = "set_rules"
    unique: list[Name] = Field(default=[])
    refers: Reference | None = None
    when: str = "True"
    examples: dict[Literal["pass", "fail"], list[list[Example]]] = Field(default={})

    @model_validator(mode="after")
    def _one_question(self) -> SetRule:
        if bool(self.unique) == bool(self.refers):
            raise ValueError("a set rule says either unique or refers")
        return self

    @cached_property
    def counted(self) -> Expression:
        """The expression that says of which rows the rule is asked."""
        return parse(self.when, where=f"rule {self.name}, when")

    def expressions(self) -> dict[str, Expression]:
        """The rule's expressions, by key."""
        return {"when": self.counted}


class Share(Declared):
    """How a register rule is scored: the smaller of `have` and `of`, of `of`. Without one it is all or nothing.

    Attributes:
        have: A name that register rules may read.
        of: Another.
    """

    have: Name
    of: Name


class RegisterRule(Asked):
    """A question of a dataset as a whole, over the names of `REGISTER_NAMES`."""

    section = "register_rules"
    share: Share | None = None


class EndRule(Rule):
    """A record of one of the datasets that its register no longer has is a finding, until it has it again."""

    section = "end_rules"


@dataclass(frozen=True)
class Rules:
    """All rules, by kind."""

    rows: tuple[RowRule, ...] = ()
    sets: tuple[SetRule, ...] = ()
    registers: tuple[RegisterRule, ...] = ()
    cross: tuple[CrossRule, ...] = ()
    persons: tuple[PersonRule, ...] = ()
    ends: tuple[EndRule, ...] = ()
    by_name: Mapping[str, Rule] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Index them."""
        every: tuple[Rule, ...] = (*self.rows, *self.sets, *self.registers, *self.cross, *self.persons, *self.ends)
        object.__setattr__(self, "by_name", {rule.name: rule for rule in every})

    def of(self, datasets: Collection[str], fields: Collection[str]) -> Rules:
        """Return the rules that are asked of an entity.

        Args:
            datasets: The entity's datasets.
            fields: The entity's fields.
        """

        def applicable(rules: Iterable[_R]) -> tuple[_R, ...]:
            return tuple(rule for rule in rules if any(map(rule.applies_to, datasets)) and rule.is_about(fields))

        return Rules(
            applicable(self.rows),
            applicable(self.sets),
            applicable(self.registers),
            applicable(self.cross),
            applicable(self.persons),
            applicable(self.ends),
        )

    @property
    def agreed_fields(self) -> list[str]:
        """Fields on which other registers are asked whether they agree with the golden value."""
        return sorted({rule.field for rule in self.cross if rule.dimension == "accuracy"})


@dataclass(frozen=True)
class Known:
    """What rules may name.

    Attributes:
        mapped: Dataset -> its canonical fields.
        sent: Dataset -> those of them that are made of raw columns.
        entities: Dataset -> the entity that its rows are about.
        fields: The entities' fields.
    """

    mapped: Mapping[str, frozenset[str]]
    sent: Mapping[str, frozenset[str]]
    entities: Mapping[str, str]
    fields: frozenset[str]

    def readable(self, rule: Rule, dataset: str) -> frozenset[str]:
        """Names that a rule's expression may read of a dataset."""
        golden = frozenset(f"golden_{name}" for name in self.fields) | {"as_of"}
        if isinstance(rule, CrossRule):
            return golden | {f"row_{name}" for name in self.fields} | frozenset({"dataset", "row_moment"})
        if isinstance(rule, PersonRule):
            return golden | {f"count_{name}" for name in self.fields} | frozenset({"rows"})
        if isinstance(rule, RegisterRule):
            return REGISTER_NAMES
        others = self.fields if rule.severity == "blocking" else frozenset()
        sent = frozenset(f"sent({name})" for name in self.sent[dataset])
        return self.mapped[dataset] | sent | others | frozenset({"_key", "_moment"})


def load(path: Path, known: Known, made: Sequence[RowRule] = (), ends: Sequence[EndRule] = ()) -> Rules:
    """Read and check `quality.yaml`.

    Args:
        path: The file.
        known: What rules may name.
        made: Row rules that stand before the declared ones: those of the canonical schema.
        ends: End rules that hold where none is declared.

    Raises:
        ConfigurationError: A rule is wrong; the message names file, line and mend.
    """
    content = read(path)
    seen: dict[str, Place] = {rule.name: () for rule in made}
    sections = {kind.section: kind for kind in (RowRule, SetRule, RegisterRule, CrossRule, PersonRule, EndRule)}
    for section in content:
        if section not in sections:
            close = difflib.get_close_matches(section, sections, 1, 0.0)
            raise refusal(f"there is no section {section}", path, [section], f"did you mean {close[0]}?")

    def all_of(kind: type[Any]) -> tuple[Any, ...]:
        found = []
        for position, declared in enumerate(content.get(kind.section) or []):
            place: Place = (kind.section, position)
            rule = check(kind, declared, path, place)
            if rule.name in seen:
                raise refusal(f"there are two rules {rule.name}", path, [*place, "name"], "give one another name.")
            seen[rule.name] = place
            _check_datasets(rule, known, path, place)
            rule.find_datasets(known.entities)
            _names(rule, known, path, place)
            found.append(rule)
        return tuple(found)

    return Rules(
        (*made, *all_of(RowRule)),
        all_of(SetRule),
        all_of(RegisterRule),
        all_of(CrossRule),
        all_of(PersonRule),
        all_of(EndRule) or tuple(ends),
    )


def spine_rules(spine: Sequence[str], messages: Mapping[str, Text] | None = None) -> tuple[EndRule, ...]:
    """Return the end rule of those whose rows found persons, which holds where no other is declared."""
    english = plainly("The register whose records found persons has this one no longer")
    message = (messages or {}).get(STILL_THERE, english)
    said = {"field": "_key", "dimension": "timeliness", "severity": "error", "message": message}
    return (EndRule.model_validate({"name": STILL_THERE, "datasets": list(spine), **said}),) if spine else ()


def _check_datasets(rule: Rule, known: Known, path: Path, place: Place) -> None:
    """Refuse a rule that names datasets that there are not, or names those that it must not choose."""
    listed = rule.datasets if isinstance(rule.datasets, list) else []
    for key, datasets in {"datasets": listed, "excepted": rule.excepted}.items():
        for dataset in datasets:
            if dataset not in known.mapped:
                raise refusal(f"there is no dataset {dataset}", path, [*place, key], _nearest(dataset, known.mapped))
    if isinstance(rule.datasets, OfEntity) and rule.datasets.entity not in known.entities.values():
        entity, entities = rule.datasets.entity, set(known.entities.values())
        raise refusal(f"no dataset is about an entity {entity}", path, [*place, "datasets"], _nearest(entity, entities))
    if isinstance(rule.datasets, list) and rule.excepted:
        what = "a rule names either its datasets or those that are excepted"
        raise refusal(what, path, [*place, "excepted"], "drop one of them.")
    if isinstance(rule.datasets, list) and rule.severity == "blocking" and isinstance(rule, RowRule):
        what = "a blocking rule holds for all datasets, or all of an entity"
        raise refusal(what, path, [*place, "datasets"], "name those that it spares in `excepted`.")


def _names(rule: Rule, known: Known, path: Path, place: Place) -> None:
    """Refuse a rule whose names lead nowhere."""
    if rule.field not in known.fields | {"_key", "_moment"}:
        raise refusal(f"there is no field {rule.field}", path, [*place, "field"], _nearest(rule.field, known.fields))
    if isinstance(rule, SetRule):
        wanted = [*rule.unique, *([rule.refers.field] if rule.refers else [])]
        if unknown := sorted(set(wanted) - known.fields):
            raise refusal(f"there is no field {unknown[0]}", path, place, _nearest(unknown[0], known.fields))
        if rule.refers and rule.refers.dataset not in known.mapped:
            what = f"there is no dataset {rule.refers.dataset}"
            raise refusal(what, path, [*place, "refers"], _nearest(rule.refers.dataset, known.mapped))
    if not isinstance(rule, RowRule) and rule.severity == "blocking":
        raise refusal("only row rules can block", path, [*place, "severity"], "write error or warning.")
    try:
        expressions = rule.expressions()
    except ConfigurationError as error:
        at = "when" if error.where.endswith("when") else "expression"
        raise refusal(f"rule {rule.name}: {error.what}", path, [*place, at], error.next_step) from None
    for key, expression in expressions.items():
        _reads(rule, key, expression, known, path, place)


def _reads(rule: Rule, key: str, expression: Expression, known: Known, path: Path, place: Place) -> None:
    """Refuse an expression that reads a name which its datasets do not have."""
    readable = {
        dataset: known.fields if key == "when" else known.readable(rule, dataset)
        for dataset in (known.mapped if rule.among is None else rule.among)
    }
    missing = {dataset: sorted(expression.fields - names) for dataset, names in readable.items()}
    for dataset, names in missing.items():
        if names and isinstance(rule.datasets, list):
            raise refusal(f"{dataset} has no {names[0]}", path, [*place, key], _nearest(names[0], readable[dataset]))
    if missing and all(missing.values()):
        name = min(missing.values(), key=len)[0]
        raise refusal(f"no dataset has {name}", path, [*place, key], _nearest(name, set().union(*readable.values())))


def _nearest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, sorted(known), 1, 0.0)
    return f"did you mean {close[0]}?" if close else "declare it first."
