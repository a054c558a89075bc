"""The values for Airflow's official chart: its keys are the chart's, and they agree with docker-compose.yml and with Airflow."""

from __future__ import annotations

import importlib.metadata
import json
import re
from typing import Any

import yaml

from tests.deploy.compose import ROOT, load
from tests.deploy.test_compose import DOCKERFILE

VALUES: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "helm" / "values.yaml").read_text(encoding="utf-8"))
SERVICES = load({"MOTLAN_UID": "1000", "MOTLAN_GID": "1000"})["services"]
KEYS = {
    *(
        "airflowHome",
        "airflowVersion",
        "apiSecretKeySecretName",
        "apiServer.resources",
        "config",
        "createUserJob.enabled",
    ),
    *(
        "dagProcessor.resources",
        "data.metadataSecretName",
        "defaultAirflowRepository",
        "defaultAirflowTag",
        "env",
        "executor",
    ),
    *("fernetKeySecretName", "gid", "jwtSecretName", "logs.persistence", "postgresql.enabled", "redis.enabled"),
    *("scheduler.resources", "statsd.enabled", "triggerer.resources", "uid", "volumeMounts", "volumes"),
}
"""Keys of chart 1.22 that may be used here, as its page of parameters lists them."""


def test_every_key_is_one_of_the_chart() -> None:
    used = {
        f"{key}.{below}" if isinstance(value, dict) and key != "config" else key
        for key, value in VALUES.items()
        for below in (value if isinstance(value, dict) and key != "config" else [""])
    }
    assert used == KEYS


def test_it_is_the_airflow_and_the_account_of_the_image() -> None:
    assert VALUES["airflowVersion"] == importlib.metadata.version("apache-airflow-core")
    assert f"ARG MOTLAN_UID={VALUES['uid']}" in DOCKERFILE
    assert f"ARG MOTLAN_GID={VALUES['gid']}" in DOCKERFILE
    assert f"AIRFLOW_HOME={VALUES['airflowHome']}" in DOCKERFILE


def test_its_variables_and_settings_are_those_of_the_compose_file() -> None:
    compose = SERVICES["airflow-scheduler"]["environment"]
    for told in VALUES["env"]:
        expected = compose[told["name"]].replace("/run/secrets/", "/run/secrets/motlan/")
        assert told["value"] == expected, told["name"]
    for section, options in VALUES["config"].items():
        for option, value in options.items():
            assert compose[f"AIRFLOW__{section}__{option}".upper()] == value


def test_what_is_mounted_is_declared_and_no_secret_is_a_value() -> None:
    mounts = {mount["name"]: mount["mountPath"] for mount in VALUES["volumeMounts"]}
    assert set(mounts) == {volume["name"] for volume in VALUES["volumes"]}
    assert mounts["motlan-state"] == "/var/lib/motlan"
    names = [told["name"] for told in VALUES["env"] if re.search("CREDENTIAL|DATABASE|SECRET|PASSWORD", told["name"])]
    assert names
    assert all(name.endswith("_FILE") for name in names)
    assert "password" not in json.dumps(VALUES).lower()
