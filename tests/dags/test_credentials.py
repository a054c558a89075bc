"""Credentials of agencies from Airflow's connections: the environment comes first, and no secret is in a log or in an error."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

SCRIPT = """
import json, os, sys
sys.path.insert(0, os.environ["AIRFLOW__CORE__PLUGINS_FOLDER"])
from airflow.sdk._shared.secrets_masker import redact
from motlan.config.registry import resolve_credential
from motlan.errors import ConfigurationError
from motlan_airflow import credentials

def told(name, agency):
    try:
        return resolve_credential(name, agency)
    except ConfigurationError as error:
        return str(error)

credentials.offer_connections()
credentials.offer_connections()
print(json.dumps({
    "connection": told("TAX", "tax"),
    "environment": told("POPULATION", "population"),
    "file": told("HEALTH", "health"),
    "half": told("HALF", "half"),
    "none": told("NOBODY", "nobody"),
    "masked": redact("of-connection-1 of-environment-1 of-file-1 of-database-1 in-clear"),
    "environ": [name for name, value in os.environ.items() if "of-connection-1" in value],
}))
"""


@pytest.fixture(scope="module")
def told(home_of: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    file = tmp_path_factory.mktemp("secrets") / "health"
    file.write_text("reader:of-file-1\n")
    connection: Callable[..., str] = lambda **parts: json.dumps({"conn_type": "generic", **parts})  # noqa: E731
    env = {
        **home_of.migrated("credentials"),
        "PYTHONPATH": "",
        "AIRFLOW_CONN_MOTLAN_TAX": connection(login="reader", password="of-connection-1"),
        "AIRFLOW_CONN_MOTLAN_POPULATION": connection(login="other", password="of-connection-2"),
        "AIRFLOW_CONN_MOTLAN_HALF": connection(login="reader"),
        "MOTLAN_CREDENTIAL_POPULATION": "reader:of-environment-1",
        "MOTLAN_CREDENTIAL_HEALTH_FILE": str(file),
        "MOTLAN_DATABASE_URL": "postgresql://motlan:of-database-1@127.0.0.1:1/motlan",
    }
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, cwd=Path(file).parent)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_a_connection_is_used_where_the_environment_has_none(told: dict[str, Any]) -> None:
    assert told["connection"] == ["reader", "of-connection-1"]


def test_the_environment_and_its_files_come_before_connections(told: dict[str, Any]) -> None:
    assert told["environment"] == ["reader", "of-environment-1"]
    assert told["file"] == ["reader", "of-file-1"]


def test_an_error_names_the_variable_its_file_and_the_connection(told: dict[str, Any]) -> None:
    for name in ("MOTLAN_CREDENTIAL_NOBODY", "MOTLAN_CREDENTIAL_NOBODY_FILE", "motlan_nobody"):
        assert name in told["none"]
    assert "connection motlan_half: this connection has no login or no password" in told["half"]


def test_every_secret_that_a_task_can_know_is_masked_in_its_log(told: dict[str, Any]) -> None:
    assert told["masked"] == "*** *** *** *** in-clear"


def test_no_connection_goes_into_the_environment(told: dict[str, Any]) -> None:
    assert told["environ"] == ["AIRFLOW_CONN_MOTLAN_TAX"]
