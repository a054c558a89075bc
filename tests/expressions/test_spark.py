"""What can be said of Spark's SQL without Spark: it is whole, it never throws in a cast, and it refuses what it does not know."""

from __future__ import annotations

import re

import pytest

from motlan.expressions import DUCKDB, FUNCTIONS, SPARK, parse
from motlan.expressions.spark.parse import UnreadableError
from motlan.expressions.spark.regex import full_match, java_pattern, java_replacement
from motlan.expressions.spark.write import translate


def test_the_dialect_has_exactly_the_functions_of_the_catalogue() -> None:
    assert set(SPARK.templates) == set(FUNCTIONS)
    assert set(SPARK.lookups) == set(DUCKDB.lookups)
    assert set(SPARK.costly) == set(DUCKDB.costly)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_no_template_casts_in_a_way_that_could_raise_and_quote_a_value(name: str) -> None:
    assert not re.search(r"(?<!try_)\bcast\(|::[a-z]", SPARK.templates[name], re.IGNORECASE)


@pytest.mark.parametrize(
    "sql",
    [
        "sounds_like(@1)",
        "regexp_replace(@1, 'a', 'b')",
        "regexp_matches(@1, @2 || 'a')",
        "strptime(@1, '%H')",
        "try_cast(@1 AS UUID)",
        "try(@1)",
        "other_column",
        "@1 @2",
        "@1 ~ 'a'",
        "(SELECT a FROM b ORDER BY a)",
    ],
)
def test_what_it_does_not_know_it_refuses(sql: str) -> None:
    with pytest.raises(UnreadableError):
        translate(sql)


@pytest.mark.parametrize(
    ("duckdb", "spark"),
    [
        ("@1[:4] || '-'", "(substring(@1, 1, 4) || '-')"),
        ("@1[5:6]", "substring(@1, 5, 2)"),
        ("string_split(@1, ';')[2]", "try_element_at(split(@1, ';'), 2)"),
        ("NOT @1 IS NULL AND @2 IN (1, 2)", "((NOT (@1 IS NULL)) AND (@2 IN (1, 2)))"),
        ("list_transform([@1], lambda v: v || v)[1]", "get(transform(array(@1), v -> (v || v)), 0)"),
        ("list_transform(string_split(@1, ','), lambda w, i: i)", "transform(split(@1, ','), (w, i) -> (i + 1))"),
        ("'it''s ' || chr(96) || '\\'", "'it\\'s `\\\\'"),
        ("SELECT c.a AS code FROM t c WHERE c.b = '1'", "SELECT c.a AS code FROM t c WHERE (c.b = '1')"),
    ],
)
def test_the_same_steps_in_sparks_words(duckdb: str, spark: str) -> None:
    assert translate(duckdb) == spark


@pytest.mark.parametrize(
    ("re2", "java"),
    [
        (r"\s+$", r"(?d)[\t\n\f\r ]+\z"),
        (r"[\s&[x]", r"(?d)[\t\n\f\r &[x]".replace("&[", r"\&\[")),
        (r"[^]a]", r"(?d)[^\]a]"),
        (r"(?i)a\.(?P<n>b)", r"(?d)(?iu)a\.(?<n>b)"),
        (r"[[:alpha:][:^digit:]]\p{Greek}\p{Cf}", r"(?d)[\p{Alpha}\P{Digit}]\p{IsGreek}\p{Cf}"),
    ],
)
def test_patterns_are_made_javas(re2: str, java: str) -> None:
    assert java_pattern(re2) == java


def test_a_pattern_that_an_expression_writes_out_is_made_javas_whatever_signs_it_has() -> None:
    pattern = r"\d{4}'\\${2}$"
    written = SPARK.literal(full_match(pattern))
    assert parse(f"matches(x, {pattern!r})").sql(SPARK) == f"(`x` RLIKE {written})"
    assert java_replacement(r"\1$") == r"$1\$"


def test_no_literal_lets_spark_put_a_variable_in() -> None:
    assert "${" not in SPARK.literal("${env:HOME}")
