"""`motlan bench national`: a whole country on the bus's own way, beside a floor and peers measured in the same run.

Phases, each in a process of its own, watched from outside, and resumed where an earlier run in the same folder was killed:

1. `world`: the registers' rows straight to Parquet, a range of people at a time, with the truth beside them.
2. `floor`: what bare DuckDB needs for the least that anyone would do with the same files (`bench.floor`).
3. `pipeline`: land with row commitments, clean and check, commit, for every register and range; then link, merge, check
   across registers, compare, publish; then, timed apart, the load into PostgreSQL.
4. `splink` and `pydantic`: the peers.
5. `score`: links and golden values against the truth.

Words used here:

- `seconds` is the pipeline's, from landing to publication, without `project`, the load into PostgreSQL. Tries that were killed
  count; `interrupted_seconds` is their part, `resumed` how often the run was begun again.
- `peak_rss_mb` is the greatest resident memory of the process (and its children) in these steps; `<step>_peak_rss_mb` of one.
  PostgreSQL's own processes are told apart: `store_peak_rss_mb`, shared pages counted once.
- `<step>_spill_mb` is the greatest size of the engine's temporary files; read and written bytes are those asked for, from cache
  or disk.
- `floor_ratio` is `seconds` over the floor's; `splink_ratio` Splink's seconds over those of our step `link`; `pydantic_ratio`
  pydantic's seconds (on a sample, in proportion) over those of our step `clean`.
- precision, recall, f1, golden accuracy and ceiling: see `bench.linking`.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

from bench import floor
from bench.linking import limit_for
from bench.national import disk, peers, pipeline, score
from bench.national.journal import Journal
from bench.national.pipeline import Setting
from bench.national.result import result
from bench.national.watch import Progress, Steps, Watch
from motlan import settings as environment
from motlan.errors import ConfigurationError
from motlan.store import server


def run(
    *,
    people: int,
    seed: int,
    dirt: str,
    setting: Setting,
    people_a_range: int,
    peer_people: int,
    progress: Progress,
) -> dict[str, Any]:
    """Run the benchmark, or go on with it.

    Args:
        people: Size of the simulated country.
        seed: Its seed.
        dirt: A profile of `dirt.yaml`.
        setting: Where, and under which limits.
        people_a_range: People that are made at a time.
        peer_people: Splink runs up to this size.
        progress: Told how far it is.

    Returns:
        `figures` (name -> number or null) and `steps`, `floor`: what was measured of each step.

    Raises:
        ConfigurationError: The disk is too small, or the folder holds another benchmark or one that is running.
        MotlanError: A phase failed; the same call goes on where it stopped.
    """
    setting.folder.mkdir(parents=True, exist_ok=True)
    with _alone(setting.folder):
        world = {"people": people, "seed": seed, "dirt": dirt, "people_a_range": people_a_range}
        _same(setting.folder, world)
        disk.require(setting, people)
        journal = Journal(setting.folder)
        settings = replace(environment.load(), var=setting.var, database_url=None)
        watch = Watch(journal, settings.store, progress)
        try:
            spill = setting.folder
            watch.run("world", make_world, spill / "world" / "scratch", setting, world)
            watch.run("floor", floor.run, spill / "floor", setting)
            done = watch.run("pipeline", pipeline.run, settings.scratch, setting)
            watch.run("pydantic", peers.pydantic, settings.scratch, setting)
            if people <= peer_people:
                watch.run("splink", peers.splink, spill / "peer" / "spill", setting, peer_limit(people))
            watch.run("score", score.score, spill / "scoring", setting, done["run"], peers.pairs(setting))
        finally:
            server.stop(settings)
    return result(journal, setting)


def make_world(steps: Steps, setting: Setting, world: dict[str, Any]) -> None:
    """Make the country, or the ranges of it that are missing.

    Raises:
        ConfigurationError: There can be no such world.
    """
    from simulators import make_ranges

    with steps.step("make", rows=world["people"]):
        try:
            make_ranges(
                setting.folder / "world",
                **world,
                dense=True,
                threads=setting.threads,
                tell=lambda _what, done, _total: steps.at(done),
            )
        except ValueError as error:
            raise ConfigurationError(str(error), next_step="give other --people, --dirt or --work.") from None
    setting.count()


def peer_limit(people: int) -> str:
    """Return Splink's memory limit: what it needs to run well, as far as the machine has it."""
    most = psutil.virtual_memory().total * 8 // 10 >> 20
    return f"{min(most, int(limit_for(people).removesuffix('MB')))}MB"


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigurationError(
                "another benchmark works here", where=str(folder), next_step="wait for it, or name another --work."
            ) from None
        yield


def _same(folder: Path, args: dict[str, Any]) -> None:
    """Refuse to go on with a benchmark of another world."""
    path = folder / "national.json"
    if not path.exists():
        path.write_text(json.dumps(args), encoding="utf-8")
    elif json.loads(path.read_text(encoding="utf-8")) != args:
        raise ConfigurationError(
            "the folder holds a benchmark of another world",
            where=str(path),
            next_step="name another --work, or give the same --people, --seed, --dirt and --people-a-range.",
        )
