"""The expression language says what it means in SQL, and refuses everything else where it stands."""

from __future__ import annotations

import duckdb
import pytest

from motlan.errors import ConfigurationError
from motlan.expressions import DUCKDB, Expression, parse


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("a == 'x'", True),
        ("a != 'x'", False),
        ("a in ['x', 'y']", True),
        ("a not in ('x', 'y')", False),
        ("missing is None", True),
        ("missing is not None", False),
        ("missing == 'x'", None),
        ("missing == 'x' and a == 'y'", False),
        ("missing == 'x' or a == 'x'", True),
        ("not missing == 'x'", None),
        ("missing in ['x']", None),
        ("'yes' if a == 'x' else 'no'", "yes"),
        ("'yes' if missing == 'x' else 'no'", "no"),
        ("a if missing is None else None", "x"),
        ("length(a) >= 1 and length(a) < 2", True),
        ("-1 < length(a)", True),
        ("number('1.5') == 1.5", True),
        ("True", True),
        ("a == 'it''s' or a == \"it's\" or a == 'x'", True),
        ("upper(coalesce(missing, a, 'z'))", "X"),
        ("join_words(a, missing, 'y')", "x y"),
    ],
)
def test_an_expression_means_what_sql_means(engine: duckdb.DuckDBPyConnection, text: str, answer: object) -> None:
    sql = parse(text).sql(DUCKDB)
    rows = engine.execute(f"SELECT {sql} FROM (SELECT 'x' AS a, NULL::VARCHAR AS missing)").fetchall()
    assert rows == [(answer,)]


@pytest.mark.parametrize(
    ("text", "column", "mend"),
    [
        ("a +", 4, "brackets"),
        ("a + b", 1, "catalogue functions"),
        ("a.b == 1", 1, "catalogue functions"),
        ("a[0]", 1, "catalogue functions"),
        ("lambda: 1", 1, "catalogue functions"),
        ("[a for a in b]", 1, "catalogue functions"),
        ("f'{a}'", 1, "catalogue functions"),
        ("(a := 1)", 2, "catalogue functions"),
        ("a == 'x' and person_nam(a)", 14, "person_name"),
        ("__import__('os')", 1, "did you mean"),
        ("a.strip()", 1, "name a catalogue function"),
        ("text(a, b)", 1, "text(x)"),
        ("text(x=a)", 1, "text(x)"),
        ("text(*a)", 1, "text(x)"),
        ("join_words()", 1, "join_words(x, ...)"),
        ("partial_date(a, 'mdy')", 17, "dmy, ymd, iso"),
        ("partial_date(a, b)", 17, "dmy, ymd, iso"),
        ("code(a, b)", 6, "literal"),
        ("matches(a, b)", 12, "literal"),
        ("1 < a < 3", 1, "a < b and b < c"),
        ("a is 'x'", 6, "use =="),
        ("a == None", 6, "is None"),
        ("a in b", 6, "write x in"),
        ("a in []", 6, "write x in"),
        ("a in ['x', b]", 12, "write text"),
        ("a in ['x', None]", 12, "or x is None"),
        ("b'x' == a", 1, "write text"),
        ("a == ...", 6, "write text"),
        ("-a", 1, "catalogue functions"),
        ("", 1, "brackets"),
        ("a; b", 2, "brackets"),
        ("import os", 1, "brackets"),
    ],
)
def test_what_is_not_in_the_language_is_refused_with_place_and_mend(text: str, column: int, mend: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse(text, where="mapping/x.yaml, a")
    assert caught.value.where == "mapping/x.yaml, a"
    assert f"column {column}:" in caught.value.what
    assert mend in caught.value.next_step


def test_an_endless_expression_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="longer than"):
        parse("a == 'x' or " * 1000 + "a == 'x'")


def test_deep_nesting_is_refused_and_not_a_crash() -> None:
    with pytest.raises(ConfigurationError):
        parse("(" * 1500 + "a" + ")" * 1500)


def test_an_expression_knows_its_fields_and_code_lists() -> None:
    found = parse("code('sexes', a) == b and commune(c, d) is None and code_at('provinces', a, d) == 'x'")
    assert found.fields == {"a", "b", "c", "d"}
    assert found.code_lists == {"sexes", "communes", "provinces"}
    assert parse("province_of_commune(a)").code_lists == {"communes"}


def test_fields_become_the_columns_that_stand_for_them() -> None:
    expression = parse("row_a == golden_a")
    assert expression.sql(DUCKDB, {"row_a": 'r."a"', "golden_a": 'g."a"'}) == '(r."a" = g."a")'
    assert expression.sql(DUCKDB) == '("row_a" = "golden_a")'


def test_vietnamese_field_names_are_quoted() -> None:
    assert parse("họ_tên is None").sql(DUCKDB) == '("họ_tên" IS NULL)'


def test_text_cannot_break_out_of_its_literal(engine: duckdb.DuckDBPyConnection) -> None:
    text = "x' OR true --"
    sql = parse(f'"{text}"').sql(DUCKDB)
    assert engine.execute(f"SELECT {sql}").fetchall() == [(text,)]


def test_a_column_named_as_the_engine_names_its_own_is_still_the_column(engine: duckdb.DuckDBPyConnection) -> None:
    sql = parse("personal_id(v)").sql(DUCKDB), parse("code('sexes', cl_value)").sql(DUCKDB, {"cl_value": "t.cl_value"})
    rows = engine.execute(
        f"SELECT {sql[0]}, {sql[1]} FROM (SELECT '001090000001' AS v, 'Nam' AS cl_value) AS t"
    ).fetchall()
    assert rows == [("001090000001", "male")]


def test_lines_may_break_anywhere() -> None:
    assert parse("a\n  == 'x'").sql(DUCKDB) == "(\"a\" = 'x')"


def test_expressions_are_equal_by_their_text() -> None:
    assert parse("a == 'x'", where="here") == Expression("a == 'x'")
    assert len({parse("a"), parse("a"), parse("b")}) == 2


@pytest.mark.parametrize(
    ("expression", "sent"),
    [
        ("personal_id(number)", "number"),
        ("number", "number"),
        ("person_name(join_words(first, text(last)))", "first"),
        ("person_name(join_words(first, last))", "join_words(first, last)"),
        ("commune(coalesce(new, old), updated)", "coalesce(new, old)"),
        ("coalesce(commune(new, updated), address_commune(address, None, updated))", "new"),
        ("coalesce(province_of_commune(residence), code_at('provinces', number, updated))", "number"),
        ("code('sexes', sex) if text(old) is None else text(old)", "sex"),
        ("province_of_commune(residence)", None),
    ],
)
def test_what_was_sent_for_a_field_is_found_behind_its_cleaners(expression: str, sent: str | None) -> None:
    columns = {"number", "first", "last", "new", "old", "address", "sex"}
    assert parse(expression).sent(columns) == sent


def test_what_was_sent_is_a_name_of_its_own() -> None:
    expression = parse("sent(sex) == text(sent(name)) or sex is None")
    assert expression.fields == {"sent(sex)", "sent(name)", "sex"}
    assert expression.sql(DUCKDB, {"sent(sex)": "a", "sent(name)": "b", "sex": "c"}).startswith("((a = ")
    assert expression.with_names({"sent(sex)": "coalesce(x, y)", "sent(name)": None}) == (
        "coalesce(x, y) == text(text(None)) or sex is None"
    )
    with pytest.raises(ConfigurationError, match="sent takes a field's plain name"):
        parse("sent(sex, name)")
