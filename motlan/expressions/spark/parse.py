"""Reads the SQL of DuckDB's templates into a tree, so that Spark's SQL can be written from the same source.

It knows the part of SQL that templates and look-ups use, and refuses everything else: a template that it cannot read whole is
given to Spark by hand, never guessed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

_TOKEN = re.compile(
    r"\s*(?:('(?:[^']|'')*')|(\d+(?:\.\d+)?)|(@\w+\??|@\*)|(\w+)|(<=|>=|<>|\|\||//|:=|[-+*/%=<>()\[\]{},.:]))"
)
_BINDING = {"OR": 1, "AND": 2, "IS": 4, "IN": 4, "=": 5, "<>": 5, "<": 5, "<=": 5, ">": 5, ">=": 5}
_BINDING |= {"||": 6, "+": 7, "-": 7, "*": 8, "/": 8, "//": 8, "%": 8, "AT": 9, "[": 10, ".": 10}
_NOT = 3


@dataclass(frozen=True)
class Text:
    """A text literal."""

    value: str


@dataclass(frozen=True)
class Plain:
    """A number, NULL, true or false, as written."""

    word: str


@dataclass(frozen=True)
class Slot:
    """A place for an argument: `@1`, `@*`."""

    name: str


@dataclass(frozen=True)
class Name:
    """A variable of a lambda or a macro."""

    name: str


@dataclass(frozen=True)
class Apply:
    """A function's call. Operators, `CASE`, lists and the like are calls of their signs: `||`, `case`, `[]`."""

    function: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True)
class Lambda:
    """A function given to another."""

    parameters: tuple[str, ...]
    body: Node


@dataclass(frozen=True)
class Slice:
    """A part of a text; a side that is not written is None."""

    of: Node
    first: Node | None
    last: Node | None


@dataclass(frozen=True)
class Member:
    """A field of a struct."""

    of: Node
    name: str


@dataclass(frozen=True)
class Cast:
    """A cast that gives null where it cannot be done."""

    of: Node
    type: str


@dataclass(frozen=True)
class Source:
    """What a query reads: a table by its alias, or a query."""

    of: str | Query
    alias: str


@dataclass(frozen=True)
class Query:
    """A query: columns with their names, and what it reads."""

    columns: tuple[tuple[Node, str], ...]
    source: Source
    where: Node | None


Node = Text | Plain | Slot | Name | Apply | Lambda | Slice | Member | Cast | Query


class UnreadableError(ValueError):
    """The SQL has something that this reader does not know. It carries the template's text, never a value."""


@lru_cache(maxsize=512)
def read(sql: str) -> Node:
    """Read an expression or a query.

    Raises:
        UnreadableError: It is not in the part of SQL that is known here.
    """
    reader = _Reader(sql)
    tree = reader.query() if reader.word == "SELECT" else reader.expression(0)
    if reader.now:
        raise UnreadableError(f"cannot read from {reader.now} in: {sql}")
    return tree


class _Reader:
    def __init__(self, sql: str) -> None:
        self.sql, self.tokens, place = sql, [], 0
        while place < len(sql.rstrip()):
            token = _TOKEN.match(sql, place)
            if token is None:
                raise UnreadableError(f"cannot read: {sql[place:]}")
            self.tokens.append(token[0].strip())
            place = token.end()
        self.tokens.append("")
        self.place = 0

    @property
    def now(self) -> str:
        return self.tokens[self.place]

    @property
    def word(self) -> str:
        return self.now.upper()

    def take(self, *expected: str) -> str:
        token = self.now
        if expected and token.upper() not in expected:
            raise UnreadableError(f"expected {' or '.join(expected)}, found {token} in: {self.sql}")
        self.place += 1
        return token

    def maybe(self, word: str) -> bool:
        if self.word != word:
            return False
        self.place += 1
        return True

    def expression(self, least: int) -> Node:
        left = self.prefix()
        while True:
            sign = "IN" if self.word == "NOT" and self.tokens[self.place + 1].upper() == "IN" else self.word
            if _BINDING.get(sign, -1) <= least:
                return left
            left = self.infix(left, sign)

    def infix(self, left: Node, sign: str) -> Node:
        negated = self.maybe("NOT")
        self.take(sign)
        match sign:
            case "IS":
                name = "is not null" if self.maybe("NOT") else "is null"
                self.take("NULL")
                return Apply(name, (left,))
            case "IN":
                self.take("(")
                return Apply("not in" if negated else "in", (left, *self.until(")")))
            case "AT":
                for word in ("TIME", "ZONE"):
                    self.take(word)
                return Apply("at time zone", (left, self.expression(_BINDING["AT"])))
            case "[":
                return self.subscript(left)
            case ".":
                return Member(left, self.take())
        return Apply(sign.lower(), (left, self.expression(_BINDING[sign])))

    def subscript(self, of: Node) -> Node:
        first = None if self.word == ":" else self.expression(0)
        if not self.maybe(":"):
            self.take("]")
            assert first is not None
            return Apply("at", (of, first))
        last = None if self.word == "]" else self.expression(0)
        self.take("]")
        return Slice(of, first, last)

    def until(self, closing: str) -> tuple[Node, ...]:
        found: list[Node] = []
        while not self.maybe(closing):
            if found:
                self.take(",")
            found.append(self.expression(0))
        return tuple(found)

    def prefix(self) -> Node:
        match self.word:
            case "(":
                self.take()
                return self.nested()
            case "[":
                self.take()
                return Apply("[]", self.until("]"))
            case "{":
                return self.struct()
            case "NOT":
                self.take()
                return Apply("not", (self.expression(_NOT),))
            case "-":
                self.take()
                return Apply("negative", (self.expression(_BINDING["*"]),))
            case "CASE":
                return self.case()
            case "LAMBDA":
                return self.function()
        return self.atom()

    def nested(self) -> Node:
        inner = self.query() if self.word == "SELECT" else self.expression(0)
        self.take(")")
        return inner

    def struct(self) -> Node:
        self.take()
        found: list[Node] = []
        while not self.maybe("}"):
            if found:
                self.take(",")
            found.append(self.atom())
            self.take(":")
            found.append(self.expression(0))
        return Apply("{}", tuple(found))

    def case(self) -> Node:
        self.take()
        parts: list[Node] = [Plain("") if self.word == "WHEN" else self.expression(0)]
        while self.maybe("WHEN"):
            parts.append(self.expression(0))
            self.take("THEN")
            parts.append(self.expression(0))
        parts.append(self.expression(0) if self.maybe("ELSE") else Plain("NULL"))
        self.take("END")
        return Apply("case", tuple(parts))

    def function(self) -> Node:
        self.take()
        parameters = [self.take()]
        while self.maybe(","):
            parameters.append(self.take())
        self.take(":")
        return Lambda(tuple(parameters), self.expression(0))

    def atom(self) -> Node:
        token = self.take()
        if token.startswith("'"):
            return Text(token[1:-1].replace("''", "'"))
        if token.startswith("@"):
            return Slot(token)
        if token[:1].isdigit() or token.upper() in ("NULL", "TRUE", "FALSE"):
            return Plain(token)
        if not re.fullmatch(r"\w+", token):
            raise UnreadableError(f"cannot read from {token} in: {self.sql}")
        if token.upper() == "DATE" and self.now.startswith("'"):
            return Apply("date", (self.atom(),))
        return self.call(token.lower()) if self.maybe("(") else Name(token)

    def call(self, function: str) -> Node:
        if function == "try_cast":
            of = self.expression(0)
            self.take("AS")
            kind = self.take().upper()
            self.take(")")
            return Cast(of, kind)
        return Apply(function, self.until(")"))

    def query(self) -> Query:
        self.take("SELECT")
        columns = [self.column()]
        while self.maybe(","):
            columns.append(self.column())
        self.take("FROM")
        source = self.source()
        where = self.expression(0) if self.maybe("WHERE") else None
        return Query(tuple(columns), source, where)

    def column(self) -> tuple[Node, str]:
        of = self.expression(0)
        return of, self.take() if self.maybe("AS") else ""

    def source(self) -> Source:
        if self.maybe("("):
            inner = self.query()
            self.take(")")
            return Source(inner, "")
        return Source(self.take(), self.take())
