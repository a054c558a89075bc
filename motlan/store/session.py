"""Sessions with the store: one engine a process, one advisory lock for whoever publishes."""

from __future__ import annotations

import logging
import secrets as random
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psycopg
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import OperationalError

from motlan.errors import EngineError
from motlan.settings import Settings, own_server
from motlan.store import roles, server, tables

PUBLISHER_LOCK = 0x4D6F746C616E  # "Motlan"


@dataclass(frozen=True)
class Store:
    """An open store.

    Attributes:
        engine: SQLAlchemy engine; values are kept out of its errors and logs.
        url: The plain PostgreSQL URL, for bulk loading.
    """

    engine: sa.Engine
    url: str

    @contextmanager
    def publishing(self) -> Iterator[sa.Connection]:
        """One transaction, one publisher at a time. The number of a feed is given here and nowhere else."""
        with self.engine.begin() as connection:
            connection.execute(sa.text("select pg_advisory_xact_lock(:key)"), {"key": PUBLISHER_LOCK})
            yield connection

    def secret(self, name: str) -> bytes:
        """Return this installation's random secret of 32 bytes under a name, made on first use."""
        with self.engine.begin() as connection:
            connection.execute(
                insert(tables.secrets).values(name=name, value=random.token_bytes(32)).on_conflict_do_nothing()
            )
            query = sa.select(tables.secrets.c.value).where(tables.secrets.c.name == name)
            return bytes(connection.execute(query).scalar_one())


def sqlalchemy_url(url: str) -> str:
    """Name the driver (psycopg 3) in a plain PostgreSQL URL."""
    return "postgresql+psycopg://" + url.split("://", 1)[1]


def _connect(url: str) -> Store:
    return Store(sa.create_engine(sqlalchemy_url(url), hide_parameters=True, pool_pre_ping=True, future=True), url)


@cache
def _open(url: str) -> Store:
    store = _connect(url)
    migrate(store.engine)
    return store


def open_for_feeds(settings: Settings) -> Store:
    """Connect to the store as the role that serves the feeds: it reads what it serves, and adds to the accesses.

    Where `MOTLAN_DATABASE_URL` names a server of yours and `MOTLAN_FEEDS_DATABASE_URL` does not, it is the owner's store.
    """
    if settings.feeds_database_url:
        return _connect(settings.feeds_database_url)
    return open_store(settings) if settings.database_url else _connect(server.feeds_url(settings))


def open_as_it_is(settings: Settings) -> Store:
    """Connect to the store of a server that runs, and change nothing: neither is a server started, nor a table migrated.

    Raises:
        EngineError: The embedded server is the store's, and does not run.
    """
    return _connect(server.running_url(settings))


def migration(connection: sa.Connection) -> tuple[str | None, str]:
    """Return the version that the store's fixed tables have (None where there are none), and the newest one."""
    scripts = ScriptDirectory(str(Path(__file__).parent / "migrations"))
    newest = scripts.get_current_head()
    assert newest is not None, "there are migrations"
    return MigrationContext.configure(connection).get_current_revision(), newest


def grant_feeds(connection: sa.Connection, feeds: Iterable[str]) -> None:
    """Let the role that serves the database's feeds read these tables, where there is such a role; only their owner may do so.

    The fixed tables it is granted where this role owns them; else `motlan store roles` has done it.

    Args:
        connection: The owner's.
        feeds: Names of tables.
    """
    found = connection.execute(sa.text(_FEEDS_ROLE)).one_or_none()
    if found is None:
        return
    connection.execute(sa.text(f'grant select on {", ".join(feeds)} to "{found.rolname}"'))
    for statement in roles.of_feeds(found.rolname) if found.owns else ():
        connection.execute(sa.text(statement))


_FEEDS_ROLE = """
    select rolname, pg_has_role(current_user, (select relowner from pg_class where oid = 'accesses'::regclass), 'member') as owns
    from pg_roles where rolname = current_database() || '_feeds'"""


def open_store(settings: Settings) -> Store:
    """Connect to the store and bring its fixed tables up to date; starts the embedded server where there is none.

    Raises:
        EngineError: No server answers.
    """
    deadline = time.monotonic() + RECOVERY_S
    while True:
        try:
            return _open(settings.database_url or server.start(settings))
        except (OperationalError, psycopg.OperationalError) as error:
            if _begins(error) and time.monotonic() < deadline:
                time.sleep(0.5)
                continue
            if not settings.database_url:
                raise lost(error) or error from None
            raise EngineError(
                "the PostgreSQL server does not answer",
                next_step="check MOTLAN_DATABASE_URL, or unset it to use the embedded server.",
            ) from None


RECOVERY_S = 600.0
"""Seconds to wait for a server that says that it begins: after a kill of one of its processes it replays its log first."""


def _begins(error: Exception) -> bool:
    return any(words in str(error) for words in ("in recovery mode", "starting up", "not yet accepting connections"))


def lost(error: BaseException) -> EngineError | None:
    """Tell in our words of an error of PostgreSQL that may pass: it ended, does not answer, or could not do it now.

    Args:
        error: Any error; of its text nothing is told.

    Returns:
        None where it is another kind of error.
    """
    kinds = {(kind.__module__.split(".")[0], kind.__name__) for kind in type(error).__mro__}
    if not any(kind in kinds for kind in _PASSING):
        return None
    state = getattr(getattr(error, "orig", error), "sqlstate", None)
    if state and not state.startswith(_ENDED):
        return EngineError(
            f"PostgreSQL could not do it now (SQLSTATE {state})", where="store", next_step="try the same again."
        )
    ours = own_server()
    return EngineError(
        f"{'the embedded PostgreSQL' if ours else 'PostgreSQL'} ended, or does not answer",
        where="store",
        next_step="try the same again: it is started where it is not running."
        if ours
        else "start the server that MOTLAN_DATABASE_URL names (a supervisor does it by itself), then try the same again.",
    )


_PASSING = [
    ("sqlalchemy", "OperationalError"),
    ("sqlalchemy", "InterfaceError"),
    ("sqlalchemy", "InternalError"),
    ("psycopg", "OperationalError"),
    ("psycopg", "InterfaceError"),
    ("adbc_driver_manager", "OperationalError"),
    ("adbc_driver_manager", "InternalError"),
    ("adbc_driver_manager", "InterfaceError"),
]
_ENDED = ("08", "57P")
"""Classes of SQLSTATE for a connection that is gone, and a server that ends or begins."""


def _migrations() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def newest_migration() -> str | None:
    """Return the version of the fixed tables that this code works with."""
    return ScriptDirectory.from_config(_migrations()).get_current_head()


def migrate(engine: sa.Engine) -> None:
    """Bring the fixed tables to the newest version. A no-op where they are."""
    config = _migrations()
    logging.getLogger("alembic").setLevel(logging.WARNING)  # every process of the bus comes here
    with engine.begin() as connection:
        connection.execute(sa.text("select pg_advisory_xact_lock(:key)"), {"key": PUBLISHER_LOCK + 1})
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
