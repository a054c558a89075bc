"""Every quality rule passes and fails exactly its examples, in one query for all of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from motlan.config.quality import SetRule
from motlan.config.scoring import DIMENSIONS
from motlan.expressions import DUCKDB, connect, literal, load_code_lists, parse
from motlan.quality import set_rules
from schemas import ENTITIES, Person

MAPPING = Path(__file__).parents[2] / "mapping"
QUALITY = yaml.safe_load((MAPPING / "quality.yaml").read_text(encoding="utf-8"))
ROW, CROSS = QUALITY["rules"], QUALITY["cross_rules"]
PERSON, REGISTER, SET = QUALITY["person_rules"], QUALITY["register_rules"], QUALITY["set_rules"]
ASKED = ROW + CROSS + PERSON + REGISTER
DATASETS = {"population_citizens", "insurance_members", "tax_taxpayers", "education_pupils", "education_staff"}
"""All of them are about a person."""


def datasets_of(rule: dict[str, Any]) -> list[str]:
    """The datasets that a rule is asked of."""
    named = rule.get("datasets", "*")
    return named if isinstance(named, list) else sorted(DATASETS - {*rule.get("excepted", ())})


@pytest.fixture(scope="module")
def engine() -> Iterator[duckdb.DuckDBPyConnection]:
    with connect(threads=1) as con:
        load_code_lists(con, MAPPING / "codes")
        yield con


def _literal(value: str | int | None) -> str:
    return DUCKDB.typed_null() if value is None else DUCKDB.literal(value)


def _sql(rule: dict[str, Any], example: dict[str, Any]) -> str:
    expression = parse(rule["expression"], where=rule["name"])
    values = {field: example.get(field) for field in expression.fields}
    columns = {field: _literal(value) for field, value in values.items()}
    return expression.sql(DUCKDB, columns)


def test_every_rule_answers_its_examples(engine: duckdb.DuckDBPyConnection) -> None:
    cases = [
        (rule, wanted, example) for rule in ASKED for wanted in ("pass", "fail") for example in rule["examples"][wanted]
    ]
    answers = engine.execute("SELECT " + ", ".join(_sql(rule, example) for rule, _, example in cases)).fetchall()[0]
    wrong = [
        (rule["name"], wanted, example, answer)
        for (rule, wanted, example), answer in zip(cases, answers, strict=True)
        if answer is not (wanted == "pass")
    ]
    assert not wrong


def test_a_rule_about_a_missing_value_does_not_assess_it_twice(engine: duckdb.DuckDBPyConnection) -> None:
    """A row of nulls fails the rules of completeness and the blocking ones, and is assessed by no other."""
    answers = engine.execute("SELECT " + ", ".join(_sql(rule, {}) for rule in ROW + CROSS)).fetchall()[0]
    for rule, answer in zip(ROW + CROSS, answers, strict=True):
        assert answer is (
            False if rule["dimension"] == "completeness" and rule["name"] != "birth_date_precise" else None
        ), rule


@pytest.mark.parametrize("rule", SET, ids=lambda rule: rule["name"])
@pytest.mark.parametrize("wanted", ["pass", "fail"])
def test_every_set_rule_answers_its_examples(
    engine: duckdb.DuckDBPyConnection, rule: dict[str, Any], wanted: str
) -> None:
    declared = SetRule.model_validate(rule)
    fields = sorted(set_rules.used_fields(declared))
    for example in rule["examples"][wanted]:
        rows = ["(" + ", ".join(_literal(row.get(name)) for name in ["dataset", *fields]) + ")" for row in example]
        names = ", ".join(["dataset", *fields])
        engine.execute(f"create or replace temp table everyone as from (values {', '.join(rows)}) as v({names})")
        asked = f"r.dataset in ({', '.join(map(literal, datasets_of(rule)))})"
        for together in ([datasets_of(rule)], [[name] for name in datasets_of(rule)]):
            failing = f"({' union all '.join(set_rules.failing(declared, names, 'everyone') for names in together)})"
            answers = {
                row[0]
                for row in engine.execute(
                    f"select case when {asked} then {set_rules.answer(declared, 'r', failing)} end from everyone as r"
                ).fetchall()
            }
            assert (False in answers) == (wanted == "fail")
            assert True in answers or wanted == "fail"


@pytest.mark.parametrize("rule", ASKED + SET, ids=lambda rule: rule["name"])
def test_a_rule_has_a_message_in_both_languages_and_examples_of_both_ends(rule: dict[str, Any]) -> None:
    assert rule["message"]["vi"] and rule["message"]["en"]
    assert rule["examples"]["pass"] and rule["examples"]["fail"]
    assert rule.get("datasets", "*") in ("*", {"entity": "person"}) or set(rule["datasets"]) <= DATASETS
    assert rule["field"] in {*Person.model_fields, "_key", "_moment"}


def test_names_are_unique_and_every_dimension_is_asked() -> None:
    names = [rule["name"] for rule in ASKED + SET]
    assert len(names) == len(set(names)) >= 60
    assert {rule["dimension"] for rule in ASKED + SET} == set(DIMENSIONS)


def test_rules_read_canonical_raw_and_row_columns_only() -> None:
    canonical = {name for model in ENTITIES.values() for name in model.model_fields}
    for rule in ROW:
        fields = parse(rule["expression"]).fields - canonical - {"_key", "_moment"}
        assert {field[5:-1] for field in fields if field.startswith("sent(")} <= canonical, rule["name"]
        assert all(field.startswith("sent(") for field in fields), rule["name"]
    for rule in CROSS:
        fields = {field.removeprefix("row_").removeprefix("golden_") for field in parse(rule["expression"]).fields}
        assert fields <= {*Person.model_fields, "as_of"}, rule["name"]
