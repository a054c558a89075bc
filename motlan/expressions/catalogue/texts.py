"""Functions on any text."""

from __future__ import annotations

from motlan.expressions.functions import Function, catalogue, parameters

FUNCTIONS = catalogue(
    Function(
        "text",
        parameters("x"),
        "Plain text: invisible characters (zero width, byte-order mark, soft hyphen, controls) dropped, every kind of "
        "space made one plain space, trimmed, in Unicode NFC (UAX #15), without a spreadsheet's formula around it. Null when "
        "nothing is left, or it only says that nobody knew: NULL, N/A, không rõ, #REF!, a dash.",
        (
            (("  a \u00a0 b\t",), "a b"),
            (("\ufeffHa\u200b Noi",), "Ha Noi"),
            (("Ho\u0300a",), "Hòa"),
            (('="THPT Lê Hoa"',), "THPT Lê Hoa"),
            (("(null)",), None),
            (("N/A",), None),
            (("Không rõ",), None),
            (("chua cap nhat.",), None),
            (("#REF!",), None),
            (("-",), None),
            (("Khổng Có",), "Khổng Có"),
            (("nullius",), "nullius"),
            ((" \u200b ",), None),
            (("",), None),
            ((None,), None),
        ),
        idempotent=True,
    ),
    Function(
        "join_words",
        parameters("x"),
        "The parts in order with a space between, leaving out empty ones and nothing else: bytes of a legacy encoding "
        "may look like spaces, so cleaning comes after. Null when no part has anything.",
        (
            (("Nguyễn", "Văn", "An"), "Nguyễn Văn An"),
            (("Lê", None, "Hoa"), "Lê Hoa"),
            (("Lê", " ", "Hoa"), "Lê Hoa"),
            (("Lê", "\u00a0", "Đào"), "Lê Đào"),
            ((None, ""), None),
        ),
        variadic=True,
    ),
    Function(
        "digits",
        parameters("x"),
        "The ASCII digits of a text, in order. Null when there are none.",
        ((("09-12 a3",), "09123"), (("abc",), None), ((None,), None)),
        idempotent=True,
    ),
    Function(
        "fixed_digits",
        parameters("x, count="),
        "The digits of a text, if separators are all that stands beside them and they are exactly `count`.",
        (
            (("012 345.6789", 10), "0123456789"),
            (("123456789", 10), None),
            (("a0123456789", 10), None),
            ((None, 10), None),
        ),
        idempotent=True,
    ),
    Function("upper", parameters("x"), "Upper case.", ((("đặng",), "ĐẶNG"), ((None,), None)), idempotent=True),
    Function("lower", parameters("x"), "Lower case.", ((("ĐẶNG",), "đặng"), ((None,), None)), idempotent=True),
    Function(
        "length",
        parameters("x"),
        "Number of characters (code points).",
        ((("Hòa",), 3), (("",), 0), ((None,), None)),
    ),
    Function(
        "no_longer_than",
        parameters("x, characters="),
        "Whether a text has at most so many characters.",
        ((("ab", 2), True), (("ộộ", 2), True), (("abc", 2), False), (("", 1), True), ((None, 2), None)),
    ),
    Function(
        "is_storable",
        parameters("x"),
        "Whether the store takes a text where it is looked up by: no U+0000, which PostgreSQL has no text for, and at most 1,000 "
        "bytes of UTF-8, so that two of them fit an entry of an index.",
        (
            (("DC000001",), True),
            (("",), True),
            (("DC\0001",), False),
            (("a" * 1000,), True),
            (("a" * 1001,), False),
            (("ộ" * 334,), False),
            ((None,), None),
        ),
    ),
    Function(
        "substring",
        parameters("x, start, count"),
        "`count` characters from the `start`th on, the first being 1.",
        ((("001090000001", 1, 3), "001"), (("abc", 4, 2), ""), ((None, 1, 2), None)),
    ),
    Function(
        "matches",
        parameters("x, pattern="),
        "Whether the whole text fits a regular expression (RE2 syntax: linear time, whatever the pattern).",
        ((("2026-2027", r"\d{4}-\d{4}"), True), (("x2026", r"\d{4}"), False), ((None, "a"), None)),
    ),
    Function(
        "coalesce",
        parameters("x, y"),
        "The first argument that is not null.",
        (((None, "a"), "a"), (("b", "a"), "b"), ((None, None), None)),
        variadic=True,
    ),
    Function(
        "number",
        parameters("x"),
        "The number that a text writes (decimal point), null where it writes none.",
        ((("12",), 12.0), ((" 7.5 ",), 7.5), (("12a",), None), (("nan",), None), ((None,), None)),
    ),
)
"""The functions of this page, by name."""
