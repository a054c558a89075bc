"""Rules that read the day: which values make them answer otherwise on another one."""

import pytest

from motlan.config import registry
from motlan.expressions import DUCKDB, connect, load_code_lists, parse
from motlan.quality.dated_rules import AS_OF, DatedPart, dated_parts
from tests.conftest import ROOT


@pytest.mark.parametrize(
    ("expression", "parts"),
    [
        ("row_death_date <= as_of", {"row_death_date <= as_of"}),
        ("commune(row_residence_commune, as_of) == row_residence_commune", None),
        (
            "days_between(golden_birth_date, as_of) >= 60 if golden_death_date is None and row_sex == 'female' else None",
            {"days_between(golden_birth_date, as_of) >= 60"},
        ),
        ("not (row_sex == 'x' or date_year(as_of) == 2026)", {"date_year(as_of) == 2026"}),
        ("days_between(golden_birth_date, as_of) > number(row_sex)", {"days_between(golden_birth_date, as_of)"}),
        ("days_between(coalesce(golden_birth_date, row_birth_date), as_of) > 3", {"as_of"}),
        ("row_sex == 'x'", set()),
    ],
)
def test_only_the_parts_that_read_the_day_are_asked_again(expression: str, parts: set[str] | None) -> None:
    found = parse(expression).parts_reading(AS_OF)
    assert {part.text for part in found} == ({expression} if parts is None else parts)


def test_no_rule_of_the_declared_half_answers_otherwise_of_most_people_on_another_day() -> None:
    declared = registry.load(ROOT)
    parts = dated_parts(declared.rules_of("person"))
    assert {part.of for part in parts} == {"row", "golden"}
    with connect(threads=1) as engine:
        load_code_lists(engine, declared.code_lists)
        days = "select (date '1940-01-01' + n::int)::varchar from range(0, 32000) as r(n)"
        for part in filter(lambda part: part.field.endswith("date"), parts):
            engine.execute(f"create or replace temp view days as select * from ({days}) as v({part.field})")
            differs = part.differs("'2026-11-30'", "'2026-12-01'", DUCKDB)
            assert len(engine.execute(f"from days where {differs}").fetchall()) == 1, part


def test_a_part_that_reads_the_day_alone_answers_of_everyone() -> None:
    declared = registry.load(ROOT)
    rule = declared.rules.cross[0].model_copy(update={"expression": "date_year(as_of) == 2026"})
    rule.__dict__.pop("parsed", None)
    (part,) = dated_parts(type(declared.rules)(cross=(rule,)))
    assert part == DatedPart(rule, parse("date_year(as_of) == 2026"), "day")
    with connect(threads=1) as engine:
        for now, answer in (("'2026-12-31'", False), ("'2027-01-01'", True)):
            assert engine.execute(f"select {part.differs(repr('2026-11-30'), now, DUCKDB)}").fetchall() == [(answer,)]
