"""One progress bar on standard error for every benchmark, and the memory of the process tree while it is watched."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

Tell = Callable[[str, int, int], None]
"""Told what is done now, and how many of how many rows are done."""


@contextmanager
def shown(console: Console) -> Iterator[Tell]:
    """Show progress where a person looks."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("starting", total=None)
        yield lambda what, done, total: bar.update(task, description=what, completed=done, total=total or None)


class Memory:
    """Peak resident memory of this process and its children, sampled every 50 ms while watched.

    Attributes:
        peak_mb: The greatest sum seen, in MiB.
    """

    def __init__(self) -> None:
        self.peak_mb = 0.0

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Sample while the block runs."""
        own = psutil.Process()
        self._look(own)  # what is too short for the thread has a peak all the same
        stop = threading.Event()
        sampler = threading.Thread(target=self._sample, args=(own, stop), daemon=True)
        sampler.start()
        try:
            yield
        finally:
            stop.set()
            sampler.join()

    def _sample(self, own: psutil.Process, stop: threading.Event) -> None:
        while not stop.wait(0.05):  # a look takes nearly a millisecond, which is counted as ours
            self._look(own)

    def _look(self, own: psutil.Process) -> None:
        total = 0
        for process in (own, *own.children(recursive=True)):
            try:
                total += process.memory_info().rss
            except psutil.NoSuchProcess:
                continue
        self.peak_mb = max(self.peak_mb, total / 2**20)
