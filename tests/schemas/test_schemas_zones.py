"""The dates of every dataset are days of its source's zone, which its mapping declares."""

from __future__ import annotations

import pytest

from motlan.config import registry
from motlan.errors import ConfigurationError
from motlan.expressions import DUCKDB, connect, one, parse
from tests.conftest import ROOT

DATASETS = registry.load(ROOT).datasets


@pytest.mark.parametrize("name", DATASETS)
def test_a_birth_date_that_was_sent_as_a_moment_is_the_local_day(name: str) -> None:
    dataset = DATASETS[name]
    made = dataset.expressions["birth_date"]
    row = ", ".join(f"'1990-01-31T17:00:00.000Z' as {DUCKDB.quote(column)}" for column in sorted(made.fields))
    with connect(threads=1) as con:
        assert one(con, f"select {made.sql(DUCKDB)} from (select {row})")[0] == "1990-02-01"


def test_a_zone_in_a_call_is_kept_and_one_that_nobody_knows_is_refused() -> None:
    made = parse("partial_date(x, 'dmy', 'UTC')").completed(zone="Asia/Ho_Chi_Minh")
    assert made.text == "partial_date(x, 'dmy', 'UTC')"
    with pytest.raises(ConfigurationError, match="no zone"):
        parse("partial_date(x, 'dmy', 'Asia/Nowhere')")
