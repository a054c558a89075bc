"""The contracts that go out are valid by the published specifications, and say what the declared half says."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from typer.testing import CliRunner

from motlan.cli.main import app
from motlan.config import registry
from motlan.contracts import data_contract, json_schema
from tests.conftest import ROOT

ODCS = json.loads((ROOT / "tests" / "standards" / "odcs" / "odcs-json-schema-v3.2.0.json").read_text(encoding="utf-8"))
DECLARED = registry.load(ROOT)
DATASETS = sorted(DECLARED.datasets)


def contract(dataset: str) -> dict[str, Any]:
    return data_contract(DECLARED, DECLARED.datasets[dataset])


@pytest.mark.parametrize("dataset", DATASETS)
def test_the_data_contract_is_valid_odcs(dataset: str) -> None:
    jsonschema.Draft201909Validator(ODCS).validate(contract(dataset))


def test_a_data_contract_that_is_spoilt_is_not_valid() -> None:
    spoilt = contract(DATASETS[0])
    spoilt["schema"][0]["properties"][0]["quality"][0]["dimension"] = "beauty"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft201909Validator(ODCS).validate(spoilt)


@pytest.mark.parametrize("dataset", DATASETS)
def test_the_json_schema_is_valid_and_judges_rows(dataset: str) -> None:
    schema = json_schema(DECLARED, DECLARED.datasets[dataset])
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    assert validator.is_valid({"full_name": "Lê Hoa", "personal_id": "001190000001", "birth_date": "1990"})
    assert validator.is_valid({"full_name": "Lê Hoa", "personal_id": None})
    for wrong in (
        {"full_name": None},
        {},
        {"full_name": "Lê Hoa", "personal_id": "12"},
        {"full_name": "Lê", "shoe": "x"},
    ):
        assert not validator.is_valid(wrong)
    assert list(schema["properties"]) == [
        name for name in DECLARED.entity("person").fields if name in DECLARED.datasets[dataset].fields
    ]


@pytest.mark.parametrize("dataset", DATASETS)
def test_every_rule_of_a_dataset_stands_in_its_contract_once(dataset: str) -> None:
    table = contract(dataset)["schema"][0]
    checks = [check["name"] for part in (table, *table["properties"]) for check in part.get("quality", [])]
    assert len(checks) == len(set(checks))
    named = {rule.name for rule in DECLARED.rules.by_name.values() if rule.datasets != "*" and rule.applies_to(dataset)}
    assert named <= set(checks)


def test_the_contract_promises_what_the_owner_promised() -> None:
    found = DECLARED.datasets[DATASETS[0]]
    written = contract(found.name)
    promises = {promise["property"]: promise for promise in written["slaProperties"]}
    assert promises["latency"]["value"] == found.freshness
    assert promises["frequency"]["schedule"] == found.schedule
    assert written["team"]["members"][0]["username"] in found.owner


def test_the_command_writes_both(tmp_path: Path) -> None:
    target = tmp_path / "contract.yaml"
    done = CliRunner().invoke(app, ["contract", "export", DATASETS[0], "--out", str(target)])
    assert done.exit_code == 0
    assert yaml.safe_load(target.read_text(encoding="utf-8")) == contract(DATASETS[0])
    shown = CliRunner().invoke(app, ["contract", "export", DATASETS[0], "--schema"])
    assert json.loads(shown.output) == json_schema(DECLARED, DECLARED.datasets[DATASETS[0]])
    assert CliRunner().invoke(app, ["contract", "export", "nosuch"]).exit_code == 1
