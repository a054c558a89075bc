"""Dates as they are written in Vietnamese: `ngày 1 tháng 2 năm 1990`, months by name, `sáng` and `chiều` behind a time."""

from __future__ import annotations

from dataclasses import replace

from motlan.expressions.duckdb.clock import FORMS, WEEKDAYS, DateWords
from motlan.expressions.duckdb.dates import DateReading
from motlan.expressions.functions import Package
from motlan.expressions.generic import GENERIC

_MONTHS = "mot|gieng hai ba tu|bon nam sau bay tam chin muoi muoi.?mot muoi.?hai|chap".split()  # noqa: SIM905
_MONTH = "|".join(_MONTHS)
_BEFORE = "(?:(?:ngay sinh|sinh ngay|ngay|ng)[ .:]*)?"
_THEN_YEAR = r"[ ,./-]*(?:nam)?[ ,.]*(\d{4})(.*)$"
WORDS = DateWords(
    months=[f"{english}|{ours}" for english, ours in zip(DateWords().months, _MONTHS, strict=True)],
    forms=(
        (rf"^{_BEFORE}(\d{{1,2}})[ ,.]*(?:thang|thg|th)[ .]*({_MONTH}|\d{{1,2}}){_THEN_YEAR}", r"\3;\2;\1;\4"),
        (rf"^(?:thang|thg|th)[ .]*({_MONTH}|\d{{1,2}}){_THEN_YEAR}", r"\2;\1;;\3"),
        (r"^nam[ .]*(\d{4})()$", r"\1;;;\2"),
        *FORMS,
    ),
    before=f"(?:(?:thu (?:hai|ba|tu|nam|sau|bay)|chu nhat)[, ]+|{WEEKDAYS})?{_BEFORE}",
    halves="am|pm|sa|ch",
    folded="translate(strip_accents(lower(@1)), 'đ', 'd')",
)
"""Vietnamese and English words of dates."""

_DATE = GENERIC.functions["partial_date"]
PACKAGE = Package(
    name="mapping/functions/dates.py",
    functions={
        "partial_date": replace(
            _DATE,
            doc=f"{_DATE.doc} Months may be named in Vietnamese as well, and `ngày 1 tháng 2 năm 1990` is read.",
            examples=(
                *_DATE.examples,
                (("ngày 01 tháng 02 năm 1990", "either"), "1990-02-01"),
                (("NGÀY 1 THÁNG MƯỜI HAI NĂM 1990", "dmy"), "1990-12-01"),
                (("1 thg 2, 1990", "dmy"), "1990-02-01"),
                (("Tháng 5/1945", "dmy"), "1945-05"),
                (("1990-01-31T17:00:00.000Z", "iso", "Asia/Ho_Chi_Minh"), "1990-02-01"),
                # The south was an hour ahead until 1975.
                (("1969-12-31T16:00:00.000Z", "iso", "Asia/Ho_Chi_Minh"), "1970-01-01"),
            ),
        ),
        "date_candidates": GENERIC.functions["date_candidates"],
    },
    duckdb=DateReading(WORDS).sql(),
    replaces=frozenset({"partial_date", "date_candidates"}),
)
"""The reading of dates, which knows the words."""
