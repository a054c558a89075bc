"""The expression language of the declared half: a small part of Python's syntax, compiled to SQL.

    member_number is None or length(member_number) == 10

Names are fields, calls are catalogue functions; `sent(field)` is a name too: what a source sent for a field. Comparisons, `in`,
`is None`, `and`, `or`, `not` and the conditional have SQL's three-valued meaning, so an unknown stays unknown. Everything
else is refused where it stands, with the mend. Nothing is ever evaluated in Python: the text is only parsed, and comes
out as SQL.
"""

from __future__ import annotations

import ast
import difflib
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import cast
from zoneinfo import available_timezones

from motlan.errors import ConfigurationError
from motlan.expressions.catalogue import FUNCTIONS
from motlan.expressions.dialect import Dialect, Scalar
from motlan.expressions.duckdb.named import written

_COMPARISONS: Mapping[type[ast.cmpop], str] = {
    ast.Eq: "=",
    ast.NotEq: "<>",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
}
_LONGEST = 4000
_NOTHING = "text(None)"
"""A null that may stand wherever a field may."""


@cache
def _zones() -> frozenset[str]:
    """Return the names of time zones."""
    return frozenset(available_timezones())


def _refuse(node: ast.expr, where: str, what: str, mend: str) -> ConfigurationError:
    return ConfigurationError(f"column {node.col_offset + 1}: {what}", where=where or "expression", next_step=mend)


@dataclass(frozen=True)
class Expression:
    """A checked expression. Two are equal when their text is.

    Attributes:
        text: As written.
        where: The file and key it came from, for messages.
        fields: Names of the fields that it reads.
        code_lists: Names of the code lists that it looks into.
    """

    text: str
    where: str = field(default="", compare=False)
    fields: frozenset[str] = field(init=False, compare=False)
    code_lists: frozenset[str] = field(init=False, compare=False)
    _tree: ast.expr = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Parse and check.

        Raises:
            ConfigurationError: The text is not in the language.
        """
        checker = _Checker(self.where)
        tree = _read(self.text, self.where)
        checker.check(tree)
        object.__setattr__(self, "_tree", tree)
        object.__setattr__(self, "fields", frozenset(checker.fields))
        object.__setattr__(self, "code_lists", frozenset(checker.code_lists))

    def sql(
        self, dialect: Dialect, columns: Mapping[str, str] | None = None, made: Mapping[str, str] | None = None
    ) -> str:
        """Compile to self-contained SQL.

        Args:
            dialect: The engine to write for.
            columns: Field -> SQL fragment that stands for it; a field not named becomes a quoted identifier.
            made: Text of a call -> SQL fragment that has its answer already.

        Returns:
            One SQL expression.
        """
        return _Writer(written(dialect), columns or {}, made or {}).write(self._tree)

    def with_names(self, names: Mapping[str, str | None]) -> str:
        """Return the text with other expressions in place of some names, and a null text in place of those that have None."""
        return ast.unparse(_Renamed(names).visit(ast.parse(ast.unparse(self._tree), mode="eval")))

    def sent(self, columns: Container[str]) -> str | None:
        """Return the expression of what was sent for a field that this one makes: its raw columns, behind all cleaning.

        Where several columns are put together, it is them put together; of alternatives the first that reads a column.

        Args:
            columns: Names of the raw columns.

        Returns:
            The expression over raw columns; None where it reads none itself.
        """
        found = _sent(self._tree, columns)
        return ast.unparse(found) if found else None

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the fields that it reads, in the order in which they stand."""
        read = [node for node in ast.walk(self._tree) if isinstance(node, ast.Name) and node.id in self.fields]
        return tuple(dict.fromkeys(node.id for node in sorted(read, key=lambda node: (node.lineno, node.col_offset))))

    @property
    def answers(self) -> tuple[Call | str, ...]:
        """What can be the answer, behind `coalesce` and conditionals: calls, and the text of all else but None."""
        found: list[Call | str] = []
        waiting: list[ast.expr] = [self._tree]
        while waiting:
            match waiting.pop():
                case ast.Call(func=ast.Name(id="coalesce"), args=arguments):
                    waiting.extend(arguments)
                case ast.IfExp(body=body, orelse=orelse):
                    waiting.extend((body, orelse))
                case ast.Call(func=ast.Name(id=name), args=arguments) as node:
                    parts = tuple(parse(ast.unparse(argument)) for argument in arguments)
                    found.append(Call(name, parse(ast.unparse(node)), parts))
                case ast.Constant(value=None):
                    pass
                case node:
                    found.append(ast.unparse(node))
        return tuple(found)

    def completed(self, **values: str) -> Expression:
        """Return the expression with values for what its calls leave out: `zone` of `partial_date` and the like.

        Args:
            values: Name of a parameter that may be left out -> its value.
        """
        tree = _read(self.text, self.where)
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                left_out = FUNCTIONS[node.func.id].parameters[len(node.args) :]
                node.args += [ast.Constant(values[p.name]) for p in left_out if p.optional and p.name in values]
        completed = ast.unparse(tree)
        return self if completed == ast.unparse(self._tree) else parse(completed, where=self.where)

    def dated(self, column: str, day: str) -> Expression:
        """Return the expression with another name where a call is asked what held at the moment that a column tells.

        Args:
            column: The raw column with a record's moment.
            day: The name that stands for the day of that moment.
        """
        tree = _read(self.text, self.where)
        found = False
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                for place, parameter in enumerate(FUNCTIONS[node.func.id].parameters[: len(node.args)]):
                    given = node.args[place]
                    if parameter.name == "moment" and isinstance(given, ast.Name) and given.id == column:
                        node.args[place], found = ast.Name(day), True
        return parse(ast.unparse(tree), where=self.where) if found else self

    def calls(self, functions: Container[str]) -> tuple[Call, ...]:
        """Return the outermost calls of some functions."""
        found: list[Call] = []
        waiting: list[ast.AST] = [self._tree]
        while waiting:
            node = waiting.pop()
            match node:
                case ast.Call(func=ast.Name(id=name), args=arguments) if name in functions:
                    parts = tuple(parse(ast.unparse(argument)) for argument in arguments)
                    found.append(Call(name, parse(ast.unparse(node)), parts))
                case _:
                    waiting.extend(ast.iter_child_nodes(node))
        return tuple(found)

    def parts_reading(self, name: str) -> tuple[Expression, ...]:
        """Return parts, of which one answers otherwise wherever the whole does because of another value of one name.

        Each is the largest comparison or call that reads it and at most one other name, or the plain name. Conditionals, `and`,
        `or` and `not` are never parts.

        Args:
            name: The name.
        """
        found: list[Expression] = []
        waiting: list[ast.AST] = [self._tree]
        while waiting:
            node = waiting.pop()
            read = {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name) and inner.id in self.fields}
            if name not in read:
                continue
            if isinstance(node, ast.Name) or (isinstance(node, ast.Compare | ast.Call) and len(read) <= 2):
                found.append(parse(ast.unparse(node)))
            else:
                waiting.extend(ast.iter_child_nodes(node))
        return tuple(dict.fromkeys(found))


@dataclass(frozen=True)
class Call:
    """One call inside an expression.

    Attributes:
        function: What is called.
        whole: The call, as an expression of its own.
        arguments: Its arguments, likewise.
    """

    function: str
    whole: Expression
    arguments: tuple[Expression, ...]

    def sql(self, dialect: Dialect, given: str) -> str:
        """Compile the call with another first argument, which is SQL already."""
        return self.whole.sql(dialect, made={self.arguments[0].text: given})


def parse(text: str, *, where: str = "") -> Expression:
    """Read one expression.

    Args:
        text: The expression.
        where: The file and key it stands at, for messages.

    Raises:
        ConfigurationError: It is not in the language; the message names the column and the mend.
    """
    return Expression(text, where)


def _read(text: str, where: str) -> ast.expr:
    if len(text) > _LONGEST:
        raise ConfigurationError(
            f"the expression is longer than {_LONGEST} characters",
            where=where,
            next_step="split it into several fields or rules",
        )
    try:
        return ast.parse(" ".join(text.split()) if "\n" in text else text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        column = getattr(error, "offset", None) or len(text) + 1
        raise ConfigurationError(
            f"column {column}: this cannot be read as an expression",
            where=where or "expression",
            next_step="check brackets, quotes and operators (== compares, `and`, `or`, `not` combine)",
        ) from None


class _Renamed(ast.NodeTransformer):
    """Puts other names, or a null, in place of some."""

    def __init__(self, names: Mapping[str, str | None]) -> None:
        self.names = names

    def visit_Name(self, node: ast.Name) -> ast.expr:  # ast calls it so
        if node.id not in self.names:
            return node
        return self._put(node.id)

    def visit_Call(self, node: ast.Call) -> ast.expr:  # ast calls it so
        if (name := _sent_name(node)) and name in self.names:
            return self._put(name)
        return cast(ast.expr, self.generic_visit(node))

    def _put(self, name: str) -> ast.expr:
        return ast.parse(self.names[name] or _NOTHING, mode="eval").body


def _sent_name(node: ast.expr) -> str | None:
    """Return the name that `sent(field)` is: what a source sent for a field. None of everything else."""
    match node:
        case ast.Call(func=ast.Name(id="sent"), args=[ast.Name(id=field)], keywords=[]):
            return f"sent({field})"
    return None


def _sent(node: ast.expr, columns: Container[str]) -> ast.expr | None:
    match node:
        case ast.Name(id=name):
            return node if name in columns else None
        case ast.Call(func=ast.Name(id=name), args=arguments):
            if FUNCTIONS[name].gathers and all(_sent(argument, columns) is argument for argument in arguments):
                return node
            return next((found for argument in arguments if (found := _sent(argument, columns))), None)
        case ast.IfExp(body=body, orelse=orelse):
            return _sent(body, columns) or _sent(orelse, columns)
    return None


class _Checker:
    """Walks a parsed expression and refuses all that is not in the language."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.fields: set[str] = set()
        self.code_lists: set[str] = set()

    def check(self, node: ast.expr) -> None:
        match node:
            case ast.Name(id=name):
                self.fields.add(name)
            case ast.Constant():
                _scalar(node, self.where)
            case ast.Call() if sent := _sent_name(node):
                self.fields.add(sent)
            case ast.Call():
                self._call(node)
            case ast.Compare():
                self._compare(node)
            case ast.BoolOp(values=values):
                for value in values:
                    self.check(value)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                self.check(operand)
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float())):
                pass
            case ast.IfExp(test=test, body=body, orelse=orelse):
                for part in (test, body, orelse):
                    self.check(part)
            case _:
                raise _refuse(
                    node,
                    self.where,
                    f"{type(node).__name__} is not part of the expression language",
                    "use fields, literals, catalogue functions, comparisons, and/or/not and `a if c else b`",
                )

    def _call(self, node: ast.Call) -> None:
        if not isinstance(node.func, ast.Name):
            raise _refuse(node, self.where, "only a function's plain name can be called", "name a catalogue function")
        name = node.func.id
        function = FUNCTIONS.get(name)
        if name == "sent":
            raise _refuse(node, self.where, "sent takes a field's plain name", "write sent(field)")
        if function is None:
            close = difflib.get_close_matches(name, FUNCTIONS, 1, 0.0)
            raise _refuse(node, self.where, f"there is no function {name}", f"did you mean {close[0]}?")
        if node.keywords or any(isinstance(a, ast.Starred) for a in node.args) or not function.accepts(len(node.args)):
            raise _refuse(node, self.where, f"{name} was called otherwise than it is", f"write {function.signature}")
        for position, argument in enumerate(node.args):
            parameter = function.parameters[min(position, len(function.parameters) - 1)]
            if not parameter.written_out:
                self.check(argument)
                continue
            value = argument.value if isinstance(argument, ast.Constant) else None
            if value is None or (parameter.choices and value not in parameter.choices):
                raise _refuse(
                    argument,
                    self.where,
                    f"{parameter.name} of {name} must be written out",
                    f"write one of {', '.join(parameter.choices)}" if parameter.choices else "write a literal there",
                )
            _scalar(argument, self.where)
            if parameter.name == "zone" and value not in _zones():
                raise _refuse(argument, self.where, "this is no zone of the IANA database", "write one such as 'UTC'")
            if parameter.name == "list":
                self.code_lists.add(str(value))
        self.code_lists.update(function.code_lists)

    def _compare(self, node: ast.Compare) -> None:
        if len(node.ops) != 1:
            raise _refuse(node, self.where, "comparisons cannot be chained", "write `a < b and b < c`")
        operator, right = node.ops[0], node.comparators[0]
        self.check(node.left)
        is_none = isinstance(right, ast.Constant) and right.value is None
        match operator:
            case ast.Is() | ast.IsNot():
                if not is_none:
                    raise _refuse(right, self.where, "`is` compares with None only", "use ==")
            case ast.In() | ast.NotIn():
                if not isinstance(right, ast.List | ast.Tuple) or not right.elts:
                    raise _refuse(right, self.where, "`in` needs a list of literals", "write x in ['a', 'b']")
                for element in right.elts:
                    if _scalar(element, self.where) is None:
                        raise _refuse(element, self.where, "None cannot stand in a list", "add `or x is None`")
            case _:
                if is_none:
                    raise _refuse(right, self.where, "nothing equals None", "use `is None` or `is not None`")
                self.check(right)


def _scalar(node: ast.expr, where: str) -> Scalar:
    match node:
        case ast.Constant(value=str() | int() | float() | bool() | None as value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return -value
    raise _refuse(node, where, "this is not a literal", "write text, a number, True, False or None")


class _Writer:
    """Writes a checked expression as SQL of one dialect."""

    def __init__(self, dialect: Dialect, columns: Mapping[str, str], made: Mapping[str, str]) -> None:
        self.dialect, self.columns, self.made = dialect, columns, made

    def write(self, node: ast.expr) -> str:
        if self.made and (made := self.made.get(ast.unparse(node))):
            return made
        match node:
            case ast.Name(id=name):
                return self.columns.get(name) or self.dialect.quote(name)
            case ast.Constant() | ast.UnaryOp(op=ast.USub()):
                return self.dialect.literal(_scalar(node, ""))
            case ast.Call() if sent := _sent_name(node):
                return self.columns.get(sent) or self.dialect.quote(sent)
            case ast.Call(func=ast.Name(id=name), args=arguments):
                return self.dialect.call(name, [self._argument(a) for a in arguments])
            case ast.Compare(left=left, ops=[operator], comparators=[right]):
                return f"({self.write(left)} {self._comparison(operator, right)})"
            case ast.BoolOp(op=operator, values=values):
                word = " AND " if isinstance(operator, ast.And) else " OR "
                return f"({word.join(self.write(v) for v in values)})"
            case ast.UnaryOp(operand=operand):
                return f"(NOT {self.write(operand)})"
            case ast.IfExp(test=test, body=body, orelse=orelse):
                return f"(CASE WHEN {self.write(test)} THEN {self.write(body)} ELSE {self.write(orelse)} END)"
        raise AssertionError(ast.dump(node))  # the checker let something through

    def _argument(self, node: ast.expr) -> str:
        if isinstance(node, ast.Constant) and node.value is None:
            return self.dialect.typed_null()
        return self.write(node)

    def _comparison(self, operator: ast.cmpop, right: ast.expr) -> str:
        match operator, right:
            case ast.Is(), _:
                return "IS NULL"
            case ast.IsNot(), _:
                return "IS NOT NULL"
            case ast.In() | ast.NotIn(), ast.List(elts=elements) | ast.Tuple(elts=elements):
                listed = ", ".join(self.dialect.literal(_scalar(e, "")) for e in elements)
                return f"{'NOT ' if isinstance(operator, ast.NotIn) else ''}IN ({listed})"
        return f"{_COMPARISONS[type(operator)]} {self.write(right)}"
