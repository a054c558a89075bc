"""`motlan bench quality`: clean and check simulated registers on the bus's own path, score and time it.

The world is made in a process of its own. Its registers are landed as the bus lands them (timed apart), then each chunk
is copied by bare DuckDB (the floor) and right after cleaned, checked and written by `motlan.quality.rows.check_chunk`,
the function that the pipeline calls. Scoring against the truth comes after each chunk, outside the clock and the
memory watch.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from bench import world
from bench.progress import Memory, Tell
from bench.pydantic_rules import PydanticRules
from bench.truth import Score, Truth
from motlan import registry as declared
from motlan import settings as environment
from motlan.cleaning import select_canonical
from motlan.engine import connect, literal, load_code_lists, one, quote
from motlan.lake import read_parquet
from motlan.landing.land import CHUNK_ROWS, commitment
from motlan.quality import rows
from motlan.registry import Dataset, Registry

PYDANTIC_ROWS = 4_000
"""Rows of each dataset that pydantic is timed on."""


@dataclass
class Clock:
    """Seconds by phase, over all chunks, and rows."""

    rows: int = 0
    commit: float = 0.0
    floor: float = 0.0
    check: float = 0.0
    pydantic: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass
class Bench:
    """What one run of the benchmark carries from chunk to chunk."""

    registry: Registry
    settings: environment.Settings
    folder: Path
    tell: Tell
    score: Score = field(default_factory=Score)
    clock: Clock = field(default_factory=Clock)
    memory: Memory = field(default_factory=Memory)
    rules: set[str] = field(default_factory=set)
    accepted: int = 0
    quarantined: int = 0
    pydantic_rules: int = 0
    pydantic_differs: int = 0
    total: int = 0


def run(*, people: int, seed: int, dirt: str, folder: Path | None, tell: Tell) -> dict[str, Any]:
    """Run the benchmark.

    Args:
        people: Size of the simulated country.
        seed: Its seed.
        dirt: A profile of `dirt.yaml`.
        folder: Where to work; None for a folder that is removed afterwards.
        tell: Told how far it is.

    Returns:
        `figures` (name -> number), `dirt` (kind -> its share repaired and found) and `rules` (rule -> findings that
        nothing explains).

    Raises:
        ConfigurationError: The declared half is wrong.
        ValueError: The world cannot be made so.
    """
    registry, settings = declared.load(), environment.load()
    with world.work_folder(settings, folder, "quality") as work:
        tell("making the world", 0, 0)
        world.apart("making the world", world.make, work / "world", people, seed, dirt)
        bench = Bench(registry, settings, work, tell)
        sources = {d.name: work / "world" / "registers" / d.name / "rows.parquet" for d in registry.datasets.values()}
        with duckdb.connect() as con:
            bench.total = sum(one(con, f"select count(*) from {_file(path)}")[0] for path in sources.values())
        for dataset in registry.datasets.values():
            _dataset(bench, dataset, sources[dataset.name])
    return _result(bench)


def _file(path: Path) -> str:
    return f"read_parquet({literal(str(path))})"


def _dataset(bench: Bench, dataset: Dataset, source: Path) -> None:
    rules = rows.rules_of(bench.registry, dataset)
    bench.rules |= {rule.name for rule in rules}
    query = rows.tag(rules, select_canonical(dataset))
    pydantic = PydanticRules(dataset, rules)
    limits = {"memory_limit": bench.settings.memory_limit, "threads": bench.settings.threads}
    allowed = [bench.folder, bench.registry.code_lists]
    with (
        connect(temp_dir=bench.folder / "spill", allowed=allowed, **limits) as engine,
        duckdb.connect(config=limits) as bare,
    ):
        bare.execute("set enable_progress_bar = false")
        load_code_lists(engine, bench.registry.code_lists)
        landed = _land(bench, engine, dataset, source)
        truth = Truth(engine, dataset, rules, bench.folder / "world" / "truth", bench.registry.code_lists)
        took = counted = 0.0
        for files in rows.chunks(landed):
            bench.tell(f"cleaning and checking {dataset.name}", bench.clock.rows, bench.total)
            began = time.perf_counter()
            _copy(bare, files, bench.folder / "floor.parquet")
            bench.clock.floor += time.perf_counter() - began
            clean, kept = bench.folder / "clean.parquet", bench.folder / "quarantine.parquet"
            with bench.memory.watched():
                began = time.perf_counter()
                checked = rows.check_chunk(engine, dataset, rules, query, "0" * 64, files, clean, kept)
                took += time.perf_counter() - began
            bench.accepted, bench.quarantined = (
                bench.accepted + checked.accepted,
                bench.quarantined + checked.quarantined,
            )
            count = checked.accepted + checked.quarantined
            bench.clock.rows, counted = bench.clock.rows + count, counted + count
            bench.tell(f"scoring {dataset.name}", bench.clock.rows, bench.total)
            if not pydantic.rows:
                pydantic.run(engine, query, PYDANTIC_ROWS)
            truth.score(bench.score)
    bench.clock.check += took
    bench.clock.pydantic += pydantic.seconds / max(pydantic.rows, 1) * counted
    bench.pydantic_rules += len(pydantic.rules)
    bench.pydantic_differs += pydantic.differs
    for path in landed:
        Path(path).unlink()


def _copy(bare: duckdb.DuckDBPyConnection, files: list[str], target: Path) -> None:
    bare.execute(
        f"copy (select * from {read_parquet(files)}) to {literal(str(target))} (format parquet, compression zstd)"
    )


def _land(bench: Bench, engine: duckdb.DuckDBPyConnection, dataset: Dataset, source: Path) -> list[str]:
    """Write a register's rows as landing does: chunks of its size with its columns. Row commitments are timed apart."""
    sent = {row[0] for row in engine.execute(f"describe from {_file(source)}").fetchall()}
    raw = [name for name in dataset.columns if name in sent or name in (dataset.key, dataset.moment)]
    named = {dataset.key: "_key", dataset.moment: "_moment"}
    columns = ", ".join(f"{quote(named.get(name, name))} as {quote(name)}" for name in raw)
    folder = bench.folder / "landed" / dataset.name
    folder.mkdir(parents=True)
    total = one(engine, f"select count(*) from {_file(source)}")[0]
    written = []
    for number in range(-(-total // CHUNK_ROWS)):
        bench.tell(f"landing {dataset.name}", bench.clock.rows, bench.total)
        target = folder / f"{number:06d}.parquet"
        first = number * CHUNK_ROWS
        engine.execute(
            f"""create or replace temp table salted as
                select row_number() over (order by _pos) - 1 as _position, _key, _moment, {columns},
                       substr(sha256('bench' || _pos), 1, 32) as _salt
                from {_file(source)} where _pos > {first} and _pos <= {first + CHUNK_ROWS}"""
        )
        began = time.perf_counter()
        engine.execute(
            f"create or replace temp table committed as select _position, {commitment(raw)} as _commitment from salted"
        )
        bench.clock.commit += time.perf_counter() - began
        engine.execute(
            f"""copy (select {literal(f"bench/{number}/")} || _position as _ref, 'bench' as _run, _key,
                    _moment as _cursor, _moment, {literal("0" * 64)} as _payload, 'page ' || (_position // 5000) as _locator,
                    _salt, _commitment, {", ".join(map(quote, raw))}
                from salted join committed using (_position) order by _position)
                to {literal(str(target))} (format parquet, compression zstd)"""
        )
        written.append(str(target))
    return written


def _result(bench: Bench) -> dict[str, Any]:
    clock, score = bench.clock, bench.score
    ours = clock.rows / clock.check
    figures: dict[str, float | int | None] = {
        **score.figures(),
        "floor_ratio": clock.check / clock.floor,
        "pydantic_ratio": clock.pydantic / clock.check,
        "rules": len(bench.rules),
        "peak_rss_mb": round(bench.memory.peak_mb, 1),
        "rows": clock.rows,
        "accepted": bench.accepted,
        "quarantined": bench.quarantined,
        "clean_and_check_s": clock.check,
        "floor_s": clock.floor,
        "commitments_s": clock.commit,
        "rows_per_s": ours,
        "pydantic_rows_per_s": clock.rows / clock.pydantic,
        "pydantic_rules": bench.pydantic_rules,
        "pydantic_differs": bench.pydantic_differs,
    }
    return {"figures": figures, "dirt": score.table(), "rules": score.unexplained()}
