"""Reads the steps' SQL, which is DuckDB's with calls by name, and says what Spark has to do for it.

sqlglot reads the statements and writes Spark's structure (joins, windows, subqueries). What a call or an operator means is not
left to it: every function that steps use stands here once, beside the Spark SQL that answers alike, and what does not stand here
is refused. Calls of catalogue functions are filled in by Spark's own dialect.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, Protocol

import sqlglot
from sqlglot import exp
from sqlglot.dialects.duckdb import DuckDB
from sqlglot.dialects.spark import Spark
from sqlglot.generators.spark import SparkGenerator
from sqlglot.parsers.duckdb import DuckDBParser

from motlan.expressions.dialect import fill
from motlan.expressions.duckdb.named import PREFIX, VERBATIM
from motlan.expressions.spark import pieces as spark_text
from motlan.expressions.spark.dialect import SPARK
from motlan.expressions.spark.parse import UnreadableError
from motlan.expressions.spark.regex import java_pattern


class _StepsSql(DuckDB):
    """DuckDB's SQL with calls left as they are written: no function is taken for another's."""

    INDEX_OFFSET = 0

    class Parser(DuckDBParser):
        FUNCTIONS: ClassVar[dict[str, Any]] = {}


class _SparkSql(Spark):
    """Spark's SQL, which has QUALIFY itself."""

    class Generator(SparkGenerator):
        TRANSFORMS: ClassVar[dict[Any, Any]] = {
            node: write for node, write in SparkGenerator.TRANSFORMS.items() if node is not exp.Select
        }


# --- what a statement asks for ---------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Make:
    """Make a table (computed now) or a view of a query."""

    name: str
    query: str
    view: bool


@dataclass(frozen=True)
class Empty:
    """Make an empty table: Spark's columns with their types."""

    name: str
    columns: str


@dataclass(frozen=True)
class Append:
    """Add a query's rows to a table, columns by their places."""

    name: str
    query: str


@dataclass(frozen=True)
class Drop:
    """Forget a table or view."""

    name: str


@dataclass(frozen=True)
class Rename:
    """Give a table another name."""

    name: str
    new: str


@dataclass(frozen=True)
class Write:
    """Write a query's rows to one Parquet file, or into a folder with one for each value of a column."""

    query: str
    path: str
    compression: str
    by: str = ""


@dataclass(frozen=True)
class Describe:
    """Tell a query's columns."""

    query: str


@dataclass(frozen=True)
class Answer:
    """Answer a query."""

    query: str


Statement = Make | Empty | Append | Drop | Rename | Write | Describe | Answer


class Relations(Protocol):
    """What a session knows that a statement's text does not say."""

    @property
    def views(self) -> Collection[str]:
        """Names of the views there are."""

    def read(self, paths: Sequence[str]) -> str:
        """Make a relation of Parquet files; return its name."""

    def keep(self, query: str) -> str:
        """Compute a query of Spark's own SQL once; return the result's name."""


# --- functions: name -> Spark's SQL, where `@n` stand for arguments ---------------------------------------------------
_SAME = (
    "abs", "bool_and", "bool_or", "coalesce", "count", "dense_rank", "floor", "greatest", "grouping", "lag", "lead",
    "least", "length", "log2", "lower", "nullif", "pow", "replace", "round", "split_part", "sum", "upper",
)  # fmt: skip
_COPY_OPTIONS = {
    "format", "parquet_version", "compression", "compression_level", "partition_by", "dictionary_size_limit",
    "write_bloom_filter",
}  # fmt: skip
"""Options of a copy that Spark heeds, or that say how DuckDB writes and no more."""
_FUNCTIONS = {name: f"{name}(@*)" for name in _SAME} | {
    "any_value": "first(@1, true)",
    "concat_ws": "concat_ws(@*)",
    "hash": "xxhash64(@*)",
    "len": "CAST(size(@1) AS BIGINT)",
    "list_append": "array_append(@1, @2)",
    "list_contains": "array_contains(@1, @2)",
    "list_distinct": "array_distinct(@1)",
    "list_filter": "filter(@1, @2)",
    "list_max": "array_max(@1)",
    "list_min": "array_min(@1)",
    "list_reduce": "aggregate(@1, @3, @2)",
    "list_reverse_sort": "reverse(array_sort(@1))",
    "list_sort": "array_sort(@1)",
    "list_transform": "transform(@1, @2)",
    "row_number": "row_number()",
    "sha256": "sha2(@1, 256)",
    "substr": "substring(@*)",
    "substring": "substring(@*)",
    "to_json": "to_json(@1, map('ignoreNullFields', 'false'))",
    "to_seconds": "make_dt_interval(0, 0, 0, @1)",
    "unnest": "explode(@1)",
}
_ROW_NUMBERS = ("row_number", "dense_rank")
"""Window functions that answer a 32-bit number on Spark, and a 64-bit one on DuckDB."""
_PLAIN = (exp.And, exp.Array, exp.Case, exp.Cast, exp.Exists, exp.Floor, exp.If, exp.Max, exp.Min, exp.Or, exp.TryCast)
"""What sqlglot counts among the functions, and writes for Spark as it was."""
_HEX_PAIRS = range(31, 15, -2)
"""Where the bytes of an MD5's second half begin in its hexadecimal digits, the last first."""


def statements(sql: str, relations: Relations, parameters: Sequence[str] = ()) -> Iterator[Statement]:
    """Read a step's statements, each when the one before it was done.

    Args:
        sql: One or more statements, a semicolon between them.
        relations: The session that runs them.
        parameters: Texts that stand for `?`, in order.

    Raises:
        UnreadableError: They have something that is not known here.
    """
    reader = _Reader(relations, list(parameters))
    for tree in _parsed(sql):
        yield reader.statement(tree.copy())


@lru_cache(maxsize=64)
def _parsed(sql: str) -> tuple[exp.Expr, ...]:
    try:
        return tuple(tree for tree in sqlglot.parse(sql, dialect=_StepsSql) if tree is not None)
    except sqlglot.errors.SqlglotError as error:
        raise UnreadableError(f"cannot read: {str(error)[:200]}") from None


def _raw(sql: str) -> exp.Expr:
    """Return a node that is written as it is."""
    return exp.Var(this=sql)


class _Reader:
    def __init__(self, relations: Relations, parameters: list[str]) -> None:
        self.relations, self.parameters = relations, parameters

    # --- statements
    def statement(self, tree: exp.Expr) -> Statement:
        match tree:
            case exp.Create(this=exp.Schema() as schema):
                columns = ", ".join(self.write(column) for column in schema.expressions)
                return Empty(schema.this.name, columns)
            case exp.Create(kind="TABLE" | "VIEW"):
                return Make(tree.this.name, self.write(tree.expression), tree.args["kind"] == "VIEW")
            case exp.Insert():
                return Append(tree.this.name, self.write(tree.expression))
            case exp.Delete():
                return self._delete(tree)
            case exp.Update():
                return self._update(tree)
            case exp.Drop():
                return Drop(_named(tree))
            case exp.Alter(actions=[exp.AlterRename() as action]):
                return Rename(tree.this.name, action.this.name)
            case exp.Copy():
                return self._copy(tree)
            case exp.Describe():
                return Describe(self.write(tree.this))
            case exp.Query():
                return Answer(self.write(tree))
        raise UnreadableError(f"a statement is not known here: {tree.key}")

    def _delete(self, tree: exp.Delete) -> Statement:
        where = tree.args.get("where")
        gone = f"coalesce({self.write(where.this)}, false)" if where else "true"
        name = SPARK.quote(tree.this.name)
        return Make(tree.this.name, f"SELECT * FROM {name} WHERE NOT {gone}", view=False)

    def _update(self, tree: exp.Update) -> Statement:
        where = self.write(tree.args["where"].this) if tree.args.get("where") else "true"
        sets = {assign.this.name: self.write(assign.expression) for assign in tree.expressions}
        kept = ", ".join(map(SPARK.quote, sets))
        new = ", ".join(
            f"CASE WHEN {where} THEN {value} ELSE {SPARK.quote(name)} END AS {SPARK.quote(name)}"
            for name, value in sets.items()
        )
        return Make(tree.this.name, f"SELECT * EXCEPT ({kept}), {new} FROM {SPARK.quote(tree.this.name)}", view=False)

    def _copy(self, tree: exp.Copy) -> Statement:
        options = {str(option.this).lower(): option.expression for option in tree.args["params"]}
        if set(options) - _COPY_OPTIONS or options["format"].name.lower() != "parquet":
            raise UnreadableError("a copy is known to one Parquet file alone, or to one for each value of a column")
        source = tree.this
        query = self.write(source.this if isinstance(source, exp.Subquery) else exp.select("*").from_(source))
        compression = options["compression"].name if "compression" in options else "snappy"
        by = options["partition_by"].unnest().name if "partition_by" in options else ""
        return Write(query, tree.args["files"][0].name, compression, by)

    # --- expressions and queries
    def write(self, tree: exp.Expr) -> str:
        """Return Spark's SQL of a tree, which is changed."""
        return _sql(self._deep(tree))

    def _deep(self, node: exp.Expr) -> exp.Expr:
        if (whole := self._whole(node)) is not None:
            return whole
        for child in list(node.iter_expressions()):
            if (made := self._deep(child)) is not child:
                child.replace(made)
        return self._step(node)

    def _whole(self, node: exp.Expr) -> exp.Expr | None:
        """Write what means something else together with what is in it; None for all other nodes."""
        match node:
            case exp.Filter(this=exp.ArgMax() | exp.ArgMin() as inner):
                return self._best(inner, [node.expression.this])
            case exp.ArgMax() | exp.ArgMin():
                return self._best(node, [])
            case exp.Filter(this=exp.Anonymous(this="list") as inner):
                return self._list(inner, f" FILTER (WHERE {self.write(node.expression.this)})")
            case exp.Anonymous(this="list"):
                return self._list(node, "")
            case exp.Anonymous(this="list_where", expressions=[values, asked]):
                return self._list_where(_written_out(values), _written_out(asked))
            case exp.Anonymous(this="regexp_matches", expressions=[text, exp.Literal() as pattern]):
                return _raw(spark_text.found(self.write(text), java_pattern(pattern.name)))
            case exp.Anonymous(this="string_split", expressions=[text, exp.Literal() as between]):
                return _raw(f"split({self.write(text)}, {spark_text.text(re.escape(between.name))})")
            case exp.BitwiseRightShift(this=exp.Anonymous(this="md5_number") as inner) if node.expression.name == "65":
                return _raw(_md5_number(self.write(inner.expressions[0])))
            case exp.Bracket(
                this=exp.Anonymous(this="list_max", expressions=[exp.Anonymous(this="list_transform") as rows])
            ):
                if isinstance(rows.expressions[1].this, exp.Anonymous) and rows.expressions[1].this.name == "row":
                    return _raw(f"{self.write(node.this)}.col{node.expressions[0].name}")
            case exp.Bracket(this=exp.Paren(this=exp.ToMap(this=exp.Struct() as pairs))):
                return self._value_of(pairs, node.expressions[0])
            case exp.GroupingSets():
                return _raw(f"GROUPING SETS ({', '.join(map(self._group, node.expressions))})")
            case exp.Table(this=exp.Anonymous() as call):
                return self._relation(node, call)
            case exp.Union() if node.args.get("by_name"):
                return self._by_name(node)
        return None

    def _step(self, node: exp.Expr) -> exp.Expr:
        """Write a node of which all children are written."""
        match node:
            case exp.Literal():
                return _raw(spark_text.text(node.this) if node.is_string else _number(node.this))
            case exp.Placeholder():
                return _raw(spark_text.text(self.parameters.pop(0)))
            case exp.Struct() | exp.Tuple() | exp.Anonymous(this="row" | "struct_pack"):
                return _raw(_struct(node.expressions))
            case exp.Anonymous():
                return _raw(_call(str(node.this).lower(), [_sql(argument) for argument in node.expressions]))
            case exp.Bracket():
                return _raw(_at(node))
            case exp.Cast(to=exp.DataType(this=exp.DataType.Type.UUID)):
                parts = "'(.{8})(.{4})(.{4})(.{4})(.{12})', '$1-$2-$3-$4-$5'"
                return _raw(f"regexp_replace({_sql(node.this)}, {parts})")
            case exp.Cast(to=exp.DataType(this=exp.DataType.Type.ENUM)):
                return _raw(_sql(node.this))
            case exp.NullSafeNEQ():
                return _raw(f"(NOT ({_sql(node.this)} <=> {_sql(node.expression)}))")
            case exp.NullSafeEQ():
                return _raw(f"({_sql(node.this)} <=> {_sql(node.expression)})")
            case exp.Window(this=exp.Var(this=str() as call)) if call.removesuffix("()") in _ROW_NUMBERS:
                return _raw(f"CAST({_sql(node)} AS BIGINT)")
            case exp.CTE():
                node.set("materialized", None)
            case exp.Select():
                return _replaced(node)
            case exp.Func() if not isinstance(node, _PLAIN):
                raise UnreadableError(f"{node.sql_name()} has no counterpart here")
        return node

    def _best(self, node: exp.Expr, conditions: list[exp.Expr]) -> exp.Expr:
        """Write `arg_max` and `arg_min`, which leave out rows where either of their arguments is null."""
        of, by = node.this, node.expression
        known = [of] if isinstance(by, exp.Tuple | exp.Anonymous) else [of, by]
        asked = [*(f"({self.write(c)})" for c in conditions), *(f"({self.write(k.copy())}) IS NOT NULL" for k in known)]
        function = "max_by" if isinstance(node, exp.ArgMax) else "min_by"
        return _raw(f"{function}({self.write(of)}, {self.write(by)}) FILTER (WHERE {' AND '.join(asked)})")

    def _list(self, node: exp.Anonymous, condition: str) -> exp.Expr:
        """Write `list`: null where there is nothing, in an order where one is asked."""
        of = node.expressions[0]
        order = of if isinstance(of, exp.Order) else None
        of = order.this if order else of
        if isinstance(of, exp.Distinct):
            values = self.write(of.expressions[0])
            return _raw(f"nullif(array_sort(collect_set({values}){condition}), array())")
        if order is None:
            return _raw(f"nullif(collect_list({self.write(of)}){condition}, array())")
        if len(order.expressions) > 1 or order.expressions[0].args.get("desc"):
            raise UnreadableError("a list is known in the ascending order of one value")
        pairs = f"named_struct('by', {self.write(order.expressions[0].this)}, 'of', {self.write(of)})"
        return _raw(f"nullif(transform(array_sort(collect_list({pairs}){condition}), e -> e.of), array())")

    def _group(self, part: exp.Expr) -> str:
        columns = part.expressions if isinstance(part, exp.Tuple) else [part.unnest()]
        return f"({', '.join(map(self.write, columns))})"

    def _value_of(self, pairs: exp.Struct, key: exp.Expr) -> exp.Expr:
        """Write the value of a key in a map that is written out."""
        known = ", ".join(f"{self.write(pair.this)}, {self.write(pair.expression)}" for pair in pairs.expressions)
        return _raw(f"try_element_at(map({known}), {self.write(key)})")

    def _list_where(self, values: exp.Array, asked: exp.Array) -> exp.Expr:
        pairs = zip(values.expressions, asked.expressions, strict=True)
        cases = ", ".join(f"CASE WHEN {self.write(when)} THEN {self.write(value)} END" for value, when in pairs)
        return _raw(f"filter(array({cases}), found -> found IS NOT NULL)")

    def _relation(self, node: exp.Table, call: exp.Anonymous) -> exp.Expr:
        """Write a function that stands for a relation."""
        alias = f" AS {node.alias}" if node.alias else ""
        match call.name.lower(), call.expressions:
            case "read_parquet", [exp.Array(expressions=paths), *_]:
                made = self.relations.read([path.name for path in paths])
            case "read_parquet", [exp.Literal() as path, *_]:
                made = self.relations.read([path.name])
            case name, [query] if name == VERBATIM:
                made = self.relations.keep(query.name)
            case "duckdb_views", []:
                names = ", ".join(f"({spark_text.text(name)})" for name in sorted(self.relations.views)) or "(NULL)"
                made = f"(SELECT col1 AS view_name FROM VALUES {names})"
            case name, _:
                raise UnreadableError(f"{name} is no relation here")
        joins = "".join(f" {self.write(join)}" for join in node.args.get("joins") or ())
        return _raw(made + alias + joins)

    def _by_name(self, node: exp.Expr) -> exp.Expr:
        """Write `UNION ALL BY NAME`: each side's columns by the names of the side that names them all."""
        left, right = node.this, node.expression
        named = right if left.is_star else left
        if named.is_star:
            raise UnreadableError("one side of a union by name must name its columns")
        theirs = ", ".join(map(SPARK.quote, named.named_selects))
        outer = node.args.get("with_") or node.args.get("with")
        prefix = f"{_sql(self._deep(outer))} " if outer else ""
        sides = " UNION ALL ".join(f"SELECT {theirs} FROM ({self.write(side)})" for side in (left, right))
        return _raw(prefix + sides)


def _named(tree: exp.Drop) -> str:
    table = tree.find(exp.Table)
    if table is None:
        raise UnreadableError("a table or view alone can be dropped")
    return table.name


def _written_out(node: exp.Expr) -> exp.Array:
    """Return the list that is written out, without its cast."""
    of = node.this if isinstance(node, exp.Cast) else node
    if not isinstance(of, exp.Array):
        raise UnreadableError("list_where is known of lists that are written out")
    return of


def _sql(node: exp.Expr) -> str:
    return node.sql(dialect=_SparkSql, unsupported_level=sqlglot.ErrorLevel.RAISE, normalize_functions=False)


def _number(text: str) -> str:
    """Write a number; a fraction as a double, for Spark would make a decimal of it."""
    return text if text.isdigit() else f"{text}D"


def _call(name: str, arguments: Sequence[str]) -> str:
    if name.startswith(PREFIX):
        return SPARK.call(name.removeprefix(PREFIX), arguments)
    if name not in _FUNCTIONS:
        raise UnreadableError(f"{name} has no counterpart here")
    return fill(_FUNCTIONS[name], arguments)


def _struct(parts: Sequence[exp.Expr]) -> str:
    """Write a struct; fields that have no name are called by their places."""
    if any(isinstance(part, exp.PropertyEQ) for part in parts):
        return f"named_struct({', '.join(_property(part) for part in parts)})"
    fields = (f"'col{place}', {_sql(part)}" for place, part in enumerate(parts, 1))
    return f"named_struct({', '.join(fields)})"


def _property(part: exp.Expr) -> str:
    return f"{spark_text.text(part.this.name)}, {_sql(part.expression)}"


def _at(node: exp.Bracket) -> str:
    """Write a place in a list, or a list's beginning."""
    of, place = _sql(node.this), node.expressions[0]
    if isinstance(place, exp.Slice):
        if _sql(place.this) != "1":
            raise UnreadableError("of lists only the beginning is known")
        return f"slice({of}, 1, CAST({_sql(place.expression)} AS INT))"
    return f"try_element_at({of}, CAST({_sql(place)} AS INT))"


def _md5_number(text: str) -> str:
    """Write the upper 63 bits of DuckDB's `md5_number`: the second half of the digest, its last byte first."""
    digits = "concat(" + ", ".join(f"substring(m, {place}, 2)" for place in _HEX_PAIRS) + ")"
    signed = f"CAST(conv({digits}, 16, -10) AS BIGINT)"
    return spark_text.let(f"md5({text})", f"shiftrightunsigned({signed}, 1)", "m")


def _replaced(node: exp.Select) -> exp.Select:
    """Write `* REPLACE`: the star without the columns, and they after it."""
    for star in [column for column in node.expressions if isinstance(column, exp.Star) and column.args.get("replace")]:
        new = star.args["replace"]
        names = [exp.to_identifier(alias.alias, quoted=True) for alias in new]
        star.set("except_", [*(star.args.get("except_") or []), *names])
        star.set("replace", None)
        node.set("expressions", [*node.expressions, *new])
    return node
