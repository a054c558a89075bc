"""`motlan bench incremental`: days of changes on a simulated country, beside one full run from pull to publication.

The country's rows are landed, cleaned, committed, reconciled, published and projected: the full run. Then comes day after day: a
share of the people has something changed in one of their registers, in the proportions of real life
(`bench.incremental.changes`), made from the country's own rows by the engine before anything is timed. A day is the same steps
as the full run, of what changed, with `care` (bases) at its end. Then a day on which nothing changed, one more day under the
engine's profiler, and a full reconcile of it all, which must change nothing. Adapters and Airflow's fixed cost are not in it:
rows are landed from files as in `bench national`. Limits of change (breakers.yaml) are lifted: thirty days within an hour pass
those of a week.

Words used here:

- `full_s`, `day_s` (median), `unchanged_s`: seconds from landing to projection; `time_share` and `unchanged_share` are over
  `full_s`.
- `bytes_read_share`: what the process asked to read, from cache or disk (`rchar`), of the median day over the full run.
- `rows_read_share`: rows that the engine's scans gave (its profiler's `total_rows_scanned`, of files and tables in memory), from
  the reconcile's begin to its end, of one day over the full reconcile after it.
- `reconcile_share`: seconds of the median day's reconcile over those of the full reconcile after the last day.
- `growth`: the median of the last three days over that of days 2 to 4; `growth_last`: the last day over the third.
- `equal_to_full`: 1 where the full reconcile after the last day wrote no row and scored alike, else 0.
- `runs_full`: how many of the days' reconciles were full ones, by their own choice.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench.incremental import changes
from bench.incremental.days import Installation, Measured
from bench.progress import Tell
from bench.world import make_in_ranges, work_folder
from motlan import settings as environment
from motlan.errors import ConfigurationError

EXTRA = 1
"""Days beyond those that are timed: the one under the profiler."""
RECONCILE = ("begin", "link", "merge", "cross_check", "diff")


@dataclass(frozen=True)
class Asked:
    """What is measured.

    Attributes:
        people: Size of the country.
        days: Days of changes.
        changes: Rows that change on a day.
        seed: Of the world and of the changes.
        dirt: A profile of `dirt.yaml`.
        memory_limit: The engine's limit.
        threads: The engine's threads.
    """

    people: int
    days: int
    changes: int
    seed: int
    dirt: str
    memory_limit: str
    threads: int


def run_in(asked: Asked, folder: Path | None, tell: Tell) -> dict[str, Any]:
    """Run the benchmark in a folder that is kept, or in one that is removed afterwards where none is named; see `run`."""
    if folder:
        return run(asked, folder.resolve(), tell)
    with work_folder(environment.load(), None, "incremental") as made:
        return run(asked, made, tell)


def compare_sizes(asked: Sequence[Asked], folder: Path | None, tell: Tell) -> dict[str, Any]:
    """Run the benchmark on countries of several sizes with the same number of changes.

    Returns:
        `figures` (`day_s_<people>`, `full_s_<people>`, and `growth_by_size`: the largest country's median day over the smallest
        one's), `steps`: people -> the median day's steps, and `runs`: people -> all figures.
    """
    found = {}
    for one in asked:
        inside = folder / f"{one.people}" if folder else None
        found[one.people] = run_in(one, inside, partial(_told, tell, one.people))
    figures: dict[str, float] = {}
    for people, result in found.items():
        figures |= {f"{name}_{people}": result["figures"][name] for name in ("day_s", "full_s")}
    days = [result["figures"]["day_s"] for result in found.values()]
    return {
        "figures": figures | {"growth_by_size": round(days[-1] / days[0], 4)},
        "steps": {people: result["steps"]["day"] for people, result in found.items()},
        "runs": {people: result["figures"] for people, result in found.items()},
    }


def _told(tell: Tell, people: int, what: str, done: int, total: int) -> None:
    tell(f"{people:,} people: {what}", done, total)


def run(asked: Asked, folder: Path, tell: Tell) -> dict[str, Any]:
    """Run the benchmark, or go on with it where an earlier one in the same folder ended.

    Args:
        asked: What is measured.
        folder: Where to work. It is kept: a further call goes on behind the last day that was finished.
        tell: Told how far it is.

    Returns:
        `figures` (name -> number), and `steps`: of the full run, the median day, the unchanged day and the full reconcile at the
        end, step -> seconds.

    Raises:
        ConfigurationError: The folder holds another benchmark, or there are too few people for so many changes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _require_same(folder, asked)
    total = asked.days + EXTRA + 4
    tell("making the country", 0, total)
    if not (folder / "world" / "made").exists():
        make_in_ranges(folder / "world", asked.people, asked.seed, asked.dirt, dense=True)
        (folder / "world" / "made").touch()
    tell("making the days' changes", 1, total)
    changes.make(folder, asked.days + EXTRA, asked.changes, asked.seed)
    with Installation.opened(folder, asked.memory_limit, asked.threads) as bus:
        journal = _Journal(folder / "measured.jsonl")
        tell("the full run", 2, total)
        full = journal.once("full", bus.first)
        days = []
        for day in range(1, asked.days + 1):
            tell(f"day {day} of {asked.days}", 2 + day, total)
            days.append(journal.once(f"day {day}", partial(bus.day, day)))
        tell("a day on which nothing changed", asked.days + 3, total)
        unchanged = journal.once("unchanged", partial(bus.day, None))
        tell("a day under the profiler, and a full reconcile", asked.days + 4, total)
        profiled = journal.once("profiled", partial(bus.profiled, asked.days + EXTRA))
        whole = journal.once("whole", bus.full)
    return result(full, days, unchanged, profiled, whole)


def result(
    full: Measured, days: list[Measured], unchanged: Measured, profiled: Measured, whole: Measured
) -> dict[str, Any]:
    """Make figures of what was measured."""
    seconds = [_sum(day, "seconds") for day in days]
    typical = days[seconds.index(statistics.median_high(seconds))]
    figures: dict[str, float | int | None] = {
        "time_share": statistics.median(seconds) / _sum(full, "seconds"),
        "rows_read_share": profiled["scanned"] / max(whole["scanned"], 1),
        "bytes_read_share": statistics.median(_sum(day, "bytes") for day in days) / _sum(full, "bytes"),
        "unchanged_share": _sum(unchanged, "seconds") / _sum(full, "seconds"),
        "reconcile_share": _sum(typical, "seconds", RECONCILE) / _sum(whole, "seconds", RECONCILE),
        "growth": statistics.median(seconds[-3:]) / statistics.median(seconds[1:4]) if len(seconds) > 4 else None,
        "growth_last": seconds[-1] / seconds[2] if len(seconds) > 3 else None,
        "equal_to_full": int(whole["equal"]),
        "runs_full": sum(day["scope"] == "full" for day in days),
        "full_s": _sum(full, "seconds"),
        "day_s": statistics.median(seconds),
        "unchanged_s": _sum(unchanged, "seconds"),
        "rows": full["rows"],
        "rows_a_day": typical["rows"],
        "read_mb": _sum(full, "bytes") / 2**20,
        "read_mb_a_day": _sum(typical, "bytes") / 2**20,
    }
    steps = {"full": full, "day": typical, "unchanged": unchanged, "reconcile --full": whole}
    return {
        "figures": {name: round(value, 6) if isinstance(value, float) else value for name, value in figures.items()},
        "steps": {name: {step: round(took, 3) for step, took in of["seconds"].items()} for name, of in steps.items()},
        "days": [round(took, 3) for took in seconds],
        "why_full": sorted({day["why"] for day in days if day["scope"] == "full" and day["why"]}),
        "different": {"written": whole["written"], "changed": whole["changed"], "same_scores": whole["same_scores"]},
    }


def _sum(measured: Measured, what: str, steps: Sequence[str] = ()) -> float:
    return float(sum(value for step, value in measured[what].items() if not steps or step in steps))


class _Journal:
    """What was measured, kept so that a further call goes on with it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        self.known: dict[str, Measured] = {}
        for line in lines:
            self.known |= json.loads(line)

    def once(self, name: str, do: Callable[[], Measured]) -> Measured:
        """Do something, or return what an earlier call measured."""
        if name not in self.known:
            measured = do()
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({name: measured}) + "\n")
            self.known[name] = measured
        return self.known[name]


def _require_same(folder: Path, asked: Asked) -> None:
    path, told = folder / "incremental.json", json.dumps(asdict(asked))
    if path.exists() and path.read_text(encoding="utf-8") != told:
        raise ConfigurationError(
            "the folder holds another benchmark",
            where=str(path),
            next_step="name another --work, or give the same arguments.",
        )
    path.write_text(told, encoding="utf-8")
