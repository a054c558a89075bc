"""Long queries of Spark's SQL are taken apart where a relation stands, and nowhere else. None of this needs Java."""

from __future__ import annotations

import re

from motlan.expressions.spark.views import LONG, in_parts

WIDE = "'" + "x" * LONG + "'"


def apart(query: str) -> tuple[str, list[str]]:
    parts: list[str] = []

    def view(part: str) -> str:
        parts.append(part)
        return f"part_{len(parts)}"

    return in_parts(query, view), parts


def test_long_derived_tables_become_parts_the_innermost_first() -> None:
    inner = f"select {WIDE} as a from b"
    whole, parts = apart(f"select c from (select {WIDE} as c from ({inner}) as d) as e")
    assert parts == [inner, f"select {WIDE} as c from part_1 as d"]
    assert whole == "select c from part_2 as e"


def test_a_short_one_stays() -> None:
    query = "select a from (select b as a from c) as d"
    assert apart(query) == (query, [])


def test_one_inside_an_expression_stays_for_it_may_speak_of_the_rows_around_it() -> None:
    query = f"select (select a from (select {WIDE} as a from b)) from c where exists (select {WIDE} from (select {WIDE} from d))"
    assert apart(query) == (query, [])


def test_brackets_in_texts_and_names_are_no_brackets() -> None:
    inner = rf"select 'from (\') )' as `from (`, {WIDE} as b from c"
    whole, parts = apart(f"select ')' from ({inner}) as d")
    assert (whole, parts) == ("select ')' from part_1 as d", [inner])


def test_the_parts_put_back_are_the_query() -> None:
    inner = f"select {WIDE} as a, b from (select {WIDE} as b from c) as d"
    query = f"select a from ({inner}) as e\nleft join (select {WIDE} from f) on g"
    whole, parts = apart(query)
    for number in range(len(parts), 0, -1):
        whole = re.sub(rf"\bpart_{number}\b", lambda _, n=number: f"({parts[n - 1]})", whole)
    assert whole == query
    assert len(parts) == 3
