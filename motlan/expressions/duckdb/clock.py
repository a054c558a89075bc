r"""DuckDB's SQL for what stands around and behind a date: words, months by name, wide digits, times of day and zones.

A date leaves these steps as digits with `-`, `/` or `.` between, the year first where a month was named. A time of day
without a zone is the source's own clock: it says nothing of the day, and goes. One with a zone stays, behind an `@` and as
`HH:MM:SS+HH:MM`, for only the source's zone tells which day that was there.
"""

from __future__ import annotations

from motlan.expressions.duckdb.text import CLEAN, Stage, chain, let, text
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
_VIETNAMESE = "mot|gieng hai ba tu|bon nam sau bay tam chin muoi muoi.?mot muoi.?hai|chap".split()  # noqa: SIM905
_MONTH, _THANG = "|".join(_ENGLISH), "|".join(_VIETNAMESE)
_NUMBER = " ".join(
    f"WHEN regexp_full_match(m, '{english}|{vietnamese}') THEN '{number:02}'"
    for number, (english, vietnamese) in enumerate(zip(_ENGLISH, _VIETNAMESE, strict=True), 1)
)
_WEEKDAY = (
    "(?:(?:thu (?:hai|ba|tu|nam|sau|bay)|chu nhat)[, ]+"
    "|(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?[,. ]+)?"
)
_BEHIND_WORDS = "(?:(?:ngay sinh|sinh ngay|ngay|ng)[ .:]*)?"
_THEN_YEAR = r"[ ,./-]*(?:nam)?[ ,.]*(\d{4})(.*)$"
_ORDINAL = "(?:st|nd|rd|th)?"
# What is written -> year; month; day; what follows.
_IN_WORDS = (
    (rf"^{_BEHIND_WORDS}(\d{{1,2}})[ ,.]*(?:thang|thg|th)[ .]*({_THANG}|\d{{1,2}}){_THEN_YEAR}", r"\3;\2;\1;\4"),
    (rf"^(?:thang|thg|th)[ .]*({_THANG}|\d{{1,2}}){_THEN_YEAR}", r"\2;\1;;\3"),
    (r"^nam[ .]*(\d{4})()$", r"\1;;;\2"),
    (rf"^(\d{{1,2}}){_ORDINAL}[ ./-]*(?:of )?({_MONTH})[ ,./-]*(\d{{4}})(.*)$", r"\3;\2;\1;\4"),
    (rf"^({_MONTH})[ ./-]*(\d{{1,2}}){_ORDINAL}[ ,./-]+(\d{{4}})(.*)$", r"\3;\1;\2;\4"),
    (rf"^({_MONTH})[ ,./-]*(\d{{4}})(.*)$", r"\2;\1;;\3"),
    (rf"^(\d{{4}})[ ./-]*({_MONTH})[ ./-]*(\d{{1,2}})(.*)$", r"\1;\2;\3;\4"),
)


def _part(place: int) -> str:
    return f"regexp_extract(w, '^([^;]*);([^;]*);([^;]*);(.*)$', {place})"


def _parted() -> str:
    sql = "translate(strip_accents(lower(v)), 'đ', 'd')"
    sql = f"regexp_replace({sql}, '^{_WEEKDAY}{_BEHIND_WORDS}', '', 'g')"
    for pattern, parts in _IN_WORDS:
        sql = f"regexp_replace({sql}, '{pattern}', '{parts}', 'g')"
    return sql


_WORDS = (
    r"CASE WHEN regexp_matches(v, '\p{L}') THEN "
    + let(
        _parted(),
        "CASE WHEN contains(w, ';') THEN "
        + let(
            _part(2),
            f"{_part(1)} || CASE WHEN m = '' THEN '' {_NUMBER.replace('THEN ', 'THEN ' + chr(39) + '-' + chr(39) + ' || ')}"
            f" ELSE '-' || lpad(m, 2, '0') END"
            f" || CASE WHEN {_part(3)} = '' THEN '' ELSE '-' || lpad({_part(3)}, 2, '0') END || {_part(4)}",
            "m",
        )
        + " ELSE w END",
        "w",
    )
    + " ELSE v END"
)

# --- separators, times of day, zones ----------------------------------------------------------------------------------
_SEPARATORS = (
    (r" ?([-/.]) ?", r"\1"),
    (r"^(\d{1,2})[ \\,_](\d{1,2})[ \\,_](\d{4})$", r"\1/\2/\3"),
    (r"^(\d{4})[ \\,_](\d{1,2})[ \\,_](\d{1,2})$", r"\1-\2-\3"),
    (r"^(\d{4}|\d{6}|\d{8})[.,]0+$", r"\1"),
    (r"^(\d{8})((?:[01]\d|2[0-3])[0-5]\d[0-5]\d)((?:z|[+-]\d{4})?)$", r"\1t\2\3"),
)
_ZONE = r"z|(?:utc|gmt)?[+-](?:0?\d|1[0-5])(?:[:]?[0-5]\d)?|utc|gmt"
_CLOCKED = (
    r"^(\d[\d/.-]*\d)(?:[t ]+(\d{1,2}):?(\d\d)(?:[:]?(\d\d))?(?:[.,]\d*)?)? ?((?:am|pm|sa|ch)?) ?((?:" + _ZONE + ")?)"
    r"(?: ?\[[a-z/_]+\]| ?\([a-z /_-]+\))?$"
)


def _group(place: int) -> str:
    return f"regexp_extract(w, '{_CLOCKED}', {place})"


_OFFSET = (
    r"CASE WHEN regexp_matches(z, '\d') THEN regexp_extract(z, '[+-]')"
    r" || lpad(regexp_extract(z, '[+-](0?\d|1[0-5])', 1), 2, '0') || ':'"
    r" || coalesce(nullif(regexp_extract(z, '[+-](?:0?\d|1[0-5]):?(\d\d)$', 1), ''), '00') ELSE '+00:00' END"
)
_TIMED = (
    f"{_group(1)} || '@' || lpad({_group(2)}, 2, '0') || ':' || {_group(3)} || ':'"
    f" || coalesce(nullif({_group(4)}, ''), '00') || {let(_group(6), _OFFSET, 'z')}"
)


def _separated() -> str:
    sql = "v"
    for pattern, put in _SEPARATORS:
        sql = f"regexp_replace({sql}, '{pattern}', '{put}', 'g')"
    return sql


_CLOCK = (
    r"CASE WHEN regexp_full_match(v, '[\d/-]*') THEN v ELSE "
    + let(
        _separated(),
        f"CASE WHEN NOT regexp_matches(w, '{_CLOCKED}') OR {_group(5)} <> '' AND {_group(6)} <> '' THEN w"
        f" WHEN {_group(2)} = '' OR {_group(6)} = '' THEN {_group(1)} ELSE {_TIMED} END",
        "w",
    )
    + " END"
)

WRITTEN = (
    Stage("plain text: nothing around it, plain digits, hyphens and slashes", _UNWRAPPED),
    Stage("words and names of months made numbers", let("@1", _WORDS)),
    Stage(
        "the time of day dropped, or kept where it has a zone",
        let("@1", _CLOCK),
        "CASE WHEN contains(@1, '@') THEN 'a moment: its day depends on the zone' END",
    ),
)
"""Steps from what was written to digits with separators, and to `@` with a time where the text names a moment."""
