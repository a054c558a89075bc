"""An Airflow of our own under `MOTLAN_VAR/airflow`: settings by environment, secrets in files, metadata on PostgreSQL.

Nothing of another Airflow on the machine is read or written. Each use of Airflow has its own home and database,
because a test run of a DAG leaves real asset events that a scheduler would act upon.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import secrets
import sys
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from pathlib import Path

import psycopg
from psycopg import errors as postgres_errors
from psycopg import sql

USER = "admin"
USERS = {USER: "admin", "operator": "op"}
"""Who may sign in, and Airflow's role of each: to release a publication that is held back takes two."""
_PASSWORDS = "passwords.json"
MIGRATED = "migrated"
"""File in Airflow's folder that says which tables its database has."""


def prepare(home: Path, var: Path, database_url: str, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Make the folder and the secrets, and return the environment that every Airflow process of ours gets.

    Args:
        home: The declared half (`MOTLAN_HOME`), with `dags/` and `plugins/`.
        var: The state (`MOTLAN_VAR`); Airflow's part goes to `airflow/` in it.
        database_url: Plain PostgreSQL URL of a database for Airflow's metadata alone, owned by its role.
        environ: What the processes inherit (agencies' addresses, credentials); this process's own when left out.
            Any other Airflow's variables are dropped.

    Returns:
        A complete environment. `migrate_here` must have run in it once before Airflow starts.
    """
    folder = var / "airflow"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    (folder / "logs").mkdir(mode=0o700, exist_ok=True)
    inherited = {k: v for k, v in (environ or os.environ).items() if not k.startswith(("AIRFLOW_", "_AIRFLOW_"))}
    if inherited.pop("PYTHONDONTWRITEBYTECODE", None):
        # Airflow is 2,000 modules: compiling them anew in each of its processes costs 4 s each time.
        inherited.setdefault("PYTHONPYCACHEPREFIX", str(var / "pycache"))
    inherited.setdefault("OTEL_TRACES_EXPORTER", "otlp_proto_http")  # Airflow's own choice would be gRPC
    url = "postgresql+psycopg://" + database_url.split("://", 1)[1]
    _write_once(folder / _PASSWORDS, lambda: json.dumps({user: secrets.token_urlsafe(12) for user in USERS}))
    settings = {
        "CORE__DAGS_FOLDER": str(home / "dags"),
        "CORE__PLUGINS_FOLDER": str(home / "plugins"),
        "CORE__LOAD_EXAMPLES": "False",
        "CORE__EXECUTOR": "motlan_airflow.executor.PromptLocalExecutor",
        "CORE__PARALLELISM": "4",
        # So long, at the most, a worker takes to notice that its task has ended (5 s else).
        "WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
        "CORE__HOSTNAME_CALLABLE": "socket.gethostname",
        "CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{user}:{role}" for user, role in USERS.items()),
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(folder / _PASSWORDS),
        "CORE__FERNET_KEY": _write_once(folder / "fernet.key", _fernet_key),
        "API__SECRET_KEY": _write_once(folder / "api.key", secrets.token_urlsafe),
        "API_AUTH__JWT_SECRET": _write_once(folder / "jwt.key", lambda: secrets.token_urlsafe(64)),
        # One URL for both: psycopg 3 speaks both ways, and Airflow would else guess asyncpg, which is not installed.
        "DATABASE__SQL_ALCHEMY_CONN": url,
        "DATABASE__SQL_ALCHEMY_CONN_ASYNC": url,
        "LOGGING__BASE_LOG_FOLDER": str(folder / "logs"),
        "LOGGING__FILE_TASK_HANDLER_NEW_FOLDER_PERMISSIONS": "0o700",
        "LOGGING__FILE_TASK_HANDLER_NEW_FILE_PERMISSIONS": "0o600",
        "CORE__DAEMON_UMASK": "0o077",
        "LOGGING__COLORED_CONSOLE_LOG": "False",
        "METRICS__STATSD_ON": "False",
        "METRICS__OTEL_ON": "False",
        "TRACES__OTEL_ON": str(bool(inherited.get("OTEL_EXPORTER_OTLP_ENDPOINT"))),
        "SENTRY__SENTRY_ON": "False",
        "USAGE_DATA_COLLECTION__ENABLED": "False",
    }
    return {
        **inherited,
        "MOTLAN_HOME": str(home),
        "MOTLAN_VAR": str(var),
        "AIRFLOW_HOME": str(folder),
        "MOTLAN_AIRFLOW_DATABASE_URL": url,
        "SCARF_ANALYTICS": "false",
        **{f"AIRFLOW__{name}": value for name, value in settings.items()},
    }


def passwords_file(env: Mapping[str, str]) -> Path:
    """Return the file of the passwords, which its owner alone may read: screens and their records show no password."""
    return Path(env["AIRFLOW_HOME"]) / _PASSWORDS


def login(env: Mapping[str, str], user: str = USER) -> tuple[str, str]:
    """Return the name and the password of a person who may sign in."""
    return user, json.loads(passwords_file(env).read_text())[user]


def is_migrated(env: Mapping[str, str]) -> bool:
    """Tell, without importing Airflow, whether this version of Airflow has made its tables in this database."""
    marker = Path(env["AIRFLOW_HOME"]) / MIGRATED
    revision = _revision(env)
    return revision is not None and marker.exists() and marker.read_text() == _mark(revision)


def migrate_here() -> None:
    """Make or renew Airflow's tables. Only for a process that was started with the environment of `prepare`."""
    if is_migrated(os.environ):
        return
    from airflow.utils.db import upgradedb

    upgradedb()
    make_pools()
    (Path(os.environ["AIRFLOW_HOME"]) / MIGRATED).write_text(_mark(_revision(os.environ) or ""))


def make_pools() -> None:
    """Make or renew Airflow's pools, one an agency."""
    from motlan_airflow import pools

    pools.make()


def settle(env: Mapping[str, str]) -> None:
    """Mark failed what a stopped Airflow left running, and pause all DAGs, before the next one starts on the database.

    Else a scheduler waits five minutes for a sign of life of each such task, with no other run of its DAG meanwhile,
    and starts tasks before the API server, that they report to, answers.
    """
    with psycopg.connect(_plain_url(env)) as connection:
        for table in ("task_instance", "dag_run"):
            connection.execute(
                sql.SQL(
                    "update {} set state = 'failed', end_date = now() where state in ('scheduled', 'queued', 'running',"
                    " 'restarting', 'up_for_retry', 'up_for_reschedule', 'deferred')"
                ).format(sql.Identifier(table))
            )
        connection.execute("update dag set is_paused = true")


def _mark(revision: str) -> str:
    return f"{importlib.metadata.version('apache-airflow-core')} {revision}"


def _revision(env: Mapping[str, str]) -> str | None:
    with psycopg.connect(_plain_url(env)) as connection:
        try:
            row = connection.execute("select version_num from alembic_version").fetchone()
        except postgres_errors.UndefinedTable:
            return None
    return row[0] if row else None


def _plain_url(env: Mapping[str, str]) -> str:
    return env["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].replace("+psycopg", "", 1)


def _fernet_key() -> str:
    return urlsafe_b64encode(secrets.token_bytes(32)).decode()


def _write_once(path: Path, make: Callable[[], str]) -> str:
    """Keep a secret in a file that only its owner may read, and return it."""
    if not path.exists():
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(make())
    return path.read_text()


if __name__ == "__main__":
    migrate_here()
    sys.exit(0)
