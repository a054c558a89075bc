"""The parts of the lineage benchmark: each measures a finished installation, and gives figures by name."""

from __future__ import annotations

import cProfile
import pstats
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from bench.progress import Tell
from motlan.lake.tables import golden_table, links_table
from motlan.ledger import runs
from motlan.lineage.evidence import gather, golden_rows
from motlan.lineage.replay import replay
from motlan.lineage.sample import sample
from motlan.lineage.trace import trace
from motlan.merge.provenance import DECIDED, SOURCES
from motlan.workspace import Workspace

POINTERS = {
    golden_table: (SOURCES, DECIDED, "_merge_version"),
    links_table: ("compared", "compared_ref", "rule", "match_weight", "probability", "_link_version"),
}
"""Table of an entity -> its columns that explain values, and hold none of them."""
PRINCIPAL = "user:bench"


@dataclass(frozen=True)
class Prepared:
    """A finished installation, and how much of it is measured.

    Attributes:
        work: The installation.
        entity: The linked entity.
        seed: Of the samples.
        answers: Persons of whom a field is asked.
        replayed: Golden fields that are replayed.
        tell: Told how far it is.
        profiled: Answers that are watched by the profiler, beside those that are timed.
    """

    work: Workspace
    entity: str
    seed: int
    answers: int
    replayed: int
    tell: Tell
    profiled: int = 5

    def fields_of_persons(self) -> list[tuple[str, str]]:
        """Return pairs of person id and golden field, each of another person."""
        wanted, found = self.answers + self.profiled + 1, dict[str, str]()
        for person, name in sample(self.work, self.entity, 4 * wanted, self.seed):
            found.setdefault(person, name)
        return list(found.items())[:wanted]


@dataclass(frozen=True)
class Measured:
    """What a part measured.

    Attributes:
        figures: Name -> number.
        others: What else it found, for people.
    """

    figures: Mapping[str, float | int | None]
    others: dict[str, Any] = field(default_factory=dict)


def measure_answers(prepared: Prepared) -> Measured:
    """Time the chain of one field, person after person, in this warm process; look with a profiler at a few more."""
    asked = prepared.fields_of_persons()
    _answer(prepared, *asked[0])
    timed, profiled = asked[1 : 1 + prepared.answers], asked[1 + prepared.answers :]
    seconds, cpu = [], []
    for place, (person, name) in enumerate(timed):
        prepared.tell("answering", place, len(timed))
        began, worked = time.perf_counter(), time.process_time()
        _answer(prepared, person, name)
        seconds.append(time.perf_counter() - began)
        cpu.append(time.process_time() - worked)
    figures = {
        "answers": len(seconds),
        "answer_p50_s": statistics.median(seconds),
        "answer_p95_s": _percentile(seconds, 95),
        "answer_max_s": max(seconds),
        "answer_cpu_p50_s": statistics.median(cpu),
    }
    return Measured(
        {name: round(value, 4) for name, value in figures.items()},
        {"seconds_by_function": _profile(prepared, profiled)},
    )


def _answer(prepared: Prepared, person: str, name: str) -> None:
    trace(prepared.work, prepared.entity, person, [name], PRINCIPAL)


def _percentile(values: Iterable[float], percent: int) -> float:
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def _profile(prepared: Prepared, asked: list[tuple[str, str]], most: int = 25) -> dict[str, float]:
    """Return how long an answer is in each function of the bus, the longest first: its own calls included, seconds an answer."""
    profiler = cProfile.Profile()
    profiler.enable()
    for person, name in asked:
        _answer(prepared, person, name)
    profiler.disable()
    spent: dict[str, float] = {}
    for (file, _, function), (*_, cumulative, _callers) in pstats.Stats(profiler).stats.items():  # type: ignore[attr-defined]
        place = Path(file)
        if "motlan" in place.parts:
            module = ".".join(place.with_suffix("").parts[place.parts.index("motlan") :][-2:])
            spent[f"{module}.{function}"] = cumulative / max(len(asked), 1)
    return {name: round(took, 4) for name, took in sorted(spent.items(), key=lambda one: -one[1])[:most]}


def measure_replay(prepared: Prepared) -> Measured:
    """Replay a random sample of golden fields."""
    fields = sample(prepared.work, prepared.entity, prepared.replayed, prepared.seed)
    began = time.perf_counter()
    evidence = gather(prepared.work, prepared.entity, sorted({person for person, _ in fields}))
    verdict = replay(prepared.work, evidence, fields)
    seconds = time.perf_counter() - began
    share = verdict.equal / verdict.checked if verdict.checked else None
    figures = {"replayed": verdict.checked, "replay_equal_share": share, "replay_s": round(seconds, 3)}
    return Measured(figures, {"reasons": verdict.reasons} if verdict.reasons else {})


def measure_storage(prepared: Prepared) -> Measured:
    """Weigh the pointers in the published files against the golden files as a whole, by the metadata of Parquet."""
    work, entity = prepared.work, prepared.entity
    with work.store.engine.connect() as connection:
        published = runs.visible(connection, "reconcile", entity)
    golden = work.lake.files(golden_table(entity), published)
    golden_bytes = sum(Path(path).stat().st_size for path in golden)
    by_column: dict[str, int] = {}
    for table, columns in POINTERS.items():
        for path in work.lake.files(table(entity), published):
            for name, size in column_bytes(path).items():
                if name.split(".", 1)[0] in columns:
                    by_column[f"{table(entity)}.{name}"] = by_column.get(f"{table(entity)}.{name}", 0) + size
    total = sum(by_column.values())
    figures = {
        "storage_share": round(total / golden_bytes, 4) if golden_bytes else None,
        "pointer_bytes": total,
        "golden_bytes": golden_bytes,
    }
    return Measured(figures, {"bytes_by_column": dict(sorted(by_column.items(), key=lambda one: -one[1]))})


def column_bytes(path: str) -> dict[str, int]:
    """Return the compressed bytes of each column of a Parquet file, by its path, such as `_sources.key`."""
    metadata = pq.read_metadata(path)
    found: dict[str, int] = {}
    for group in range(metadata.num_row_groups):
        for place in range(metadata.num_columns):
            column = metadata.row_group(group).column(place)
            name = column.path_in_schema.replace(".list.element", "")
            found[name] = found.get(name, 0) + column.total_compressed_size
    return found


def count_persons(prepared: Prepared) -> Measured:
    """Count the golden records."""
    with prepared.work.engine("counting") as engine:
        query = f"select count(*) from {golden_rows(prepared.work, prepared.entity)}"
        return Measured({"persons": engine.execute(query).fetchall()[0][0]})


PARTS: tuple[tuple[str, Callable[[Prepared], Measured]], ...] = (
    ("persons", count_persons),
    ("answers", measure_answers),
    ("replay", measure_replay),
    ("storage", measure_storage),
)
"""Name of a part -> what measures it, in their order."""
