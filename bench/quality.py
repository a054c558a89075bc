"""`motlan bench quality`: clean and check simulated registers on the bus's own path, score and time it.

Processes, one after the other, so that none's memory is another's:

1. The world is made, a range of people at a time.
2. Its registers are landed as the bus lands them, in chunks of its size. Row commitments are timed apart.
3. The registers' chunks are cleaned, checked and written by `motlan.quality.row_rules.check_chunk`, as many side by side as the
   pipeline does, and right after copied by bare DuckDB (the floor). The memory that is told is this process's meanwhile. Just
   before and just after, each in a process of its own, a sample of the rows goes through pydantic: a machine's speed changes.
4. Each chunk is scored against the truth, from the same query.
"""

from __future__ import annotations

import json
import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any

import duckdb

from bench import world
from bench.progress import Memory, Tell
from bench.pydantic_rules import PydanticRules
from bench.truth import Score, Truth, score_held_out
from motlan import settings as environment
from motlan.config import registry as declared
from motlan.config.quality import RowRule
from motlan.config.registry import Dataset
from motlan.expressions import abreast, connect, literal, load_code_lists, one, quote
from motlan.ingest.clean import select_canonical
from motlan.ingest.land import LANDED
from motlan.ingest.raw_columns import names
from motlan.lake.iceberg import read_parquet
from motlan.ledger.row_commitments import commitment
from motlan.quality import row_rules
from motlan.settings import sizes

PYDANTIC_ROWS = 4_000
"""Rows of a file that pydantic is timed on: few enough that Python's collector does not slow it."""
PYDANTIC_FILES = 5
"""Files of each dataset that it is timed on, so that one slow second of the machine is not the whole sample."""
ROUNDS, LONG_ENOUGH = 5, 6.0
"""Most rounds of cleaning, of which the middle one counts, and the seconds after which there is none more."""


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
    settings = environment.load()
    with world.work_folder(settings, folder, "quality") as work:
        tell("making the world", 0, 0)
        world.apart("making the world", world.make_in_ranges, work / "world", people, seed, dirt)
        with duckdb.connect() as con:
            landed = read_parquet([str(path) for path in (work / "world" / "landed").glob("*/*.parquet")])
            total = one(con, f"select count(*) from {landed}")[0]
        for what, call, *given in (
            ("landing", land),
            ("running pydantic", sample, "before"),
            ("cleaning and checking", check),
            ("running pydantic", sample, "after"),
            ("scoring", score),
        ):
            world.apart(what, call, work, *given, tell=_counting(tell, what, total))
        return _result(work)


def _counting(tell: Tell, what: str, total: int) -> Callable[[int], None]:
    return lambda done: tell(what, done, total)


@contextmanager
def _engine(work: Path, of: int = 1) -> Iterator[duckdb.DuckDBPyConnection]:
    codes = declared.load().code_lists
    with connect(temp_dir=work / "spill", allowed=[work, codes], **environment.load().share(of)) as engine:
        load_code_lists(engine, codes)
        yield engine


def _asked(dataset: Dataset) -> tuple[list[RowRule], str]:
    """Return the row rules of a dataset and the query that cleans and checks its rows."""
    asked = declared.load().row_rules_of(dataset)
    return asked, row_rules.tag(asked, select_canonical(dataset))


def _tell(work: Path, name: str, said: Any) -> None:
    (work / f"{name}.json").write_text(json.dumps(said), encoding="utf-8")


def _told(work: Path, name: str) -> Any:
    return json.loads((work / f"{name}.json").read_text(encoding="utf-8"))


def land(work: Path, done: Synchronized[int]) -> None:
    """Write the registers' rows as landing does: `raw/<dataset>/<range>/<chunk>.parquet`."""
    seconds = 0.0
    with _engine(work) as engine:
        for dataset in declared.load().datasets.values():
            for source in sorted((work / "world" / "landed" / dataset.name).glob("*.parquet")):
                folder = work / "raw" / dataset.name / source.stem
                folder.mkdir(parents=True)
                total = one(engine, f"select count(*) from {read_parquet([str(source)])}")[0]
                for first in range(0, total, sizes().landed_chunk_rows):
                    seconds += _land_chunk(engine, dataset, source, first, folder / f"{first:09d}.parquet")
                    done.value += min(sizes().landed_chunk_rows, total - first)
    _tell(work, "land", {"seconds": seconds})


def _land_chunk(engine: duckdb.DuckDBPyConnection, dataset: Dataset, source: Path, first: int, target: Path) -> float:
    """Write one chunk with the columns of landed rows; return the seconds that its commitments took."""
    relation = read_parquet([str(source)])
    sent = {row[0] for row in engine.execute(f"describe from {relation}").fetchall()}
    raw = names(name for name in dataset.columns if name in sent or name in (dataset.key, dataset.moment))
    named = {dataset.key: "_key", dataset.moment: "_moment"}
    columns = ", ".join(f"{quote(named.get(name, name))} as {quote(column)}" for column, name in raw.items())
    engine.execute(
        f"""create or replace temp table salted as
            select row_number() over (order by _pos) - 1 as _position, _key, _moment, {columns},
                   substr(sha256('bench' || _pos), 1, 32) as _salt
            from {relation} where _pos > {first} and _pos <= {first + sizes().landed_chunk_rows}"""
    )
    began = time.perf_counter()
    engine.execute(
        f"create or replace temp table committed as select _position, {commitment(raw)} as _commitment from salted"
    )
    seconds = time.perf_counter() - began
    engine.execute(
        f"""copy (select {literal(f"bench/{source.stem}-{first}/")} || _position as _ref, 'bench' as _run, _key,
                _moment as _cursor, _moment, {literal("0" * 64)} as _payload, 'page ' || (_position // 5000) as _locator,
                _salt, _commitment, {", ".join(map(quote, raw))}
            from salted join committed using (_position) order by _position)
            to {literal(str(target))} ({LANDED})"""
    )
    return seconds


def check(work: Path, done: Synchronized[int]) -> None:
    """Clean and check every chunk as the pipeline does, registers side by side; copy the same files by bare DuckDB.

    A small country is done again and again: one run of a second says more about that second than about the work.
    """
    chunks = []
    for dataset in declared.load().datasets.values():
        folders = sorted((work / "raw" / dataset.name).iterdir())
        landed = [list(map(str, sorted(folder.glob("*.parquet")))) for folder in folders]
        chunks += [(dataset, files) for paths in landed for files in row_rules.chunks(paths)]
    memory, rounds, floors = Memory(), list[dict[str, Any]](), list[float]()
    while len(rounds) < ROUNDS and sum(told["seconds"] for told in rounds) < LONG_ENOUGH:
        done.value = 0
        with memory.watched():
            rounds.append(_check(work, chunks, done))
        floors.append(sum(_copy(files, work / "floor.parquet") for _, files in chunks))
    told = sorted(rounds, key=lambda told: told["seconds"])[len(rounds) // 2]
    of_all = {"floor": statistics.median(floors), "peak_mb": memory.peak_mb, "rounds": len(rounds)}
    _tell(work, "check", {**told, **of_all})


def _check(work: Path, chunks: list[tuple[Dataset, list[str]]], done: Synchronized[int]) -> dict[str, Any]:
    """Clean and check chunks, as many side by side as the pipeline does; tell the seconds, and what became of the rows.

    Registers do not wait for each other, as little as their DAGs do: `busy` are the seconds of each one's chunks.
    """
    asked = {dataset.name: _asked(dataset) for dataset, _ in chunks}
    target = work / "checked"
    target.mkdir()

    def chunk(
        engine: duckdb.DuckDBPyConnection, numbered: tuple[int, tuple[Dataset, list[str]]]
    ) -> tuple[float, row_rules.Checked]:
        number, (dataset, files) = numbered
        clean, kept = target / f"{number}.clean.parquet", target / f"{number}.kept.parquet"
        began = time.perf_counter()
        checked = row_rules.check_chunk(engine, dataset, *asked[dataset.name], "0" * 64, files, clean, kept)
        return time.perf_counter() - began, checked

    told: dict[str, Any] = {"accepted": 0, "quarantined": 0, "busy": dict.fromkeys(asked, 0.0)}
    fit = environment.load().abreast(len(chunks), row_rules.CHUNK_BYTES)
    with ExitStack() as stack:
        opened = [nullcontext(stack.enter_context(_engine(work, fit))) for _ in range(fit)]
        began = time.perf_counter()
        for (dataset, _), (busy, checked) in zip(chunks, abreast(opened, list(enumerate(chunks)), chunk), strict=True):
            told["busy"][dataset.name] += busy
            told["accepted"] += checked.accepted
            told["quarantined"] += checked.quarantined
            done.value += checked.accepted + checked.quarantined
        told["seconds"] = time.perf_counter() - began
    shutil.rmtree(target)
    return told


def sample(work: Path, when: str, _done: Synchronized[int]) -> None:
    """Run pydantic over a sample of each register's rows; tell the `seconds` for all rows, its `rules`, and `differs`."""
    told = {"seconds": 0.0, "rules": 0, "differs": 0}
    with _engine(work) as engine:
        for dataset in declared.load().datasets.values():
            rules, query = _asked(dataset)
            pydantic = PydanticRules(dataset, rules)
            files = list(map(str, sorted((work / "raw" / dataset.name).glob("*/*.parquet"))))
            for path in files[:PYDANTIC_FILES]:
                row_rules.show_raw(engine, dataset, [path])
                pydantic.run(engine, query, PYDANTIC_ROWS)
            total = one(engine, f"select count(*) from {read_parquet(files)}")[0]
            told["seconds"] += pydantic.seconds / max(pydantic.rows, 1) * total
            told["rules"] += len(pydantic.rules)
            told["differs"] += pydantic.differs
    _tell(work, when, told)


def _copy(files: list[str], target: Path) -> float:
    """Read and write files by bare DuckDB; return the seconds."""
    settings = environment.load()
    limits: dict[str, Any] = {"memory_limit": settings.memory_limit, "threads": settings.threads}
    with duckdb.connect(config=limits) as bare:
        bare.execute("set enable_progress_bar = false")
        began = time.perf_counter()
        written = f"to {literal(str(target))} (format parquet, compression zstd)"
        bare.execute(f"copy (select * from {read_parquet(files)}) {written}")
        return time.perf_counter() - began


def score(work: Path, done: Synchronized[int]) -> None:
    """Score every chunk against the truth."""
    found, asked = Score(), set()
    for dataset in declared.load().datasets.values():
        rules, query = _asked(dataset)
        asked |= {rule.name for rule in rules}
        with _engine(work) as engine:
            truth = Truth(engine, dataset, rules, declared.load().code_lists, work / "world" / "truth")
            for folder in sorted((work / "raw" / dataset.name).iterdir()):
                for path in sorted(folder.glob("*.parquet")):
                    count = truth.load(folder.name, path, query)
                    truth.score(found)
                    done.value += count
    with _engine(work) as engine:
        score_held_out(engine, found)
    figures = {**found.figures(), "rules": len(asked)}
    _tell(work, "score", {"figures": figures, "dirt": found.table(), "rules": found.unexplained()})


def _result(work: Path) -> dict[str, Any]:
    checked, scored = _told(work, "check"), _told(work, "score")
    sampled = [_told(work, when) for when in ("before", "after")]
    seconds, count = checked["seconds"], checked["accepted"] + checked["quarantined"]
    pydantic = statistics.mean(told["seconds"] for told in sampled)
    figures: dict[str, float | int | None] = {
        **scored["figures"],
        "floor_ratio": seconds / checked["floor"],
        "pydantic_ratio": pydantic / seconds,
        "pydantic_rules": sampled[0]["rules"],
        "pydantic_differs": sum(told["differs"] for told in sampled),
        "peak_rss_mb": round(checked["peak_mb"], 1),
        "rows": count,
        "accepted": checked["accepted"],
        "quarantined": checked["quarantined"],
        "rounds": checked["rounds"],
        "clean_and_check_s": seconds,
        "floor_s": checked["floor"],
        "commitments_s": _told(work, "land")["seconds"],
        "rows_per_s": count / seconds,
        "pydantic_rows_per_s": count / pydantic,
        **{f"{name}_busy_s": took for name, took in checked["busy"].items()},
    }
    return {"figures": figures, "dirt": scored["dirt"], "rules": scored["rules"]}
