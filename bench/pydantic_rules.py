"""The same row rules in plain Python behind a pydantic `TypeAdapter`: the peer of our checker, and an oracle for it.

The expression language is a part of Python's syntax, so each rule becomes a Python function with SQL's three-valued
meaning written out. Functions of the catalogue that row rules call are written here by hand, apart from the engine.
Rows are handed over cleaned already, as an Arrow table: pydantic is spared the cleaning, the reading and the writing that
ours does in the same time, but not the making of Python's rows.
"""

from __future__ import annotations

import ast
import re
import time
import unicodedata
from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import duckdb
from pydantic import AfterValidator, TypeAdapter
from typing_extensions import TypedDict

from mapping.functions.alphabet import LETTERS
from motlan.config.quality import RowRule
from motlan.config.registry import Dataset
from motlan.expressions import quote
from motlan.ingest.raw_columns import IN_RULES, stored

_LETTERS = re.compile(f"[{LETTERS}' -]+")
_VOWELS = "aeiouy" + "".join(sorted({letter.lower() for letter in LETTERS if not letter.isascii()} - set("đčñƀ")))
_MISPLACED = re.compile(
    f"(?<=[{_VOWELS}])(?:(?<!gi)ò(?!n)|(?<!qu)ì)|(?<=[{_VOWELS.replace('o', '')}])(?<!gi)ò", re.IGNORECASE
)
_SEPARATORS = re.compile("[\\s.'\u2018\u2019`\u2010-\u2015-]")
_ID = re.compile(r"\d{3}[0-3]\d{8}")
_WEIGHTS = (31, 29, 23, 19, 17, 13, 7, 5, 3)


def _text(x: str) -> str | None:
    return (
        " ".join(
            "".join(c for c in unicodedata.normalize("NFC", x) if unicodedata.category(c) not in ("Cf", "Cc")).split()
        )
        or None
    )


def _is_tax_code(x: str) -> bool:
    if re.fullmatch(r"\d{12}", x):
        return bool(_ID.fullmatch(x)) and not x.startswith("000")
    if not re.fullmatch(r"\d{10}|\d{13}", x):
        return False
    return 10 - sum(w * int(d) for w, d in zip(_WEIGHTS, x, strict=False)) % 11 == int(x[9]) and x[10:] != "000"


def _number(x: str) -> float | None:
    try:
        return float(x)
    except ValueError:
        return None


def _day(x: str) -> date | None:
    try:
        return date.fromisoformat(x[:10])
    except ValueError:
        return None


def _days_between(a: str, b: str) -> int | None:
    one, two = _day(a), _day(b)
    return None if one is None or two is None else (two - one).days


def _name_key(x: str) -> str | None:
    bare = unicodedata.normalize("NFD", x.lower()).translate({ord("đ"): "d", ord("y"): "i", ord("'"): ""})
    return " ".join(re.sub("[^a-z]+", " ", "".join(c for c in bare if not unicodedata.combining(c))).split()) or None


def _year(x: str) -> int | None:
    return int(x[:4]) if re.match(r"\d{4}(-|$)", x) else None


STRICT: dict[str, Callable[..., Any]] = {
    "text": _text,
    "length": len,
    "upper": str.upper,
    "lower": str.lower,
    "digits": lambda x: "".join(c for c in x if c in "0123456789") or None,
    "no_longer_than": lambda x, most: len(x) <= most,
    "is_storable": lambda x: "\0" not in x and len(x.encode()) <= 1000,
    "substring": lambda x, start, count: x[start - 1 : start - 1 + count],
    "matches": lambda x, pattern: re.fullmatch(pattern, x) is not None,
    "number": _number,
    "old_identity_number": lambda x: y if re.fullmatch(r"\d{9}", y := _SEPARATORS.sub("", x)) else None,
    "is_personal_id": lambda x: bool(_ID.fullmatch(x)) and not x.startswith("000"),
    "personal_id_year": lambda x: 1900 + 100 * (int(x[3]) // 2) + int(x[4:6]) if re.fullmatch(r"\d{12}", x) else None,
    "personal_id_sex": lambda x: ("male", "female")[int(x[3]) % 2] if re.fullmatch(r"\d{12}", x) else None,
    "is_tax_code": _is_tax_code,
    "is_health_card": lambda x: re.fullmatch(r"[A-Z]{2}[1-5]\d{12}", x) is not None,
    "contains_only_letters": lambda x: _LETTERS.fullmatch(x) is not None and not _MISPLACED.search(x),
    "name_key": _name_key,
    "date_precision": lambda x: {4: 1, 7: 2, 10: 3}.get(len(x)),
    "date_year": _year,
    "local_day": lambda x, zone: datetime.fromisoformat(x).astimezone(ZoneInfo(zone)).date().isoformat(),
    "dates_agree": lambda a, b: a.startswith(b) or b.startswith(a),
    "days_between": _days_between,
}
"""Catalogue function -> Python; None in, None out."""

LENIENT: dict[str, Callable[..., Any]] = {
    "coalesce": lambda *parts: next((part for part in parts if part is not None), None),
    "join_words": lambda *parts: " ".join(part for part in parts if part and part.strip(" ")) or None,
}


def _call(function: Callable[..., Any], *arguments: Any) -> Any:
    return None if None in arguments else function(*arguments)


def _and(*values: Any) -> bool | None:
    return False if False in values else None if None in values else True


def _or(*values: Any) -> bool | None:
    return True if True in values else None if None in values else False


_OPERATORS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: lambda a, b: a == b,
    ast.NotEq: lambda a, b: a != b,
    ast.Lt: lambda a, b: a < b,
    ast.LtE: lambda a, b: a <= b,
    ast.Gt: lambda a, b: a > b,
    ast.GtE: lambda a, b: a >= b,
    ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
}
_NAMES: dict[str, Callable[..., Any]] = {
    "_call": _call,
    "_and": _and,
    "_or": _or,
    "_not": lambda x: not x,
    **{f"_f_{name}": function for name, function in STRICT.items()},
    **{f"_l_{name}": function for name, function in LENIENT.items()},
    **{f"_o_{kind.__name__}": function for kind, function in _OPERATORS.items()},
}


class _Python(ast.NodeTransformer):
    """Writes SQL's three-valued meaning out. Raises KeyError for a function that is not here."""

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return _read(f"row.get({node.id!r})")

    def visit_Call(self, node: ast.Call) -> ast.expr:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        arguments = [self.visit(argument) for argument in node.args]
        if name in LENIENT:
            return _applied(f"_l_{name}", *arguments)
        if name not in STRICT:
            raise KeyError(name)
        return _applied("_call", ast.Name(f"_f_{name}", ast.Load()), *arguments)

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.expr:
        return _applied("_and" if isinstance(node.op, ast.And) else "_or", *map(self.visit, node.values))

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:
        if isinstance(node.op, ast.Not):
            return _applied("_call", ast.Name("_not", ast.Load()), self.visit(node.operand))
        return node

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        left, right = self.visit(node.left), self.visit(node.comparators[0])
        if isinstance(node.ops[0], ast.Is | ast.IsNot):
            return ast.Compare(left, node.ops, [right])
        return _applied("_call", ast.Name(f"_o_{type(node.ops[0]).__name__}", ast.Load()), left, right)


def _read(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


def _applied(name: str, *arguments: ast.expr) -> ast.expr:
    return ast.Call(ast.Name(name, ast.Load()), list(arguments), [])


def compiled(rule: RowRule) -> Callable[[dict[str, Any]], Any]:
    """Make a Python function of a row out of a rule.

    Raises:
        KeyError: The rule calls a function that is not written here.
    """
    body = ast.unparse(ast.fix_missing_locations(_Python().visit(_read(" ".join(rule.expression.split())))))
    made: Callable[[dict[str, Any]], Any] = eval(f"lambda row: {body}", dict(_NAMES))  # noqa: S307 - checked by `parse`
    return made


class PydanticRules:
    """Times pydantic on a sample of a dataset's rows, and compares its answers with ours.

    Attributes:
        rules: The rules that it runs.
        rows: Rows that it was timed on.
        seconds: How long that took.
        differs: Answers that are not ours.
    """

    def __init__(self, dataset: Dataset, rules: Sequence[RowRule]) -> None:
        self.rules: dict[str, Callable[[dict[str, Any]], Any]] = {}
        for rule in rules:
            try:
                self.rules[rule.name] = compiled(rule)
            except KeyError:
                continue
        self.rows, self.seconds, self.differs = 0, 0.0, 0
        raw = {f"{IN_RULES}{column}": quote(stored(column)) for column in dataset.columns}
        self.columns = ["_key", "_moment", *dataset.fields, *raw]
        self.shown = ", ".join(f"{column} as {quote(name)}" for name, column in raw.items())

    def run(self, engine: duckdb.DuckDBPyConnection, query: str, count: int) -> None:
        """Take the first rows of the chunk and run the rules over them, a row at a time; add to what was counted before."""
        answers = [f"_rule_{name}" for name in self.rules]
        wanted = ", ".join(quote(name) for name in [*self.columns, *answers])
        table = engine.sql(
            f"select {wanted} from (select *, {self.shown} from ({query}) limit {count})"
        ).to_arrow_table()
        kind = TypedDict("Row", dict.fromkeys(self.columns, str | None))  # type: ignore[misc]
        rules = self.rules

        def check(row: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
            return row, {name: rule(row) for name, rule in rules.items()}

        adapter: TypeAdapter[Any] = TypeAdapter(Annotated[kind, AfterValidator(check)])
        began = time.perf_counter()
        given = table.select(self.columns).to_pylist()
        checked = [adapter.validate_python(row) for row in given]
        self.seconds += time.perf_counter() - began
        rows = table.select(answers).to_pylist()
        self.rows += len(rows)
        self.differs += sum(
            result[1][name] != row[f"_rule_{name}"] for row, result in zip(rows, checked, strict=True) for name in rules
        )
