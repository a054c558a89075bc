"""DuckDB's SQL for what keyboards, spreadsheets and programs leave on any value: wide digits, formulas, words for "unknown".

A word for "unknown" is known in any case and without marks, but a letter with another mark is another word: `khổng` is a
family name, `không` says no.
"""

from __future__ import annotations

import unicodedata

from motlan.expressions.duckdb.text import let, text

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


def _phrase(words: str) -> str:
    """Return a pattern of words in lower case, each letter with or without its marks, unless a `!` stands before them.

    Without marks some would be names: An Danh, Võ Danh.
    """
    bare = {letter: unicodedata.normalize("NFD", letter)[0].replace("đ", "d") for letter in words}
    bare = bare if not words.startswith("!") else {letter: letter for letter in words}
    words = words.removeprefix("!")
    letters = (f"[{bare[letter]}{letter}]" if bare[letter] != letter else letter for letter in words)
    return "".join("[ _.-]?" if letter == " " else letter for letter in letters)


def _any(phrases: str) -> str:
    return "|".join(_phrase(" ".join(words.split())) for words in phrases.split(","))


_UNKNOWN = _any(
    "null, nil, nan, none, undefined, unknown, missing, n/a, not available, not applicable, not known, no data, "
    "không, chưa, không rõ, không biết, không có, không xác định, không có thông tin, không có dữ liệu, không có số liệu, "
    "chưa rõ, chưa biết, chưa có, chưa xác định, chưa có thông tin, chưa có dữ liệu, chưa cập nhật, đang cập nhật, chưa nhập"
)
_NAMELESS = _any(
    "không tên, không có tên, không rõ tên, không rõ họ tên, không rõ tên tuổi, không biết tên, chưa có tên, "
    "chưa có họ tên, chưa rõ tên, chưa biết tên, chưa đặt tên, chưa khai sinh, !vô danh, người vô danh, !ẩn danh, !bỏ trống, "
    "no name, anonymous, họ và tên, họ tên, test, unk"
)
_ERROR = r"#(?:n/a|null!|value!|ref!|name\?|div/0!|num!|spill!|calc!)|\\n"
_AROUND = r"[^\p{L}\p{N}#\\]*"
_WORDLESS = r"[^\p{L}\p{N}]*"
UNKNOWN_NAME = f"{_UNKNOWN}|{_NAMELESS}|x+"
"""Pattern, of a text in lower case, of what stands for a name that nobody knew."""


def is_unknown(x: str) -> str:
    """Return SQL that asks whether a text (NFC) only says that nobody knew, or is no word at all."""
    return f"regexp_full_match(lower({x}), {text(f'{_AROUND}(?:{_UNKNOWN}|{_ERROR}){_AROUND}|{_WORDLESS}')})"


def is_unknown_name(x: str) -> str:
    """Return SQL that asks the same of a name."""
    words = f"{_AROUND}(?:{UNKNOWN_NAME}|{_ERROR}){_AROUND}|{_WORDLESS}|0+"
    return f"regexp_full_match(lower({x}), {text(words)})"
