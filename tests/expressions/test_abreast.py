"""Tasks side by side: each alone on its session, answers in order, and an end for all when one fails."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import duckdb
import pytest

from motlan import settings
from motlan.errors import ContractError
from motlan.expressions import abreast, connect, one
from tests.conftest import Country


def sessions(count: int) -> list[Any]:
    return [connect(threads=1) for _ in range(count)]


@pytest.mark.parametrize("width", [1, 2, 3])
def test_answers_come_in_the_order_of_the_tasks_and_sessions_are_closed(width: int) -> None:
    opened = sessions(width)

    def do(engine: duckdb.DuckDBPyConnection, task: int) -> int:
        time.sleep(0.01 * (task % 3 == 0))
        engine.execute(f"create or replace temp table mine as select {task} as task")
        return int(one(engine, "select task from mine")[0])

    assert list(abreast(opened, range(12), do)) == list(range(12))
    for engine in opened:
        with pytest.raises(duckdb.Error):
            engine.execute("select 1")


def test_a_session_has_one_task_at_a_time_and_two_sessions_two() -> None:
    busy: set[int] = set()
    met = threading.Barrier(2, timeout=600)

    def do(engine: duckdb.DuckDBPyConnection, task: int) -> None:
        assert id(engine) not in busy
        busy.add(id(engine))
        met.wait()
        busy.remove(id(engine))

    assert list(abreast(sessions(2), range(6), do)) == [None] * 6


def test_one_that_fails_stops_what_is_under_way_and_lets_nothing_begin() -> None:
    begun, met = [], threading.Barrier(2, timeout=600)

    def do(engine: duckdb.DuckDBPyConnection, task: int) -> None:
        begun.append(task)
        met.wait()
        if task == 1:
            raise ContractError("no")
        engine.execute("select count(*) from range(100000) a, range(100000000) b where a.range * b.range % 7 = 9")

    with pytest.raises((ContractError, duckdb.InterruptException)):
        list(abreast(sessions(2), range(1, 9), do))
    assert sorted(begun) == [1, 2]


def test_no_more_tasks_are_asked_for_than_are_soon_done() -> None:
    asked, done = [], []

    def tasks() -> Iterator[int]:
        for task in range(20):
            asked.append(task)
            assert len(asked) - len(done) <= 2 + 1 + 1, "two under way, one ahead, and the one that is asked for"
            yield task

    def do(engine: duckdb.DuckDBPyConnection, task: int) -> int:
        time.sleep(0.002)
        return task

    for told in abreast(sessions(2), tasks(), do, ahead=1):
        done.append(told)  # noqa: PERF402 - it is looked at meanwhile
    assert done == [*range(20)]


def test_a_source_of_tasks_that_breaks_ends_all_of_them() -> None:
    opened = sessions(2)

    def tasks() -> Iterator[int]:
        yield from range(3)
        raise ContractError("the line broke")

    with pytest.raises(ContractError, match="the line broke"):
        list(abreast(opened, tasks(), lambda _, task: task, ahead=1))
    for engine in opened:
        with pytest.raises(duckdb.Error):
            engine.execute("select 1")


@pytest.mark.parametrize("threads", [1, 2])
def test_an_error_beside_others_tells_nothing_of_the_value(country: Country, threads: int) -> None:
    work = country.open()
    work = replace(work, settings=replace(work.settings, memory_limit="4GB", threads=threads))

    def do(engine: duckdb.DuckDBPyConnection, task: int) -> None:
        engine.execute("select cast('Nguyễn Văn An' || ? as integer)", [str(task)]).fetchall()

    with pytest.raises(ContractError) as caught:
        list(work.side_by_side("here", range(3), do))
    assert "Nguyễn" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("limit", "size"),
    [("4GB", 4 * 10**9), ("1.5 gb", 15 * 10**8), ("512MiB", 512 * 2**20), ("80%", None), ("much", None), ("1B", 1)],
)
def test_a_memory_limit_is_read_as_the_engine_reads_it(
    limit: str, size: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOTLAN_MEMORY_LIMIT", limit)
    assert settings.load().memory == size


@pytest.mark.parametrize(
    ("limit", "threads", "tasks", "shares"),
    [
        ("4GB", 2, 5, [("1.8 GiB", 1)] * 2),
        ("4GB", 16, 5, [("1.8 GiB", 8)] * 2),
        ("4GB", 2, 1, [("3.7 GiB", 2)]),
        ("4GB", 1, 5, [("3.7 GiB", 1)]),
        ("3GB", 2, 5, [("2.7 GiB", 2)]),
        ("64GB", 3, 9, [("19.8 GiB", 1)] * 3),
    ],
)
def test_sessions_share_the_limits_and_are_as_many_as_these_let(
    country: Country,
    limit: str,
    threads: int,
    tasks: int,
    shares: list[tuple[str, int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    work = country.open()
    work = replace(work, settings=replace(work.settings, memory_limit=limit, threads=threads))
    opened = []
    engine = type(work).engine

    @contextmanager
    def told(self: Any, *given: Any, **named: Any) -> Any:
        with engine(self, *given, **named) as session:
            opened.append(one(session, "select current_setting('memory_limit'), current_setting('threads')"))
            yield session

    monkeypatch.setattr(type(work), "engine", told)
    asked: Callable[..., int] = lambda _, task: task  # noqa: E731
    assert list(work.side_by_side("here", range(tasks), asked)) == list(range(tasks))
    assert opened == shares
