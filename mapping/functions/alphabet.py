"""The Vietnamese alphabet and its syllables, as facts that repairs and checks of names rest on."""

from __future__ import annotations

import unicodedata

TONE_MARKS = "\u0300\u0301\u0309\u0303\u0323"
"""Combining huyền, sắc, hỏi, ngã, nặng."""

VOWELS = {
    vowel: (vowel, *(unicodedata.normalize("NFC", vowel + mark) for mark in TONE_MARKS)) for vowel in "aăâeêioôơuưy"
}
"""Vowel -> itself without a tone, then with each of TONE_MARKS."""

_LOWER = "".join("".join(forms) for forms in VOWELS.values()) + "đ"
_SPECIAL = "".join(char for char in _LOWER if not char.isascii())

_MINORITY = "ĕĭŏŭčñƀ"
_SPECIAL += _MINORITY

CAPITALS, SMALL = "A-Z" + _SPECIAL.upper(), "a-z" + _SPECIAL
LETTERS = CAPITALS + SMALL
"""Insides of character classes: letters of names in Vietnam, those of minority spellings (f, j, w, z, ĕ, ñ) included."""

_INITIAL = "ngh|ng|nh|gh|gi|kh|ph|th|tr|ch|qu|[bcdđghklmnpqrstvx]"


def _nucleus(text: str) -> str:
    """Make a regular expression of a vowel group in which a capital is where the tone mark stands."""
    return "".join(f"[{''.join(VOWELS[char.lower()])}]" if char.isupper() else char for char in text)


def _group(words: str) -> str:
    return "|".join(_nucleus(word) for word in words.split())


# Vowel groups by the consonants that may close them: any, or the soft and the hard ones of their own.
_OPEN = _group(
    "A E Ê I O Ô Ơ U Ư Y Ia iA Ua Ưa Ya Ai Ao Au Ay Âu Ây Eo Êu Iu iÊu yÊu Oi Ôi Ơi Ui uÔi Ưi ưƠi Ưu ưƠu Oa oA Oe oE uÊ "
    "uƠ Uy uY uYa oAi oAy oAo oEo uÂy uYu"
)
_DENTAL = _group("A Ă Â E Ê I O Ô Ơ U Ư iA iÊ yÊ uÔ ưƠ oA oĂ oE uÂ uyÊ uÊ uY uA")
_PALATAL = _group("A Ê I oA uÊ uY uA iA")
_VELAR = _group("A Ă Â E O Ô U Ư iA iÊ yÊ uÔ ưƠ oA oĂ uÂ uA Oo")
_SYLLABLE = f"(?:{_INITIAL})?(?:(?:{_DENTAL})[nmtp]|(?:{_PALATAL})[nc]h|(?:{_VELAR})(?:ng|c)|(?:{_OPEN}))"

SYLLABLES = f"(?i) *(?:{_SYLLABLE}(?: +|$))+"
"""Regular expression of a whole text of words that Vietnamese spelling allows, tone marks placed either way."""
