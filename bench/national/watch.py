"""A phase of the benchmark in a process of its own, watched from outside: memory, spill and the store's memory by step.

The child says which step begins and ends, with its own clocks and counters of bytes; the parent samples four times a second
what only an onlooker sees, keeps the journal, and shows progress. A child ends with its parent, however that ends.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import connection, parent_process
from pathlib import Path
from typing import Any

import psutil

from bench.national.journal import Entry, Journal
from bench.world import SPAWN
from motlan.errors import MotlanError, unforeseen
from motlan.settings import debugging

SAMPLE_S = 0.25
BEAT_S = 2.0
"""Seconds between two looks, and between two at the store's processes: each costs milliseconds of the same two processors."""
SPILL = "duckdb_temp*"
MIB = 2**20

Progress = Callable[[Journal, Entry, int], None]
"""Told of the journal, the step that goes on, and how many of its rows are done."""


class Steps:
    """What a child tells of its steps.

    Args:
        line: To the parent.
    """

    def __init__(self, line: connection.Connection) -> None:
        self._line = line

    @contextmanager
    def step(self, name: str, subject: str = "", rows: int = 0) -> Iterator[None]:
        """Measure a step: its seconds, its processors' seconds, and the bytes that it asked to read and write."""
        self._line.send(("begin", name, subject, rows))
        before = _counters(psutil.Process())
        yield
        self._line.send(("end", *_since(psutil.Process(), before)))

    def at(self, rows: int) -> None:
        """Say how many of the step's rows are done."""
        self._line.send(("at", rows))


def _counters(process: psutil.Process) -> tuple[float, ...]:
    disk = process.io_counters()
    return time.perf_counter(), sum(process.cpu_times()[:2]), disk.read_chars / MIB, disk.write_chars / MIB


def _since(process: psutil.Process, before: tuple[float, ...]) -> tuple[float, ...]:
    """Return seconds, seconds of processors, and MiB read and written, since the counters were taken."""
    return tuple(now - then for now, then in zip(_counters(process), before, strict=True))


def _child(call: Callable[..., Any], line: connection.Connection, given: tuple[Any, ...]) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # engines draw progress bars, and one bar is shown already
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        line.send(("result", call(Steps(line), *given)))
    except MotlanError as error:
        line.send(("failed", str(error)))
    except Exception as error:
        if debugging():
            raise
        line.send(("failed", str(unforeseen(error, call.__name__))))


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


class Watch:
    """Runs phases, one after another.

    Args:
        journal: Where their steps are written down.
        store: Folder of the embedded PostgreSQL server.
        progress: Told how far it is.
    """

    def __init__(self, journal: Journal, store: Path, progress: Progress) -> None:
        self._journal, self._store, self._progress = journal, store, progress

    def run(self, phase: str, call: Callable[..., Any], spill: Path, *given: Any) -> Any:
        """Run a phase, or give back what it gave where an earlier run finished it.

        Args:
            phase: Its name.
            call: Given `Steps` and the further arguments; returns something small that JSON can hold.
            spill: Folder in which its engine spills.
            given: Further arguments.

        Raises:
            MotlanError: It failed, or was killed.
        """
        if phase in self._journal.results:
            return self._journal.results[phase]
        for path in spill.glob(SPILL):
            path.unlink()  # of an engine that was killed
        mine, theirs = SPAWN.Pipe(duplex=False)
        process = SPAWN.Process(target=_child, args=(call, theirs, given), daemon=True)
        process.start()
        theirs.close()
        try:
            result = _Phase(phase, self._journal, self._progress, process.pid or 0, spill, self._store).follow(mine)
        finally:
            process.terminate()
            process.join()
        self._journal.keep(phase, result)
        return result


class _Phase:
    """One child while it runs."""

    def __init__(self, phase: str, journal: Journal, progress: Progress, pid: int, spill: Path, store: Path) -> None:
        self.phase, self.journal, self.progress = phase, journal, progress
        self.process, self.spill, self.store = psutil.Process(pid), spill, store
        self.now: Entry | None = None
        self.before: tuple[float, ...] = ()
        self.beaten = 0.0
        self.done = 0

    def follow(self, line: connection.Connection) -> Any:
        try:
            while True:
                if line.poll(SAMPLE_S):
                    kind, *told = line.recv()
                    if kind == "result":
                        return told[0]
                    if kind == "failed":
                        raise MotlanError(told[0], where=self.phase)
                    self._hear(kind, told)
                else:
                    self._sample()
        except EOFError:
            raise MotlanError(
                "the process was killed", where=self.phase, next_step="start it again with the same --work."
            ) from None
        finally:
            if self.now:
                self.journal.add(self.now)

    def _hear(self, kind: str, told: list[Any]) -> None:
        if kind == "begin":
            self.now, self.before, self.done = Entry(self.phase, *told), _counters(self.process), 0
            self._sample()
        elif kind == "at":
            self.done = told[0]
        elif self.now:
            self._sample()
            self._count(self.now, told)
            self.now.finished = True
            self.journal.add(self.now)
            self.now = None

    @staticmethod
    def _count(now: Entry, told: Sequence[float]) -> None:
        now.seconds, now.cpu_s, now.read_mb, now.written_mb = told

    def _sample(self) -> None:
        now = self.now
        if now is None:
            return
        with suppress(psutil.Error):  # it has just ended: what was counted last holds
            self._count(now, _since(self.process, self.before))
        now.peak_rss_mb = max(now.peak_rss_mb, tree_mb(self.process, "rss"))
        now.spill_mb = max(now.spill_mb, spilled_mb(self.spill))
        self.progress(self.journal, now, self.done)
        if time.perf_counter() - self.beaten > BEAT_S:
            self.beaten = time.perf_counter()
            now.store_peak_mb = max(now.store_peak_mb, _store_mb(self.store))
            self.journal.beat(now)


def tree_mb(process: psutil.Process, kind: str) -> float:
    """Return the memory of a process and its children, in MiB: `rss`, or `pss` with shared pages counted once."""
    total = 0
    try:
        for one in (process, *process.children(recursive=True)):
            memory = one.memory_info() if kind == "rss" else one.memory_full_info()
            total += getattr(memory, kind)
    except psutil.Error:
        pass  # one of them has just ended
    return total / MIB


def _store_mb(store: Path) -> float:
    try:
        pid = int((store / "postmaster.pid").read_text(encoding="ascii").split()[0])
        return tree_mb(psutil.Process(pid), "pss")
    except (OSError, ValueError, IndexError, psutil.Error):
        return 0.0


def spilled_mb(folder: Path) -> float:
    """Return the size of the engine's temporary files in a folder, in MiB."""
    total = 0
    for path in folder.glob(SPILL):
        try:
            total += path.stat().st_blocks * 512
        except FileNotFoundError:
            continue
    return total / MIB
