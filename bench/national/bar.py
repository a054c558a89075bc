"""The progress bar of the national benchmark: the step, its rows, rows a second, and the time left until all is done."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from bench.national.journal import Entry, Journal

ROWS_A_PERSON = 2.19
SECONDS_A_MILLION = {
    ("world", "make"): 30.0,
    ("floor", "copy"): 1.6,
    ("floor", "normalise"): 1.6,
    ("floor", "identify"): 1.0,
    ("floor", "second_pass"): 0.3,
    ("floor", "golden"): 1.0,
    ("pipeline", "land"): 5.0,
    ("pipeline", "clean"): 8.0,
    ("pipeline", "commit"): 0.3,
    ("pipeline", "link"): 12.0,
    ("pipeline", "merge"): 9.0,
    ("pipeline", "cross_check"): 5.0,
    ("pipeline", "diff"): 2.5,
    ("pipeline", "publish"): 0.1,
    ("pipeline", "project"): 10.0,
}
"""Seconds that a step takes for a million rows on two cores: how steps weigh beside each other in the time that is left."""


class Bar:
    """Shows a run: told of the journal, of the step that goes on, and of how many of its rows are done.

    Args:
        bar: Where to draw.
        people: Size of the country.
    """

    def __init__(self, bar: Progress, people: int) -> None:
        rows = {"world": people}
        self._total = sum(
            seconds * rows.get(phase, people * ROWS_A_PERSON) / 1e6 for (phase, _), seconds in SECONDS_A_MILLION.items()
        )
        self._bar = bar
        self._task = bar.add_task("starting", total=self._total, rows="", left="")
        self._began, self._before = time.monotonic(), -1.0

    def __call__(self, journal: Journal, now: Entry, done: int) -> None:
        """Show how far it is."""
        finished = sum(_units(entry) for entry in journal.entries if entry.finished)
        if self._before < 0:
            self._before = finished
        whole = _units(now)
        part = done / now.rows if done else min(now.seconds / max(whole, 1.0), 0.95)
        completed = min(finished + whole * part, self._total)
        spent = time.monotonic() - self._began
        pace = spent / (completed - self._before) if completed - self._before > self._total / 100 else 1.0
        self._bar.update(
            self._task,
            completed=completed,
            description=f"{now.phase}: {now.step} {now.subject}".strip(),
            rows=_rows(now, done),
            left=f"{timedelta(seconds=round((self._total - completed) * pace))} left",
        )


def _units(entry: Entry) -> float:
    return SECONDS_A_MILLION.get((entry.phase, entry.step), 0.0) * entry.rows / 1e6


def _rows(now: Entry, done: int) -> str:
    if not done:
        return f"{now.rows:,} rows" if now.rows else ""
    return f"{done:,} of {now.rows:,} rows, {done / max(now.seconds, 0.1):,.0f} a second"


@contextmanager
def shown(console: Console, people: int) -> Iterator[Callable[[Journal, Entry, int], None]]:
    """Show the bar where a person looks."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        TextColumn("{task.fields[rows]}"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
    )
    with Progress(*columns, console=console, transient=True, refresh_per_second=2) as bar:
        yield Bar(bar, people)
