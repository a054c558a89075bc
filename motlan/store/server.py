"""The embedded PostgreSQL server: one supervisor starts and stops it, everyone else connects by URL.

`pg_ctl` keeps the server running after the process that started it has gone; `motlan store stop` ends it. It listens
on a Unix socket only. Its log is told to hold no values: statements and details of errors quote rows.

Every role proves itself by a generated password in a file of its own (`passwords/` in the state's folder), and opens its own
database alone: the bus's owner, who makes and changes its tables; `<database>_feeds`, who serves the feeds and changes nothing
but to add to the accesses; Airflow's and others' own.
"""

from __future__ import annotations

import secrets
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg import sql

from motlan.errors import ConfigurationError, EngineError
from motlan.settings import Settings
from motlan.store import roles
from motlan.store.folders import make_private
from motlan.store.postgres import Postgres, PostgresError, keep_password, password_file, url

OWNER = "motlan"
MAKING_LOCK = 0x4D6F746C616E + 3
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


def _of(settings: Settings) -> Postgres:
    return Postgres(settings.store, settings.passwords, {**QUIET_LOG, **TUNING}, settings.private)


def _server(settings: Settings) -> Postgres:
    """Return the server, running: started where it was not."""
    make_private(*settings.private)
    server = _of(settings)
    try:
        server.start()
    except (OSError, RuntimeError, PostgresError, subprocess.SubprocessError) as error:
        raise EngineError(
            f"the embedded PostgreSQL did not start ({type(error).__name__})",
            where=str(settings.store),
            next_step="read the file `log` there, or set MOTLAN_DATABASE_URL to a server of yours.",
        ) from None
    return server


def start(settings: Settings) -> str:
    """Start the embedded server where it does not run yet, and return the URL of the bus's database.

    The first start makes the role and the database, and tells the server's log to hold no values.

    Raises:
        ConfigurationError: `MOTLAN_DATABASE_URL` is set, so there is nothing of ours to start.
        EngineError: The server did not start.
    """
    if settings.database_url:
        raise ConfigurationError(
            "MOTLAN_DATABASE_URL names a server of yours", next_step="start that one, or unset the variable."
        )
    return ensure_database(_server(settings).get_uri(), OWNER, settings.passwords)


def require_running(settings: Settings) -> None:
    """Let something go on that reads the store, and is not to start its server.

    Raises:
        EngineError: The embedded server is the store's, and does not run.
    """
    if not settings.database_url and not _of(settings).is_running():
        raise EngineError(
            "the embedded PostgreSQL does not run",
            where=str(settings.store),
            next_step="`motlan store start` starts it; so does every command that pulls, reconciles or publishes.",
        )


def running_url(settings: Settings) -> str:
    """Return the URL of the bus's database on a server that runs; none is started, and nothing is made.

    Raises:
        EngineError: The embedded server is the store's, and does not run.
    """
    require_running(settings)
    return settings.database_url or _of(settings).url(OWNER, OWNER)


def ensure_database(admin_url: str, name: str, passwords: Path | None = None) -> str:
    """Make a database and a role of the same name where they are missing; return the URL for that role.

    No other role may connect to it, but those of its own (`motlan.store.roles`).

    Args:
        admin_url: URL of a role that may make databases, on the embedded server.
        name: Name of both.
        passwords: Folder of the roles' password files; None on a server that asks for none.
    """
    with psycopg.connect(admin_url, autocommit=True) as admin:
        admin.execute("select pg_advisory_lock(%s)", [MAKING_LOCK])  # one process at a time
        for role in (name, *(roles.role(name, kind) for kind in roles.KINDS)):
            _ensure_role(admin, role, passwords)
        if admin.execute("select 1 from pg_database where datname = %s", [name]).fetchone() is None:
            admin.execute(sql.SQL("create database {} owner {}").format(sql.Identifier(name), sql.Identifier(name)))
        if admin.execute(_OPEN, [name]).fetchone():
            database = sql.Identifier(name)
            admin.execute(sql.SQL("revoke all on database {} from public").format(database))
            for kind in roles.KINDS:
                other = sql.Identifier(roles.role(name, kind))
                admin.execute(sql.SQL("grant connect on database {} to {}").format(database, other))
            admin.execute("revoke all on database postgres, template1 from public")
        host = admin.info.host
    if passwords is None:
        return f"postgresql://{name}@/{name}?host={quote(host, safe='/')}"
    return url(name, name, Path(host), passwords)


_OPEN = "select 1 from pg_database where datname = %s and (datacl is null or has_database_privilege('public', oid, 'connect'))"


def feeds_role(database: str) -> str:
    """Return the name of the role that serves a database's feeds."""
    return roles.role(database, roles.FEEDS)


def _ensure_role(admin: psycopg.Connection[Any], role: str, passwords: Path | None) -> None:
    there = admin.execute("select 1 from pg_roles where rolname = %s", [role]).fetchone()
    if there and (passwords is None or password_file(passwords, role).exists()):
        return
    if not there:
        admin.execute(sql.SQL("create role {} login").format(sql.Identifier(role)))
    if passwords is not None:
        # What the server is sent, and could log, is the hash that it keeps.
        password = secrets.token_urlsafe(32)
        kept = admin.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
        admin.execute(sql.SQL("alter role {} password {}").format(sql.Identifier(role), sql.Literal(kept)))
        keep_password(passwords, role, password)


def admin_url(settings: Settings) -> str:
    """Return the URL of the embedded server's administrator, who made the roles; the server is started where it is not."""
    return _server(settings).get_uri()


def feeds_url(settings: Settings, database: str = OWNER) -> str:
    """Return the URL for the role that serves a database's feeds; the server is started where it is not."""
    server = _server(settings)
    ensure_database(server.get_uri(), database, settings.passwords)
    return server.url(feeds_role(database), database)


def start_with_database(settings: Settings, name: str) -> str:
    """Start the embedded server and return the URL of a further database on it, such as a scheduler's own."""
    start(settings)
    return ensure_database(_server(settings).get_uri(), name, settings.passwords)


def fresh_database(settings: Settings) -> str:
    """Start the embedded server, and give the bus an empty database in place of the one it has; return its URL."""
    start(settings)
    admin = _server(settings).get_uri()
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(OWNER)))
    return ensure_database(admin, OWNER, settings.passwords)


def stop(settings: Settings) -> bool:
    """Stop the embedded server. Returns False where none was running."""
    server = _of(settings)
    running = server.is_running()
    if running:
        server.stop()
    return running
