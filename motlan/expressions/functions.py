"""The catalogue of functions that expressions may call: what each takes, means and answers.

The catalogue knows no engine: a dialect holds the SQL of every function by its name. Each function carries examples,
which are its tests on every dialect, and the standard or fact behind it. There is no other way to compute in the
declared half, and never a Python function per row: an auditor replays the SQL alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from motlan.expressions.dialect import Scalar


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
    """

    name: str
    parameters: tuple[Parameter, ...]
    doc: str
    examples: tuple[tuple[tuple[Scalar, ...], Scalar], ...]
    variadic: bool = False
    idempotent: bool = False

    @property
    def signature(self) -> str:
        """How to call it, for people."""
        names = [f"{p.name}?" if p.optional else p.name for p in self.parameters] + (["..."] if self.variadic else [])
        return f"{self.name}({', '.join(names)})"

    def accepts(self, count: int) -> bool:
        """Whether it can be called with so many arguments."""
        least = sum(not parameter.optional for parameter in self.parameters)
        return count >= least and (self.variadic or count <= len(self.parameters))


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
