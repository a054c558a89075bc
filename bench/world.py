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


def apart(what: str, call: Callable[..., None], *given: Any) -> None:
    """Call a function in another process and wait for it.

    Raises:
        ValueError: It failed.
    """
    process = SPAWN.Process(target=_quietly, args=(call, given))
    process.start()
    process.join()
    if process.exitcode:
        raise ValueError(f"{what} failed: see what its process printed")


def _quietly(call: Callable[..., None], given: tuple[Any, ...]) -> None:
    os.dup2(2, 1)  # engines draw progress bars, and standard output is for the one JSON object
    call(*given)


def make(folder: Path, people: int, seed: int, dirt: str, dense: bool = False) -> None:
    """Make a world."""
    from simulators import make_world

    make_world(folder, people=people, seed=seed, dirt=dirt, dense=dense)
