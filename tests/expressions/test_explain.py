"""Explaining a cleaner: every step is shown, the last is the cleaner's answer, and the value is never an argument."""

import json

import duckdb
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from motlan.cli.main import app
from motlan.errors import ConfigurationError
from motlan.expressions import DUCKDB, FUNCTIONS, Scalar, explain, fill


def changes(engine: duckdb.DuckDBPyConnection, value: str) -> dict[str, object]:
    """Return the steps of a name's cleaning that changed it: the name of the step, and what came out."""
    return {step.name: step.value for step in explain(engine, "person_name", value)[:-1] if step.changed}


def notes(engine: duckdb.DuckDBPyConnection, function: str, value: str, *others: str) -> str:
    """Return all that the steps of a cleaner say about a value."""
    return " | ".join(step.note for step in explain(engine, function, value, others) if step.note)


def test_case_and_tone_mark_are_steps_of_their_own(engine: duckdb.DuckDBPyConnection) -> None:
    assert changes(engine, "NGUYỄN THỊ HOÀ") == {
        "proper case where all was upper or lower": "Nguyễn Thị Hoà",
        "tone marks at their traditional place": "Nguyễn Thị Hòa",
    }


def test_unicode_form_invisible_characters_and_look_alikes_are_steps_of_their_own(
    engine: duckdb.DuckDBPyConnection,
) -> None:
    assert list(changes(engine, "Ðinh\u202e H\u2019Ho\u0300a")) == [
        "apostrophes made one",
        "invisible characters dropped",
        "Unicode NFC",
        "look-alike letters made the usual ones",
    ]


@pytest.mark.parametrize(
    ("value", "encoding"),
    [
        ("Nguyá»…n VÄƒn HÃ", "utf8_twice, confidence 0.99"),
        ("Hå H÷u Tó", "tcvn3, confidence 0.99"),
        ("TrÇn ThÞ H\u00adng", "tcvn3, confidence 0.95"),
        ("Nguyeãn An", "vni, confidence 0.95"),
        ("Nguye^~n Va(n A", "viqr, confidence 0.99"),
        ("Müller", "signs of one, confidence 0.3"),
        ("Nguyễn Văn Hà", ""),
    ],
)
def test_the_encoding_that_was_seen_is_told_with_its_confidence(engine, value: str, encoding: str) -> None:
    told = notes(engine, "person_name", value)
    assert told == (f"{encoding}; undone from 0.75 on" if encoding else "")


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("79090000001", "a lost zero is certain: 079 is a place of birth registration and 0 a century and sex"),
        ("03090000001", "a lost zero is not certain: 003 is no place of birth registration"),
        ("79990000001", "a lost zero is not certain: 9 is no century and sex of 1900 to 2099"),
        ("1,23E+11", "digits lost to a spreadsheet's exponent form or error"),
        ("123456789", "9 characters: digits are never invented"),
        ("001 090 000 001", ""),
    ],
)
def test_why_a_zero_was_put_back_or_not_is_told(engine, value: str, why: str) -> None:
    told = notes(engine, "personal_id", value)
    assert told.startswith(why) if why else told == ""


@pytest.mark.parametrize(
    ("value", "order", "told"),
    [
        ("31/12/1990", "dmy", "year last, with separators (and perhaps a time) | precise to the day"),
        ("00/05/1945", "dmy", "year last, with separators (and perhaps a time) | precise to the month"),
        ("32905", "iso", "five digits: a spreadsheet's number of days since 1899-12-30 | precise to the day"),
        (
            "03/04/1990",
            "either",
            "year last, with separators (and perhaps a time); day and month may be either: 1990-04-03;1990-03-04"
            " | precise to the year",
        ),
        ("soon", "dmy", "no form of a date that is known"),
    ],
)
def test_form_precision_and_ambiguity_of_a_date_are_told(engine, value: str, order: str, told: str) -> None:
    assert notes(engine, "partial_date", value, order) == told


def test_the_unit_that_a_code_meant_at_the_date_is_told_with_its_candidates(engine) -> None:
    assert notes(engine, "commune", "00097", "2020-01-01") == "Phường Khác of before the reform"
    assert notes(engine, "commune", "00097", "2026-01-01") == "Phường Hồng Hà, since 2025-07-01"
    assert notes(engine, "commune", "00010", "2020-01-01").endswith("divided among 00097;00004")
    assert notes(engine, "commune", "99999", "2020-01-01") == "no list has this code at the date"


@pytest.mark.parametrize("function", DUCKDB.functions.stages)
def test_the_last_step_is_the_cleaners_answer(engine: duckdb.DuckDBPyConnection, function: str) -> None:
    (value, *others), answer = FUNCTIONS[function].examples[1]
    *_, last, whole = explain(engine, function, value, others)
    assert last.value == whole.value == answer


@pytest.mark.parametrize("function", DUCKDB.functions.stages)
def test_the_steps_of_every_example_end_in_its_answer(engine: duckdb.DuckDBPyConnection, function: str) -> None:
    by_rest: dict[tuple[Scalar, ...], dict[Scalar, Scalar]] = {}
    for (value, *others), answer in FUNCTIONS[function].examples:
        by_rest.setdefault(tuple(others), {})[value] = answer
    for others, answers in by_rest.items():
        rest = [DUCKDB.typed_null() if other is None else DUCKDB.literal(other) for other in others]
        values = list(answers)
        for stage in DUCKDB.functions.stages[function]:
            engine.register("now", pa.table({"n": range(len(values)), "x": pa.array(values, pa.string())}))
            answered = engine.execute(f"select {fill(stage.sql, ('x', *rest))} from now order by n").fetchall()
            values = [row[0] for row in answered]
        assert values == list(answers.values())


@pytest.mark.parametrize(
    ("function", "value", "others", "answer"),
    [
        ("personal_id", "1.23E+11", (), None),
        ("code", "Nữ", ("sexes",), "female"),
        ("address_commune", "P. Trúc Bạch, Q. Ba Đình", ("01", "2020-01-01"), "00004"),
    ],
)
def test_any_function_can_be_explained(engine, function, value, others, answer) -> None:
    assert explain(engine, function, value, others)[-1].value == answer


def test_a_wrong_call_names_the_right_one(engine: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(ConfigurationError, match="there is no function"):
        explain(engine, "person", "x")
    with pytest.raises(ConfigurationError, match="partial_date"):
        explain(engine, "partial_date", "1990")


def test_the_command_reads_the_value_from_standard_input() -> None:
    answer = CliRunner().invoke(app, ["clean", "explain", "--as", "person_name", "--json"], input="PHẠM THUÝ\n")
    assert answer.exit_code == 0, answer.output
    steps = json.loads(answer.stdout)["steps"]
    assert steps[-1]["value"] == "Phạm Thúy"
    assert {"name", "value", "changed", "note"} == set(steps[0])
    assert "Phạm Thúy" in CliRunner().invoke(app, ["clean", "explain", "--as", "person_name"], input="PHẠM THUÝ").output
