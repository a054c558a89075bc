"""Tasks that know nothing of each other, side by side, each on an engine session of its own.

A query of some hundred thousand rows runs on one thread for a part of its time: planned, begun, ended. Two threads of one
session then wait for each other; two sessions of one thread each do not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from queue import SimpleQueue
from typing import TypeVar

import duckdb

T = TypeVar("T")
R = TypeVar("R")


def abreast(
    sessions: Sequence[AbstractContextManager[duckdb.DuckDBPyConnection]],
    tasks: Sequence[T],
    do: Callable[[duckdb.DuckDBPyConnection, T], R],
) -> Iterator[R]:
    """Do tasks, as many at a time as there are sessions; give what each returned, in the order of the tasks.

    Where one fails no other begins, and those under way are stopped.

    Args:
        sessions: Sessions to open; they are closed at the end.
        tasks: What to do.
        do: Does one on a session, in a thread that has it alone. It leaves nothing there that another one minds.
    """
    with ExitStack() as stack:
        engines = [stack.enter_context(session) for session in sessions]
        if len(engines) == 1:
            yield from (do(engines[0], task) for task in tasks)
            return
        free: SimpleQueue[duckdb.DuckDBPyConnection] = SimpleQueue()
        for engine in engines:
            free.put(engine)

        def one(task: T) -> R:
            engine = free.get()
            try:
                return do(engine, task)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
            finally:
                free.put(engine)

        pool = stack.enter_context(ThreadPoolExecutor(len(engines)))
        begun = [pool.submit(one, task) for task in tasks]
        try:
            for future in begun:
                yield future.result()
        except BaseException:  # among them that nobody asks for more
            pool.shutdown(wait=False, cancel_futures=True)
            for engine in engines:
                engine.interrupt()
            raise
