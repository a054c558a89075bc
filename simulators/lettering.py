"""How old software wrote Vietnamese letters: one table per way of writing, letter to characters.

TCVN3 (TCVN 5712:1993, the "ABC" fonts) and VNI are 8-bit font encodings: what a modern program shows for them is each
byte as its cp1252 character. TCVN3 has no capitals with a tone: the fonts reuse the small letter's code, so decoding
gives the name back up to letter case. VIQR (RFC 1456) is plain ASCII. `mojibake` is UTF-8 read as cp1252.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

TONES = "\u0300\u0309\u0303\u0301\u0323"
"""Combining grave, hook, tilde, acute, dot below: the order of every row of the tables."""

_ROWS = {
    "a": "àảãáạ", "ă": "ằẳẵắặ", "â": "ầẩẫấậ", "e": "èẻẽéẹ", "ê": "ềểễếệ", "i": "ìỉĩíị",
    "o": "òỏõóọ", "ô": "ồổỗốộ", "ơ": "ờởỡớợ", "u": "ùủũúụ", "ư": "ừửữứự", "y": "ỳỷỹýỵ",
}  # fmt: skip

_TCVN3_BARE = {
    "ă": 0xA8, "â": 0xA9, "ê": 0xAA, "ô": 0xAB, "ơ": 0xAC, "ư": 0xAD, "đ": 0xAE,
    "Ă": 0xA1, "Â": 0xA2, "Ê": 0xA3, "Ô": 0xA4, "Ơ": 0xA5, "Ư": 0xA6, "Đ": 0xA7,
}  # fmt: skip
_TCVN3_TONED = {
    "a": "B5B6B7B8B9", "ă": "BBBCBDBEC6", "â": "C7C8C9CACB", "e": "CCCECFD0D1", "ê": "D2D3D4D5D6", "i": "D7D8DCDDDE",
    "o": "DFE1E2E3E4", "ô": "E5E6E7E8E9", "ơ": "EAEBECEDEE", "u": "EFF1F2F3F4", "ư": "F5F6F7F8F9", "y": "FAFBFCFDFE",
}  # fmt: skip

_VNI_BARE = {"ă": "aê", "â": "aâ", "ê": "eâ", "ô": "oâ", "ơ": "ô", "ư": "ö", "đ": "ñ"}
_VNI_TONED = {"": "øûõùï", "ă": "èúüéë", "â": "àåãáä", "i": "ìæóíò"}

_VIQR_BARE = {"ă": "a(", "â": "a^", "ê": "e^", "ô": "o^", "ơ": "o+", "ư": "u+", "đ": "dd"}
_VIQR_TONES = "`?~'."


def _tcvn3() -> dict[str, str]:
    table = {letter: chr(code) for letter, code in _TCVN3_BARE.items()}
    for base, letters in _ROWS.items():
        for letter, code in zip(letters, bytes.fromhex(_TCVN3_TONED[base]), strict=True):
            table[letter] = table[letter.upper()] = chr(code)
    return table


def _vni() -> dict[str, str]:
    table = dict(_VNI_BARE)
    for base, letters in _ROWS.items():
        for place, letter in enumerate(letters):
            if base == "i":
                table[letter] = _VNI_TONED["i"][place]
            elif letter == "ỵ":
                table[letter] = "î"
            elif base in "ăâêô":
                row = _VNI_TONED["ă" if base == "ă" else "â"]
                table[letter] = _VNI_BARE[base][0] + row[place]
            else:
                table[letter] = _VNI_BARE.get(base, base) + _VNI_TONED[""][place]
    return _with_capitals(table, str.upper)


def _viqr() -> dict[str, str]:
    table = dict(_VIQR_BARE)
    for base, letters in _ROWS.items():
        for letter, tone in zip(letters, _VIQR_TONES, strict=True):
            table[letter] = _VIQR_BARE.get(base, base) + tone
    return _with_capitals(table, str.upper)


def _with_capitals(table: dict[str, str], upper: Callable[[str], str]) -> dict[str, str]:
    return table | {letter.upper(): upper(text) for letter, text in table.items()}


def _misread(letter: str) -> str:
    """Read the UTF-8 bytes of a letter as cp1252; its five holes become the C1 controls of the same number."""
    return "".join(bytes([b]).decode("cp1252", "ignore") or chr(b) for b in letter.encode())


def _plain(letter: str) -> str:
    return unicodedata.normalize("NFD", letter)[0].replace("đ", "d").replace("Đ", "D")


def letters() -> list[str]:
    """Every Vietnamese letter that is not ASCII, small and capital."""
    small = list("ăâêôơưđ") + [c for row in _ROWS.values() for c in row]
    return small + [c.upper() for c in small]


_EXTRA = "ŏŭĕñŎŬĔ"
"""Letters of minority names that have no code in the old fonts."""

TABLES: dict[str, dict[str, str]] = {
    "name_tcvn3": _tcvn3(),
    "name_vni": _vni(),
    "name_viqr": _viqr(),
    "name_mojibake": {c: _misread(c) for c in [*letters(), *_EXTRA]},
    "name_nfd": {c: unicodedata.normalize("NFD", c) for c in [*letters(), *_EXTRA] if c not in "đĐ"},
    "name_no_diacritics": {c: _plain(c) for c in [*letters(), *_EXTRA]},
}
"""Damage kind to (letter to the characters it becomes). Letters not listed stay."""

NEW_TONE: dict[str, str] = {
    old + bare: first + new
    for first, marked, bare, second in (
        ("o", "òỏõóọ", "a", "àảãáạ"),
        ("o", "òỏõóọ", "e", "èẻẽéẹ"),
        ("u", "ùủũúụ", "y", "ỳỷỹýỵ"),
    )
    for old, new in zip(marked, second, strict=True)
}
"""End of an open syllable in the traditional placement, to the new one: `òa` to `oà`, `úy` to `uý`."""
