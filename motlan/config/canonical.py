"""The canonical schema as rules: a value that does not meet the pattern of its type never leaves with its row.

Made from the models, so that a dataset declared next year is held to them as well. Where every way to a field ends in a
cleaner whose answers always meet the pattern, there is nothing to ask.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel

from motlan.config.files import Text, plainly
from motlan.config.quality import Mapped, RowRule
from motlan.expressions import always_answers
from motlan.expressions.language import Call


class SchemaRule(RowRule):
    """The question whether a field's value meets its type: its pattern (RE2, of the whole text) and its length.

    Attributes:
        pattern: The pattern without anchors; empty where any text will do.
        shortest: Least number of characters; `longest` likewise.
    """

    pattern: str = ""
    shortest: int | None = None
    longest: int | None = None

    def bound(self, mapped: Mapped) -> RowRule | None:
        """Return what is left to ask of a dataset; None where its mapping makes no such field, or only ones that fit."""
        if self.field not in mapped.fields:
            return None
        fits = all(_pattern(answer) == self.pattern for answer in mapped.fields[self.field].answers)
        asked = _question(self.field, "" if fits else self.pattern, None if fits else self.shortest, self.longest)
        return (
            RowRule(**_COMMON, name=self.name, field=self.field, message=self.message, expression=asked)
            if asked
            else None
        )


def _pattern(answer: Call | str) -> str | None:
    return always_answers(answer) if isinstance(answer, Call) else None


def _question(field: str, pattern: str, shortest: int | None, longest: int | None) -> str:
    parts = [f"matches({field}, {pattern!r})"] if pattern else []
    parts += [f"length({field}) >= {shortest}"] if shortest is not None else []
    parts += [f"length({field}) <= {longest}"] if longest is not None else []
    return " and ".join(parts)


_COMMON: Mapping[str, Any] = {"dimension": "validity", "severity": "blocking"}


def schema_rules(models: Iterable[type[BaseModel]], said: Text | None = None) -> tuple[SchemaRule, ...]:
    """Return a blocking rule, `schema_<field>`, for each field of some models that says how its text must look.

    Args:
        models: The canonical models; of a field that several have, the first one's type counts.
        said: Their message, with `{field}` and `{title}`; an English one where absent.
    """
    forms: dict[str, Mapping[str, Any]] = {}
    for model in models:
        for field, content in model.model_json_schema()["properties"].items():
            forms.setdefault(field, next(form for form in content.get("anyOf", [content]) if form["type"] != "null"))
    return tuple(rule for field, form in forms.items() if (rule := _rule(field, form, said)))


def _rule(field: str, form: Mapping[str, Any], said: Text | None) -> SchemaRule | None:
    pattern = form.get("pattern", "").removeprefix("^").removesuffix("$")
    shortest, longest = form.get("minLength"), form.get("maxLength")
    question = _question(field, pattern, shortest, longest)
    if not question:
        return None
    said = said or plainly("The value has not the form of its canonical type ({field})")
    words = {"field": field, "title": form.get("title", field)}
    message = Text(vi=said.vi.format(**words), en=said.en.format(**words))
    return SchemaRule(
        **_COMMON,
        name=f"schema_{field}",
        field=field,
        message=message,
        expression=question,
        pattern=pattern,
        shortest=shortest,
        longest=longest,
    )
