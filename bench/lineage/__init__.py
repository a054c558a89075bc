"""`motlan bench lineage`: what proving a value costs, on a simulated country that was pulled over its own protocols.

The country's registers are pulled, reconciled and published as by the command line, so that every value has a payload to be
replayed from. Then each of `PARTS` adds its figures; a further part is a function of its own, put into that list.

Words used here:

- `answer_p50_s`, `answer_p95_s`: seconds from a person's id to the replayed chain of one field, in a process that answered
  before; one random field of each of so many different persons. `answer_cpu_p50_s`: processor time of the process alone.
- `replay_equal_share`: of a random sample of golden fields, those that replay equal; `replayed` how many there were, and
  `replay_s` the seconds for all of them together.
- `storage_share`: bytes that pointers take in Parquet over the bytes of the golden Parquet files that they explain: the columns
  of `POINTERS`, of golden rows and of links. `pointer_bytes` and `golden_bytes` are the two.
- `persons`: how many are golden.
- `append_growth`: seconds of appending an entry to a log of a million entries over those of one of a thousand; medians, with the
  transaction: `append_many_s`, `append_few_s`.
- `tampers_tried`, `tampers_missed`, `false_alarms`: silent changes of everything that is stored (`bench/lineage/tampers.py`),
  those that the check did not find where they were made, and what it told of though nothing was changed. Of a country of more
  than 5,000 persons they are tried on a smaller one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

from bench import world
from bench.lineage.parts import PARTS, Measured, Prepared
from bench.lineage.proofs import measure_append, measure_tampers
from bench.progress import Tell
from motlan import pipeline
from motlan import settings as environment
from motlan.store import server
from motlan.workspace import open_workspace

ENTITY = "person"
ALL = (*PARTS, ("append", measure_append), ("tampers", measure_tampers))


def run(
    *, people: int, seed: int, dirt: str, answers: int, replayed: int, folder: Path | None, tell: Tell
) -> dict[str, Any]:
    """Run the benchmark.

    Args:
        people: Size of the simulated country.
        seed: Of the country and of the samples.
        dirt: A profile of `dirt.yaml`.
        answers: Persons of whom a field is asked.
        replayed: Golden fields that are replayed.
        folder: A folder that is kept, and gone on with where its country is published already; None for one that is removed.
        tell: Told how far it is.

    Returns:
        `figures`, see above, and what else the parts found, under their names.
    """
    with _folder(folder) as work, installed(work, people, seed, dirt, tell):
        prepared = Prepared(open_workspace(), ENTITY, seed, answers, replayed, tell)
        return measure(prepared)


def measure(prepared: Prepared, parts: tuple[tuple[str, Callable[[Prepared], Measured]], ...] = ALL) -> dict[str, Any]:
    """Let each part measure a finished installation.

    Args:
        prepared: The installation.
        parts: Name -> function.

    Returns:
        As of `run`.
    """
    figures: dict[str, Any] = {}
    others: dict[str, Any] = {}
    for place, (name, part) in enumerate(parts):
        prepared.tell(name, place, len(parts))
        found = part(prepared)
        figures |= found.figures
        others |= {name: found.others} if found.others else {}
    return {"figures": figures, **others}


@contextmanager
def _folder(folder: Path | None) -> Iterator[Path]:
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
        yield folder.resolve()
        return
    with world.work_folder(environment.load(), None, "lineage") as made:
        yield made


@contextmanager
def installed(folder: Path, people: int, seed: int, dirt: str, tell: Tell) -> Iterator[None]:
    """Let this process work on a bus of the folder's own, with the country published; its server ends with the block."""
    with patch.dict(os.environ, {"MOTLAN_VAR": str(folder / "var")}):
        os.environ.pop("MOTLAN_DATABASE_URL", None)
        try:
            if not (folder / "published").exists():
                _publish(folder, people, seed, dirt, tell)
                (folder / "published").touch()
            yield
        finally:
            server.stop(replace(environment.load(), database_url=None))


def _publish(folder: Path, people: int, seed: int, dirt: str, tell: Tell) -> None:
    """Make the country, pull its registers and bring them to a publication that is loaded."""
    from simulators import Agencies

    tell("making the country", 0, 0)
    world.apart("making the country", make, folder / "world", people, seed, dirt)
    tell("starting the agencies", 0, 0)
    with Agencies(folder / "world", insurance_capacity=1e6) as agencies, patch.dict(os.environ, agencies.env):
        datasets = list(open_workspace().registry.datasets)
        for place, dataset in enumerate(datasets):
            tell(f"pulling {dataset}", place, len(datasets))
            pipeline.sync(dataset)
    tell("reconciling", 0, 0)
    pipeline.reconcile(ENTITY)
    tell("publishing", 0, 0)
    pipeline.project(pipeline.publish(entity=ENTITY)["run"])


def make(folder: Path, people: int, seed: int, dirt: str) -> None:
    """Make a world whose agencies can be started."""
    from simulators import make_world

    make_world(folder, people=people, seed=seed, dirt=dirt)
