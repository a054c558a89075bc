"""DuckDB's SQL for what keyboards, spreadsheets and programs leave on any value: wide digits, formulas, words for "unknown".

A word for "unknown" is known in any case and without marks, but a letter with another mark is another word.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from types import MappingProxyType

from motlan.expressions.dialect import Sql, Stage
from motlan.expressions.duckdb.pieces import CLEAN, chain, let, text

_ZEROS = (0x660, 0x6F0, 0xE50, 0xED0, 0x17E0, 0xFF10)
_WIDE = {chr(0xFEE0 + code): chr(code) for code in range(0x21, 0x7F)}
_DIGITS = {chr(zero + digit): str(digit) for zero in _ZEROS for digit in range(10)}
_NARROW = _WIDE | _DIGITS
WIDE = r"\x{FF01}-\x{FF5E}\x{660}-\x{669}\x{6F0}-\x{6F9}\x{E50}-\x{E59}\x{ED0}-\x{ED9}\x{17E0}-\x{17E9}"
"""Inside of a character class: what `narrow` makes ASCII."""


def narrow(x: str) -> str:
    """Return SQL of the text with ASCII for full-width letters, signs and digits, and for Arabic, Thai, Lao and Khmer digits."""
    made = f"translate(n, {text(''.join(_NARROW))}, {text(''.join(_NARROW.values()))})"
    return let(x, f"CASE WHEN regexp_matches(n, '[{WIDE}]') THEN {made} ELSE n END", "n")


def unwrapped(x: str) -> str:
    """Return SQL of a text without the formula that keeps a spreadsheet from reading it: `="001"`."""
    return rf"""regexp_replace({x}, '^[\s\p{{Z}}"]*=[\s\p{{Z}}]*"+([^"]*)"+[\s\p{{Z}}]*$', '\1', 'g')"""


def _phrase(words: str, bare: Mapping[str, str]) -> str:
    """Return a pattern of words in lower case, each letter with or without its marks, unless a `!` stands before them.

    Without marks some would be names.
    """
    alone = {**{letter: unicodedata.normalize("NFD", letter)[0] for letter in words}, **bare}
    alone = alone if not words.startswith("!") else {letter: letter for letter in words}
    words = words.removeprefix("!")
    letters = (f"[{alone[letter]}{letter}]" if alone[letter] != letter else letter for letter in words)
    return "".join("[ _.-]?" if letter == " " else letter for letter in letters)


def phrases(listed: str, bare: Mapping[str, str] = MappingProxyType({})) -> str:
    """Return a pattern, of a text in lower case, of phrases.

    Args:
        listed: The phrases, commas between; a `!` stands before one whose letters must have their marks.
        bare: Letter that has no form without marks in Unicode -> what stands for it where marks are left out.
    """
    return "|".join(_phrase(" ".join(words.split()), bare) for words in listed.split(","))


UNKNOWN = phrases(
    "null, nil, nan, none, undefined, unknown, missing, n/a, not available, not applicable, not known, no data"
)
"""Pattern, of a text in lower case, of the English words and those of programs for what nobody knew."""
ERROR = r"#(?:n/a|null!|value!|ref!|name\?|div/0!|num!|spill!|calc!)|\\n"
"""Pattern of a spreadsheet's errors, and of a database's mark of a null."""
AROUND = r"[^\p{L}\p{N}#\\]*"
WORDLESS = r"[^\p{L}\p{N}]*"
"""Pattern of what has no letter and no digit; `AROUND` may stand on both sides of a word for unknown."""


def is_unknown(x: str, unknown: str = UNKNOWN) -> str:
    """Return SQL that asks whether a text (NFC) only says that nobody knew, or is no word at all."""
    return f"regexp_full_match(lower({x}), {text(f'{AROUND}(?:{unknown}|{ERROR}){AROUND}|{WORDLESS}')})"


# What is plain and has a digit in its first word, behind letters alone, says something.
_SAYS = r"regexp_full_match(@1, '([A-Za-z][A-Za-z.-]*)?[0-9][!-~]*( [!-~]+)*')"


def plain_text(unknown: str = UNKNOWN) -> Sql:
    """Return the SQL of `text`.

    Args:
        unknown: Pattern, of a text in lower case, of what stands for a value that nobody knew.
    """
    stages = (
        CLEAN[0],
        Stage("a spreadsheet's formula around it dropped", unwrapped("@1")),
        *CLEAN[1:],
        Stage(
            "nothing where it only says that nobody knew",
            let("@1", f"CASE WHEN NOT {is_unknown('v', unknown)} THEN v END"),
        ),
    )
    return Sql(templates={"text": f"CASE WHEN {_SAYS} THEN @1 ELSE {chain(stages)} END"}, stages={"text": stages})
