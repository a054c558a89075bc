"""Explaining a cleaner: every step is shown, the last is the cleaner's answer, and the value is never an argument."""

import json

import duckdb
import pytest
from typer.testing import CliRunner

from motlan.cli import app
from motlan.engine import explain
from motlan.errors import ConfigurationError


def test_a_name_is_explained_step_by_step(engine: duckdb.DuckDBPyConnection) -> None:
    steps = explain(engine, "person_name", "  NGUYỄN  THỊ\u00a0HOÀ ")
    assert [step.value for step in steps][-2:] == ["Nguyễn Thị Hòa", "Nguyễn Thị Hòa"]
    assert [step.changed for step in steps[:-1]] == [True, False, True, False, False, True]


def test_the_step_that_decodes_is_seen(engine: duckdb.DuckDBPyConnection) -> None:
    changed = [step.name for step in explain(engine, "person_name", "Nguyeãn Vaên An") if step.changed]
    assert changed[0] == "VNI, TCVN3 or VIQR decoded"


@pytest.mark.parametrize(
    ("function", "value", "others", "answer"),
    [
        ("personal_id", "79090000001", (), "079090000001"),
        ("personal_id", "1.23E+11", (), None),
        ("partial_date", "1/2/1990", ("dmy",), "1990-02-01"),
        ("code", "Nữ", ("sexes",), "female"),
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
    assert json.loads(answer.stdout)["steps"][-1]["value"] == "Phạm Thúy"
    assert "Phạm Thúy" in CliRunner().invoke(app, ["clean", "explain", "--as", "person_name"], input="PHẠM THUÝ").output
