"""Schema drift: columns that a source added, left out or filled with another kind of value than before.

What is declared and what the last good run looked like are compared with what came, chunk by chunk, while it is landed.
Every value is text here, so the "type" of a column is the one shape that nearly all of a sample's values have. Only
names of columns and of shapes are told, never a value.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from motlan.adapter import tellable
from motlan.config.registry import Dataset
from motlan.errors import ContractError
from motlan.ingest.raw_columns import labels
from motlan.ledger import runs
from motlan.settings import sizes
from motlan.store import Store, tables

SAMPLE = 2_000
"""Rows of a chunk whose values' shapes are looked at."""
EVIDENCE = 20
"""Filled values below which nothing is concluded: a change of one record is no change of schema."""
NEARLY_ALL = 0.95
SHAPES = {
    "whole number": r"^[+-]?[0-9]+$",
    "decimal number": r"^[+-]?[0-9]*[.,][0-9]+$",
    "year first date": r"^[0-9]{4}[-/.][0-9]{1,2}[-/.][0-9]{1,2}([T ].*)?$",
    "year last date": r"^[0-9]{1,2}[-/.][0-9]{1,2}[-/.][0-9]{4}([T ].*)?$",
    "truth value": r"^(?i:true|false)$",
    "structure": r"^[\[{]",
}
OTHER = "text"


@dataclass
class Drift:
    """What was found.

    Attributes:
        added: Columns that came and are not declared.
        missing: Declared columns that did not come, or came empty though they were filled before.
        retyped: Column -> the shape that its values had, and the one that they have.
        chunks: Numbers of the chunks, as written, in which any of this was found.
    """

    added: set[str] = field(default_factory=set)
    missing: set[str] = field(default_factory=set)
    retyped: dict[str, tuple[str, str]] = field(default_factory=dict)
    chunks: list[int] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.added or self.missing or self.retyped)

    def add(self, other: Drift) -> None:
        """Take over what was found in a chunk."""
        self.added |= other.added
        self.missing |= other.missing
        self.retyped.update(other.retyped)

    def counts(self) -> runs.Counts:
        """Return it for the run's counts, names in order."""
        return {
            "added": [tellable(name) for name in sorted(self.added)],
            "missing": sorted(self.missing),
            "retyped": {name: list(self.retyped[name]) for name in sorted(self.retyped)},
            "chunks": self.chunks,
        }


def described(drift: Mapping[str, Any]) -> str:
    """Return the diff of a run's `drift` counts in words; empty where there is none."""
    parts = [f"+{name}" for name in drift.get("added", ())] + [f"-{name}" for name in drift.get("missing", ())]
    return ", ".join([*parts, *(f"~{name}: {was} -> {now}" for name, (was, now) in drift.get("retyped", {}).items())])


@dataclass
class Profile:
    """How columns were filled: rows, filled values of each column, and the shape of those sampled."""

    rows: int = 0
    filled: dict[str, int] = field(default_factory=dict)
    shapes: dict[str, str] = field(default_factory=dict)

    def add(self, other: Profile) -> None:
        """Take over a further chunk's; where the shapes differ, there is no one shape."""
        self.rows += other.rows
        for name, count in other.filled.items():
            self.filled[name] = self.filled.get(name, 0) + count
        for name, shape in other.shapes.items():
            if self.shapes.setdefault(name, shape) != shape:
                self.shapes[name] = OTHER

    def counts(self) -> runs.Counts:
        """Return it for the run's counts."""
        return {"rows": self.rows, "filled": self.filled, "shapes": self.shapes}


def profile(rows: pa.Table, columns: Iterable[str]) -> Profile:
    """Look at how the declared columns of a chunk are filled."""
    found = Profile(rows.num_rows)
    sent = set(rows.column_names)
    for name in (name for name in columns if name in sent):
        found.filled[name] = rows.num_rows - rows[name].null_count
        values = rows[name].slice(0, SAMPLE).drop_null()
        if len(values) >= EVIDENCE:
            found.shapes[name] = _shape(values)
    return found


def _shape(values: pa.ChunkedArray) -> str:
    for name, pattern in SHAPES.items():
        if pc.sum(pc.match_substring_regex(values, pattern)).as_py() >= NEARLY_ALL * len(values):
            return name
    return OTHER


def compare(dataset: Dataset, sent: Set[str], now: Profile, before: Profile) -> Drift:
    """Compare a chunk with what is declared and with the profile of a good run before.

    Args:
        dataset: What is declared.
        sent: The columns that came.
        now: The chunk's profile.
        before: The earlier profile; empty where there is none.
    """
    declared = set(dataset.columns)
    missing = {
        name
        for name in declared
        if name not in sent
        or (not now.filled[name] and before.rows and before.filled.get(name, 0) / before.rows * now.rows >= EVIDENCE)
    }
    known = {name: (before.shapes[name], shape) for name, shape in now.shapes.items() if name in before.shapes}
    retyped = {name: pair for name, pair in known.items() if pair[0] != pair[1] and OTHER not in pair}
    return Drift(set(sent - declared), missing, retyped)


def profile_before(store: Store, dataset: Dataset) -> Profile:
    """Return the profile of the newest visible run that is worth comparing with.

    Under `evolve` a change is told once and then is the custom; under the stricter contracts a drifted run never is.
    """
    table = tables.runs.c
    rows = table.steps["land"]["profile"]["rows"].astext.cast(sa.BigInteger)
    query = sa.select(table.steps["land"]["profile"]).where(
        table.kind == "sync", table.subject == dataset.name, table.state.in_(runs.SEEN), rows >= EVIDENCE
    )
    if dataset.contract != "evolve":
        query = query.where(sa.func.jsonb_array_length(table.steps["land"]["drift"]["chunks"]) == 0)
    with store.engine.connect() as connection:
        found = connection.execute(query.order_by(table.id.desc()).limit(1)).scalar_one_or_none()
    return Profile(**found) if found else Profile()


def look(dataset: Dataset, rows: pa.Table, sent: Mapping[str, str], before: Profile) -> tuple[Profile, Drift]:
    """Return how the columns of some rows are filled, and how they differ from what is declared and from a profile.

    Args:
        dataset: What is declared.
        rows: The rows, under stored names.
        sent: Their raw columns: stored name -> the source's.
        before: The profile of a good run before.
    """
    names = labels(sent)
    now = profile(rows.select(list(names)).rename_columns(list(names.values())), dataset.columns)
    return now, compare(dataset, set(names.values()), now, before)


class Watcher:
    """Watches the chunks of one pull.

    Args:
        store: Where earlier runs' profiles are.
        dataset: What is declared.
    """

    def __init__(self, store: Store, dataset: Dataset) -> None:
        self._dataset = dataset
        self._before = profile_before(store, dataset)
        self.profile, self.drift = Profile(), Drift()

    def see(self, rows: pa.Table, sent: Mapping[str, str]) -> bool:
        """Look at a chunk before it is written; return whether it drifted.

        Args:
            rows: The chunk.
            sent: Its raw columns: stored name -> the source's.

        Raises:
            ContractError: It drifted, and the dataset's contract is `freeze`; or the source invents columns without end.
        """
        now, found = look(self._dataset, rows, sent, self._before)
        self.profile.add(now)
        if found and self._dataset.contract == "freeze":
            raise ContractError(
                f"the source's columns changed: {described(found.counts())}",
                where=self._dataset.name,
                next_step="ask its owner; then declare the change in adapters/agencies.yaml, or its `contract: evolve`.",
            )
        self.drift.add(found)
        if len(self.drift.added) > (most := sizes().undeclared_columns):
            raise ContractError(
                f"more than {most:,} columns are not declared",
                where=self._dataset.name,
                next_step="ask its owner: names without end may be values in the place of names.",
            )
        return bool(found)
