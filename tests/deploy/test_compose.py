"""docker-compose.yml, its Dockerfile and its secrets, without a container engine: the schema, and that what they name exists."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import pytest
import typer
import yaml

from motlan.cli.main import app
from motlan.store import server
from tests.deploy.compose import FILE, ROOT, SECRETS, load

ENV = {"MOTLAN_UID": "1000", "MOTLAN_GID": "1000"}
WHOLE = load(ENV)
SERVICES: dict[str, dict[str, Any]] = WHOLE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"] == "motlan:local"}
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")


def make_secrets(folder: Path) -> str:
    """Run the script that the page names; return what it printed."""
    env = {
        "PATH": os.environ["PATH"],
        "MOTLAN_SECRETS": str(folder / "secrets"),
        "MOTLAN_ENV_FILE": str(folder / "env"),
    }
    script = [str(ROOT / "deploy" / "make-secrets")]
    return subprocess.run(script, env=env, capture_output=True, text=True, check=True, cwd="/").stdout


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("deploy")
    make_secrets(folder)
    return folder / "secrets"


def reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_reference", ROOT / ".ci" / "reference.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


# The file


def test_it_is_as_the_compose_specification_asks() -> None:
    schema = json.loads((ROOT / "tests/standards/compose/compose-spec.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(yaml.safe_load(FILE.read_text(encoding="utf-8")))
    jsonschema.Draft202012Validator(schema).validate(WHOLE)


def test_it_says_what_to_do_first_where_that_was_not_done() -> None:
    with pytest.raises(KeyError, match="run deploy/make-secrets first"):
        load({})


def test_it_has_the_services_that_an_airflow_and_the_bus_need() -> None:
    always = {name for name, service in SERVICES.items() if "profiles" not in service}
    airflow = {"airflow-init", "airflow-api-server", "airflow-scheduler", "airflow-dag-processor", "airflow-triggerer"}
    assert always == airflow | {"postgres", "feeds", "metrics"}
    profiles = {name: service["profiles"] for name, service in SERVICES.items() if name not in always}
    assert profiles == {"agencies": ["demo"], "redis": ["celery"], "airflow-worker": ["celery"]}


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_bounded_watched_and_without_rights(name: str) -> None:
    service = SERVICES[name]
    assert service["mem_limit"]
    assert service["user"] == "1000:1000"
    assert service["cap_drop"] == ["ALL"]
    assert not service.get("privileged")
    assert "healthcheck" in service or name == "airflow-init"
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
    version = service["image"].partition(":")[2]
    assert re.match(r"\d+\.\d+", version) or version == "local"


def test_nothing_is_named_that_is_not_declared() -> None:
    for name, service in SERVICES.items():
        assert set(service.get("secrets", ())) <= set(WHOLE["secrets"]), name
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert source in WHOLE["volumes"] or (ROOT / source).is_file(), f"{name}: {source}"
        assert set(service.get("depends_on", ())) <= set(SERVICES), name
        if mode := service.get("network_mode"):
            assert mode.removeprefix("service:") in SERVICES


# Secrets


def test_every_secret_is_a_file_that_the_script_makes_for_its_owner_alone(secrets: Path) -> None:
    made = {path.name: path for path in secrets.iterdir()}
    assert set(made) == {path["file"].removeprefix("./deploy/secrets/") for path in WHOLE["secrets"].values()}
    assert set(made) == set(WHOLE["secrets"])
    assert {path.stat().st_mode & 0o777 for path in made.values()} == {0o600}
    assert secrets.stat().st_mode & 0o777 == 0o700


def test_secrets_are_random_kept_and_not_printed(secrets: Path, tmp_path: Path) -> None:
    before = {path.name: path.read_text() for path in secrets.iterdir()}
    printed = make_secrets(secrets.parent) + make_secrets(tmp_path)
    assert {path.name: path.read_text() for path in secrets.iterdir()} == before
    other = {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}
    assert not [name for name, text in before.items() if text == other[name]]
    assert all(len(text) >= 44 and text == text.strip() for text in before.values())
    assert not [text for text in (*before.values(), *other.values()) if text.strip() in printed]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_given_each_secret_that_it_reads_and_no_password_by_value(name: str) -> None:
    service = SERVICES[name]
    text = json.dumps([service.get("environment", {}), service.get("command", []), service.get("healthcheck", {})])
    named = set(re.findall(rf"{SECRETS}(\w+)", text))
    if name == "postgres":
        named |= set(re.findall(r"/run/secrets}/(\w+)", (ROOT / "deploy/postgres/10-roles.sql").read_text()))
    if name == "airflow-init":
        named |= set(re.findall(r"/run/secrets}/(\w+)", (ROOT / "deploy/airflow-init").read_text()))
        named -= {secret for secret in named if secret.startswith("credential_")}  # it reaches no agency
    if name == "agencies":
        named |= {f"credential_{agency}" for agency in ("population", "insurance", "tax", "education")}
    assert named == set(service.get("secrets", ()))
    for key, value in service.get("environment", {}).items():
        if re.search(r"PASSWORD|SECRET|KEY|TOKEN|DATABASE_URL|CREDENTIAL|CONN|BROKER|RESULT_BACKEND", key):
            assert key.endswith(("_FILE", "_CMD")), f"{key} would be a secret by value"
            assert value.startswith((SECRETS, f"cat {SECRETS}", "/var/lib/airflow/passwords.json"))


def test_secrets_are_in_no_commit_and_no_image() -> None:
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert {"/deploy/secrets/", "/.env"} <= set(ignored)
    assert (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()[1] == "*"


# Variables


def test_every_variable_is_one_that_somebody_reads() -> None:
    agencies = (ROOT / "adapters" / "agencies.yaml").read_text(encoding="utf-8")
    settings = (ROOT / "docs" / "reference" / "settings.md").read_text(encoding="utf-8")
    ours = set(re.findall(r"MOTLAN_[A-Z_]+", settings)) | set(re.findall(r"\$\{(MOTLAN_[A-Z_]+):-", agencies))
    ours |= {f"MOTLAN_CREDENTIAL_{name}_FILE" for name in re.findall(r"^ +credential: (\w+)$", agencies, re.MULTILINE)}
    others = {"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_TRACES_EXPORTER", "OTEL_SERVICE_NAME"}
    others |= {"POSTGRES_PASSWORD_FILE", "POSTGRES_INITDB_ARGS"}  # of the postgres image
    for name, service in SERVICES.items():
        plain = {key for key in service.get("environment", {}) if not key.startswith("AIRFLOW__")}
        assert plain <= ours | others, name


def test_every_setting_of_airflow_is_one_that_it_has(tmp_path: Path) -> None:
    keys = {
        key for service in SERVICES.values() for key in service.get("environment", {}) if key.startswith("AIRFLOW__")
    }
    script = """
import json, os, sys
from airflow.configuration import conf
from airflow.providers_manager import ProvidersManager
ProvidersManager().initialize_providers_configuration()
known, secret = conf.configuration_description, conf.sensitive_config_values
wrong = []
for key in json.loads(sys.argv[1]):
    _, section, option = key.lower().split("__", 2)
    plain = option.removesuffix("_cmd")
    if plain not in known.get(section, {}).get("options", {}):
        wrong.append(f"{key} is not known")
    elif option != plain and (section, plain) not in secret:
        wrong.append(f"{key}: no command is run for it")
os.environ["AIRFLOW__API__SECRET_KEY_CMD"] = "cat " + sys.argv[2]
print(json.dumps([wrong, conf.get("api", "secret_key")]))
"""
    (tmp_path / "key").write_text("of-a-file")
    command = [sys.executable, "-c", script, json.dumps(sorted(keys)), str(tmp_path / "key")]
    env = {**os.environ, "AIRFLOW_HOME": str(tmp_path)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [[], "of-a-file"]


def test_postgres_is_set_as_the_embedded_one_is() -> None:
    words = SERVICES["postgres"]["command"]
    said = dict(word.split("=") for word in words if "=" in word)
    wanted = server.QUIET_LOG | server.TUNING
    assert said == {name: value for name, value in wanted.items() if not name.startswith(("wal_", "max_wal_senders"))}


# Commands


def commands_of(program: str) -> dict[str, list[str]]:
    """Return the arguments that services and their health checks give to a program, by the service."""
    found: dict[str, list[str]] = {}
    for name, service in SERVICES.items():
        for kind, words in (
            ("", service.get("command", [])),
            (" health", service.get("healthcheck", {}).get("test", [])),
        ):
            words = words[1:] if words[:1] == ["CMD"] else words
            if words[:1] == [program]:
                found[name + kind] = words[1:]
    return found


def test_every_command_of_the_bus_can_be_read() -> None:
    called = commands_of("motlan")
    assert set(called) == {"feeds", "metrics"}
    for name, arguments in called.items():
        command: Any = typer.main.get_command(app)
        rest = list(arguments)
        while hasattr(command, "commands"):
            command = command.commands[rest.pop(0)]
        context = command.make_context(name, rest)
        assert context.params["host"] == "0.0.0.0"
        assert f":{context.params['port']}:{context.params['port']}" in SERVICES[name]["ports"][0]


def test_every_command_of_airflow_can_be_read(tmp_path: Path) -> None:
    script = """
import json, sys
from airflow.cli.cli_parser import get_parser
for arguments in json.loads(sys.argv[1]):
    get_parser().parse_args(arguments)
print("read")
"""
    called = commands_of("airflow")
    assert len(called) == 7
    init = [
        shlex.split(line)[1:]
        for line in (ROOT / "deploy/airflow-init").read_text().splitlines()
        if line.startswith("airflow ")
    ]
    env = {**os.environ, "AIRFLOW_HOME": str(tmp_path), "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor"}
    command = [sys.executable, "-c", script, json.dumps([*called.values(), *init])]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1:] == ["read"], done.stderr


@pytest.mark.parametrize("file", ["deploy/make-secrets", "deploy/airflow-init"])
def test_a_script_is_one_for_every_shell(file: str) -> None:
    assert os.access(ROOT / file, os.X_OK)
    subprocess.run(["sh", "-n", str(ROOT / file)], check=True)


def test_every_inline_script_can_be_read() -> None:
    for service in SERVICES.values():
        for words in (service.get("command", []), service.get("healthcheck", {}).get("test", [])):
            if "-c" in words and words[-2] == "-c":
                shell = words[-3] == "sh"
                check = (
                    ["sh", "-n", "-c"] if shell else [sys.executable, "-c", "import ast, sys; ast.parse(sys.argv[1])"]
                )
                subprocess.run([*check, words[-1]], check=True)


def test_the_simulated_agencies_answer_where_the_tasks_look_for_them() -> None:
    from simulators.__main__ import app as simulators

    script = SERVICES["agencies"]["command"][-1]
    for line in re.findall(r"python -m simulators ([^;]+)", script):
        name, *rest = shlex.split(line.split("||")[0])
        command: Any = typer.main.get_command(simulators)
        known = {option for parameter in command.commands[name].params for option in parameter.opts}
        assert {word for word in rest if word.startswith("--")} <= known
    tasks = SERVICES["airflow-scheduler"]["environment"]
    ports = re.findall(r":(\d+)", " ".join(tasks[f"MOTLAN_{name}_URL"] for name in ("POPULATION", "INSURANCE", "TAX")))
    assert f"--ports {','.join(ports)}" in script
    world = re.findall(r"--world (\S+)", script)[0]
    assert tasks["MOTLAN_EDUCATION_URL"] == f"postgresql:///education?host={world}/education"
    assert SERVICES["agencies"]["network_mode"] == "service:airflow-scheduler"


# The image


def test_the_image_copies_what_exists_and_what_is_sent() -> None:
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = [
        line.split()[1:-1] for line in DOCKERFILE.splitlines() if line.startswith("COPY ") and "--from" not in line
    ]
    for source in (source for sources in copied for source in sources):
        assert (ROOT / source).exists(), source
        assert source in sent, f"{source} is left out by .dockerignore"
    packages = re.findall(r"packages = \[(.*?)\]", (ROOT / "pyproject.toml").read_text())[0]
    assert set(json.loads(f"[{packages}]")) <= {source for sources in copied for source in sources}
    assert {"dags", "plugins", "deploy/airflow-init"} <= {source for sources in copied for source in sources}


def test_the_image_is_of_pinned_versions_and_runs_as_nobody_special() -> None:
    assert re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)[0].startswith(
        f"python:{sys.version_info[0]}.{sys.version_info[1]}."
    )
    assert "pip install --require-hashes -r requirements-celery.lock" in DOCKERFILE
    assert re.findall(r"^USER (\w+)", DOCKERFILE, re.MULTILINE) == ["motlan"]
    assert "ARG MOTLAN_UID" in DOCKERFILE


def test_the_image_has_what_the_bus_is_locked_to_and_the_workers_queue() -> None:
    def pins(name: str) -> set[str]:
        return set(re.findall(r"^[\w.-]+(?:\[[^\]]*\])?==\S+", (ROOT / name).read_text(), re.MULTILINE))

    assert pins("requirements.lock") < pins("requirements-celery.lock") < pins("requirements-dev.lock")


# The page


def test_the_page_tells_what_each_container_and_volume_is_for() -> None:
    page = (ROOT / "docs" / "how-to" / "run-in-containers.md").read_text(encoding="utf-8")
    told = {
        name
        for line in page.splitlines()
        if line.startswith("| `")
        for name in re.findall(r"`([\w-]+)`", line.split("|")[1])
    }
    assert told - {"demo", "celery"} == set(SERVICES)
    assert {f"`{volume}`" for volume in WHOLE["volumes"]} <= set(re.findall(r"`\w+`", page))
    commands = [line.split("  ")[0] for line in re.findall(r"^    (.+)$", page, re.MULTILINE)[:3]]
    assert commands[1:] == ["deploy/make-secrets", "docker compose --profile demo up --build --detach --wait"]
    for port in re.findall(r"http://127\.0\.0\.1:(\d+)", page):
        assert any(f"127.0.0.1:{port}:{port}" in service.get("ports", ()) for service in SERVICES.values())
    named = set(re.findall(r"`?(MOTLAN_[A-Z]+)`?=", page)) - {"MOTLAN_TAX_URL"}
    assert all(f"${{{name}:-" in FILE.read_text(encoding="utf-8") for name in named)
