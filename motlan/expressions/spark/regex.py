"""RE2 patterns, which expressions are written in, as Java patterns of the same meaning.

Java's engine backtracks where RE2 takes linear time: a pattern that is slow there is slow, never wrong. One thing is
left: under `(?i)` Java also takes the Turkish İ and ı for an i.
"""

from __future__ import annotations

import re

_SPACE = r"\t\n\f\r "
_WORD = "[0-9A-Za-z_]"
_BOUNDARY = f"(?:(?<!{_WORD})(?={_WORD})|(?<={_WORD})(?!{_WORD}))"
_INSIDE = f"(?:(?<={_WORD})(?={_WORD})|(?<!{_WORD})(?!{_WORD}))"
_OUTSIDE_CLASS = {r"\s": f"[{_SPACE}]", r"\S": f"[^{_SPACE}]", r"\b": _BOUNDARY, r"\B": _INSIDE, "$": r"\z"}
_INSIDE_CLASS = {r"\s": _SPACE, r"\S": f"[^{_SPACE}]", "[": r"\[", "&": r"\&"}
_PIECE = re.compile(
    r"\\x\{[0-9A-Fa-f]+\}|\\[pP]\{\^?\w+\}|\\.|\[:\^?\w+:\]|\[\^?\]?|\(\?P<|\(\?[a-zA-Z]+[:)]|.", re.DOTALL
)
_POSIX = {"word": r"w", "xdigit": "p{XDigit}"}


def java_pattern(pattern: str) -> str:
    r"""Return a Java pattern that finds what RE2's finds.

    `\s`, `\b` and `.` mean ASCII spaces, ASCII words and all but a line feed, `$` the very end, `(?i)` every script.
    """
    made, in_class = [], False
    for piece in _PIECE.findall(pattern):
        if in_class:
            made.append(_in_class(piece))
            in_class = piece != "]"
        elif piece.startswith("["):
            in_class = True
            made.append(piece.replace("]", r"\]"))
        else:
            made.append(_outside(piece))
    return "(?d)" + "".join(made)


def full_match(pattern: str) -> str:
    """Return a Java pattern that finds a whole text which RE2's pattern matches."""
    return rf"\A(?:{java_pattern(pattern)})\z"


def java_replacement(replacement: str) -> str:
    r"""Return a replacement as Java writes it: `$1` for `\1`, and a `$` of its own escaped."""
    return re.sub(r"\\(\d)", r"$\1", replacement.replace("$", r"\$"))


def _outside(piece: str) -> str:
    if piece == "(?P<":
        return "(?<"
    if re.fullmatch(r"\(\?[a-z]*i[a-z]*[:)]", piece):
        return piece.replace("i", "iu")
    return _OUTSIDE_CLASS.get(piece) or _property(piece)


def _in_class(piece: str) -> str:
    if named := re.fullmatch(r"\[:(\^?)(\w+):\]", piece):
        name = _POSIX.get(named[2], f"p{{{named[2].title()}}}")
        return f"\\{name[0].upper() if named[1] else name[0]}{name[1:]}"
    if piece.startswith("[") and len(piece) > 1:  # such as `[^`, plain characters here
        return "".join(_INSIDE_CLASS.get(char, char) for char in piece)
    return _INSIDE_CLASS.get(piece) or _property(piece)


def _property(piece: str) -> str:
    r"""Name a script as Java does: `\p{IsGreek}`; categories have the names that they have in RE2."""
    named = re.fullmatch(r"\\([pP])\{(\^?)(\w{3,})\}", piece)
    return rf"\{named[1]}{{Is{named[3]}}}" if named else piece
