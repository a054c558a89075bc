"""What the steps of a run return: counts, and references to what they wrote, never a personal value.

A result is written into the ledger as JSON when its step is done, under the step's name, and read back as one. Fields that are
None and marked as absent are left out of the JSON: queries ask whether they are there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal, Self

from motlan.errors import InternalError

_ABSENT = {"absent": True}


@dataclass(frozen=True)
class Result:
    """What a step returned. `step` is its name in the ledger."""

    step: ClassVar[str]

    @classmethod
    def read(cls, counts: Mapping[str, Any]) -> Self:
        """Make a result of what the ledger keeps; the run's id and the seconds, which it keeps beside, are left out.

        Raises:
            InternalError: It is no result of this step.
        """
        known = {one.name for one in fields(cls)}
        try:
            return cls(**{name: value for name, value in counts.items() if name in known})
        except TypeError:
            raise InternalError(
                f"the ledger's result of {cls.step} lacks what this version writes",
                next_step="report this; begin the run anew.",
            ) from None

    def counts(self) -> dict[str, Any]:
        """Return it as plain JSON values, as the ledger and `--json` have it."""
        told = {one.name: (getattr(self, one.name), one.metadata) for one in fields(self)}
        return {name: value for name, (value, kind) in told.items() if value is not None or "absent" not in kind}


@dataclass(frozen=True)
class SyncBegun(Result):
    """How a sync run is to pull.

    Attributes:
        full: Whether everything is pulled, whatever the watermark is.
        since: The cursor to pull from in place of the watermark, as the source writes it or a moment in UTC; None for the
            watermark.
    """

    step = "begin"
    full: bool = False
    since: str | None = None


@dataclass(frozen=True)
class Landed(Result):
    """A pull, or a replay of quarantined rows.

    Attributes:
        pulled: Records that came (see `motlan.ingest.completeness`).
        landed: Rows that were not landed before.
        source_rows: The source's own count of what was asked for.
        source_total: The source's own count of all its records; None of a replay.
        chunks: Roots over the chunks' commitments (see `motlan.ledger.row_commitments`).
        drift: How the columns changed, and which chunks are held for it (see `motlan.ingest.drift`).
        profile: How filled the columns were, and the shapes of their values.
        cursor: The watermark that was earned, in canonical form; empty where none was.
        key: Its key.
        written: The cursor as the source writes it.
        began_at: The watermark that the pull began at; empty where there was none.
        held: The cursor that the pull was held back to.
        cursors: Records whose cursor moves no watermark, by reason.
        source_as_of: The source's own moment.
        gone: Records that the source no longer has, where everything was pulled.
        surplus: How many more records are left then than the source counts.
        replayed: Rows that a replay landed again; absent of a pull.
        adapter: What read the source (see `motlan.ingest.adapter_version`); absent of a replay.
        snapshots: Table -> the lake's snapshot id.
    """

    step = "land"
    pulled: int
    landed: int
    source_rows: int
    source_total: int | None
    chunks: list[str]
    drift: dict[str, Any]
    profile: dict[str, Any]
    cursor: str = ""
    key: str = ""
    written: str | None = field(default=None, metadata=_ABSENT)
    began_at: str | None = field(default=None, metadata=_ABSENT)
    held: str | None = field(default=None, metadata=_ABSENT)
    cursors: dict[str, int] | None = field(default=None, metadata=_ABSENT)
    source_as_of: str | None = None
    gone: int | None = field(default=None, metadata=_ABSENT)
    surplus: int | None = field(default=None, metadata=_ABSENT)
    replayed: int | None = field(default=None, metadata=_ABSENT)
    adapter: dict[str, str] | None = field(default=None, metadata=_ABSENT)
    snapshots: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Cleaned(Result):
    """Landed rows, cleaned and checked.

    Attributes:
        accepted: Rows that go on; with `quarantined` all that landed.
        quarantined: Rows that a blocking rule held back.
        version: What cleaned them.
        filled: Field -> rows that have it.
        rules: Rule -> rows assessed and passed.
        snapshots: Table -> the lake's snapshot id.
    """

    step = "clean"
    accepted: int
    quarantined: int
    version: str
    filled: dict[str, int]
    rules: dict[str, list[int]]
    snapshots: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Begun(Result):
    """What a reconcile run reads.

    Attributes:
        inputs: Dataset -> the sync runs to read.
        published: The reconcile runs of its entity that were published before.
        after_publication: The number of the entity's newest publication; 0 where there is none.
        previous: The newest run of its entity that was published, or found nothing to publish; None where there is none.
        full: Whether everything is linked, merged and checked, whatever changed.
        versions: What the steps after linking are versioned by -> a digest.
        left_out: Dataset -> how many of its visible sync runs are not read, because its agency is held.
    """

    step = "begin"
    inputs: dict[str, list[str]]
    published: list[str]
    after_publication: int
    previous: str | None = None
    full: bool = False
    versions: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Linked(Result):
    """All current rows of an entity, linked.

    Attributes:
        rows: Rows that are linked.
        persons: What they are linked to.
        changed: Links that changed since the last publication.
        by_rule: Rule -> links that it made.
        reviews: Pairs that are left to people.
        pairs: Pairs that were weighed now.
        expected_wrong: How many of the links are wrong, as the model expects.
        contradicted: Decisions of people that do not hold.
        version: What linked them.
        model: The model's id.
        scope: `full` where all rows were linked; `changed` where those were that a change can affect.
        why: Why all were, where it was not asked for.
        anew: Rows that were linked anew.
        base: The run whose `row_keys.<entity>` has all rows; None where there is none.
        snapshots: Table -> the lake's snapshot id.
    """

    step = "link"
    rows: int
    persons: int
    changed: int
    by_rule: dict[str, int]
    reviews: int
    pairs: int
    expected_wrong: float
    contradicted: int
    version: str
    model: str
    scope: Literal["full", "changed"] = "full"
    why: str = ""
    anew: int = 0
    base: str | None = None
    snapshots: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Merged(Result):
    """Golden records.

    Attributes:
        persons: How many.
        fields: Golden fields that have a value.
        disputed: Those that the registers dispute.
        conflicts: Values that lost.
        excluded: Values that people set aside.
        related_entities: Rows of each entity beside it.
        decided_until: The newest decision about a value that it honours.
        lapsed: Decisions that it does not, because the source said something else meanwhile.
        heard_again: Those of them whose value is said again.
        version: What merged them.
        staged: Tables whose rows are staged for the lake already, because none is published.
    """

    step = "merge"
    persons: int
    fields: int
    disputed: int
    conflicts: int
    excluded: int
    related_entities: dict[str, int]
    decided_until: int
    lapsed: list[int]
    heard_again: list[int]
    version: str
    staged: list[str]


@dataclass(frozen=True)
class CrossChecked(Result):
    """What needs more than a row, checked.

    Attributes:
        findings: How many.
        rules: Dataset -> rule -> rows assessed and passed; row rules as the register stands.
    """

    step = "cross_check"
    findings: int
    rules: dict[str, dict[str, list[int]]]


@dataclass(frozen=True)
class Compared(Result):
    """What turns the published state into the run's.

    Attributes:
        created: Golden records that are new in the feed; `updated` and `removed` likewise.
        merged: Those among the removed that were merged into others; `split` among the created, `moved` among the updated.
        versions: Golden rows written.
        changes: Changes in the feed.
        corrections: Corrections that changed.
        findings: Findings that changed.
        related_entities: Of each entity beside it `changes` in its feed, and `versions`.
        held: Limits of change that are passed.
        guard: These limits, and what was counted (see `motlan.publication.change_guard.judge`); absent of a first publication.
        rows: Golden table -> name, number of rows and root of each file (see `motlan.publication.golden_commitments`).
        snapshots: Table -> the lake's snapshot id.
    """

    step = "diff"
    created: int
    updated: int
    removed: int
    merged: int
    split: int
    moved: int
    versions: int
    changes: int
    corrections: int
    findings: int
    related_entities: dict[str, dict[str, int]]
    held: int
    guard: dict[str, Any] | None = field(default=None, metadata=_ABSENT)
    rows: dict[str, list[tuple[str, int, str]]] = field(default_factory=dict)
    snapshots: dict[str, int] = field(default_factory=dict)

    @classmethod
    def nothing(cls, related: Iterable[str]) -> Self:
        """Return what comes of comparing nobody.

        Args:
            related: Names of the entities beside.
        """
        noughts: dict[str, Any] = dict.fromkeys(
            (
                "created",
                "updated",
                "removed",
                "merged",
                "split",
                "moved",
                "versions",
                "changes",
                "corrections",
                "findings",
            ),
            0,
        )
        return cls(**noughts, related_entities={name: {"changes": 0, "versions": 0} for name in related}, held=0)


@dataclass(frozen=True)
class Published(Result):
    """A publication.

    Attributes:
        number: Its number; None where nothing changed.
        first_seq: The first number that its changes have in the feed.
        last_seq: The last one.
        changes: How many.
    """

    step = "publish"
    number: int | None
    first_seq: int
    last_seq: int
    changes: int
