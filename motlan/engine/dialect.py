"""What a database engine must offer so that expressions compile to it.

A dialect turns checked pieces (names, literals, calls of catalogue functions) into SQL text. It never sees a row.
DuckDB is the first; Spark follows the same base. The catalogue's examples are the test that two dialects agree.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

Scalar = str | int | float | bool | None
"""A value that an expression may write out."""

_SLOT = re.compile(r"@(\d|\*)")


class Dialect(ABC):
    """SQL of one engine.

    Attributes:
        name: How settings name the engine.
        templates: Catalogue function -> SQL in which `@1`, `@2`, ... stand for the arguments and `@*` for all of
            them, separated by commas.
    """

    name: str
    templates: Mapping[str, str]

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

        def fill(slot: re.Match[str]) -> str:
            return ", ".join(arguments) if slot[1] == "*" else arguments[int(slot[1]) - 1]

        return _SLOT.sub(fill, self.templates[function])
