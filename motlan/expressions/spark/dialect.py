"""Spark's SQL of every catalogue function, with ANSI mode on as Spark 4 has it.

Most of it is written from DuckDB's templates (`spark.write`), so that a rule stands in one place. What DuckDB alone has built
in is written by hand. Nothing needs a Python function, and nothing casts without `try_`. The tables of `code_tables` must
be there for code lists.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from motlan.expressions.catalogue import Catalogue, installed
from motlan.expressions.dialect import Dialect, Lookup, Scalar, Sql
from motlan.expressions.spark import pieces as spark
from motlan.expressions.spark.regex import full_match
from motlan.expressions.spark.write import translate

SPARK_SETTINGS = {
    "spark.sql.analyzer.maxIterations": "1000",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.session.timeZone": "UTC",
}
"""What a session needs: names are cleaned in many steps, and each takes Spark's analyser several of its 100 rounds."""


def _alone(look: Lookup) -> str:
    """Return a look-up's SQL where there is no join: a query inside the expression, which no lambda may stand around."""
    found = f"(SELECT code AS cl_key, found AS cl_found FROM ({look.relation}))"
    return f"(SELECT {look.answer.replace('@found', 'cl_found')} FROM {found} WHERE cl_key = {look.key})"


@lru_cache(maxsize=2)
def _translated(catalogue: Catalogue) -> Sql:
    """Return Spark's SQL of a catalogue; made at first use, for most sessions never need Spark's."""
    duckdb = catalogue.duckdb

    def each(written: Mapping[str, str]) -> dict[str, str]:
        return {name: translate(sql) for name, sql in written.items()}

    lookups = {
        name: Lookup(translate(look.relation), translate(look.key), translate(look.answer))
        for name, look in duckdb.lookups.items()
    }
    by_hand = catalogue.spark | {name: _alone(look) for name, look in lookups.items()}
    templates = {name: by_hand.get(name) or translate(sql) for name, sql in duckdb.templates.items()}
    return Sql(
        templates=templates,
        lookups=lookups,
        each=each(duckdb.each),
        costly=each(duckdb.costly),
        plain=each(duckdb.plain),
    )


class SparkDialect(Dialect):
    """Spark 4, in a session with SPARK_SETTINGS."""

    name = "spark"

    @property
    def functions(self) -> Sql:
        """The SQL of the functions that the process has."""
        return _translated(installed())

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
