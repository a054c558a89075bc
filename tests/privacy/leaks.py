"""Finds known personal values in any text, also where something escaped, quoted or folded them on the way."""

import re
import traceback
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import unquote

_ESCAPED_BYTES = re.compile(r"(?:\\+x[0-9a-f]{2})+", re.IGNORECASE)
_ESCAPED_LETTER = re.compile(r"\\+u([0-9a-f]{4})", re.IGNORECASE)


def fold(text: str) -> str:
    """Undo escapes, and leave letters without case and marks, digits, and one space for all else."""
    text = _ESCAPED_BYTES.sub(_unescaped, text)
    text = _ESCAPED_LETTER.sub(lambda found: chr(int(found[1], 16)), unquote(text))
    plain = "".join(letter for letter in unicodedata.normalize("NFD", text) if not unicodedata.combining(letter))
    return re.sub(r"[\W_]+", " ", plain.casefold().replace("đ", "d"))


def _unescaped(found: re.Match[str]) -> str:
    raw = bytes.fromhex(re.sub(r"\\+x", "", found[0]))
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")  # Python's ascii() writes letters below U+0100 so


class Known:
    """Names and numbers of people who are in a run."""

    def __init__(self, values: Iterable[str]) -> None:
        self.values = {fold(value) for value in values}

    def __len__(self) -> int:
        return len(self.values)

    def leaked(self, *texts: str) -> list[str]:
        """Return those that stand in the texts."""
        folded = fold("\n".join(texts))
        return [value for value in self.values if value in folded]


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """Give an error and all that is told with it."""
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def shown(error: BaseException) -> str:
    """Return all that a logger, a screen or a debugger's report could tell of an error: text, arguments, chain, notes."""
    told: list[Any] = ["".join(traceback.format_exception(error))]
    for each in chain(error):
        told += [str(each), repr(each), repr(each.args), repr(getattr(each, "__dict__", None))]
        told += [
            repr(getattr(each, name)) for name in ("doc", "object", "orig", "params", "diag") if hasattr(each, name)
        ]
    return "\n".join(map(str, told))
