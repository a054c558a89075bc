"""Rules that read the day that ages are reckoned at, `as_of`: which values make them answer otherwise of an unchanged row.

A rule answers otherwise only where a comparison or call of it that reads the day does. Nearly all of these read one field beside
the day, so that they are asked of each value of the field once, and not of each row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from motlan.config.quality import CrossRule, PersonRule, Rules
from motlan.expressions import Dialect, Expression, quote

AS_OF = "as_of"


@dataclass(frozen=True)
class DatedPart:
    """A part of a rule that reads the day.

    Attributes:
        rule: The rule.
        part: The comparison or call.
        of: Whether it reads a field of a row, a row's moment, a field of a golden record, nothing but the day, or what is none
            of these.
        field: The field.
    """

    rule: CrossRule | PersonRule
    part: Expression
    of: Literal["row", "moment", "golden", "day", "other"]
    field: str = ""

    def differs(self, before: str, now: str, dialect: Dialect) -> str:
        """Return the SQL of whether it answers otherwise on another day, about a row that has the field.

        Args:
            before: SQL of the one day.
            now: SQL of the other one.
            dialect: How it is written.
        """
        columns = {name: quote(self.field) for name in self.part.fields - {AS_OF}}
        answers = [self.part.sql(dialect, {**columns, AS_OF: f"({day})"}) for day in (before, now)]
        return f"({answers[0]}) is distinct from ({answers[1]})"


def dated_parts(rules: Rules) -> list[DatedPart]:
    """Return the parts of cross rules and person rules that read the day."""
    rules_of_persons: list[CrossRule | PersonRule] = [*rules.cross, *rules.persons]
    return [part for rule in rules_of_persons for part in _parts(rule)]


def _parts(rule: CrossRule | PersonRule) -> Iterator[DatedPart]:
    for part in rule.parsed.parts_reading(AS_OF) if AS_OF in rule.parsed.fields else ():
        names = part.fields - {AS_OF}
        if not names:
            yield DatedPart(rule, part, "day")
            continue
        (name,) = names
        prefix, _, field = name.partition("_")
        if prefix == "golden":
            yield DatedPart(rule, part, "golden", field)
        elif name == "row_moment":
            yield DatedPart(rule, part, "moment", "_moment")
        elif prefix == "row":
            yield DatedPart(rule, part, "row", field)
        else:
            yield DatedPart(rule, part, "other")


def dated_fields(rules: Rules) -> list[str]:
    """Return the fields of rows whose values are asked what they answer on another day."""
    return sorted({part.field for part in dated_parts(rules) if part.of == "row"})


def values_name(field: str) -> str:
    """Return the name of the relation of a field's values."""
    return f"values_{field}"
