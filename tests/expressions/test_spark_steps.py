"""What a step's statements ask of Spark: the same in its words, or a refusal. None of this needs Java."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from motlan.expressions import DUCKDB, SPARK, parse
from motlan.expressions.duckdb.named import named_calls, verbatim
from motlan.expressions.spark.parse import UnreadableError
from motlan.lake.iceberg import Versions, current

pytest.importorskip("sqlglot", reason="needs sqlglot: uv pip install -e '.[spark]'")
from motlan.expressions.spark import steps


class Relations:
    """A session that only tells names."""

    views = ("waiting",)

    def read(self, paths: Sequence[str]) -> str:
        return f"<{'+'.join(paths)}>"

    def keep(self, query: str) -> str:
        return f"<{query}>"


def read(sql: str, parameters: Sequence[str] = ()) -> list[steps.Statement]:
    return list(steps.statements(sql, Relations(), parameters))


def answer(sql: str, parameters: Sequence[str] = ()) -> str:
    (found,) = read(sql, parameters)
    assert isinstance(found, steps.Answer)
    return found.query


@pytest.mark.parametrize(
    ("sql", "statement"),
    [
        ("create or replace temp table a as from b", steps.Make("a", "SELECT * FROM b", view=False)),
        ("create or replace temp view a as from b", steps.Make("a", "SELECT * FROM b", view=True)),
        ("create temp table a (n bigint, b varchar)", steps.Empty("a", "n BIGINT, b STRING")),
        ("insert into a from b", steps.Append("a", "SELECT * FROM b")),
        ("delete from a", steps.Make("a", "SELECT * FROM `a` WHERE NOT true", view=False)),
        ("drop view if exists a", steps.Drop("a")),
        ("alter table a rename to b", steps.Rename("a", "b")),
        ("copy a to '/x' (format parquet)", steps.Write("SELECT * FROM a", "/x", "snappy")),
        ("copy (from a) to '/x' (format parquet, compression zstd)", steps.Write("SELECT * FROM a", "/x", "zstd")),
        (
            "copy (from a) to '/x' (format parquet, partition_by (b))",
            steps.Write("SELECT * FROM a", "/x", "snappy", "b"),
        ),
        ("describe from read_parquet(['a', 'b'])", steps.Describe("SELECT * FROM <a+b>")),
        (
            "describe from read_parquet(['a', 'b']) join (select k from t) using (k)",
            steps.Describe("SELECT * FROM <a+b> JOIN (SELECT k FROM t) USING (k)"),
        ),
        (
            "update a set b = null where c in (select c from d)",
            steps.Make(
                "a",
                "SELECT * EXCEPT (`b`), CASE WHEN c IN (SELECT c FROM d) THEN NULL ELSE `b` END AS `b` FROM `a`",
                view=False,
            ),
        ),
    ],
)
def test_every_kind_of_statement_is_known(sql: str, statement: steps.Statement) -> None:
    assert read(sql) == [statement]


@pytest.mark.parametrize(
    ("duckdb", "spark"),
    [
        ("len(a)", "CAST(size(a) AS BIGINT)"),
        ("a[2]", "try_element_at(a, CAST(2 AS INT))"),
        ("{'x': 1.5}", "named_struct('x', 1.5D)"),
        ("any_value(a)", "first(a, true)"),
        ("arg_max(a, (b, c))", "max_by(a, named_struct('col1', b, 'col2', c)) FILTER (WHERE (a) IS NOT NULL)"),
        (
            "arg_min(a, b) filter (where c)",
            "min_by(a, b) FILTER (WHERE (c) AND (a) IS NOT NULL AND (b) IS NOT NULL)",
        ),
        ("list(distinct a order by a)", "nullif(array_sort(collect_set(a)), array())"),
        ("row_number() over (order by a)", "CAST(row_number() OVER (ORDER BY a NULLS LAST) AS BIGINT)"),
        (
            "list_reduce(a, lambda w, o: case when o > w then o else w end, b)",
            "aggregate(a, b, (w, o) -> CASE WHEN o > w THEN o ELSE w END)",
        ),
        ("string_split(a, '.')", "split(a, '\\\\.')"),
        ("a is distinct from b", "(NOT (a <=> b))"),
        ("(map {'a': 'b'})[c]", "try_element_at(map('a', 'b'), c)"),
        ("'it''s ${x}'", "'it\\'s $\\u007bx}'"),
    ],
)
def test_the_same_in_sparks_words(duckdb: str, spark: str) -> None:
    assert answer(f"select {duckdb} as z") == f"SELECT {spark} AS z"


def test_a_place_in_a_row_is_a_field_by_its_number() -> None:
    assert answer("select list_max(list_transform(a, lambda c: row(c.x, c)))[2].x").endswith(".col2.x")


@pytest.mark.parametrize(
    "sql",
    [
        "select sounds_like(a)",
        "select strftime(a, '%H')",
        "select a[2:3]",
        "select * from glob('x')",
        "pragma version",
        "select list(a order by b desc)",
        "copy a to 'x' (format csv)",
        "select extract(year from a)",
    ],
)
def test_what_it_does_not_know_it_refuses(sql: str) -> None:
    with pytest.raises(UnreadableError):
        read(sql)


def test_calls_of_the_catalogue_are_filled_in_by_sparks_dialect() -> None:
    with named_calls():
        named = parse("name_key(a) == 'x'").sql(DUCKDB)
        with named_calls(on=False):
            assert parse("name_key(a)").sql(DUCKDB) == DUCKDB.call("name_key", ['"a"'])
    assert named == "(catalogue_name_key(\"a\") = 'x')"
    assert answer(f"select {named} as z") == f"SELECT ({SPARK.call('name_key', ['`a`'])} = 'x') AS z"


def test_a_query_of_sparks_own_is_kept_as_it_is() -> None:
    assert (
        answer(f"select * from {verbatim('SELECT `a` FROM b')} as z")
        == "SELECT * FROM (SELECT * FROM <SELECT `a` FROM b>) AS z"
    )


def test_a_union_by_name_takes_the_names_of_the_side_that_tells_them() -> None:
    assert answer("select a, 1 as b from x union all by name from y") == (
        "SELECT `a`, `b` FROM (SELECT a, 1 AS b FROM x) UNION ALL SELECT `a`, `b` FROM (SELECT * FROM y)"
    )
    with pytest.raises(UnreadableError):
        read("from x union all by name from y")


def test_a_query_before_another_is_written_without_its_hint() -> None:
    assert answer("with b as materialized (select 1 as c) from b") == "WITH b AS (SELECT 1 AS c) SELECT * FROM b"


def test_sets_of_groups_are_no_structs() -> None:
    assert answer("select a from b group by grouping sets ((a, c), (a))") == (
        "SELECT a FROM b GROUP BY GROUPING SETS ((a, c), (a))"
    )


def test_parameters_are_written_as_literals() -> None:
    assert answer("select a > ? as z from b", ["it's"]) == "SELECT a > 'it\\'s' AS z FROM b"


def test_views_are_told_to_who_asks_for_them() -> None:
    assert answer("select count(*) from duckdb_views() where view_name = 'waiting'") == (
        "SELECT count(*) FROM (SELECT col1 AS view_name FROM VALUES ('waiting')) WHERE view_name = 'waiting'"
    )


def test_a_base_and_its_deltas_are_read_in_sparks_words() -> None:
    """The base's files and the deltas' are read once together, and the deltas' keys alone are grouped."""
    files = [
        f"/lake/{folder}/run={run}/0.parquet"
        for folder, run in (("bases/golden_person", "r1"), ("golden/person", "r2"))
    ]
    spark = answer(f"from {current(files, ['entity_id'])}")
    assert spark.count("bases") == 1
    assert "GROUP BY entity_id" in spark.replace("`", "")
    assert "EXCEPT (_op, _run, _changed, _since)" in spark.replace("`", "")
    assert "FULL" in answer(f"from {Versions.of(files).since(['entity_id'])}")
