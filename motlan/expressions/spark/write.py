"""Writes Spark's SQL from the tree of a DuckDB template: the same steps in Spark's words, or a refusal.

Each DuckDB function that templates use stands here once, beside the Spark SQL that answers alike. A function that does
not stand here is refused: nothing is passed through in the hope that Spark means the same by it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from motlan.expressions.catalogue import Catalogue, installed
from motlan.expressions.dialect import fill
from motlan.expressions.spark import pieces as spark
from motlan.expressions.spark.parse import (
    Apply,
    Cast,
    Lambda,
    Member,
    Name,
    Node,
    Plain,
    Query,
    Slice,
    Slot,
    Text,
    UnreadableError,
    read,
)
from motlan.expressions.spark.regex import full_match, java_pattern, java_replacement

Scope = Mapping[str, tuple[str, bool]]
"""Variable -> its SQL, and whether it is a list."""

_LISTS = {
    "[]",
    "array_distinct",
    "list_concat",
    "list_distinct",
    "list_filter",
    "list_sort",
    "list_transform",
    "regexp_extract_all",
    "string_split",
}
_SIGNS = {"=", "<>", "<", "<=", ">", ">=", "||", "+", "-", "*", "/", "%", "and", "or"}

# What Spark has as well, under this or another name. `@n` stand for arguments.
_SAME = {
    "abs": "abs(@1)",
    "array_distinct": "array_distinct(@1)",
    "array_to_string": "array_join(@1, @2)",
    "ascii": "ascii(@1)",
    "arg_max": "max_by(@1, @2)",
    "at": "try_element_at(@1, @2)",
    "chr": "chr(@1)",
    "coalesce": "coalesce(@*)",
    "concat_ws": "concat_ws(@*)",
    "contains": "contains(@1, @2)",
    "greatest": "greatest(@*)",
    "is not null": "(@1 IS NOT NULL)",
    "is null": "(@1 IS NULL)",
    "least": "least(@*)",
    "left": "left(@1, @2)",
    "length": "length(@1)",
    "list_concat": "concat(@*)",
    "list_contains": "array_contains(@1, @2)",
    "list_distinct": "array_distinct(@1)",
    "list_max": "array_max(@1)",
    "list_min": "array_min(@1)",
    "list_sort": "array_sort(@1)",
    "lpad": "lpad(@1, @2, @3)",
    "min": "min(@1)",
    "negative": "(- @1)",
    "not": "(NOT @1)",
    "nullif": "nullif(@1, @2)",
    "replace": "replace(@1, @2, @3)",
    "reverse": "reverse(@1)",
    "right": "right(@1, @2)",
    "starts_with": "startswith(@1, @2)",
    "ends_with": "endswith(@1, @2)",
    "strlen": "octet_length(@1)",
    "substring": "substring(@*)",
    "translate": "translate(@1, @2, @3)",
    "unhex": "unhex(@1)",
    "unicode": "ascii(@1)",
    "//": "(@1 div @2)",
    "[]": "array(@*)",
    "{}": "named_struct(@*)",
    "date_diff": "datediff(@3, @2)",
    "date": "(DATE @1)",
    # The session's zone is UTC, so a moment shifted by its zone shows that zone's clock.
    "timezone": "from_utc_timestamp(@2, @1)",
    "printf": "format_string(@*)",
    # A value that is neither: null too, as every use wants.
    "isfinite": "(@1 IS NOT NULL AND NOT isnan(@1) AND abs(@1) <> double('infinity'))",
}
_MADE: Mapping[str, Callable[[str], str]] = {
    "lower": spark.lower,
    "nfc_normalize": spark.nfc,
    "strip_accents": spark.without_marks,
    "trim": spark.trim,
    "upper": spark.upper,
}
_CASTS: Mapping[str, Callable[[str], str]] = {
    "BIGINT": "try_cast({} AS BIGINT)".format,
    "DATE": spark.date,
    "DOUBLE": spark.number,
    "INTEGER": "try_cast({} AS INT)".format,
    "TIMESTAMPTZ": "try_cast({} AS TIMESTAMP)".format,
    "VARCHAR": "try_cast({} AS STRING)".format,
}
_DATE_PARTS = {"%Y": "yyyy", "%m": "MM", "%d": "dd", "%H": "HH", "%M": "mm"}


def translate(sql: str) -> str:
    """Return Spark's SQL of a DuckDB template or query, its slots kept.

    Raises:
        UnreadableError: The template has something that is not known here.
    """
    tree = read(sql)
    return _query(tree, {}) if isinstance(tree, Query) and sql.startswith("SELECT") else _write(tree, {})


def _macros() -> Mapping[str, tuple[tuple[str, ...], Node]]:
    """Return the macros that templates call: parameters and body."""
    return _macros_of(installed())


@lru_cache(maxsize=2)
def _macros_of(catalogue: Catalogue) -> Mapping[str, tuple[tuple[str, ...], Node]]:
    found = {}
    for name, definition in catalogue.duckdb.macros.items():
        head = re.match(r"\w+\(([^)]*)\) AS ", definition)
        assert head is not None, name
        found[name] = (tuple(part.strip() for part in head[1].split(",")), read(definition[head.end() :]))
    return found


def _write(node: Node, scope: Scope) -> str:
    match node:
        case Text(value):
            return spark.text(value)
        case Plain(word) | Slot(word):
            return word
        case Name(name):
            if name not in scope:
                raise UnreadableError(f"{name} is no variable here")
            return scope[name][0]
        case Member(of, name):
            return f"{_write(of, scope)}.{name}"
        case Cast(of, kind):
            if kind not in _CASTS:
                raise UnreadableError(f"there is no cast to {kind} here")
            return _CASTS[kind](_write(of, scope))
        case Slice(of, first, last):
            return _slice(_write(of, scope), first, last, scope)
        case Apply(function, arguments):
            return _apply(function, arguments, scope)
        case Query():
            return f"({_query(node, scope)})"
    raise UnreadableError("a lambda stands alone")


def _apply(function: str, arguments: Sequence[Node], scope: Scope) -> str:
    if (constant := _constant(Apply(function, tuple(arguments)))) is not None:
        return spark.text(constant)
    if function in _OWN:
        return _OWN[function](arguments, scope)
    if function in _macros():
        return _macro(function, arguments, scope)
    written = [_write(argument, scope) for argument in arguments]
    if function in _SIGNS:
        return f"({written[0]} {function.upper()} {written[1]})"
    if function in _MADE:
        return _MADE[function](written[0])
    if function in _SAME:
        return fill(_SAME[function], written)
    raise UnreadableError(f"{function} has no counterpart here")


def _query(query: Query, scope: Scope) -> str:
    """Write a query. Its expressions may name its sources' aliases and the columns of the queries that it reads."""
    source = query.source
    names = [name for _, name in source.of.columns] if isinstance(source.of, Query) else [source.alias]
    inner = {**scope, **{name: (name, False) for name in names}}
    columns = (f"{_write(of, inner)}{f' AS {name}' if name else ''}" for of, name in query.columns)
    of = f"({_query(source.of, scope)})" if isinstance(source.of, Query) else f"{source.of} {source.alias}"
    where = f" WHERE {_write(query.where, inner)}" if query.where else ""
    return f"SELECT {', '.join(columns)} FROM {of}{where}"


def _macro(function: str, arguments: Sequence[Node], scope: Scope) -> str:
    """Bind the arguments by lambdas around the macro's body; a variable stands for itself, as it does in DuckDB's macros."""
    parameters, body = _macros()[function]
    given = dict(zip(parameters, arguments, strict=True))
    named = {name: scope[of.name] for name, of in given.items() if isinstance(of, Name) and of.name in scope}
    bound = {name: of for name, of in given.items() if name not in named}
    sql = _write(body, named | {name: (name, _is_list(of, scope)) for name, of in bound.items()})
    for name, argument in bound.items():
        sql = spark.let(_write(argument, scope), sql, name)
    return sql


def _is_list(node: Node, scope: Scope) -> bool:
    match node:
        case Name(name):
            return scope.get(name, ("", False))[1]
        case Apply("at", (Apply("list_transform", (Apply("[]", (value,)), Lambda((name, *_), body))), _)):
            return _is_list(body, {**scope, name: (name, _is_list(value, scope))})
        case Apply("coalesce" | "nullif", (first, *_)):
            return _is_list(first, scope)
        case Apply("case", (_, _, then, *_)):
            return _is_list(then, scope)
        case Apply(function, _) if function in _macros():
            return _is_list(_macros()[function][1], {})
        case Apply(function, _):
            return function in _LISTS
        case Slot("@found"):
            return True
    return False


def _constant(node: Node) -> str | None:
    """Return the text that a node writes out by literals, `chr` and `||`."""
    match node:
        case Text(value):
            return value
        case Apply("chr", (Plain(code),)):
            return chr(int(code))
        case Apply("||", (left, right)):
            first, second = _constant(left), _constant(right)
            return None if first is None or second is None else first + second
    return None


def _literal(node: Node) -> str:
    if (value := _constant(node)) is None:
        raise UnreadableError("a pattern or format must be written out")
    return value


def _slice(of: str, first: Node | None, last: Node | None, scope: Scope) -> str:
    start = _write(first, scope) if first else "1"
    if last is None:
        return f"substring({of}, {start})"
    end = _write(last, scope)
    count = str(int(end) - int(start) + 1) if start.isdigit() and end.isdigit() else f"{end} - {start} + 1"
    return f"substring({of}, {start}, {count})"


def _case(arguments: Sequence[Node], scope: Scope) -> str:
    operand, *parts, otherwise = arguments
    asked = "" if operand == Plain("") else f" {_write(operand, scope)}"
    whens = "".join(
        f" WHEN {_write(when, scope)} THEN {_write(then, scope)}"
        for when, then in zip(parts[::2], parts[1::2], strict=True)
    )
    return f"CASE{asked}{whens} ELSE {_write(otherwise, scope)} END"


def _at(arguments: Sequence[Node], scope: Scope) -> str:
    of, place = arguments
    match of, place:
        case Apply("list_transform", (Apply("[]", (value,)), Lambda((name,), body))), Plain("1"):
            inner = {**scope, name: (name, _is_list(value, scope))}
            return spark.let(_write(value, scope), _write(body, inner), name)
    if _is_list(of, scope):
        return fill(_SAME["at"], [_write(of, scope), _write(place, scope)])
    return f"substring({_write(of, scope)}, {_write(place, scope)}, 1)"


def _list_transform(arguments: Sequence[Node], scope: Scope) -> str:
    return f"transform({_write(arguments[0], scope)}, {_function(arguments[1], scope)})"


def _list_filter(arguments: Sequence[Node], scope: Scope) -> str:
    return f"filter({_write(arguments[0], scope)}, {_function(arguments[1], scope)})"


def _function(node: Node, scope: Scope) -> str:
    """Write a lambda. DuckDB counts places from 1, Spark from 0."""
    if not isinstance(node, Lambda):
        raise UnreadableError("a lambda is wanted here")
    first, *place = node.parameters
    inner = {**scope, first: (first, False)} | {name: (f"({name} + 1)", False) for name in place}
    names = first if not place else f"({', '.join(node.parameters)})"
    return f"{names} -> {_write(node.body, inner)}"


def _len(arguments: Sequence[Node], scope: Scope) -> str:
    return f"{'size' if _is_list(arguments[0], scope) else 'length'}({_write(arguments[0], scope)})"


def _list_bool_and(arguments: Sequence[Node], scope: Scope) -> str:
    known = f"filter({_write(arguments[0], scope)}, b -> b IS NOT NULL)"
    return spark.let(known, "CASE WHEN size(l) > 0 THEN forall(l, b -> b) END", "l")


def _membership(word: str) -> Callable[[Sequence[Node], Scope], str]:
    def write(arguments: Sequence[Node], scope: Scope) -> str:
        first, *others = (_write(argument, scope) for argument in arguments)
        return f"({first} {word} ({', '.join(others)}))"

    return write


def _matches(arguments: Sequence[Node], scope: Scope) -> str:
    return spark.found(_write(arguments[0], scope), java_pattern(_literal(arguments[1])))


def _full_match(arguments: Sequence[Node], scope: Scope) -> str:
    if isinstance(arguments[1], Slot):  # an argument that the expression writes out, made Java's by the dialect
        return f"({_write(arguments[0], scope)} RLIKE {arguments[1].name})"
    return spark.found(_write(arguments[0], scope), full_match(_literal(arguments[1])))


def _string_split(arguments: Sequence[Node], scope: Scope) -> str:
    separator = _literal(arguments[1])
    return f"split({_write(arguments[0], scope)}, {spark.text(re.escape(separator))})"


def _regexp_replace(arguments: Sequence[Node], scope: Scope) -> str:
    option = _literal(arguments[3]) if len(arguments) > 3 else ""
    if option != "g" and not (option == "" and _literal(arguments[1]).startswith("^")):
        raise UnreadableError("regexp_replace is known with the option g alone, or at the text's beginning")
    pattern, put = java_pattern(_literal(arguments[1])), java_replacement(_literal(arguments[2]))
    return f"regexp_replace({_write(arguments[0], scope)}, {spark.text(pattern)}, {spark.text(put)})"


def _regexp_extract(function: str) -> Callable[[Sequence[Node], Scope], str]:
    def write(arguments: Sequence[Node], scope: Scope) -> str:
        group = _write(arguments[2], scope) if len(arguments) > 2 else "0"
        pattern = spark.text(java_pattern(_literal(arguments[1])))
        return f"{function}({_write(arguments[0], scope)}, {pattern}, {group})"

    return write


def _try(arguments: Sequence[Node], scope: Scope) -> str:
    match arguments:
        case (Apply("decode", (value,)),):
            return f"try_validate_utf8(try_cast({_write(value, scope)} AS STRING))"
    raise UnreadableError("try is known around decode alone")


def _strftime(arguments: Sequence[Node], scope: Scope) -> str:
    pattern = re.sub("%.", lambda part: _DATE_PARTS.get(part[0], "%"), _literal(arguments[1]))
    if "%" in pattern:
        raise UnreadableError("strftime is known with %Y, %m, %d, %H and %M alone")
    return f"date_format({_write(arguments[0], scope)}, {spark.text(pattern)})"


_OWN: Mapping[str, Callable[[Sequence[Node], Scope], str]] = {
    "at": _at,
    "case": _case,
    "in": _membership("IN"),
    "len": _len,
    "list_bool_and": _list_bool_and,
    "list_filter": _list_filter,
    "list_transform": _list_transform,
    "not in": _membership("NOT IN"),
    "regexp_extract": _regexp_extract("regexp_extract"),
    "regexp_extract_all": _regexp_extract("regexp_extract_all"),
    "regexp_full_match": _full_match,
    "regexp_matches": _matches,
    "regexp_replace": _regexp_replace,
    "strftime": _strftime,
    "string_split": _string_split,
    "try": _try,
}
