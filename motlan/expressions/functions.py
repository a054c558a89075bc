"""What a function that expressions may call takes, means and answers.

This knows no engine: a package holds the SQL of every function by its name. Each function carries examples, which are its
tests on every dialect, and the standard or fact behind it. There is no other way to compute in the declared half, and
never a Python function per row: an auditor replays the SQL alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from motlan.expressions.dialect import Scalar, Sql


@dataclass(frozen=True)
class Parameter:
    """One parameter of a function.

    Attributes:
        name: Name in the documentation.
        written_out: True where the expression must write the value itself, because it shapes the SQL.
        choices: What may be written out, where only some words may.
        optional: True where it may be left out, which means the empty text. Such ones stand last.
    """

    name: str
    written_out: bool = False
    choices: tuple[str, ...] = ()
    optional: bool = False


@dataclass(frozen=True)
class Function:
    """One function of the expression language.

    Attributes:
        name: How expressions call it.
        parameters: In order. The last one repeats where `variadic`.
        doc: What it answers, and the standard, law or fact behind it.
        examples: (arguments, answer) pairs.
        variadic: Whether more arguments of the last kind may follow.
        idempotent: Whether a second application to the first argument changes nothing: a cleaner.
        pattern: What every answer but null meets, as a whole (RE2); `@1`, `@2` stand for arguments that are written out.
            A field that comes from such a function need not be checked against that very pattern again.
        storable: Whether no answer ever has a character that the store has no text for (U+0000), whatever is given.
        gathers: Whether it only puts together or chooses among what it is given: no cleaner.
        code_lists: Code lists that it looks into, beside those that a call names.
        proposed_for: Kind of column that `motlan link --propose` cleans by it, such as `name`.
    """

    name: str
    parameters: tuple[Parameter, ...]
    doc: str
    examples: tuple[tuple[tuple[Scalar, ...], Scalar], ...]
    variadic: bool = False
    idempotent: bool = False
    pattern: str | None = None
    storable: bool = False
    gathers: bool = False
    code_lists: tuple[str, ...] = ()
    proposed_for: str = ""

    @property
    def signature(self) -> str:
        """How to call it, for people."""
        names = [f"{p.name}?" if p.optional else p.name for p in self.parameters] + (["..."] if self.variadic else [])
        return f"{self.name}({', '.join(names)})"

    def accepts(self, count: int) -> bool:
        """Whether it can be called with so many arguments."""
        least = sum(not parameter.optional for parameter in self.parameters)
        return count >= least and (self.variadic or count <= len(self.parameters))


@dataclass(frozen=True, eq=False)
class Package:
    """Functions of one subject: what they mean, and their SQL on the engines.

    The bus has a package of generic functions. A country declares its own in `mapping/functions/`: alphabets, names, numbers
    and places are facts of a country, and a cleaner is added there without a change of the bus.

    Attributes:
        name: For messages.
        functions: Name -> function.
        duckdb: Their SQL.
        spark: Function -> SQL for Spark, where it cannot be written from DuckDB's.
        replaces: Functions of the generic package that this one has its own form of.
        code_list_columns: Columns of code lists that its look-ups read, beside those that every list may have.
        headers: Kind of column -> pattern of the headers by which `motlan link --propose` knows it in the country's language.
    """

    name: str
    functions: Mapping[str, Function]
    duckdb: Sql
    spark: Mapping[str, str] = field(default_factory=dict)
    replaces: frozenset[str] = frozenset()
    code_list_columns: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)


def parameters(text: str) -> tuple[Parameter, ...]:
    """Read `"x, format=dmy|ymd, pattern=, zone=?"`.

    An `=` marks a value that is written out, with its choices after it; a `?` one that may be left out.
    """
    found = []
    for part in text.split(","):
        name, sign, choices = part.strip().removesuffix("?").partition("=")
        found.append(Parameter(name, bool(sign), tuple(filter(None, choices.split("|"))), part.endswith("?")))
    return tuple(found)


def catalogue(*functions: Function) -> Mapping[str, Function]:
    """Return functions by name."""
    return MappingProxyType({f.name: f for f in functions})
