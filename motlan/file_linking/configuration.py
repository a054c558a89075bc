"""The configuration of `motlan link`: `Matching`, and what a file needs said that a registry knows."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from motlan.config.files import Declared, Name, Place, check, read, refusal
from motlan.config.matching import Matching
from motlan.errors import ConfigurationError
from motlan.expressions import parse
from motlan.file_linking.tabular import TAKEN

SIDES = ("left", "right")
LEAST = 50
"""Pairs below which the m and u that a configuration begins with stand, where it says nothing else."""


READY: Mapping[str, tuple[tuple[str, str], ...]] = {
    "exact": (),
    "identifier": (("one slip of the pen", "one_edit({left}, {right})"),),
    "code": (("one slip of the pen", "length({left}) >= 4 and one_edit({left}, {right})"),),
    "name": (
        ("one slip of the pen", "length({left}) >= 4 and one_edit({left}, {right})"),
        ("alike", "similarity({left}, {right}) >= 0.88"),
    ),
    "text": (("alike", "similarity({left}, {right}) >= 0.88"),),
    "date": (
        ("agree as far as known", "dates_agree({left}, {right})"),
        ("day and month swapped", "date_swapped({left}) == {right}"),
        ("one slip of the pen", "one_edit({left}, {right})"),
    ),
}
"""Ready-made comparisons: word -> the levels between `same` and `another`. Their m and u are learned."""
_PLAIN = ("exact", "identifier")
"""Those whose agreement counts alike for every value."""


class Sides(Declared):
    """What differs between the two files."""

    left: str
    right: str


class Keys(Declared):
    """Columns that identify a row, where they differ between the two files."""

    left: list[Name]
    right: list[Name]


class Files(Declared):
    """What a configuration of `motlan link` says beside `Matching`.

    Attributes:
        key: Columns that together identify a row; its number in the file, from 1, where absent.
        fields: Field -> expression over a file's columns; a field not named here is the column of its name, as plain text.
        one_to_one: No row has more than one partner.
    """

    key: list[Name] | Keys = Field(default_factory=list)
    fields: dict[Name, str | Sides] = Field(default_factory=dict)
    one_to_one: bool = False

    @field_validator("fields")
    @classmethod
    def _free(cls, fields: dict[str, str | Sides]) -> dict[str, str | Sides]:
        if taken := sorted(TAKEN & fields.keys()):
            raise ValueError(f"{taken[0]} is a name of linking's own: call the field otherwise")
        return fields

    def key_of(self, side: str) -> list[str]:
        """Return the columns of a file's key."""
        return getattr(self.key, side) if isinstance(self.key, Keys) else self.key

    def field_of(self, name: str, side: str) -> str:
        """Return the expression of a field over a file's columns."""
        said = self.fields.get(name, f"text({name})")
        return getattr(said, side) if isinstance(said, Sides) else said


@dataclass(frozen=True)
class Configuration:
    """A checked configuration, and where it stands."""

    path: Path
    files: Files
    matching: Matching

    @cached_property
    def origins(self) -> dict[str, frozenset[str]]:
        """Field -> the columns of both files that it is made of."""
        return {
            name: frozenset().union(*(parse(self.files.field_of(name, side)).fields for side in SIDES))
            for name in self.matching.fields
        }


def configuration(path: Path, sides: int) -> Configuration:
    """Read a configuration for so many files.

    Raises:
        ConfigurationError: It is not one; the message names the line and the mend.
    """
    if not path.is_file():
        raise ConfigurationError(
            "there is no such file",
            where=str(path),
            next_step="write one, to begin with by `motlan link LEFT RIGHT --propose`.",
        )
    content = read(path)
    own, rest = (
        {key: value for key, value in content.items() if (key in Files.model_fields) is mine} for mine in (True, False)
    )
    known = [*Files.model_fields, *(name for name in Matching.model_fields if name != "spine")]
    for key in rest:
        if key not in known:
            close = difflib.get_close_matches(str(key), known, 1)
            mend = f"did you mean {close[0]}?" if close else f"drop it; known are {', '.join(known)}."
            raise refusal(f"{key} is not known here", path, [key], mend)
    files = check(Files, own, path, [])
    if files.one_to_one and sides == 1:
        raise refusal("one_to_one is for two files", path, ["one_to_one"], "drop it, or give RIGHT.")
    rest["comparisons"] = _written_out(rest.get("comparisons"), path)
    matching = check(
        Matching, {"min_training_pairs": LEAST, **rest, "spine": ["right"] if sides == 2 else []}, path, []
    )
    _check_expressions(matching, path)
    _check_levels(matching, path)
    return Configuration(path, files, matching)


def _written_out(comparisons: Any, path: Path) -> Any:
    """Write the comparisons out that are a word of `READY`."""
    if not isinstance(comparisons, dict):
        return comparisons
    for name, said in comparisons.items():
        if isinstance(said, str) and said not in READY:
            mend = f"write {', '.join(READY)}, or levels."
            raise refusal(f"no comparison is called {said}", path, ["comparisons", name], mend)
    return {name: _ready_made(name, said) if isinstance(said, str) else said for name, said in comparisons.items()}


def _ready_made(field: str, word: str) -> dict[str, Any]:
    """Write a ready-made comparison out, as `Matching` declares it. Frequencies count, but for `exact` and `identifier`."""
    left, right = f"left_{field}", f"right_{field}"
    same = {"is": "same", "when": f"{left} == {right}"} | (
        {} if word in _PLAIN else {"term_frequency_adjustment": True}
    )
    levels = [
        {"is": "missing", "when": f"{left} is None or {right} is None", "missing": True},
        same,
        *({"is": name, "when": when.format(left=left, right=right)} for name, when in READY[word]),
        {"is": "another", "when": "True"},
    ]
    also = {"learned_from": "training_key"} if word == "identifier" else {} if word in _PLAIN else {"frequency": field}
    return {**also, "levels": levels}


def _check_expressions(matching: Matching, path: Path) -> None:
    """Refuse what cannot be read, by this file's own name."""
    rules = [text for key in matching.keys for side in key for text in side]
    for name, texts in {
        "blocking_rules": rules,
        "derived": matching.derived.values(),
        "training_key": matching.training_key,
    }.items():
        for text in texts:
            parse(text, where=f"{path.parent.name}/{path.name}, {name}")


def _check_levels(matching: Matching, path: Path) -> None:
    """Refuse a condition that compares anything but `left_<field>` with `right_<field>`."""
    for name, comparison in matching.comparisons.items():
        for number, level in enumerate(comparison.levels):
            place: Place = ["comparisons", name, "levels", number, "when"]
            when = parse(level.when, where=f"{path.parent.name}/{path.name}, comparisons, {name}")
            strange = [field for field in when.fields if not field.startswith(("left_", "right_"))]
            if strange:
                raise refusal(
                    f"{strange[0]} has no side", path, place, f"write left_{strange[0]} or right_{strange[0]}."
                )
