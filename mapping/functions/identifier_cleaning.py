r"""DuckDB's SQL for the numbers that registers give to people.

What rules ask of plain fields names its argument again and again instead of binding it: a lambda compiles its patterns
anew for every vector.
"""

from __future__ import annotations

import re

from mapping.functions.unknown import is_unknown_name
from motlan.expressions.dialect import Sql, Stage
from motlan.expressions.duckdb.numbers import BARE
from motlan.expressions.duckdb.pieces import chain, let

BIRTH_PROVINCES = (
    "01 02 04 06 08 10 11 12 14 15 17 19 20 22 24 25 26 27 30 31 33 34 35 36 37 38 40 42 44 45 46 48 49 51 52 54 56 "
    "58 60 62 64 66 67 68 70 72 74 75 77 79 80 82 83 84 86 87 89 91 92 93 94 95 96"
)
"""The 63 place codes of personal IDs without their leading zero: `mapping/codes/birth_provinces.csv` has the names."""

_PERSONAL_ID = r"'\d{3}[0-3]\d{8}'"
_IS_PERSONAL_ID = rf"(regexp_full_match(v, {_PERSONAL_ID}) AND NOT starts_with(v, '000'))"
_LOST_ZERO = rf"'({BIRTH_PROVINCES.replace(' ', '|')})[0-3]\d{{8}}'"
_WEIGHTS = (31, 29, 23, 19, 17, 13, 7, 5, 3)
_CHECK = " + ".join(f"{weight} * (ascii(v[{place}]) - 48)" for place, weight in enumerate(_WEIGHTS, 1))


def _when(condition: str, value: str = "v") -> str:
    return f"CASE WHEN {condition} THEN {value} END"


def _of_field(body: str) -> str:
    return re.sub(r"\bv\b", "@1", body)


def _number(form: str, digits: str) -> tuple[Stage, ...]:
    """Return the steps of a number that is never padded."""
    note = (
        "CASE WHEN @1 IS NOT NULL AND NOT regexp_full_match(@1, {0}) THEN length(@1) || ' characters: not ' || {1} END"
    )
    fits = let("@1", _when(f"regexp_full_match(v, {form})"))
    return (*BARE, Stage(f"{digits}, or nothing", fits, note.format(form, f"'{digits}'")))


_ELEVEN = r"regexp_full_match(@1, '\d{11}')"
STAGES = {
    "personal_id": (
        *BARE,
        Stage(
            "twelve digits; eleven with their leading zero put back where its loss is certain; else nothing",
            let(
                "@1",
                rf"CASE WHEN regexp_full_match(v, '\d{{12}}') THEN v"
                rf" WHEN regexp_full_match(v, {_LOST_ZERO}) THEN '0' || v END",
            ),
            rf"CASE WHEN @1 IS NULL OR regexp_full_match(@1, '\d{{12}}') THEN NULL"
            rf" WHEN regexp_full_match(@1, {_LOST_ZERO}) THEN 'a lost zero is certain: 0' || @1[:2] ||"
            " ' is a place of birth registration and ' || @1[3] || ' a century and sex'"
            rf" WHEN {_ELEVEN} AND NOT regexp_full_match(@1[:2], '{BIRTH_PROVINCES.replace(' ', '|')}')"
            " THEN 'a lost zero is not certain: 0' || @1[:2] || ' is no place of birth registration'"
            rf" WHEN {_ELEVEN} THEN 'a lost zero is not certain: ' || @1[3] || ' is no century and sex of 1900 to 2099'"
            " ELSE length(@1) || ' characters: digits are never invented' END",
        ),
    ),
    "old_identity_number": _number(r"'\d{9}'", "9 digits"),
    "tax_code": _number(r"'\d{10}|\d{12}|\d{13}'", "10, 12 or 13 digits"),
    "social_code": _number(r"'\d{10}|\d{12}'", "10 or 12 digits"),
    "health_card": (
        *BARE,
        Stage(
            "upper case; nothing where it only says that nobody knew, or a spreadsheet lost digits",
            let(
                r"regexp_replace(@1, '[\x{201C}\x{201D}\"=]', '', 'g')",
                r"CASE WHEN NOT regexp_full_match(v, '\d+[eE]\+?\d+|#.*')"
                f" AND NOT {is_unknown_name('nfc_normalize(v)')} THEN upper(v) END",
            ),
        ),
    ),
}
"""Cleaner -> its steps."""

_DIGITS = r"regexp_full_match(@1, '\d+')"
_PLAIN = {
    "personal_id": r"WHEN regexp_full_match(@1, '\d{12}') THEN @1 WHEN regexp_full_match(@1, '\d{1,10}') THEN NULL",
    "old_identity_number": rf"WHEN regexp_full_match(@1, '\d{{9}}') THEN @1 WHEN {_DIGITS} THEN NULL",
    "tax_code": rf"WHEN regexp_full_match(@1, '\d{{10}}|\d{{12}}|\d{{13}}') THEN @1 WHEN {_DIGITS} THEN NULL",
    "social_code": rf"WHEN regexp_full_match(@1, '\d{{10}}|\d{{12}}') THEN @1 WHEN {_DIGITS} THEN NULL",
    "health_card": r"WHEN regexp_full_match(@1, '[A-Z]{2}\d+') THEN @1",
}
"""Cleaner -> what is settled at a glance, before any step: nearly every value is written as it should be."""

TEMPLATES = {
    **{function: f"CASE {_PLAIN[function]} ELSE {chain(stages)} END" for function, stages in STAGES.items()},
    "is_personal_id": _of_field(_IS_PERSONAL_ID),
    "personal_id_year": _of_field(
        _when(
            r"regexp_full_match(v, '\d{12}')",
            "1900 + 100 * ((ascii(v[4]) - 48) // 2) + 10 * (ascii(v[5]) - 48) + (ascii(v[6]) - 48)",
        )
    ),
    "personal_id_sex": _of_field(
        _when(r"regexp_full_match(v, '\d{12}')", "CASE ascii(v[4]) % 2 WHEN 0 THEN 'male' ELSE 'female' END")
    ),
    "is_tax_code": _of_field(
        rf"CASE WHEN v IS NULL THEN NULL WHEN regexp_full_match(v, '\d{{12}}') THEN {_IS_PERSONAL_ID}"
        rf" WHEN regexp_full_match(v, '\d{{10}}|\d{{13}}')"
        rf" THEN 10 - ({_CHECK}) % 11 = ascii(v[10]) - 48 AND v[11:] <> '000' ELSE false END",
    ),
    "is_health_card": r"regexp_full_match(@1, '[A-Z]{2}[1-5]\d{2}\d{10}')",
}
"""Functions on numbers -> SQL."""

IDENTIFIERS = Sql(templates=TEMPLATES, stages=STAGES)
"""The SQL of functions on numbers of people."""
