"""Functions on dates and moments.

Many older people have a birth year only. A date is a text of reduced precision as ISO 8601-1:2019 writes it and EDTF
(ISO 8601-2) level 0 allows: `YYYY`, `YYYY-MM` or `YYYY-MM-DD`. A moment is `YYYY-MM-DDTHH:MM:SS.ffffffZ`.
"""

from __future__ import annotations

from motlan.expressions.functions import Function, catalogue, parameters

FUNCTIONS = catalogue(
    Function(
        "partial_date",
        parameters("x, format=dmy|ymd|iso|either, zone=?"),
        "A date as precise as the source knew it. Unknown parts may be zeros or absent. `format` settles eight bare "
        "digits (`dmy`: ddmmyyyy first, else yyyymmdd first); dates with separators tell their order themselves, the "
        "year being four digits and, where it comes last, the day first. Months may be named in "
        "English. Five digits are a spreadsheet's day number (ISO/IEC 29500: days since "
        "1899-12-30, so 1927-05-18 to 2173-10-13: shorter ones look like years, of which 1000 to 2199 are taken); its day 0 is "
        "no date. What is not in the calendar is null; a day and month are never swapped silently. `either` is for a source "
        "whose order nobody knows: where the year comes last and both readings are days, the year alone is certain, and "
        "`date_candidates` has both. A time of day without a zone is dropped. A moment (a time with `Z` or an offset) is "
        "the day that it was in `zone`, an IANA name such as 'Asia/Bangkok' (a dataset's mapping may declare it for all "
        "its dates); where none is given it is a day at midnight of its own offset alone, else null. A day number with a "
        "time may be local or a moment: in a zone it is the day that both agree on, or the day whose midnight it is; else null.",
        (
            (("31/12/1990", "dmy"), "1990-12-31"),
            (("1/2/1990", "dmy"), "1990-02-01"),
            (("1-2-1990", "dmy"), "1990-02-01"),
            (("1990-02-01", "dmy"), "1990-02-01"),
            (("00/00/1945", "dmy"), "1945"),
            (("00/05/1945", "dmy"), "1945-05"),
            (("05/1945", "dmy"), "1945-05"),
            (("1945", "dmy"), "1945"),
            (("32905", "dmy"), "1990-02-01"),
            (("32905.0", "iso"), "1990-02-01"),
            (("19900201", "ymd"), "1990-02-01"),
            (("19450000", "ymd"), "1945"),
            (("19450500", "ymd"), "1945-05"),
            (("194505", "ymd"), "1945-05"),
            (("01021990", "dmy"), "1990-02-01"),
            (("19900201", "dmy"), "1990-02-01"),
            (("1990-02-01", "iso"), "1990-02-01"),
            (("1990-02", "iso"), "1990-02"),
            (("1990-02-01T00:00:00", "iso"), "1990-02-01"),
            (("01/02/1990", "iso"), "1990-02-01"),
            (("31/02/1990", "dmy"), None),
            (("29/02/1900", "dmy"), None),
            (("02/13/1990", "dmy"), None),
            (("01/02/90", "dmy"), None),
            (("'01/02/1990", "dmy"), "1990-02-01"),
            (("\u00a001/02/1990\u200b", "dmy"), "1990-02-01"),
            (("10000", "dmy"), "1927-05-18"),
            (("99999", "dmy"), "2173-10-13"),
            (("9133", "dmy"), None),
            (("03/04/1990", "either"), "1990"),
            (("03041990", "either"), "1990"),
            (("04/04/1990", "either"), "1990-04-04"),
            (("13/02/1990", "either"), "1990-02-13"),
            (("02/13/1990", "either"), "1990-02-13"),
            (("31/02/1990", "either"), None),
            (("00/05/1945", "either"), "1945-05"),
            (("1990-03-04", "either"), "1990-03-04"),
            (("19900304", "either"), "1990-03-04"),
            (("0000", "dmy"), None),
            (("unknown", "dmy"), None),
            (("01 / 02 / 1990", "dmy"), "1990-02-01"),
            (("01\u201302\u20111990.", "dmy"), "1990-02-01"),
            (("01 02 1990", "dmy"), "1990-02-01"),
            (("\uff10\uff11/\uff10\uff12/\uff11\uff19\uff19\uff10", "dmy"), "1990-02-01"),
            (('="01/02/1990"', "dmy"), "1990-02-01"),
            (("19900201.0", "ymd"), "1990-02-01"),
            (("01-Feb-1990", "either"), "1990-02-01"),
            (("March 1, 1990", "either"), "1990-03-01"),
            (("01-Feb-90", "dmy"), None),
            (("1990-02-01Z", "iso"), "1990-02-01"),
            (("1990-02-01+07:00", "iso"), "1990-02-01"),
            (("1990-01-31 17:00:00", "iso"), "1990-01-31"),
            (("1990-02-01 noon", "iso"), None),
            (("1990-01-31T17:00:00.000Z", "iso"), None),
            (("1990-02-01T00:00:00Z", "iso"), "1990-02-01"),
            (("1990-01-31T17:00:00.000Z", "iso", "Asia/Bangkok"), "1990-02-01"),
            (("1990-01-31 17:00:00+00", "iso", "Asia/Bangkok"), "1990-02-01"),
            (("19900131T170000Z", "ymd", "Asia/Bangkok"), "1990-02-01"),
            (("31/01/1990 17:00:00 +00:00", "dmy", "Asia/Bangkok"), "1990-02-01"),
            (("1990-01-31T16:59:59Z", "iso", "Asia/Bangkok"), "1990-01-31"),
            (("1990-02-31T17:00:00Z", "iso", "Asia/Bangkok"), None),
            (("1990-02-01T01:00:00Z", "iso", "America/New_York"), "1990-01-31"),
            (("01/02/1990", "dmy", "Asia/Bangkok"), "1990-02-01"),
            (("32904.708333", "dmy"), None),
            (("32904.708333", "dmy", "Asia/Bangkok"), "1990-02-01"),
            (("32905.5", "dmy", "Asia/Bangkok"), "1990-02-01"),
            (("32905.9", "dmy", "Asia/Bangkok"), None),
            (("00/01/1900", "dmy"), None),
            (("1/0/1900", "dmy"), None),
            (("1900-01-00", "iso"), None),
            (("1899-12-30", "iso"), None),
            (("0", "dmy"), None),
            (("00/00/1900", "dmy"), "1900"),
            (("", "dmy"), None),
            ((None, "dmy"), None),
        ),
        idempotent=True,
        pattern=r"\d{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01]))?)?",
        storable=True,
    ),
    Function(
        "date_candidates",
        parameters("x"),
        "The two readings of a date whose order is not known, `;` between, day first before month first: what `partial_date` "
        "with `either` leaves open. Null where one reading is all there is.",
        (
            (("04/03/1990",), "1990-03-04;1990-04-03"),
            (("4.3.1990",), "1990-03-04;1990-04-03"),
            (("04031990",), "1990-03-04;1990-04-03"),
            (("13/02/1990",), None),
            (("04/04/1990",), None),
            (("1990-03-04",), None),
            (("1990",), None),
            ((None,), None),
        ),
    ),
    Function(
        "date_precision",
        parameters("x"),
        "1 for a year, 2 for a month, 3 for a day.",
        ((("1945",), 1), (("1945-05",), 2), (("1945-05-01",), 3), ((None,), None)),
    ),
    Function(
        "date_year",
        parameters("x"),
        "The year of a date or moment.",
        ((("1945-05",), 1945), (("2026-10-01T00:00:00.000000Z",), 2026), (("abc",), None), ((None,), None)),
    ),
    Function(
        "dates_agree",
        parameters("a, b"),
        "Whether two dates are equal at the precision of the less precise: a year and a day in it agree.",
        (
            (("1945", "1945-05-01"), True),
            (("1945-05-01", "1945-05"), True),
            (("1945-05-01", "1945-05-02"), False),
            ((None, "1945"), None),
        ),
    ),
    Function(
        "date_swapped",
        parameters("x"),
        "The date with day and month exchanged, a usual slip of the pen; null where that is no other date.",
        (
            (("1990-02-01",), "1990-01-02"),
            (("1990-02-13",), None),
            (("1990-02-02",), None),
            (("1990",), None),
            ((None,), None),
        ),
    ),
    Function(
        "moment",
        parameters("x"),
        "A moment in UTC with microseconds (ISO 8601, RFC 3339). A text without an offset is taken as UTC, a date "
        "alone as its midnight. Null where it is none. Such texts sort as moments do.",
        (
            (("2026-10-01T07:00:00+07:00",), "2026-10-01T00:00:00.000000Z"),
            (("2026-10-01T00:00:00.5Z",), "2026-10-01T00:00:00.500000Z"),
            (("2026-10-01 00:00:00",), "2026-10-01T00:00:00.000000Z"),
            (("2026-10-01",), "2026-10-01T00:00:00.000000Z"),
            (("yesterday",), None),
            (("infinity",), None),
            (("2026-10-01T25:00:00Z",), None),
            ((None,), None),
        ),
        idempotent=True,
        storable=True,
    ),
    Function(
        "local_day",
        parameters("x, zone="),
        "The day that a moment (as `moment` gives it) was in a zone, by its IANA name: what a date of the same source is "
        "compared with.",
        (
            (("2026-10-01T20:30:00.000000Z", "Asia/Bangkok"), "2026-10-02"),
            (("2026-10-01T16:59:59.999999Z", "Asia/Bangkok"), "2026-10-01"),
            (("2026-10-01T00:00:00.000000Z", "UTC"), "2026-10-01"),
            (("yesterday", "UTC"), None),
            ((None, "UTC"), None),
        ),
    ),
    Function(
        "days_between",
        parameters("a, b"),
        "Days from the date of `a` to the date of `b`, negative when `b` is earlier. Null unless both know a day.",
        (
            (("2026-01-01", "2026-03-01"), 59),
            (("2026-10-02T23:00:00.000000Z", "2026-10-01"), -1),
            (("1945", "1945-05-01"), None),
            (("25-6-1T23:59", "1945-05-01"), None),
            ((None, "1945-05-01"), None),
        ),
    ),
)
"""The functions, by name."""
