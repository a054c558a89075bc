"""What a cross-check leaves for the next one, so that the next one counts what changed alone.

A folder of the lake for each reconcile run, beside its tables: `counts.json` with counts by dataset, rule and area, open findings
and what is known of each register, and small relations: values that fail set rules, records that their registers no longer have,
and the values whose answers depend on the day. It holds for a run that was published, and for one that found nothing to publish.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import sqlalchemy as sa

from motlan.expressions import literal
from motlan.lake.iceberg import RUN_OF_PATH, read_parquet
from motlan.ledger import runs
from motlan.quality.rule_counts import Counts, Tally
from motlan.store import tables
from motlan.workspace import Workspace

CHECKS = "checks"
"""Namespace of the folders in the lake."""
GONE = "gone"
"""Relation of records that have an accepted row and that their register no longer has: `dataset`, `_key`, `_moment`."""
_COUNTS, _RELATIONS = "counts.json", "relations"
_FINISHED = ("published", "unchanged")


@dataclass(frozen=True)
class RegisterCounts:
    """What is known of a register as a whole.

    Attributes:
        accepted: Records that have an accepted row; also those that it no longer has.
        newest: The newest moment of these rows; None where none is known.
        recent: How many of them changed in the time before it that tells the register's pace.
        linked: Rows that are linked to persons.
        ended: Records that it no longer has, and that were linked once.
        told: The newest moment of linked rows that names a day; None where none does.
    """

    accepted: int = 0
    newest: str | None = None
    recent: int = 0
    linked: int = 0
    ended: int = 0
    told: str | None = None

    def adjusted(self, before: RegisterCounts, now: RegisterCounts) -> RegisterCounts:
        """Return the counts with those of some records as they are in place of what these were; moments are left."""
        names = ("accepted", "recent", "linked", "ended")
        return replace(
            self, **{name: getattr(self, name) - getattr(before, name) + getattr(now, name) for name in names}
        )


Open = dict[tuple[str, str, str, str], int]
"""Dataset, kind, rule or field, and day -> how many findings are open since it."""


@dataclass(frozen=True)
class CheckState:
    """What a cross-check left.

    Attributes:
        folder: Where its relations are.
        counts: Counts of all rules but those of a register as a whole and of its ended records, without what waits in quarantine.
        open: Open findings.
        registers: Dataset -> what is known of the register.
        as_of: The day that ages were reckoned at; None where no day was known.
    """

    folder: Path
    counts: Counts
    open: Open
    registers: Mapping[str, RegisterCounts]
    as_of: str | None

    def register(self, dataset: str) -> RegisterCounts:
        """Return what is known of a register, noughts where nothing is."""
        return self.registers.get(dataset, RegisterCounts())

    def asked(self) -> list[str]:
        """Return the datasets that have linked rows, of which every person is asked."""
        return [dataset for dataset, register in self.registers.items() if register.linked]

    def relation(self, name: str) -> str:
        """Return the SQL of one of its relations."""
        return read_parquet([str(self._path(name))])

    def target(self, name: str) -> str:
        """Return the SQL of the file of one of its relations."""
        return literal(str(self._path(name)))

    def _path(self, name: str) -> Path:
        return self.folder / _RELATIONS / f"{name}.parquet"

    def copy_relations(self, to: CheckState) -> None:
        """Leave the same relations in another state's folder."""
        shutil.copytree(self.folder / _RELATIONS, to.folder / _RELATIONS, dirs_exist_ok=True)

    def save(self) -> None:
        """Write the counts: the last thing that a cross-check does, and its relations hold from then on."""
        kept = {
            "counts": self.counts,
            "open": [[*key, number] for key, number in self.open.items()],
            "registers": {dataset: asdict(register) for dataset, register in self.registers.items()},
            "as_of": self.as_of,
        }
        draft = self.folder / f"{_COUNTS}.draft"
        draft.write_text(json.dumps(kept), encoding="utf-8")
        draft.rename(self.folder / _COUNTS)


def begin(work: Workspace, run: runs.Run) -> CheckState:
    """Return a state with no counts, in the folder of a run; folders that no later run needs are removed."""
    _sweep(work, run.subject)
    folder = work.lake.folder(f"{CHECKS}.{run.subject}", run.id)
    (folder / _COUNTS).unlink(missing_ok=True)
    (folder / _RELATIONS).mkdir(exist_ok=True)
    return CheckState(folder, {}, {}, {}, None)


def read(work: Workspace, entity: str, run: str) -> CheckState | None:
    """Return what the cross-check of a run of an entity left; None where it left nothing, and everything must be checked."""
    folder = _folder(work, entity) / f"run={run}"
    if not (folder / _COUNTS).exists():
        return None
    kept = json.loads((folder / _COUNTS).read_text(encoding="utf-8"))
    registers = {dataset: RegisterCounts(**register) for dataset, register in kept["registers"].items()}
    found: Open = {(dataset, kind, subject, day): number for dataset, kind, subject, day, number in kept["open"]}
    return CheckState(folder, kept["counts"], found, registers, kept["as_of"])


def _folder(work: Workspace, entity: str) -> Path:
    return work.lake.root / CHECKS / entity


def _sweep(work: Workspace, entity: str) -> None:
    """Remove what runs before the newest finished one left: the next run begins where that one ended."""
    table = tables.runs.c
    query = sa.select(sa.func.max(table.id)).where(table.kind == "reconcile", table.subject == entity)
    with work.store.engine.connect() as connection:
        newest = connection.execute(query.where(table.state.in_(_FINISHED))).scalar_one_or_none()
    for folder in _folder(work, entity).glob("run=*"):
        found = RUN_OF_PATH.search(f"{folder}/")
        if newest and found and found.group(1) < newest:
            shutil.rmtree(folder, ignore_errors=True)


def counts_by_day(tally: Tally) -> Open:
    """Return the open findings of a tally as numbers by dataset, kind, rule or field, and day."""
    found: Open = {}
    for *key, number in tally.open:
        place = (key[0], key[1], key[2], key[3])
        found[place] = found.get(place, 0) + number
    return found


def adjusted_open(previous: Open, before: Open, now: Open) -> Open:
    """Return open findings with those of some persons as they are in place of what these were."""
    found = dict(previous)
    for counts, sign in ((before, -1), (now, 1)):
        for key, number in counts.items():
            found[key] = found.get(key, 0) + sign * number
    return {key: number for key, number in found.items() if number}
