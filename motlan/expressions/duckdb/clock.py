r"""DuckDB's SQL for what stands around and behind a date: words, months by name, wide digits, times of day and zones.

A date leaves these steps as digits with `-`, `/` or `.` between, the year first where a month was named. A time of day
without a zone is the source's own clock: it says nothing of the day, and goes. One with a zone stays, behind an `@` and as
`HH:MM:SS+HH:MM`, for only the source's zone tells which day that was there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from motlan.expressions.dialect import Stage, fill
from motlan.expressions.duckdb.pieces import CLEAN, chain, let, text
from motlan.expressions.duckdb.traces import narrow, unwrapped

_HYPHENS, _SLASHES = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63", "\u2044\u2215"
_ENDS = r"""^[\s'"=]+|[\s'",;.]+$"""
_UNWRAPPED = (
    f"regexp_replace(translate({narrow(chain(CLEAN, unwrapped('@1')))}, '{_HYPHENS}{_SLASHES}',"
    f" '{'-' * len(_HYPHENS)}{'/' * len(_SLASHES)}'), {text(_ENDS)}, '', 'g')"
)

# --- words, read without marks and in lower case ----------------------------------------------------------------------
_ENGLISH = (  # noqa: SIM905
    "jan(?:uary)? feb(?:ruary)? mar(?:ch)? apr(?:il)? may june? july? aug(?:ust)? sept?(?:ember)? oct(?:ober)? "
    "nov(?:ember)? dec(?:ember)?"
).split()
WEEKDAYS = "(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?[,. ]+"
"""Pattern of the English days of the week."""
_MONTH, _ORDINAL = "|".join(_ENGLISH), "(?:st|nd|rd|th)?"
FORMS = (
    (rf"^(\d{{1,2}}){_ORDINAL}[ ./-]*(?:of )?({_MONTH})[ ,./-]*(\d{{4}})(.*)$", r"\3;\2;\1;\4"),
    (rf"^({_MONTH})[ ./-]*(\d{{1,2}}){_ORDINAL}[ ,./-]+(\d{{4}})(.*)$", r"\3;\1;\2;\4"),
    (rf"^({_MONTH})[ ,./-]*(\d{{4}})(.*)$", r"\2;\1;;\3"),
    (rf"^(\d{{4}})[ ./-]*({_MONTH})[ ./-]*(\d{{1,2}})(.*)$", r"\1;\2;\3;\4"),
)
"""Dates in English words: pattern -> year; month; day; what follows."""


@dataclass(frozen=True)
class DateWords:
    """What dates are written with in a language, as patterns of a text in lower case that `folded` took the marks of.

    Attributes:
        months: The twelve months, alternatives with `|` between.
        forms: Pattern of a whole date with words -> year; month; day; what follows.
        before: What stands before a date and says nothing.
        halves: The halves of a day, behind a time.
        folded: SQL, of `@1`, of the text in lower case without marks.
    """

    months: Sequence[str] = tuple(_ENGLISH)
    forms: Sequence[tuple[str, str]] = FORMS
    before: str = f"(?:{WEEKDAYS})?"
    halves: str = "am|pm"
    folded: str = "strip_accents(lower(@1))"


def _part(place: int) -> str:
    return f"regexp_extract(w, '^([^;]*);([^;]*);([^;]*);(.*)$', {place})"


def _in_words(words: DateWords) -> str:
    """Return SQL, of a text `v`, of it with the words of a date made numbers."""
    parted = f"regexp_replace({fill(words.folded, ('v',))}, '^{words.before}', '', 'g')"
    for pattern, parts in words.forms:
        parted = f"regexp_replace({parted}, '{pattern}', '{parts}', 'g')"
    number = " ".join(
        f"WHEN regexp_full_match(m, '{month}') THEN '-' || '{number:02}'"
        for number, month in enumerate(words.months, 1)
    )
    month = (
        f"{_part(1)} || CASE WHEN m = '' THEN '' {number} ELSE '-' || lpad(m, 2, '0') END"
        f" || CASE WHEN {_part(3)} = '' THEN '' ELSE '-' || lpad({_part(3)}, 2, '0') END || {_part(4)}"
    )
    numbered = let(parted, f"CASE WHEN contains(w, ';') THEN {let(_part(2), month, 'm')} ELSE w END", "w")
    return rf"CASE WHEN regexp_matches(v, '\p{{L}}') THEN {numbered} ELSE v END"


# --- separators, times of day, zones ----------------------------------------------------------------------------------
_SEPARATORS = (
    (r" ?([-/.]) ?", r"\1"),
    (r"^(\d{1,2})[ \\,_](\d{1,2})[ \\,_](\d{4})$", r"\1/\2/\3"),
    (r"^(\d{4})[ \\,_](\d{1,2})[ \\,_](\d{1,2})$", r"\1-\2-\3"),
    (r"^(\d{4}|\d{6}|\d{8})[.,]0+$", r"\1"),
    (r"^(\d{8})((?:[01]\d|2[0-3])[0-5]\d[0-5]\d)((?:z|[+-]\d{4})?)$", r"\1t\2\3"),
)
_ZONE = r"z|(?:utc|gmt)?[+-](?:0?\d|1[0-5])(?:[:]?[0-5]\d)?|utc|gmt"


def _clocked(halves: str) -> str:
    return (
        rf"^(\d[\d/.-]*\d)(?:[t ]+(\d{{1,2}}):?(\d\d)(?:[:]?(\d\d))?(?:[.,]\d*)?)? ?((?:{halves})?) ?((?:{_ZONE})?)"
        r"(?: ?\[[a-z/_]+\]| ?\([a-z /_-]+\))?$"
    )


_OFFSET = (
    r"CASE WHEN regexp_matches(z, '\d') THEN regexp_extract(z, '[+-]')"
    r" || lpad(regexp_extract(z, '[+-](0?\d|1[0-5])', 1), 2, '0') || ':'"
    r" || coalesce(nullif(regexp_extract(z, '[+-](?:0?\d|1[0-5]):?(\d\d)$', 1), ''), '00') ELSE '+00:00' END"
)


def _separated() -> str:
    sql = "v"
    for pattern, put in _SEPARATORS:
        sql = f"regexp_replace({sql}, '{pattern}', '{put}', 'g')"
    return sql


def _without_time(halves: str) -> str:
    """Return SQL, of a text `v`, of a date without its time of day, or with it where it has a zone."""
    clocked = _clocked(halves)
    day, hour, minute, second, half, zone = (f"regexp_extract(w, '{clocked}', {place})" for place in range(1, 7))
    timed = (
        f"{day} || '@' || lpad({hour}, 2, '0') || ':' || {minute} || ':'"
        f" || coalesce(nullif({second}, ''), '00') || {let(zone, _OFFSET, 'z')}"
    )
    read = (
        f"CASE WHEN NOT regexp_matches(w, '{clocked}') OR {half} <> '' AND {zone} <> '' THEN w"
        f" WHEN {hour} = '' OR {zone} = '' THEN {day} ELSE {timed} END"
    )
    return rf"CASE WHEN regexp_full_match(v, '[\d/-]*') THEN v ELSE {let(_separated(), read, 'w')} END"


def written(words: DateWords) -> tuple[Stage, ...]:
    """Return the steps from what was written to digits with separators, and to `@` with a time where it names a moment."""
    return (
        Stage("plain text: nothing around it, plain digits, hyphens and slashes", _UNWRAPPED),
        Stage("words and names of months made numbers", let("@1", _in_words(words))),
        Stage(
            "the time of day dropped, or kept where it has a zone",
            let("@1", _without_time(words.halves)),
            "CASE WHEN contains(@1, '@') THEN 'a moment: its day depends on the zone' END",
        ),
    )
