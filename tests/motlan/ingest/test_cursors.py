"""Cursors: every form in which a source writes one is read alike, and given back as it was written."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from motlan.errors import ConfigurationError
from motlan.ingest.cursors import Cursors, canonical_moment, moment_of

AT_SEVEN = "2026-10-01T07:00:00.000000Z"
HERE = Cursors("moment", "Asia/Ho_Chi_Minh")


@pytest.fixture(scope="module")
def engine() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'America/New_York'")  # whatever the session's zone is
        yield connection


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("2026-10-01T07:00:00.000000Z", AT_SEVEN),
        ("2026-10-01T14:00:00+07:00", AT_SEVEN),
        ("2026-10-01T14:00:00+0700", AT_SEVEN),
        ("2026-10-01 14:00:00+07", AT_SEVEN),
        ("2026-10-01T14:00:00 +07:00", AT_SEVEN),
        ("2026-09-30T21:30:00-09:30", AT_SEVEN),
        ("2026-10-01 14:00:00", AT_SEVEN),
        ("2026-10-01T14:00", AT_SEVEN),
        ("2026-10-01T14", AT_SEVEN),
        ("20261001T140000", AT_SEVEN),
        ("20261001140000", AT_SEVEN),
        ("20261001T070000Z", AT_SEVEN),
        ("2026-10-01t07:00:00z", AT_SEVEN),
        ("2026-10-01 07:00:00 UTC", AT_SEVEN),
        ("2026-10-01T07:00:00-00:00", AT_SEVEN),
        ("2026-10-02", "2026-10-01T17:00:00.000000Z"),
        ("20261002", "2026-10-01T17:00:00.000000Z"),
        ("2026-10-01T07:00:00,5Z", "2026-10-01T07:00:00.500000Z"),
        ("2026-10-01T07:00:00.1234567Z", "2026-10-01T07:00:00.123456Z"),
        ("2026-10-01T24:00:00Z", "2026-10-02T00:00:00.000000Z"),
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00.000000Z"),
        ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59.000000Z"),
        ("1000-01-01T00:00:00Z", "1000-01-01T00:00:00.000000Z"),
    ],
)
def test_a_moment_is_read_in_every_form_of_iso_8601(
    engine: duckdb.DuckDBPyConnection, written: str, canonical: str
) -> None:
    assert HERE.read(engine, written) == HERE.read(engine, f"\n {written} ") == canonical
    again = HERE.read(engine, HERE.written(canonical, written))
    assert again == canonical


NO_MOMENTS = """n/a|zzzz|null|now|today|epoch|infinity|-infinity|0000-00-00 00:00:00|0001-01-01|2026-13-01|2026-02-30
2026-10-01T25:00:00Z|2026-10-01T24:00:01Z|2026-10-01T07:60:00Z|2026-10-01T07:58:60Z|2026-10-01T07:00:00+25:00|2026-10-01 BC
9999-12-31T23:59:59-07:00|10000-01-01T00:00:00.0000Z|1790812800|1790812800000|01/10/2026 07:00|2026-10-0107:00|２０２６-10-01"""
HOSTILE = ["", " ", "2026-10-01T07:00:00Z\0", f"{AT_SEVEN}\0", "9" * 400, "2026-10-01T07:00:00." + "1" * 4000 + "x"]


@pytest.mark.parametrize("written", [*NO_MOMENTS.replace("\n", "|").split("|"), *HOSTILE])
def test_what_is_no_moment_is_null(engine: duckdb.DuckDBPyConnection, written: str) -> None:
    assert HERE.read(engine, written) is None


@pytest.mark.parametrize(
    ("kind", "written", "canonical", "back"),
    [
        ("epoch_seconds", "1790812800", "2026-10-01T00:00:00.000000Z", "1790812800"),
        ("epoch_seconds", "1790812800.25", "2026-10-01T00:00:00.250000Z", "1790812800.25"),
        ("epoch_seconds", "-1.5", "1969-12-31T23:59:58.500000Z", "-1.5"),
        ("epoch_seconds", "1790812800000", None, None),
        ("epoch_seconds", "1.79e9", None, None),
        ("epoch_milliseconds", "1790812800123", "2026-10-01T00:00:00.123000Z", "1790812800123"),
        ("epoch_milliseconds", "-1", "1969-12-31T23:59:59.999000Z", "-1"),
        ("epoch_milliseconds", "9" * 400, None, None),
        ("sequence", "10", "10", "10"),
        ("sequence", "+0010.00", "10", "10"),
        ("sequence", "-3", "-3", "-3"),
        ("sequence", "0000010", "10", "0000010"),
        ("sequence", "9" * 38, "9" * 38, "9" * 38),
        ("sequence", "9" * 39, None, None),
        ("sequence", "1.5", None, None),
        ("token", "2026-10-01-full", "2026-10-01-full", "2026-10-01-full"),
        ("token", "a\0", None, None),
        ("token", "x" * 1001, None, None),
    ],
)
def test_other_types_are_read_as_declared(
    engine: duckdb.DuckDBPyConnection, kind: str, written: str, canonical: str | None, back: str | None
) -> None:
    cursors = Cursors(kind)  # type: ignore[arg-type]
    assert cursors.read(engine, written) == canonical
    assert (canonical and cursors.written(canonical, written)) == back


def test_a_lag_is_seconds_of_instants_and_numbers_of_a_sequence() -> None:
    assert HERE.step_back(AT_SEVEN, 600) == "2026-10-01T06:50:00.000000Z"
    assert HERE.step_back("1000-01-01T00:00:00.000000Z", 10**12) == "1000-01-01T00:00:00.000000Z"
    assert Cursors("sequence").step_back("100", 30) == "70"
    with pytest.raises(ConfigurationError, match="token"):
        Cursors("token").step_back("a", 1)


ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Ho_Chi_Minh", "UTC")


@settings(max_examples=40)
@given(
    st.sampled_from(ZONES),
    st.datetimes(datetime(2025, 1, 1), datetime(2027, 1, 1)),
    st.sampled_from([timedelta(0), timedelta(minutes=29), timedelta(minutes=59), timedelta(hours=3)]),
    st.sampled_from(["%Y-%m-%d %H:%M:%S", "%Y%m%dT%H%M%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d", "%Y-%m-%dT%H:%M:%S.%f"]),
)
@pytest.mark.slow
def test_what_a_clock_will_show_is_never_before_what_is_asked_for(
    engine: duckdb.DuckDBPyConnection, zone: str, instant: datetime, later: timedelta, form: str
) -> None:
    """Where clocks are set back, an hour's readings come twice."""
    turns = {"Europe/Berlin": datetime(2026, 10, 25, 1), "America/New_York": datetime(2026, 11, 1, 6)}
    turn = turns.get(zone, datetime(2026, 4, 4, 15))
    cursors, there = Cursors("moment", zone), ZoneInfo(zone)
    for at in (instant, turn + (instant - datetime(2026, 1, 1)) / 8760):
        at = at.replace(tzinfo=UTC)
        written, shown = at.astimezone(there).strftime(form), (at + later).astimezone(there).strftime(form)
        read = cursors.read(engine, written)
        assert read is not None
        assert read <= canonical_moment(at), "never later than it was"
        asked = cursors.written(read, written)
        assert asked <= shown
        assert (cursors.read(engine, asked) or "") <= (cursors.read(engine, shown) or "")


def test_canonical_forms_are_moments() -> None:
    assert canonical_moment(moment_of(AT_SEVEN)) == AT_SEVEN
