"""Airflow's own folder: its settings, its secrets, and that its tables are made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from demo import airflow_home

URL = "postgresql://airflow@/airflow?host=/nowhere"


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return airflow_home.prepare(
        tmp_path / "home", tmp_path / "var", URL, {"PATH": "/bin", "AIRFLOW__CORE__X": "theirs"}
    )


def test_secrets_are_for_their_owner_alone(env: dict[str, str]) -> None:
    files = [path for path in Path(env["AIRFLOW_HOME"]).iterdir() if path.is_file()]
    assert {path.name for path in files} == {"api.key", "fernet.key", "jwt.key", "passwords.json"}
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}


def test_secrets_stay_the_same(env: dict[str, str], tmp_path: Path) -> None:
    assert airflow_home.prepare(tmp_path / "home", tmp_path / "var", URL, {"PATH": "/bin"}) == env


def test_another_airflows_settings_are_dropped(env: dict[str, str]) -> None:
    assert "AIRFLOW__CORE__X" not in env
    assert env["PATH"] == "/bin"


def test_both_ways_to_the_database_use_the_driver_that_is_installed(env: dict[str, str]) -> None:
    names = ("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC")
    assert {env[name] for name in names} == {"postgresql+psycopg://airflow@/airflow?host=/nowhere"}


def test_the_logins_are_the_ones_that_airflow_reads(env: dict[str, str]) -> None:
    logins = [airflow_home.login(env, user) for user in airflow_home.USERS]
    assert env["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"] == "admin:admin,operator:op", "two release what is held back"
    assert [name for name, _ in logins] == ["admin", "operator"]
    assert len({password for _, password in logins if len(password) >= 12}) == 2


def test_bytecode_is_kept_apart_where_the_user_wants_none_beside_the_sources(tmp_path: Path) -> None:
    env = airflow_home.prepare(tmp_path, tmp_path, URL, {"PYTHONDONTWRITEBYTECODE": "1"})
    assert "PYTHONDONTWRITEBYTECODE" not in env
    assert env["PYTHONPYCACHEPREFIX"].startswith(str(tmp_path))
