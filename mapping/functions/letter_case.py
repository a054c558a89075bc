"""DuckDB's SQL for names in impossible case: what functions leave that know the case of ASCII letters alone.

`NguyỄn ThỊ HÀ` was in capitals, `đặng Hồng An` in small letters, `đặNg` went through a pattern whose words are ASCII. A
name is mended where every word is one that Vietnamese spelling allows, or where its case is one that such functions leave
and people do not write. McDonald, de la Cruz, H'Hen and Nguyễn Văn An II stay as they are.
"""

from __future__ import annotations

from mapping.functions.alphabet import CAPITALS, SMALL, SYLLABLES
from motlan.expressions.duckdb.pieces import text

_UPPER = CAPITALS.removeprefix("A-Z") + "À-ÖØ-Þ"
_LOWER = SMALL.removeprefix("a-z") + "ß-öø-ÿ"
_SMALL_WORDS = "de|la|le|du|da|do|di|dos|das|den|der|van|von|bin|al|el|y|e|i"
_WITH_SMALL_WORDS = (
    f"[A-Z{_UPPER}][a-z{_LOWER}]*(?:[ -](?:{_SMALL_WORDS}|[A-Z{_UPPER}][a-z{_LOWER}]*))* [A-Z{_UPPER}][a-z{_LOWER}]*"
)
_PREFIXES = "Mc|Mac|Fitz|De|Di|Du|La|Le|Van|Von"  # McÉwan


def _words(x: str, word: str, parted: str = "[^ ''-]+|[ ''-]+") -> str:
    return f"array_to_string(list_transform(regexp_extract_all({x}, '{parted}'), lambda w: {word}), '')"


def capitalised(x: str) -> str:
    """Return SQL that gives every word, and every part of one, a capital and small letters."""
    return _words(f"lower({x})", "upper(w[1]) || w[2:]")


SPELT = (
    f"regexp_matches(s, '[{_UPPER}{_LOWER}]') AND NOT regexp_full_match(s, {text(_WITH_SMALL_WORDS)})"
    f" AND regexp_full_match(replace(s, '-', ' '), {text(SYLLABLES)})"
)
"""Asks of `s` whether it is a Vietnamese name, whatever its case."""
_LOWERED = (
    f"regexp_matches(s, '[a-z][{_UPPER}]') AND NOT regexp_matches(s, '[{_LOWER}]|[A-Za-z{_UPPER}][A-Z]')"
    f" AND NOT regexp_matches(s, '\\b(?:{_PREFIXES})[{_UPPER}]')"
)
CERTAIN = f"{SPELT} OR regexp_matches(s, '[^\\x{{00}}-\\x{{FF}}]') AND {_LOWERED}"
"""Asks the same of a name with signs of an old encoding, whose letters are all among the first 256."""
_UNRAISED = f"(?:^| )[{_LOWER}][a-z{_LOWER}]"


def proper_case() -> str:
    """Return SQL, of a name `s`, that gives every word a capital where the case is all one, or no case of a name."""
    word = f"CASE WHEN regexp_matches(w, '^[{_LOWER}][a-z{_LOWER}]') THEN upper(w[1]) || w[2:] ELSE w END"
    raised = _words("s", word, "[^ ]+|[ ]+")
    return (
        f"CASE WHEN s = lower(s) OR NOT regexp_matches(s, '[a-z]') OR {SPELT} OR {_LOWERED} THEN {capitalised('s')}"
        f" WHEN regexp_matches(s, '{_UNRAISED}') AND NOT regexp_matches(s, '[a-z][{_UPPER}]') THEN {raised} ELSE s END"
    )
