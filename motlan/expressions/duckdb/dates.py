"""DuckDB's SQL for dates and moments."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from motlan.expressions.dialect import Sql, Stage, fill
from motlan.expressions.duckdb.clock import DateWords, written
from motlan.expressions.duckdb.pieces import chain, let, unbound

DATE_FORMATS = ("iso", "ymd", "dmy", "either")
"""What a date's format may be."""

_REAL_DAY = "try_cast({0}[:4] || '-' || {0}[5:6] || '-' || {0}[7:] AS DATE) IS NOT NULL"
_YEAR_FIRST = f"""CASE WHEN regexp_full_match(v, '(18|19|20)\\d\\d(00|0[1-9]|1[0-2])00')
 OR (v[:2] IN ('18', '19', '20') AND {_REAL_DAY.format("v")}) THEN v ELSE @last END"""
_DAY_FIRST = f"""CASE WHEN regexp_full_match(v, '00(00|0[1-9]|1[0-2])(18|19|20)\\d\\d')
 OR (v[5:6] IN ('18', '19', '20') AND {_REAL_DAY.format("(v[5:] || v[3:4] || v[:2])")})
 THEN v[5:] || v[3:4] || v[:2] ELSE v END"""
# Of a date that ends in its year, both orders are possible where neither number says more than a month can.
_UNSETTLED = """CASE WHEN d[5:6] <> d[7:] AND regexp_full_match(d[5:], '(0[1-9]|1[0-2])(0[1-9]|1[0-2])') THEN d[:4] || '0000'
 WHEN d[5:6] > '12' AND d[7:] <> '00' THEN d[:4] || d[7:] || d[5:6] ELSE d END"""


_SEPARATED = (
    "regexp_extract(v, '[-/.](\\d{4})', 1) || lpad(regexp_extract(v, '(\\d{1,2})[-/.]\\d{4}', 1), 2, '0')"
    " || lpad(regexp_extract(v, '^(\\d{1,2})[-/.]\\d{1,2}[-/.]', 1), 2, '0')"
)


# The fraction of a day number is a time of day, to the minute.
_MINUTES = "(try_cast(left(regexp_extract(v, '[.,](.*)$', 1) || '000000', 6) AS INTEGER) * 1440 + 500000) // 1000000"
_CLOCK = "lpad(try_cast(m % 1440 // 60 AS VARCHAR), 2, '0') || ':' || lpad(try_cast(m % 60 AS VARCHAR), 2, '0')"
_SERIAL = let(
    _MINUTES,
    "strftime(DATE '1899-12-30' + try_cast(try_cast(v[:5] AS INTEGER) + m // 1440 AS INTEGER), '%Y%m%d')"
    f" || CASE WHEN m % 1440 = 0 THEN '' ELSE '@' || {_CLOCK} || ':00~' END",
    "m",
)


def _formats(order: str | None = None) -> list[tuple[str, str, str]]:
    """Return name, pattern, and SQL of the parts as yyyymmdd, with zeros for what is not known.

    Args:
        order: The format that is read; None for one that SQL knows as `@2`.
    """

    def when(asked: str, then: str, otherwise: str) -> str:
        if order is None:
            return f"CASE WHEN @2 = '{asked}' THEN {then} ELSE {otherwise} END"
        return then if order == asked else otherwise

    def year_last(parts: str) -> str:
        return when("either", let(parts, _UNSETTLED, "d"), parts)

    bare = when("dmy", _DAY_FIRST, _YEAR_FIRST.replace("@last", year_last("v[5:] || v[3:4] || v[:2]")))
    return [
        ("a year alone", r"\d{4}", "v || '0000'"),
        (
            "year first, with separators (and perhaps a time)",
            r"\d{4}[-/.]\d{1,2}([-/.]\d{1,2})?",
            r"v[:4] || lpad(regexp_extract(v, '^\d{4}.(\d{1,2})', 1), 2, '0')"
            r" || lpad(regexp_extract(v, '^\d{4}.\d{1,2}[-/.](\d{1,2})', 1), 2, '0')",
        ),
        ("year last, with separators (and perhaps a time)", r"(\d{1,2}[-/.])?\d{1,2}[-/.]\d{4}", year_last(_SEPARATED)),
        ("six digits: year and month", r"\d{6}", "v || '00'"),
        ("five digits: a spreadsheet''s number of days since 1899-12-30", r"[1-9]\d{4}([.,]\d+)?", _SERIAL),
        ("eight bare digits", r"\d{8}", bare),
    ]


def _by_format(answers: Iterable[tuple[str, str]], otherwise: str = "NULL") -> str:
    cases = " ".join(f"WHEN regexp_full_match(v, '{pattern}') THEN {answer}" for pattern, answer in answers)
    return f"CASE {cases} ELSE {otherwise} END"


def _parts(order: str | None = None) -> str:
    """Return SQL, of a column `v`, of the parts as yyyymmdd; what stands behind an `@` stays there."""
    parts = _by_format((pattern, parts) for _, pattern, parts in _formats(order))
    timed = let("regexp_extract(v, '^[^@]*')", parts)
    return f"CASE WHEN contains(v, '@') THEN {timed} || regexp_extract(v, '@.*$') ELSE {parts} END"


# What a spreadsheet shows for no date at all: its day 0, whether counted from 1899-12-30 or -31 or written 1900-01-00.
_NOUGHT = "'19000100', '19000001', '18991230', '18991231'"
_BY_CALENDAR = (
    f"CASE WHEN v[:4] < '1000' OR v[:4] > '2199' OR v IN ({_NOUGHT}) THEN NULL WHEN v[5:6] = '00' THEN v[:4]"
    " WHEN v[5:6] > '12' THEN NULL WHEN v[7:] = '00' THEN v[:4] || '-' || v[5:6]"
    f" WHEN {_REAL_DAY.format('v')} THEN v[:4] || '-' || v[5:6] || '-' || v[7:] END"
)
_AT_OFFSET = "v[:4] || '-' || v[5:6] || '-' || v[7:8] || ' ' || v[10:17] || {}"


def _in_zone(text: str) -> str:
    """Return SQL of the source's own clock at a moment."""
    return f"timezone(coalesce(nullif(z, ''), 'UTC'), try_cast({text} AS TIMESTAMPTZ))"


# A day number with a time is the source's own clock or, from a program that counts in UTC, a moment: its day is certain
# where both are one, or where the moment is the source's midnight, which is a day that such a program moved.
_BY_DAY_NUMBER = (
    "CASE WHEN z <> '' THEN "
    + let(
        _in_zone(_AT_OFFSET.format("'+00:00'")),
        "CASE WHEN strftime(m, '%Y%m%d') = v[:8] OR strftime(m, '%H%M') = '0000' THEN strftime(m, '%Y-%m-%d') END",
        "m",
    )
    + " END"
)
_BY_MOMENT = (
    f"CASE WHEN v[7:8] = '00' OR z = '' AND v[10:17] = '00:00:00' THEN {let('v[:8]', _BY_CALENDAR)}"
    f" WHEN z <> '' THEN strftime({_in_zone(_AT_OFFSET.format('v[18:]'))}, '%Y-%m-%d') END"
)
_LOCAL_DAY = (
    f"CASE WHEN NOT contains(v, '@') THEN {_BY_CALENDAR} WHEN v[:4] < '1000' OR v[:4] > '2199' THEN NULL"
    f" WHEN ends_with(v, '~') THEN {_BY_DAY_NUMBER} ELSE {_BY_MOMENT} END"
)
_PARTS = Stage("parts as yyyymmdd, zeros where not known", let("@1", _parts()))
_DAY = Stage("a day of the calendar, or as much as is known", let("@3?", let("@1", _LOCAL_DAY), "z"))


def _day(x: str) -> str:
    """Return SQL of the day that a canonical date or moment begins with; null where it knows none."""
    return rf"try_cast(nullif(regexp_extract({x}, '^\d{{4}}-\d\d-\d\d'), '') AS DATE)"


def _swapped(x: str) -> str:
    return f"{x}[:4] || '-' || {x}[9:10] || '-' || {x}[6:7]"


_NAMED = let(
    "regexp_extract(@1, '^[^@]*')",
    _by_format([(pattern, f"'{name}'") for name, pattern, _ in _formats()], "'no form of a date that is known'"),
)
_PRECISION = (
    "CASE WHEN @1 IS NOT NULL THEN 'precise to the ' ||"
    " CASE WHEN @1[5:8] = '0000' THEN 'year' WHEN @1[7:8] = '00' THEN 'month' ELSE 'day' END ||"
    " CASE WHEN NOT contains(@1, '@') THEN '' WHEN @3? = '' THEN '; no zone is declared: certain at midnight alone'"
    " ELSE ', in ' || @3? END END"
)
# What a register writes nearly always is read at a glance; the 29th of February alone is left to the calendar.
_MONTH_AND_DAY = (
    r"(?:(?:0[13578]|1[02])@(?:0[1-9]|[12]\d|3[01])|(?:0[469]|11)@(?:0[1-9]|[12]\d|30)|02@(?:0[1-9]|1\d|2[0-8]))"
)
_DAY_AND_MONTH = (
    r"(?:(?:0[1-9]|[12]\d|3[01])/(?:0[13578]|1[02])|(?:0[1-9]|[12]\d|30)/(?:0[469]|11)|(?:0[1-9]|1\d|2[0-8])/02)"
)
_YEAR = r"(?:18[0-8]\d|189[0-8]|19\d\d|20\d\d)"  # a spreadsheet's day 0 lies in 1899
IS_PLAIN = (
    rf"(regexp_full_match(@1, '1\d{{3}}|20\d{{2}}|{_YEAR}-{_MONTH_AND_DAY.replace('@', '-')}')"
    rf" OR @2 <> 'dmy' AND regexp_full_match(@1, '{_YEAR}{_MONTH_AND_DAY.replace('@', '')}')"
    rf" OR @2 <> 'either' AND regexp_full_match(@1, '{_DAY_AND_MONTH}/{_YEAR}'))"
)
"""Asks of `@1` whether it is a year or a day, written out in full, that the format `@2` reads in one way only."""
PLAIN_DATE = (
    "CASE WHEN length(@1) = 8 THEN concat_ws('-', substring(@1, 1, 4), substring(@1, 5, 2), substring(@1, 7, 2))"
    " WHEN contains(@1, '/') THEN concat_ws('-', substring(@1, 7, 4), substring(@1, 4, 2), substring(@1, 1, 2)) ELSE @1 END"
)
"""Such a date."""


class DateReading:
    """The functions that read dates as people write them.

    Args:
        words: What dates are written with.
    """

    def __init__(self, words: DateWords) -> None:
        self.written = written(words)
        self.partial_date = chain((*self.written, _PARTS, _DAY))
        day_first, either = (fill(self.partial_date, ("v", order)) for order in ("'dmy'", "'either'"))
        both = f"CASE WHEN length(d) = 10 AND length({either}) = 4 THEN d || ';' || {_swapped('d')} END"
        self.candidates = let("@1", let(day_first, both, "d"))

    def sql(self) -> Sql:
        """Return the SQL of `partial_date` and `date_candidates`."""
        return Sql(
            templates={"partial_date": self.partial_date, "date_candidates": self.candidates},
            stages={"partial_date": self.stages()},
            costly={"partial_date": IS_PLAIN},
            plain={"partial_date": PLAIN_DATE},
            answers={"partial_date": self.answers},
            macros=self.macros(),
        )

    def stages(self) -> tuple[Stage, ...]:
        """Return the steps of the reading of a date, with what people should know about them."""
        either = f"coalesce('; day and month may be either: ' || {self.candidates}, '')"
        note = f"{_NAMED} || CASE WHEN @2 = 'either' THEN {either} ELSE '' END"
        return (*self.written, replace(_PARTS, note=note), replace(_DAY, note=_PRECISION))

    def answers(self, odd: str, rest: Sequence[str]) -> str:
        """Return the query that reads the dates of a relation, as `partial_date` does: columns `given` and `made`.

        A step that binds its value takes long to plan, and compiles its patterns anew for every vector: so each is a query.

        Args:
            odd: Relation with the column `given`.
            rest: The format as a text literal, and the zone where there is one.
        """
        query, zone = f"select given, given as v from {odd}", rest[1] if len(rest) > 1 else "''"
        for number in range(len(self.written)):
            query = f"select given, motlan_date_written_{number}(v) as v from ({query})"
        query = f"select given, motlan_date_parts_{rest[0][1:-1]}(v) as v from ({query})"
        return f"select given, motlan_day(v, {zone}) as made from ({query})"

    def macros(self) -> dict[str, str]:
        """Return name -> definition of the steps, one for each format: their long text is not read for every query."""
        steps = {f"motlan_date_parts_{order}(v)": _parts(order) for order in DATE_FORMATS} | {
            "motlan_day(v, z)": _LOCAL_DAY
        }
        steps |= {f"motlan_date_written_{number}(v)": unbound(stage.sql) for number, stage in enumerate(self.written)}
        return {step.split("(")[0]: f"{step} AS {sql}" for step, sql in steps.items()}


DATES = Sql(
    templates={
        "date_precision": "CASE length(@1) WHEN 4 THEN 1 WHEN 7 THEN 2 WHEN 10 THEN 3 END",
        "date_year": r"CASE WHEN regexp_matches(@1, '^\d{4}(-|$)') THEN try_cast(@1[:4] AS INTEGER) END",
        "dates_agree": "(starts_with(@1, @2) OR starts_with(@2, @1))",
        "date_swapped": let(
            "@1", f"CASE WHEN length(v) = 10 AND v[9:10] <= '12' AND v[6:7] <> v[9:10] THEN {_swapped('v')} END"
        ),
        "moment": let(
            "trim(@1)",
            r"strftime(try_cast(CASE WHEN regexp_full_match(v, '\d{4}-\d\d-\d\d') THEN v || ' 00:00:00Z'"
            r" WHEN regexp_full_match(v, '\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?') THEN v || 'Z'"
            r" WHEN regexp_matches(v, '^\d{4}-\d\d-\d\d[T ]\d\d:\d\d') THEN v END AS TIMESTAMPTZ) AT TIME ZONE 'UTC', "
            "'%Y-%m-%dT%H:%M:%S.%fZ')",
        ),
        "local_day": (
            r"CASE WHEN regexp_full_match(@1, '[12]\d{3}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z')"
            " THEN strftime(timezone(@2, try_cast(@1 AS TIMESTAMPTZ)), '%Y-%m-%d') END"
        ),
        # Not by the cast alone: it takes `25-6-1T23:` for a day of the year 25.
        "days_between": f"date_diff('day', {_day('@1')}, {_day('@2')})",
    }
)
"""The SQL of functions on dates and moments that read no words."""
