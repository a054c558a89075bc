"""Pieces of Spark SQL for what DuckDB has built in, and Spark has not or has otherwise.

Spark has no Unicode normalisation in SQL. NFC is done here, exactly for Latin letters and marks of U+0300 to U+036F in whatever
order. What other scripts write apart (Greek and Cyrillic letters with marks, Hangul in Jamo, Indic and kana signs,
compatibility ideographs) stays as it was written, where DuckDB composes it.
"""

from __future__ import annotations

import unicodedata


def text(value: str) -> str:
    """Return a text literal. `${` is written otherwise, for Spark puts variables even into literals."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'").replace("${", "$\\u007b")
    return f"'{escaped}'"


def let(value: str, body: str, name: str) -> str:
    """Return SQL that computes `value` once and puts it into `body` by a name.

    `get` and not `[0]`: Spark's analyser resolves a function in the round that resolves what is in it, a bracket in the next.
    """
    return f"get(transform(array({value}), {name} -> {body}), 0)"


def found(x: str, java: str) -> str:
    """Return SQL that asks whether a text has what a Java pattern describes."""
    return f"({x} RLIKE {text(java)})"


def bytes_of(x: str) -> str:
    """Return SQL of a text with a character for each byte of UTF-8: DuckDB compares bytes."""
    return f"decode(encode({x}, 'UTF-8'), 'ISO-8859-1')"


def _ranges(chars: str) -> str:
    """Return, for a pattern's brackets, a few ranges that hold some characters, and some between: Java asks each in turn."""
    ranges: list[list[int]] = []
    for code in sorted(map(ord, chars)):
        if ranges and code - ranges[-1][1] <= _GAP:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return "".join(f"\\x{{{first:X}}}-\\x{{{last:X}}}" for first, last in ranges)


_GAP = 24


# --- Unicode NFC and NFD of Latin -----------------------------------------------------------------------------------
_CHARS = [chr(n) for n in range(0x80, 0x3000)]
_MARKS = "".join(chr(n) for n in range(0x300, 0x370) if unicodedata.combining(chr(n)))
_CLASSES = "".join(chr(0x3000 + unicodedata.combining(mark)) for mark in _MARKS)  # sort as combining classes do
_MARK = r"[\x{300}-\x{34E}\x{350}-\x{36F}]"
_NOT_MARK = _MARK.replace("[", "[^")
_APART = {char: unicodedata.normalize("NFD", char) for char in _CHARS}
_ONE_FOR_ONE = [
    c for c in _CHARS if len(unicodedata.normalize("NFC", c)) == 1 and not unicodedata.is_normalized("NFC", c)
]
_FROM, _TO = "".join(_ONE_FOR_ONE), "".join(unicodedata.normalize("NFC", char) for char in _ONE_FOR_ONE)
_ODD = _ranges(_FROM + _MARKS)
_LATIN = [c for c in _CHARS if unicodedata.name(c, "").startswith("LATIN") and len(_APART[c]) > 1 and c not in _FROM]
_COMPOSED = "".join(_LATIN)
_BASES, _FIRST, _SECOND = ("".join(_APART[char].ljust(3)[place] for char in _LATIN) for place in range(3))
_PAIRS = "".join(
    chr(int(part, 16)) for char in _LATIN for part in [*unicodedata.decomposition(char).split(), f"{ord(char):x}"]
)


def nfc(x: str) -> str:
    """Return SQL of a text in Unicode NFC (UAX #15); see the module's first lines for other scripts than Latin."""
    plain = f"replace(translate(t, {text(_FROM)}, {text(_TO)}), '\u0344', '\u0308\u0301')"
    # A first character that composes with nothing, so that marks at the very beginning have a base as well.
    clusters = f"regexp_extract_all('\u0001' || {plain}, {text(f'{_NOT_MARK}{_MARK}*')}, 0)"
    whole = f"substring(array_join(transform({clusters}, c -> {_composed('c')}), ''), 2)"
    odd = found("t", f"[{_ODD}]")
    return let(x, f"CASE WHEN {odd} THEN {whole} ELSE t END", "t")


def _composed(cluster: str) -> str:
    """Take a base and its marks apart, sort the marks by class, and put each on the base unless one like it is between."""
    base, first, second = (
        f"translate(left({cluster}, 1), {text(_COMPOSED)}, {text(to)})" for to in (_BASES, _FIRST, _SECOND)
    )
    marks = f"regexp_extract_all(concat({first}, {second}, {cluster}), {text(_MARK)}, 0)"
    in_order = f"sort_array(transform({marks}, (m, i) -> named_struct('class', {_class('m')}, 'place', i, 'mark', m)))"
    pair = f"nullif(regexp_extract({text(_PAIRS)}, concat('\\\\Q', left(a, 1), m.mark, '\\\\E(.)'), 1), '')"
    free = f"length(a) = 1 OR {_class('right(a, 1)')} < m.class"
    step = f"CASE WHEN {free} THEN coalesce({pair} || substring(a, 2), a || m.mark) ELSE a || m.mark END"
    return f"aggregate({in_order}, {base}, (a, m) -> {step})"


def _class(mark: str) -> str:
    return f"translate({mark}, {text(_MARKS)}, {text(_CLASSES)})"


def without_marks(x: str) -> str:
    """Return SQL of a text whose Latin letters have lost their marks; one with a stroke is a letter of its own."""
    bare = f"translate(translate({x}, {text(_FROM)}, {text(_TO)}), {text(_COMPOSED)}, {text(_BASES)})"
    return f"regexp_replace({bare}, {text(chr(92) + 'p{M}')}, '')"


# --- case, letter by letter -----------------------------------------------------------------------------------------
_GROWING = "".join(char for char in map(chr, range(0x80, 0x10000)) if len(char.upper()) > 1)
_CAPITALS = "".join("ẞ" if char == "ß" else char.title() if len(char.title()) == 1 else char for char in _GROWING)


def upper(x: str) -> str:
    """Return SQL of a text in upper case, each character on its own: Spark's own makes two of some."""
    each = f"CASE WHEN {found('c', f'[{_GROWING}]')} THEN translate(c, {text(_GROWING)}, {text(_CAPITALS)}) ELSE upper(c) END"
    return _letter_by_letter(x, f"[{_ranges(_GROWING)}]", each, "upper(t)")


def lower(x: str) -> str:
    """Return SQL of a text in lower case, each character on its own: Spark's own looks at a sigma's neighbours."""
    return _letter_by_letter(x, "[İΣ]", "CASE WHEN c = 'İ' THEN 'i' ELSE lower(c) END", "lower(t)")


def _letter_by_letter(x: str, odd: str, each: str, whole: str) -> str:
    slow = f"array_join(transform(split(t, ''), c -> {each}), '')"
    return let(x, f"CASE WHEN {found('t', odd)} THEN {slow} ELSE {whole} END", "t")


def trim(x: str) -> str:
    """Return SQL of a text without the spaces of any width at its ends."""
    return f"regexp_replace({x}, {text(chr(92) + 'A' + chr(92) + 'p{Zs}+|' + chr(92) + 'p{Zs}+' + chr(92) + 'z')}, '')"


# --- casts that are as strict as DuckDB's ---------------------------------------------------------------------------
_NUMBER = r"\A\s*[+-]?(\d+(_\d+)*\.?(\d+(_\d+)*)?|\.\d+(_\d+)*)([eE][+-]?\d+(_\d+)*)?\s*\z"
_DAY = r"\A\s*(\d{1,6})([-/ \\])(\d{1,2})\2(\d{1,2})\s*\z"
_ZEROS = r"\A0+(\d{4,}-)"
"""What stands too much before a year that was given three zeros."""


def number(x: str) -> str:
    """Return SQL of the number that a text writes; Spark's own cast takes `12d` for one."""
    return let(x, f"CASE WHEN {found('t', _NUMBER)} THEN try_cast(replace(t, '_', '') AS DOUBLE) END", "t")


def date(x: str) -> str:
    """Return SQL of the date that a text writes whole; Spark's own cast takes `1990-02` for a day, and no year below 1000."""
    padded = f"regexp_replace(t, {text(_DAY)}, '000$1-$3-$4')"
    parts = f"regexp_replace({padded}, {text(_ZEROS)}, '$1')"
    return let(x, f"CASE WHEN {found('t', _DAY)} THEN try_cast({parts} AS DATE) END", "t")
