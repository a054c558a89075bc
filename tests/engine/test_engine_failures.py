"""Failures of the machine and of our own queries are never told as the source's fault, and never quote a value."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

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
    assert str(told).startswith("landing cards: the disk is full Next: make room")
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
