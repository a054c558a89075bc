"""Who is believed on what, and when a merge is too strange to publish: `mapping/authority.yaml` and `mapping/breakers.yaml`."""

from __future__ import annotations

from collections.abc import Container, Mapping
from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from motlan.config.files import Declared, Name, check, read, refusal
from motlan.expressions import parse

Severity = Literal["error", "warning"]
MEASURES = frozenset({"changes", "merges", "splits", "deaths"})
"""What is counted of a merge beside the changes of guarded fields."""


class Believed(Declared):
    """A register that is believed on a field under a condition.

    Attributes:
        dataset: Whose rows.
        when: Expression over the row's canonical fields that must hold of a row.
        since: Day (YYYY-MM-DD) or moment, the first at which a record must have been written; `until` the first at which it
            must not: how long the authority was one.
        changed: Fields, of which the register's word is believed too where it changed it on one of them later than on `after`:
            the condition does not hold then because its newer word is not yet in the older one (a number that tells the sex).
        after: Another field.
    """

    dataset: Name
    when: str = "True"
    since: str | None = None
    until: str | None = None
    changed: list[Name] = Field(default=[])
    after: Name | None = None

    @property
    def always(self) -> bool:
        """Whether every row of the register is believed."""
        return self.when == "True" and self.since is None and self.until is None


class Authority(Declared):
    """Who is believed on one field.

    Attributes:
        authority: Registers, the most believed first. Those in a list of their own are equals.
        ties: What decides between values that are equally believed (of equals, or of two rows of one register): the newest,
            or the one that most registers agree with. The other decides what that leaves open.
        precision: Expression over `value`; among agreeing values the greater one refines the authority's.
        agrees: Expression over `left` and `right`: whether two values say the same of the person.
        correct: Whether a disagreeing register is sent a correction, and `severity` how grave it is.
        guarded: Whether a change of this field has limits of its own before it is published.
        candidates: Field that holds the values (`;` between them) that a row's value is a guess among; empty where it is certain.
            A guess never beats a certain value, and says the same as any of its candidates.
        follows: Field whose row says this one too, wherever it is known: the area that a place is in.
        together: Name of a group of fields that are taken whole from one record where a register has several of a person.
        in_force: Expression over the row's canonical fields: rows that hold now beat those that ended. The same for all fields of
            a group, of which it tells whose record stands.
    """

    authority: list[Believed | list[Believed]]
    ties: Literal["freshness", "agreement"] = "freshness"
    precision: str = "1"
    agrees: str = "left == right"
    correct: bool = False
    severity: Severity = "warning"
    guarded: bool = False
    candidates: Name | None = None
    follows: Name | None = None
    together: Name | None = None
    in_force: str | None = None

    @field_validator("authority", mode="before")
    @classmethod
    def _named(cls, value: object) -> object:
        """Let a bare name stand for a register that is always believed."""
        if isinstance(value, str):
            return {"dataset": value}
        return [cls._named(part) for part in value] if isinstance(value, list) else value

    @cached_property
    def ranks(self) -> tuple[tuple[Believed, ...], ...]:
        """The registers by how much they are believed, the most believed first."""
        return tuple(tuple(entry) if isinstance(entry, list) else (entry,) for entry in self.authority)

    @cached_property
    def datasets(self) -> tuple[str, ...]:
        """Names of all registers that are believed on the field, the most believed first."""
        return tuple(dict.fromkeys(entry.dataset for rank in self.ranks for entry in rank))

    @property
    def first(self) -> tuple[str, ...]:
        """Names of the registers that nobody is believed more than."""
        return tuple(entry.dataset for entry in self.ranks[0]) if self.ranks else ()


class Related(Declared):
    """An entity beside the main one: what rows of some registers say further, linked to whom they are about.

    Attributes:
        of: The entity whose linked rows these are.
        authority: The registers whose rows they are, the most believed first.
        when: Expression over the row's fields of this entity that must hold of a row.
        in_force: Expression over them: of the rows with one key, those that hold now beat those that ended.
        key: Field whose value names the thing (a household, an organisation): rows with one value are one thing. Without it,
            each row is a thing of its own.
        person: Field of the main entity that has the key's value where the thing is somebody's: the head of a household.
        count: Field that tells of how many persons the rows of the thing are.
    """

    of: Name
    authority: list[Name] = Field(min_length=1)
    when: str = "True"
    in_force: str | None = None
    key: Name | None = None
    person: Name | None = None
    count: Name | None = None


class ChangeLimits(Declared):
    """When a publication waits for people, of the persons that a register knows in an area (0 to 1).

    Attributes:
        approvals: How many people must let it go.
        minimum: Fewer changes than these never stop a publication.
        changes: Share of persons with any changed value; `merges`, `splits` and `deaths` likewise.
        guarded: Share of persons of whom one guarded field changed that was known; `fields` overrides it for single ones.
        death_field: The field that is filled when a person dies.
        window_days: Days over which the changes of publications are counted together with a new one's; 0 for one alone. What
            people released is not counted again.
        window: Measure or field -> share of persons that it may reach within these days; absent: what it may at once.
    """

    approvals: int = Field(default=2, ge=1)
    minimum: int = Field(default=20, ge=1)
    changes: float = Field(default=0.25, gt=0)
    merges: float = Field(default=0.01, gt=0)
    splits: float = Field(default=0.01, gt=0)
    deaths: float = Field(default=0.01, gt=0)
    guarded: float = Field(default=0.02, gt=0)
    fields: dict[Name, float] = Field(default={})
    death_field: Name = "death_date"
    window_days: int = Field(default=7, ge=0)
    window: dict[Name, float] = Field(default={})

    def within(self, measure: str) -> float:
        """Return the share that a measure may reach within the window."""
        return self.window.get(measure, self.of(measure))

    def of(self, measure: str) -> float:
        """Return the share that a measure may reach: of `changes`, `merges`, `splits`, `deaths` or a guarded field."""
        whole = {"changes": self.changes, "merges": self.merges, "splits": self.splits, "deaths": self.deaths}
        return whole.get(measure, self.fields.get(measure, self.guarded))


def limits(home: Path, entity: str, fields: frozenset[str]) -> ChangeLimits:
    """Read and check an entity's limits in `breakers.yaml`; the defaults where there is no file or no entry.

    Raises:
        ConfigurationError: It is wrong; the message names file, line and mend.
    """
    path = home / "mapping" / "breakers.yaml"
    found = check(ChangeLimits, (read(path) if path.exists() else {}).get(entity, {}), path, (entity,))
    for part, known in (("fields", fields), ("window", fields | MEASURES)):
        for name in getattr(found, part):
            if name not in known:
                raise refusal(f"{entity} has no field {name}", path, [entity, part, name], "see schemas/.")
    return found


def check_names(path: Path, entity: str, rules: Mapping[str, Authority], datasets: Container[str]) -> None:
    """Refuse registers and fields that are not declared.

    Args:
        path: `authority.yaml`.
        entity: The entity's name.
        rules: Field -> who is believed on it; of every field of the entity.
        datasets: Names of the registers.

    Raises:
        ConfigurationError: The message names file, line and mend.
    """
    for field, rule in rules.items():
        for entry in (entry for rank in rule.ranks for entry in rank):
            place = [entity, field, "authority"]
            if entry.dataset not in datasets:
                raise refusal(f"there is no dataset {entry.dataset}", path, place, "use one of agencies.yaml.")
            read_by = {*parse(entry.when, where=f"authority.yaml, {field}.when").fields, *entry.changed}
            if unknown := read_by.union(filter(None, [entry.after])) - set(rules):
                raise refusal(f"there is no field {sorted(unknown)[0]}", path, place, "see schemas/.")
        named = set(filter(None, [rule.candidates, rule.follows]))
        if rule.in_force:
            named |= parse(rule.in_force, where=f"authority.yaml, {field}.in_force").fields
        if unknown := named - set(rules):
            raise refusal(f"there is no field {sorted(unknown)[0]}", path, [entity, field], "see schemas/.")
        if rule.together and {rule.in_force} != {
            other.in_force for other in rules.values() if other.together == rule.together
        }:
            step = "write one expression for all of them."
            raise refusal(f"the fields of {rule.together} are in force by different rules", path, [entity, field], step)
