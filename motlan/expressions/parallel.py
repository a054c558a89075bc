"""Tasks that know nothing of each other, side by side, each on an engine session of its own.

A query of some hundred thousand rows runs on one thread for a part of its time: planned, begun, ended. Two threads of one
session then wait for each other; two sessions of one thread each do not.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, ExitStack
from queue import SimpleQueue
from threading import Event
from typing import TypeVar

import duckdb

T = TypeVar("T")
R = TypeVar("R")
STOP_S = 0.05
"""Seconds after which what is under way is told again to stop."""


def abreast(
    sessions: Sequence[AbstractContextManager[duckdb.DuckDBPyConnection]],
    tasks: Iterable[T],
    do: Callable[[duckdb.DuckDBPyConnection, T], R],
    *,
    ahead: int | None = None,
) -> Iterator[R]:
    """Do tasks, as many at a time as there are sessions; give what each returned, in the order of the tasks.

    Where one fails no other begins, and those under way are stopped.

    Args:
        sessions: Sessions to open; they are closed at the end.
        tasks: What to do.
        do: Does one on a session, in a thread that has it alone. It leaves nothing there that another one minds.
        ahead: How many tasks are asked for before a session is free for them; all where absent.
    """
    with ExitStack() as stack:
        engines = [stack.enter_context(session) for session in sessions]
        if len(engines) == 1:
            yield from (do(engines[0], task) for task in tasks)
            return
        free: SimpleQueue[duckdb.DuckDBPyConnection] = SimpleQueue()
        for engine in engines:
            free.put(engine)
        failed = Event()

        def one(task: T) -> R:
            if failed.is_set():
                raise CancelledError
            engine = free.get()
            try:
                return do(engine, task)
            except BaseException:
                failed.set()
                raise
            finally:
                free.put(engine)

        pool = stack.enter_context(ThreadPoolExecutor(len(engines)))
        begun: deque[Future[R]] = deque()
        try:
            for task in tasks:
                begun.append(pool.submit(one, task))
                if ahead is not None and len(begun) >= len(engines) + ahead:
                    yield begun.popleft().result()
            while begun:
                yield begun.popleft().result()
        except BaseException:  # among them that nobody asks for more
            failed.set()
            while wait(begun, STOP_S).not_done:  # a session that is between two queries does not hear it
                for engine in engines:
                    engine.interrupt()
            raise
