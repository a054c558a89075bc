"""Failures of the machine and of our own queries are never told as the source's fault, and never quote a value."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import duckdb
import pytest

from motlan import pipeline
from motlan.errors import ContractError, EngineError, InternalError, TransientError
from motlan.expressions import failure
from tests.conftest import Country

LARGE = "select list(md5(x::varchar)) from range(30000000) as t(x)"


@pytest.mark.quick
def test_memory_that_runs_out_is_ours_and_may_pass(country: Country, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTLAN_MEMORY_LIMIT", "60MB")
    with (
        pytest.raises(EngineError, match="somewhere: the engine ran out of memory") as caught,
        country.open().engine("somewhere") as engine,
    ):
        engine.execute(LARGE)
    assert isinstance(caught.value, TransientError)
    assert "MOTLAN_MEMORY_LIMIT" in caught.value.next_step
    assert caught.value.__suppress_context__


def test_a_full_disk_is_ours_whichever_library_tells() -> None:
    with pytest.raises(OSError, match="space") as caught, Path("/dev/full").open("w") as full:
        full.write("x")
        full.flush()
    told = failure(caught.value, "landing cards")
    assert isinstance(told, EngineError)
    assert str(told).startswith("landing cards: the disk is full. Next: make room")
    with pytest.raises(duckdb.Error) as refused, duckdb.connect() as con:
        con.execute("copy (select 'Trần Thị Bình' from range(100000)) to '/dev/full' (format parquet)")
    told = failure(refused.value)
    assert isinstance(told, EngineError)
    assert "Bình" not in str(told)


@pytest.mark.quick
@pytest.mark.parametrize("query", ["select nothing", "selekt 1", "select unknown_function(1)", "from no_table"])
def test_a_wrong_query_is_ours_and_does_not_pass(country: Country, query: str) -> None:
    with (
        pytest.raises(InternalError, match="a query of the bus is wrong") as caught,
        country.open().engine("somewhere") as engine,
    ):
        engine.execute(query)
    assert not isinstance(caught.value, TransientError)


@pytest.mark.quick
def test_a_value_that_a_query_cannot_take_is_the_datas(country: Country) -> None:
    with (
        pytest.raises(ContractError, match="refused a query on this data") as caught,
        country.open().engine("somewhere") as engine,
    ):
        engine.execute("select cast(x as integer) from (values ('Trần Thị Bình')) as t(x)")
    assert "Bình" not in str(caught.value)


@pytest.mark.quick
def test_a_query_that_is_stopped_for_its_time_is_ours_and_may_pass(country: Country) -> None:
    with (
        pytest.raises(EngineError, match="somewhere: the query was interrupted") as caught,
        country.open().engine("somewhere") as engine,
    ):
        stop = threading.Timer(0.5, engine.interrupt)
        stop.start()
        engine.execute(
            "select count(*) from range(1000000) as a(x), range(1000000) as b(y) where x + y = 'Bình'.length()"
        )
    assert "Bình" not in str(caught.value)


@pytest.mark.quick
def test_a_step_whose_server_is_lost_or_out_of_time_may_be_tried_again(
    country: Country, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose = "select pg_terminate_backend(pg_backend_pid())"
    for broken, words in ((lose, "ended, or does not answer"), (_SLOW, "could not do it now .SQLSTATE 57014")):

        def begin(connection: Any, *_: Any, broken: str = broken) -> int:
            for statement in broken.split("; "):
                connection.exec_driver_sql(statement)
            return 0

        with monkeypatch.context() as patch, pytest.raises(EngineError, match=words) as caught:
            patch.setattr("motlan.publication.publish.last_number", begin)
            pipeline.begin_reconcile()
        assert isinstance(caught.value, TransientError)
        assert caught.value.__suppress_context__
    assert pipeline.begin_reconcile()["entity"] == "person"


_SLOW = "set local statement_timeout = 50; select pg_sleep(5)"
