"""How pairs are put before people, and by what errors are told: `mapping/review.yaml`, with defaults where there is none."""

from __future__ import annotations

from pydantic import Field, model_validator

from motlan.config.files import Declared, Name, check, read, refusal
from motlan.config.registry import Registry


class Second(Declared):
    """Which pairs need a second reviewer, who does not see what the first one said. A third decides where they differ.

    Attributes:
        between: Least and greatest probability of a pair that needs two; None for no such rule.
        share: Share of the other pairs that need two as well, chosen by a keyed hash.
    """

    between: tuple[float, float] | None = (0.2, 0.8)
    share: float = Field(default=0.05, ge=0, le=1)


class Group(Declared):
    """What rows are grouped by.

    Attributes:
        row: A field of the row itself.
        golden: A field of its golden record, in place of `row`.
        years: The field is a date: width of the bands of age, in years.
    """

    row: Name | None = None
    golden: Name | None = None
    years: int | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _one_source(self) -> Group:
        if bool(self.row) == bool(self.golden):
            raise ValueError("a group says either row or golden")
        return self


class Review(Declared):
    """The rules of one entity.

    Attributes:
        second: Which pairs need a second reviewer.
        known: Share of the assigned pairs whose answer is certain, to measure reviewers.
        lapse: Days after which an undecided pair is given to others as well.
        contradiction: Weight (bits) at or below which the machine contradicts a decision that two rows are the same.
        errors_by: Name -> what expected errors are told by.
    """

    second: Second = Second()
    known: float = Field(default=0.1, ge=0, lt=1)
    lapse: int = Field(default=14, gt=0)
    contradiction: float = -10.0
    errors_by: dict[Name, Group] = Field(default={})


def review_rules(registry: Registry, entity: str) -> Review:
    """Read and check how pairs of an entity are reviewed.

    Raises:
        ConfigurationError: They are wrong; the message names file, line and mend.
    """
    path = registry.home / "mapping" / "review.yaml"
    found = check(Review, (read(path) if path.exists() else {}).get(entity, {}), path, (entity,))
    for name, group in found.errors_by.items():
        if (field := group.row or group.golden) not in registry.entity(entity).fields:
            raise refusal(f"{entity} has no field {field}", path, [entity, "errors_by", name], "see schemas/.")
    return found
