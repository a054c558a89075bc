"""Spark's SQL for moments, written by hand: `h` hours, a fraction of any length, an offset of up to seconds."""

from __future__ import annotations

from motlan.expressions.spark import pieces as spark

_MOMENT = (
    r"\A(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d)(:\d\d)?(?:\.(\d*))?(?:Z| UTC|([+-])(\d\d)(?::?(\d\d)(?::(\d\d))?)?)?)?\z"
)


def _group(number: int) -> str:
    return f"regexp_extract(v, {spark.text(_MOMENT)}, {number})"


def _or(value: str, otherwise: str) -> str:
    return f"coalesce(nullif({value}, ''), '{otherwise}')"


def _count(value: str) -> str:
    return f"coalesce(try_cast({value} AS INT), 0)"


_SECONDS = f"3600 * {_count(_group(6))} + 60 * {_count(_group(7))} + {_count(_group(8))}"
_OFFSET = f"CASE WHEN {_group(5)} = '-' THEN 1 ELSE -1 END * ({_SECONDS})"
_HOUR = _or(_group(2), "00:00")
_CLOCK = f"concat({_group(1)}, ' ', regexp_replace({_HOUR}, '^24', '00'), {_or(_group(3), ':00')})"
_NEXT_DAY = f"CASE WHEN {_HOUR} = '24:00' THEN 86400 ELSE 0 END"
_LATER = f"try_cast({_CLOCK} AS TIMESTAMP_NTZ) + make_dt_interval(0, 0, 0, {_OFFSET} + {_NEXT_DAY})"
_UTC = f"replace(try_cast({_LATER} AS STRING), ' ', 'T') || '.' || rpad(substring({_group(4)}, 1, 6), 6, '0') || 'Z'"
_MOMENT_SQL = spark.let(spark.trim("@1"), f"CASE WHEN {spark.found('v', _MOMENT)} THEN {_UTC} END", "v")

DATES = {"moment": _MOMENT_SQL}
"""Function on moments -> SQL."""
