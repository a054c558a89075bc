"""What a database engine must offer so that expressions compile to it.

A dialect turns checked pieces (names, literals, calls of catalogue functions) into SQL text. It never sees a row.
DuckDB is the first; Spark follows the same base. The catalogue's examples are the test that two dialects agree.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

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


@dataclass(frozen=True)
class Stage:
    """One step of a cleaner, with a name for people.

    Attributes:
        name: What it does.
        sql: SQL of `@1`, the value before it, and of the cleaner's other arguments as `@2`, `@3`.
        note: SQL, over the same arguments, of what a person should know about it; null where there is nothing to report.
    """

    name: str
    sql: str
    note: str = "NULL"


@dataclass(frozen=True)
class Sql:
    """SQL of some functions on one engine.

    Attributes:
        templates: Function -> SQL in which `@1`, `@2`, ... stand for the arguments and `@*` for all of them, separated by
            commas; `@3?` for one that may be left out.
        stages: Cleaner of several steps -> the steps, which are all that its SQL is made of.
        lookups: Function -> the join that answers it for a whole relation at once.
        each: Function of any number of values -> what becomes of every argument before it is put in.
        costly: Function of one value (what else it takes is written out) that is worth computing once for each distinct
            value -> SQL of a cheap test of its arguments.
        plain: Costly function -> its answer, of the same arguments, where the test is true; where none, the value itself.
        answers: Costly function -> what writes the query that answers it for a whole relation of the column `given` (and
            its further arguments): columns `given` and `made`. Where there is none the call itself does.
        macros: Name -> definition of the macros that templates call, in the order to create them.
        tables: Table that look-ups read -> its query over `motlan_codes`.
    """

    templates: Mapping[str, str] = field(default_factory=dict)
    stages: Mapping[str, Sequence[Stage]] = field(default_factory=dict)
    lookups: Mapping[str, Lookup] = field(default_factory=dict)
    each: Mapping[str, str] = field(default_factory=dict)
    costly: Mapping[str, str] = field(default_factory=dict)
    plain: Mapping[str, str] = field(default_factory=dict)
    answers: Mapping[str, Callable[[str, Sequence[str]], str]] = field(default_factory=dict)
    macros: Mapping[str, str] = field(default_factory=dict)
    tables: Mapping[str, str] = field(default_factory=dict)


def merged(*parts: Sql) -> Sql:
    """Return the SQL of all the functions of several parts; of a name that stands twice the last part's."""
    made: dict[str, dict[str, Any]] = {one.name: {} for one in fields(Sql)}
    for part in parts:
        for name, of in made.items():
            of |= getattr(part, name)
    return Sql(**made)


class Dialect(ABC):
    """SQL of one engine.

    Attributes:
        name: How settings name the engine.
    """

    name: str

    @property
    @abstractmethod
    def functions(self) -> Sql:
        """The SQL of the functions that the process has, in the engine's words."""

    @property
    def templates(self) -> Mapping[str, str]:
        """Function -> SQL with places for arguments."""
        return self.functions.templates

    @property
    def lookups(self) -> Mapping[str, Lookup]:
        """Function -> the join that answers it for a whole relation at once."""
        return self.functions.lookups

    @property
    def costly(self) -> Mapping[str, str]:
        """Function that is worth computing once for each distinct value -> SQL of a cheap test of its arguments."""
        return self.functions.costly

    @property
    def plain(self) -> Mapping[str, str]:
        """Costly function -> its answer, of the same arguments, where the test is true; where none, the value itself."""
        return self.functions.plain

    @property
    def answers(self) -> Mapping[str, Callable[[str, Sequence[str]], str]]:
        """Costly function -> what writes the query that answers it for a whole relation."""
        return self.functions.answers

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
        if one := self.functions.each.get(function):
            arguments = [fill(one, (argument,)) for argument in arguments]
        return fill(self.templates[function], arguments)
