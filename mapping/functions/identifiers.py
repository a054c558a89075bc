"""Functions on the numbers that registers give to people.

The cleaners give the number back in one form, or null where the text cannot be one; the `is_` functions tell whether
a number obeys its own rules. A cleaned number that breaks its rules is kept, so that the finding names it.
"""

from __future__ import annotations

from mapping.functions.identifier_cleaning import IDENTIFIERS
from motlan.expressions.functions import Function, Package, catalogue, parameters

FUNCTIONS = catalogue(
    Function(
        "personal_id",
        parameters("x"),
        "The personal ID (số định danh cá nhân, Decree 137/2015 and Circular 59/2021 of the Ministry of Public "
        "Security): twelve digits PPP G YY NNNNNN. Spaces, dots, commas, dashes and apostrophes go, and so does what a "
        'spreadsheet puts around or behind a number (="...", .0); full-width digits and those of other alphabets are digits. '
        "Eleven digits get the leading zero that a spreadsheet took, where one of the 63 birth-province codes and a century "
        "digit of 1900 to 2099 result. Anything else is null, a spreadsheet's exponent form too: digits are never invented.",
        (
            (("001090000001",), "001090000001"),
            ((" 001.090-000 001 ",), "001090000001"),
            (("'001090000001",), "001090000001"),
            (("79090000001",), "079090000001"),
            (("79090000001.0",), "079090000001"),
            (("79090000001,00",), "079090000001"),
            (("79,090,000,001",), "079090000001"),
            (('="001090000001"',), "001090000001"),
            (("\uff10\uff10\uff11\uff10\uff19\uff10\uff10\uff10\uff10\uff10\uff10\uff11",), "001090000001"),
            (("\u0660\u0660\u0661\u0660\u0669\u0660\u0660\u0660\u0660\u0660\u0660\u0661",), "001090000001"),
            (("001090000001.0000",), "001090000001"),
            (("001090000001\x00",), "001090000001"),
            (("12345678.0000",), None),
            (("79090000001.5",), None),
            (("0100109106-01",), None),
            (("0100 109 106 - 01",), None),
            (("00 10 90 00 00 01",), "001090000001"),
            (("1.23E+11",), None),
            (("1,23E+11",), None),
            (('="1.23E+11"',), None),
            (("7.909E+10",), None),
            (("7.90900000010E+10",), None),
            (("03090000001",), None),
            (("79990000001",), None),
            (("123456789",), None),
            (("00109000000A",), None),
            (("",), None),
            ((None,), None),
        ),
        idempotent=True,
        pattern=r"\d{12}",
        storable=True,
    ),
    Function(
        "old_identity_number",
        parameters("x"),
        "The number of the old identity card (CMND, Decree 05/1999): nine digits. It is never padded, for eight "
        "digits may have lost any of them; one person may have had several, and one number several people.",
        (
            (("012 345 678",), "012345678"),
            (('="012345678"',), "012345678"),
            (("012345678.000",), "012345678"),
            (("0123 4567 8",), "012345678"),
            (("12345678",), None),
            (("1.23E+8",), None),
            (("001090000001",), None),
            ((None,), None),
        ),
        idempotent=True,
        pattern=r"\d{9}",
        storable=True,
    ),
    Function(
        "is_personal_id",
        parameters("x"),
        "Whether a text is twelve digits with a place code that is not 000 and a century digit of 1900 to 2099. "
        "The number has no check digit.",
        (
            (("001090000001",), True),
            (("000090000001",), False),
            (("001490000001",), False),
            (("00109000000",), False),
            ((None,), None),
        ),
    ),
    Function(
        "personal_id_year",
        parameters("x"),
        "The birth year inside a personal ID: 1900 + 100 x (G div 2) + YY.",
        ((("001090000001",), 1990), (("001305000001",), 2005), (("123",), None), ((None,), None)),
    ),
    Function(
        "personal_id_sex",
        parameters("x"),
        "The sex inside a personal ID: G even is male, odd is female.",
        ((("001090000001",), "male"), (("001305000001",), "female"), (("123",), None), ((None,), None)),
    ),
    Function(
        "tax_code",
        parameters("x"),
        "The code of a taxpayer (mã số thuế, Circular 86/2024): 10 digits, 13 with a branch, or since July 2025 the 12 of a "
        "personal ID. Separators go. A branch of fewer than three digits is cut short: which branch it was, nobody can know.",
        (
            (("0100109106",), "0100109106"),
            (("0100109106-001",), "0100109106001"),
            (("0100109106 001",), "0100109106001"),
            (("0100109106-01",), None),
            (("0100109106-1",), None),
            (("0100 109 106.01",), None),
            (('="0100109106"',), "0100109106"),
            (("001090000001",), "001090000001"),
            (("010010910",), None),
            (("010010910.0",), None),
            (("0100109106.00",), "0100109106"),
            (("1.00109E+9",), None),
            (("No. 0100109106",), None),
            ((None,), None),
        ),
        idempotent=True,
        pattern=r"(\d{10}|\d{12}|\d{13})",
        storable=True,
    ),
    Function(
        "is_tax_code",
        parameters("x"),
        "Whether a taxpayer's code obeys its rules: of 10 digits the last is 10 - (weighted sum of the first nine mod 11), "
        "weights 31 29 23 19 17 13 7 5 3, a result of 10 being never given; a branch is not 000; of 12 digits it is a "
        "personal ID.",
        (
            (("0100109106",), True),
            (("0100109107",), False),
            (("0100109106001",), True),
            (("0100109106000",), False),
            (("001090000001",), True),
            (("000000000000",), False),
            (("abc",), False),
            ((None,), None),
        ),
    ),
    Function(
        "social_code",
        parameters("x"),
        "The social-security code (mã số bảo hiểm xã hội, Decision 595 of 2017): 10 digits, or the 12 of a personal ID.",
        (
            (("0123456789",), "0123456789"),
            (("0123 4567 89",), "0123456789"),
            (("001090000001",), "001090000001"),
            (('="0123456789"',), "0123456789"),
            (("0123456789-01",), None),
            (("123456789",), None),
            (("1.23456789E+9",), None),
            ((None,), None),
        ),
        idempotent=True,
        pattern=r"(\d{10}|\d{12})",
        storable=True,
    ),
    Function(
        "health_card",
        parameters("x"),
        "The health-card number without separators, in upper case (Decision 1351 of 2015: object, benefit "
        "level, province, social-security code). Null when nothing is left, it only says that nobody knew (NULL, không có), "
        "or a spreadsheet lost digits.",
        (
            (("gd 4 01 0123456789",), "GD4010123456789"),
            (("GD-4-01-0123456789",), "GD4010123456789"),
            (('="GD4010123456789"',), "GD4010123456789"),
            (("\uff27\uff244010123456789",), "GD4010123456789"),
            (("NULL",), None),
            (("không có",), None),
            (("4.01E+12",), None),
            (("#N/A",), None),
            ((" ",), None),
            ((None,), None),
        ),
        idempotent=True,
        pattern=r"[A-Z]{2}[1-5]\d{12}",
    ),
    Function(
        "is_health_card",
        parameters("x"),
        "Whether a text is two letters, a benefit level of 1 to 5, two digits and ten digits.",
        (
            (("GD4010123456789",), True),
            (("GD6010123456789",), False),
            (("GD401012345678",), False),
            ((None,), None),
        ),
    ),
)
"""The functions, by name."""

PACKAGE = Package(
    name="mapping/functions/identifiers.py",
    functions=FUNCTIONS,
    duckdb=IDENTIFIERS,
)
"""Functions on identifiers."""
