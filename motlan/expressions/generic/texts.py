"""Functions on any text."""

from __future__ import annotations

from motlan.expressions.functions import Function, catalogue, parameters

FUNCTIONS = catalogue(
    Function(
        "text",
        parameters("x"),
        "Plain text: invisible characters (zero width, byte-order mark, soft hyphen, controls) dropped, every kind of "
        "space made one plain space, trimmed, in Unicode NFC (UAX #15), without a spreadsheet's formula around it. Null when "
        "nothing is left, or it only says that nobody knew: NULL, N/A, not known, #REF!, a dash.",
        (
            (("  a \u00a0 b\t",), "a b"),
            (("\ufeffNew\u200b Town",), "New Town"),
            (("Rene\u0301",), "René"),
            (('="Lycée 12"',), "Lycée 12"),
            (("(null)",), None),
            (("N/A",), None),
            (("not known.",), None),
            (("#REF!",), None),
            (("-",), None),
            (("nullius",), "nullius"),
            ((" \u200b ",), None),
            (("",), None),
            ((None,), None),
        ),
        idempotent=True,
        storable=True,
    ),
    Function(
        "join_words",
        parameters("x"),
        "The parts in order with a space between, leaving out empty ones and nothing else: bytes of a legacy encoding "
        "may look like spaces, so cleaning comes after. Null when no part has anything.",
        (
            (("Ada", "Maria", "Smith"), "Ada Maria Smith"),
            (("Ada", None, "Smith"), "Ada Smith"),
            (("Ada", " ", "Smith"), "Ada Smith"),
            (("Ada", "\u00a0", "Ågren"), "Ada Ågren"),
            ((None, ""), None),
        ),
        variadic=True,
        gathers=True,
    ),
    Function(
        "digits",
        parameters("x"),
        "The ASCII digits of a text, in order. Null when there are none.",
        ((("09-12 a3",), "09123"), (("abc",), None), ((None,), None)),
        idempotent=True,
        storable=True,
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
        pattern=r"\d{@2}",
        storable=True,
    ),
    Function("upper", parameters("x"), "Upper case.", ((("åre",), "ÅRE"), ((None,), None)), idempotent=True),
    Function("lower", parameters("x"), "Lower case.", ((("ÅRE",), "åre"), ((None,), None)), idempotent=True),
    Function(
        "length",
        parameters("x"),
        "Number of characters (code points).",
        ((("Née",), 3), (("",), 0), ((None,), None)),
    ),
    Function(
        "no_longer_than",
        parameters("x, characters="),
        "Whether a text has at most so many characters.",
        ((("ab", 2), True), (("éé", 2), True), (("abc", 2), False), (("", 1), True), ((None, 2), None)),
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
            (("\u20ac" * 334,), False),
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
        gathers=True,
    ),
    Function(
        "number",
        parameters("x"),
        "The number that a text writes (decimal point), null where it writes none.",
        ((("12",), 12.0), ((" 7.5 ",), 7.5), (("12a",), None), (("nan",), None), ((None,), None)),
    ),
    Function(
        "last_word",
        parameters("x"),
        "The last word of a text.",
        ((("ada maria an",), "an"), (("an",), "an"), ((None,), None)),
        idempotent=True,
    ),
    Function(
        "sorted_words",
        parameters("x"),
        "The words of a text in alphabetical order: what two names share whose parts stand in another order.",
        ((("maria an ada",), "ada an maria"), (("an",), "an"), ((None,), None)),
        idempotent=True,
    ),
    Function(
        "initials",
        parameters("x"),
        "The first letter of every word of a text.",
        ((("ada maria an",), "ama"), (("an",), "a"), ((None,), None)),
    ),
    Function(
        "spreadsheet_damaged",
        parameters("x"),
        "Whether a text is what a spreadsheet shows in place of a number: its exponent form (1.23E+11, or with a decimal "
        "comma), in which digits are lost for good, an error (#N/A, #REF!) or the signs of a narrow column (####). The "
        "cleaners of numbers give null for all of them.",
        (
            (("1.23E+11",), True),
            (("1,23E+11",), True),
            ((" 7.909e10 ",), True),
            (("1E+11",), True),
            (("#N/A",), True),
            (("#DIV/0!",), True),
            (('="1.23E+11"',), True),
            (("########",), True),
            (("0123456789",), False),
            (("7909000001.0",), False),
            (("AB4010123456",), False),
            (("12E34A",), False),
            (("",), False),
            ((None,), None),
        ),
    ),
)
"""The functions, by name."""
