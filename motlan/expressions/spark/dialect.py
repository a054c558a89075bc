"""Spark's SQL of every catalogue function, with ANSI mode on as Spark 4 has it.

Most of it is written from DuckDB's templates (`spark_write`), so that a rule stands in one place. What looks into code
lists, and what DuckDB alone has built in, is here by hand. Nothing needs a Python function, and nothing casts without
`try_`. The tables of `code_tables` must be there for code lists.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

from motlan.expressions.dialect import Dialect, Lookup, Scalar
from motlan.expressions.duckdb.dialect import DUCKDB
from motlan.expressions.spark import text as spark
from motlan.expressions.spark.regex import full_match
from motlan.expressions.spark.write import translate

# --- comparisons: on bytes, as DuckDB's are -------------------------------------------------------------------------
# Greedy matching from the second text into the first; `used` are the places matched, in the order of the second.
_FIRST_FREE = (
    "try_element_at(filter(sequence(greatest(j - w, 1), least(j + w, size(a))),"
    " i -> a[i - 1] = b[j - 1] AND NOT array_contains(used, i)), 1)"
)
_USED = (
    "aggregate(sequence(1, size(b)), try_cast(array() AS array<int>), (used, j) -> CASE WHEN j - w > size(a) THEN used"
    f" ELSE {spark.let(_FIRST_FREE, 'CASE WHEN i IS NULL THEN used ELSE array_append(used, coalesce(i, 0)) END', 'i')} END)"
)
_SWAPS = "size(filter(zip_with(u, array_sort(u), (i, k) -> a[i - 1] <> a[k - 1]), odd -> odd)) div 2"
_JARO = f"CASE WHEN size(u) = 0 THEN 0D ELSE (size(u) / size(a) + size(u) / size(b) + (size(u) - {_SWAPS}) / size(u)) / 3 END"
_START = "size(filter(sequence(1, least(4, size(a), size(b))), n -> slice(a, 1, n) = slice(b, 1, n)))"
_WINKLER = spark.let(_JARO, f"CASE WHEN jaro > 0.7D THEN jaro + {_START} * 0.1D * (1 - jaro) ELSE jaro END", "jaro")
_WINDOW = "greatest(shiftright(greatest(size(a), size(b)), 1) - 1, 0)"


def _letters(x: str) -> str:
    return f"split({spark.bytes_of(x)}, '')"


def _both(body: str, of: Callable[[str], str]) -> str:
    """Bind something of the two sides to `a` and `b`. No argument is read inside a lambda: it may be called `a` too."""
    inner = spark.let("s.a", spark.let("s.b", body, "b"), "a")
    return spark.let(f"named_struct('a', {of('@1')}, 'b', {of('@2')})", inner, "s")


_SIMILARITY = (
    "CASE WHEN @1 IS NULL OR @2 IS NULL THEN NULL WHEN @1 = '' OR @2 = '' THEN 0D WHEN @1 = @2 THEN 1D ELSE "
    + _both(spark.let(_WINDOW, spark.let(_USED, _WINKLER, "u"), "w"), _letters)
    + " END"
)

# Damerau-Levenshtein (Lowrance and Wagner 1975) by rows: `rows[i][j]` is the distance of the first i bytes from the
# first j; a row is made of the one above, and of that before the last place where the two swapped bytes stood.
_LAST_ABOVE = "coalesce(array_position(reverse(slice(a, 1, i - 1)), b[j - 1]), 0)"
_LAST_LEFT = "coalesce(array_position(reverse(slice(b, 1, j - 1)), a[i - 1]), 0)"
_SWAP = spark.let(
    _LAST_ABOVE,
    spark.let(
        _LAST_LEFT,
        "CASE WHEN up > 0 AND back > 0 THEN rows[i - up - 1][j - back - 1] + try_cast(up + back AS int) - 1 END",
        "back",
    ),
    "up",
)
_CELL = (
    "least(row[j - 1] + 1, rows[i - 1][j] + 1,"
    f" rows[i - 1][j - 1] + CASE WHEN a[i - 1] = b[j - 1] THEN 0 ELSE 1 END, {_SWAP})"
)
_ROW = f"aggregate(sequence(1, size(b)), array(i), (row, j) -> array_append(row, coalesce({_CELL}, 0)))"
_DISTANCE = (
    f"aggregate(sequence(1, size(a)), array(sequence(0, size(b))), (rows, i) -> array_append(rows, coalesce({_ROW}, array(0))),"
    " rows -> rows[size(a)][size(b)])"
)
_FEW = f"levenshtein({spark.bytes_of('@1')}, {spark.bytes_of('@2')}, 1)"
_EDITS = (
    "CASE WHEN @1 IS NULL OR @2 IS NULL THEN NULL WHEN @1 = '' THEN octet_length(@2) WHEN @2 = '' THEN octet_length(@1)"
    f" WHEN {_FEW} >= 0 THEN {_FEW} ELSE {_both(_DISTANCE, _letters)} END"
)
# Two neighbours swapped and nothing else: all before and after them is alike.
_SWAPPED = (
    "length(a) = length(b) AND exists(sequence(1, greatest(length(a) - 1, 1)), i -> a = concat(substring(b, 1, i - 1),"
    " substring(b, i + 1, 1), substring(b, i, 1), substring(b, i + 2)))"
)
_ONE_EDIT = (
    "CASE WHEN @1 IS NULL OR @2 IS NULL THEN NULL WHEN abs(length(@1) - length(@2)) > 1 THEN false"
    f" WHEN {_FEW} >= 0 THEN true ELSE {_both(_SWAPPED, spark.bytes_of)} END"
)

# --- moments: `h` hours, a fraction of any length, an offset of up to seconds --------------------------------------
_MOMENT = (
    r"\A(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d)(:\d\d)?(?:\.(\d*))?(?:Z| UTC|([+-])(\d\d)(?::?(\d\d)(?::(\d\d))?)?)?)?\z"
)


def _group(number: int) -> str:
    return f"regexp_extract(v, {spark.text(_MOMENT)}, {number})"


def _or(value: str, otherwise: str) -> str:
    return f"coalesce(nullif({value}, ''), '{otherwise}')"


def _count(value: str) -> str:
    return f"coalesce(try_cast({value} AS INT), 0)"


_SECONDS = f"3600 * {_count(_group(6))} + 60 * {_count(_group(7))} + {_count(_group(8))}"
_OFFSET = f"CASE WHEN {_group(5)} = '-' THEN 1 ELSE -1 END * ({_SECONDS})"
_HOUR = _or(_group(2), "00:00")
_CLOCK = f"concat({_group(1)}, ' ', regexp_replace({_HOUR}, '^24', '00'), {_or(_group(3), ':00')})"
_NEXT_DAY = f"CASE WHEN {_HOUR} = '24:00' THEN 86400 ELSE 0 END"
_LATER = f"try_cast({_CLOCK} AS TIMESTAMP_NTZ) + make_dt_interval(0, 0, 0, {_OFFSET} + {_NEXT_DAY})"
_UTC = f"replace(try_cast({_LATER} AS STRING), ' ', 'T') || '.' || rpad(substring({_group(4)}, 1, 6), 6, '0') || 'Z'"
_MOMENT_SQL = spark.let(spark.trim("@1"), f"CASE WHEN {spark.found('v', _MOMENT)} THEN {_UTC} END", "v")

SPARK_SETTINGS = {
    "spark.sql.analyzer.maxIterations": "1000",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.session.timeZone": "UTC",
}
"""What a session needs: names are cleaned in many steps, and each takes Spark's analyser several of its 100 rounds."""

BY_HAND = {
    "similarity": _SIMILARITY,
    "edits": _EDITS,
    "one_edit": _ONE_EDIT,
    "moment": _MOMENT_SQL,
}
"""Functions whose Spark SQL is not written from DuckDB's template."""


def _alone(look: Lookup) -> str:
    """Return a look-up's SQL where there is no join: a query inside the expression, which no lambda may stand around."""
    found = f"(SELECT code AS cl_key, found AS cl_found FROM ({look.relation}))"
    return f"(SELECT {look.answer.replace('@found', 'cl_found')} FROM {found} WHERE cl_key = {look.key})"


class SparkDialect(Dialect):
    """Spark 4, in a session with SPARK_SETTINGS."""

    name = "spark"

    @cached_property
    def templates(self) -> Mapping[str, str]:  # type: ignore[override]
        """Catalogue function -> SQL; made at first use, for most sessions never ask for Spark."""
        by_hand = BY_HAND | {name: _alone(look) for name, look in self.lookups.items()}
        return {name: by_hand.get(name) or translate(sql) for name, sql in DUCKDB.templates.items()}

    @cached_property
    def lookups(self) -> Mapping[str, Lookup]:  # type: ignore[override]
        """Catalogue function -> the join that answers it for a whole relation at once."""
        return {
            name: Lookup(translate(look.relation), translate(look.key), translate(look.answer))
            for name, look in DUCKDB.lookups.items()
        }

    @cached_property
    def each(self) -> Mapping[str, str]:  # type: ignore[override]
        """Function of any number of values -> what becomes of each."""
        return {name: translate(sql) for name, sql in DUCKDB.each.items()}

    @cached_property
    def plain(self) -> Mapping[str, str]:  # type: ignore[override]
        """Costly function -> its answer for a value that passes the test."""
        return {name: translate(sql) for name, sql in DUCKDB.plain.items()}

    @cached_property
    def costly(self) -> Mapping[str, str]:  # type: ignore[override]
        """Costly function -> the test of a value that needs none of its steps."""
        return {name: translate(sql) for name, sql in DUCKDB.costly.items()}

    def quote(self, identifier: str) -> str:
        """Return the identifier in backticks."""
        return "`" + identifier.replace("`", "``") + "`"

    def literal(self, value: Scalar) -> str:
        """Return a literal; text in single quotes, a fraction as a double."""
        if value is None:
            return "NULL"
        if isinstance(value, str):
            return spark.text(value)
        if isinstance(value, bool):
            return str(value).lower()
        return f"{value!r}D" if isinstance(value, float) else repr(value)

    def typed_null(self) -> str:
        """Return a NULL of STRING."""
        return "CAST(NULL AS STRING)"

    def call(self, function: str, arguments: Sequence[str]) -> str:
        """Return the SQL of a call; a pattern that the expression wrote out becomes Java's."""
        if function == "matches":
            pattern = re.sub(r"\\(u007b|.)", lambda sign: "{" if len(sign[1]) > 1 else sign[1], arguments[1][1:-1])
            arguments = [arguments[0], spark.text(full_match(pattern))]
        return super().call(function, arguments)


SPARK = SparkDialect()
"""The dialect of Spark."""
