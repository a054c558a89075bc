"""Make a country range by range, straight to landed Parquet: as large as the disk, out of core, and resumable.

Layout of the folder; `<range>` is six digits from 000000:

- `world.json`: how it is made. `done/<range>.json`: the counts of a range, written when all its files are.
- `landed/<dataset>/<range>.parquet`: the rows of a register as `world` has them; `_pos` counts within the range.
- `truth/{persons,rows,dirt}/<range>.parquet`, and `truth/counts.json` when every range is done.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from simulators.dirt import Profile
from simulators.people import BLOCK, Range
from simulators.world import Files, make_range, write_json

MOST_PEOPLE = 100_000_000
"""People whose codes (tax codes above all, of eight digits and a bit) are sure to differ."""

BYTES_A_PERSON = 220
"""Bytes on disk of a person's rows and truth: 187 measured at a million people, default profile; heavier dirt takes more."""

SCRATCH_BYTES_A_PERSON = 2_000
"""Bytes that the engine may put aside for a person of the range that is being made."""

Tell = Callable[[str, int, int], None]
"""Told what is done now, and how many of how many people are made."""


def make_ranges(
    out: Path,
    *,
    people: int,
    seed: int,
    dirt: str = "default",
    dense: bool = False,
    people_a_range: int = 1_000_000,
    memory_limit: str = "3GB",
    threads: int | None = None,
    tell: Tell | None = None,
) -> dict[str, Any]:
    """Make the people of day 0 and their registers; go on with the first range that is not done.

    Ranges make the same people as one range of the same seed, but for the serial numbers of personal IDs and whose
    number an `id_other` is. The same arguments make the same files, whatever the number of threads, killed or not.

    Args:
        out: folder of the world.
        people: 12 to `MOST_PEOPLE`.
        seed: any integer.
        dirt: profile of `dirt.yaml`.
        dense: as for `make_world`; the dates are those of the whole country, not of a range.
        people_a_range: 12 at least, rounded up to a multiple of 12.
        memory_limit: memory of DuckDB; the process takes about a gigabyte more.
        threads: threads of DuckDB, all cores by default.
        tell: told of every range.

    Returns:
        The realised counts, as `make_world`'s, without events; `namesakes` are those within a range.

    Raises:
        ValueError: such a world cannot be, the folder holds one of other arguments, or the disk is too small for it.
        RuntimeError: a range does not fit in memory.
    """
    profile = Profile(dirt)
    if not BLOCK <= people <= MOST_PEOPLE or people_a_range < BLOCK:
        raise ValueError(f"a world in ranges has {BLOCK} to {MOST_PEOPLE:,} people, and {BLOCK} at least in a range")
    asked = {"people": people, "seed": seed, "days": 0, "dirt": dirt, "dense": dense, "people_a_range": people_a_range}
    parts = ranges_of(people, people_a_range)
    _check_arguments(out / "world.json", asked)
    _check_disk(out, people, people_a_range)
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "world.json", asked)
    shutil.rmtree(out / "scratch", ignore_errors=True)
    for part in parts:
        if tell:
            tell(f"range {part.number + 1} of {part.ranges}", part.first, people)
        if _marker(out, part.number).exists():
            continue
        counts = make_range(
            part,
            Files(out, part.number),
            out / "scratch",
            seed=seed,
            days=0,
            profile=profile,
            dense=dense,
            threads=threads,
            memory_limit=memory_limit,
        )
        _mark(_marker(out, part.number), counts)
    counts = _sum([json.loads(_marker(out, part.number).read_text(encoding="utf-8")) for part in parts])
    write_json(out / "truth" / "counts.json", asked | counts)
    if tell:
        tell("done", people, people)
    return asked | counts


def ranges_of(people: int, people_a_range: int) -> list[Range]:
    """Cut a country into ranges of whole blocks; the last may be smaller."""
    size = math.ceil(people_a_range / BLOCK) * BLOCK
    firsts = range(0, people, size)
    return [Range(people, at, min(at + size, people), n, len(firsts)) for n, at in enumerate(firsts)]


def needed_disk(out: Path, *, people: int, people_a_range: int = 1_000_000) -> int:
    """Bytes that are still to be written into a folder, what one range puts aside included; 0 when all is done."""
    left = [part for part in ranges_of(people, people_a_range) if not _marker(out, part.number).exists()]
    if not left:
        return 0
    size = sum(part.after - part.first for part in left)
    return size * BYTES_A_PERSON + min(people, people_a_range) * SCRATCH_BYTES_A_PERSON


def free_disk(out: Path) -> int:
    """Bytes free where a folder is, or will be."""
    there = next(folder for folder in (out, *out.absolute().parents) if folder.exists())
    return shutil.disk_usage(there).free


def _check_disk(out: Path, people: int, people_a_range: int) -> None:
    needed, free = needed_disk(out, people=people, people_a_range=people_a_range), free_disk(out)
    if free < needed:
        raise ValueError(
            f"{people:,} people need {needed / 1e9:.1f} GB of disk, and {free / 1e9:.1f} GB are free at {out}"
        )


def _check_arguments(file: Path, asked: dict[str, Any]) -> None:
    if not file.exists():
        return
    made = json.loads(file.read_text(encoding="utf-8"))
    other = sorted(name for name in made.keys() | asked.keys() if made.get(name) != asked.get(name))
    if other:
        raise ValueError(f"{file} is of a world of other {', '.join(other)}: give its arguments, or another folder")


def _marker(out: Path, number: int) -> Path:
    return out / "done" / f"{number:06d}.json"


def _mark(marker: Path, counts: dict[str, Any]) -> None:
    """Tell that a range is done: the file is there whole, or not at all."""
    marker.parent.mkdir(exist_ok=True)
    unfinished = marker.with_suffix(".part")
    write_json(unfinished, counts)
    unfinished.replace(marker)


def _sum(counts: list[dict[str, Any]]) -> dict[str, Any]:
    """Add up the numbers of like-named entries, however deep."""
    total: dict[str, Any] = {}
    for name in dict.fromkeys(name for one in counts for name in one):
        values = [one[name] for one in counts if name in one]
        total[name] = _sum(values) if isinstance(values[0], dict) else sum(values)
    return total
