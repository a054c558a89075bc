"""What a database engine must offer so that expressions compile to it.

A dialect turns checked pieces (names, literals, calls of catalogue functions) into SQL text. It never sees a row.
DuckDB is the first; Spark follows the same base. The catalogue's examples are the test that two dialects agree.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

Scalar = str | int | float | bool | None
"""A value that an expression may write out."""

_SLOT = re.compile(r"@(\d|\*)(\??)")


def fill(template: str, arguments: Sequence[str]) -> str:
    """Put arguments into the slots of a template. One that may be left out has a `?`, and is the empty text then."""

    def put(slot: re.Match[str]) -> str:
        if slot[1] == "*":
            return ", ".join(arguments)
        place = int(slot[1]) - 1
        return "''" if slot[2] and place >= len(arguments) else arguments[place]

    return _SLOT.sub(put, template)


@dataclass(frozen=True)
class Lookup:
    """A function that looks into a table, as a join. All are templates over the function's arguments.

    Attributes:
        relation: A query with the columns `code` (unique) and `found`.
        key: What `code` must equal.
        answer: The function's answer; `@found` stands for the column.
    """

    relation: str
    key: str
    answer: str


class Dialect(ABC):
    """SQL of one engine.

    Attributes:
        name: How settings name the engine.
        templates: Catalogue function -> SQL in which `@1`, `@2`, ... stand for the arguments and `@*` for all of
            them, separated by commas; `@3?` for one that may be left out.
        lookups: Catalogue function -> the join that answers it for a whole relation at once.
        each: Catalogue function of any number of values -> what becomes of every argument before it is put in.
        costly: Catalogue function of one value (what else it takes is written out) that is worth computing once for
            each distinct value -> SQL of a cheap test of its arguments.
        plain: Costly function -> its answer, of the same arguments, where the test is true; where none, the value itself.
        answers: Costly function -> what writes the query that answers it for a whole relation of the column `given` (and its
            further arguments): columns `given` and `made`. Where there is none the call itself does.
    """

    name: str
    templates: Mapping[str, str]
    lookups: Mapping[str, Lookup]
    each: Mapping[str, str] = MappingProxyType({})
    costly: Mapping[str, str]
    plain: Mapping[str, str] = MappingProxyType({})
    answers: Mapping[str, Callable[[str, Sequence[str]], str]] = MappingProxyType({})

    @abstractmethod
    def quote(self, identifier: str) -> str:
        """Return the identifier, quoted."""

    @abstractmethod
    def literal(self, value: Scalar) -> str:
        """Return a literal of the engine; None is NULL."""

    @abstractmethod
    def typed_null(self) -> str:
        """Return a NULL of text type: what a function gets where the expression says None."""

    def call(self, function: str, arguments: Sequence[str]) -> str:
        """Return the SQL of a call, the arguments being SQL already."""
        if one := self.each.get(function):
            arguments = [fill(one, (argument,)) for argument in arguments]
        return fill(self.templates[function], arguments)
