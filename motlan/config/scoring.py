"""How findings become scores and when a run is stopped: `mapping/scoring.yaml`, with defaults where a country has none.

The method and the default figures are reported ones (docs/explanation/domain.md), so all of it is configuration.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from pydantic import Field, model_validator

from motlan.config.files import Declared, Dimension, Name, Text, check, read, refusal

Colour = Literal["green", "yellow", "red"]
DIMENSIONS: tuple[Dimension, ...] = get_args(Dimension)


class MustBeFull(Declared):
    """Fields that must be wholly right: below 100 in one of the dimensions is red.

    Attributes:
        fields: Canonical fields.
        dimensions: The dimensions in which they must be at 100.
    """

    fields: list[Name] = Field(default=[])
    dimensions: list[Dimension] = Field(default=["accuracy", "completeness", "validity", "uniqueness"])


class DueDays(Declared):
    """Days until a finding must be verified, then fixed and sent again.

    Attributes:
        verify: From when it was first seen.
        fix: From then on.
        complex: In place of `fix` where records or registers disagree about one of the complex fields.
        complex_fields: Fields whose correction is more than a change of one register.
    """

    verify: int = Field(default=5, gt=0)
    fix: int = Field(default=5, gt=0)
    complex: int = Field(default=15, gt=0)
    complex_fields: list[Name] = Field(default=[])


class Breaker(Declared):
    """When a sync run is stopped before anything of it is seen.

    Attributes:
        minimum_rows: A smaller run is never stopped for its blocked rows.
        blocking_share: Share of landed rows in quarantine, 0 to 1, that a run may have.
        rise: How far the share may lie above that of the last runs.
        runs: How many of the last runs are compared with.
        failing_share: Share of rows in which a column may come out null though something was sent, or break a rule.
        gone_share: Share of a register's records that may be gone at once, of `minimum_rows` at the least.
        evidence: Rows of which a column says something, below which nothing is concluded about it.
    """

    minimum_rows: int = Field(default=200, gt=0)
    blocking_share: float = Field(default=0.2, gt=0, le=1)
    rise: float = Field(default=0.1, gt=0, le=1)
    runs: int = Field(default=10, gt=0)
    failing_share: float = Field(default=0.5, gt=0, le=1)
    gone_share: float = Field(default=0.05, gt=0, le=1)
    evidence: int = Field(default=20, gt=0)


class Overrides(Declared):
    """What is otherwise for one dataset, by the keys of `Breaker`; absent is as for all."""

    minimum_rows: int | None = Field(default=None, gt=0)
    blocking_share: float | None = Field(default=None, gt=0, le=1)
    rise: float | None = Field(default=None, gt=0, le=1)
    runs: int | None = Field(default=None, gt=0)
    failing_share: float | None = Field(default=None, gt=0, le=1)
    evidence: int | None = Field(default=None, gt=0)


class Scoring(Declared):
    """Thresholds, weights and limits.

    Attributes:
        green: Least score, 0 to 100, that is green; `yellow` likewise; less is red.
        area: Canonical field by which counts are grouped, such as a region of residence; none where empty.
        must_be_full: Fields that must be at 100.
        due_days: Days in which findings must be mended.
        breaker: When a run is stopped.
        datasets: Dataset -> what is otherwise for it.
        dimension_weights: Share of a dimension in its field's score, 1 where absent; `field_weights` likewise.
    """

    green: float = Field(default=90, ge=0, le=100)
    yellow: float = Field(default=75, ge=0, le=100)
    must_be_full: MustBeFull = MustBeFull()
    due_days: DueDays = DueDays()
    area: str = Field(default="", pattern=r"^([a-z][a-z0-9_]*)?$")
    dimension_weights: dict[Dimension, float] = Field(default={})
    field_weights: dict[Name, float] = Field(default={})
    breaker: Breaker = Breaker()
    datasets: dict[Name, Overrides] = Field(default={})

    @model_validator(mode="after")
    def _in_order(self) -> Scoring:
        if self.yellow > self.green:
            raise ValueError("yellow must not lie above green")
        return self

    def colour(self, score: float) -> Colour:
        """Return the colour of a score, 0 to 100."""
        return "green" if score >= self.green else "yellow" if score >= self.yellow else "red"

    def must_be_full_in(self, field: str, dimension: str) -> bool:
        """Tell whether a field's score in a dimension must be 100."""
        return field in self.must_be_full.fields and dimension in self.must_be_full.dimensions

    def breaker_of(self, dataset: str) -> Breaker:
        """Return the limits of a dataset."""
        own = self.datasets.get(dataset)
        return self.breaker.model_copy(update=own.model_dump(exclude_none=True)) if own else self.breaker


def load_dimensions(path: Path) -> dict[Dimension, Text]:
    """Return what people call each dimension, from `dimensions.yaml`; the English word where there is none.

    Raises:
        ConfigurationError: It is wrong; the message names file, line and mend.
    """
    content = read(path) if path.exists() else {}
    for name in content:
        if name not in DIMENSIONS:
            raise refusal(f"there is no dimension {name}", path, [name], f"use {', '.join(DIMENSIONS)}.")
    return {
        name: check(Text, content[name], path, (name,)) if name in content else Text(vi=name, en=name)
        for name in DIMENSIONS
    }


def load(path: Path, datasets: frozenset[str], fields: frozenset[str]) -> Scoring:
    """Read and check `scoring.yaml`; the defaults where there is none.

    Raises:
        ConfigurationError: It is wrong; the message names file, line and mend.
    """
    if not path.exists():
        return Scoring()
    scoring = check(Scoring, read(path), path, ())
    for name in scoring.datasets:
        if name not in datasets:
            raise refusal(f"there is no dataset {name}", path, ["datasets", name], "use one of agencies.yaml.")
    named: dict[tuple[str, ...], list[str]] = {("must_be_full", "fields"): scoring.must_be_full.fields}
    named |= {("due_days", "complex_fields"): scoring.due_days.complex_fields}
    named |= {("area",): [scoring.area] if scoring.area else []}
    for place, names in named.items():
        if unknown := [name for name in names if name not in fields]:
            raise refusal(f"there is no field {unknown[0]}", path, place, "see schemas/.")
    return scoring
