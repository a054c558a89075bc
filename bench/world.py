"""Simulated worlds for benchmarks: made, and cleaned where asked, in processes of their own, so that their memory is not ours."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from motlan import settings as environment

SPAWN = multiprocessing.get_context("spawn")
RANGE = 996_000
"""People of a world that are made at a time."""


@contextmanager
def work_folder(settings: environment.Settings, folder: Path | None, name: str) -> Iterator[Path]:
    """Make a folder for one run of a benchmark, and remove it afterwards."""
    parent = folder or settings.var / "bench"
    parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=parent))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def apart(what: str, call: Callable[..., None], *given: Any, tell: Callable[[int], None] | None = None) -> None:
    """Call a function in another process and wait for it.

    Args:
        what: What it does, for the error.
        call: The function; where its progress is told, its last argument is a shared number that it counts up.
        given: What it is given.
        tell: Told that number from time to time.

    Raises:
        ValueError: It failed.
    """
    done = SPAWN.Value("q", 0)
    process = SPAWN.Process(target=_quietly, args=(call, (*given, done) if tell else given))
    process.start()
    while process.is_alive():
        process.join(0.5)
        if tell:
            tell(done.value)
    if process.exitcode:
        raise ValueError(f"{what} failed: see what its process printed")


def _quietly(call: Callable[..., None], given: tuple[Any, ...]) -> None:
    os.dup2(2, 1)  # engines draw progress bars, and standard output is for the one JSON object
    call(*given)


def make_in_ranges(folder: Path, people: int, seed: int, dirt: str, dense: bool = False) -> None:
    """Make a world a range of people at a time: `landed/<dataset>/<range>.parquet`, `truth/<table>/<range>.parquet`."""
    from simulators import make_ranges

    make_ranges(folder, people=people, seed=seed, dirt=dirt, dense=dense, people_a_range=RANGE)
