"""Sessions with the store: one engine a process, one advisory lock for whoever publishes."""

from __future__ import annotations

import secrets as random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import OperationalError

from motlan.errors import TransientError
from motlan.settings import Settings
from motlan.store import server, tables

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


@cache
def _open(url: str) -> Store:
    engine = sa.create_engine(sqlalchemy_url(url), hide_parameters=True, pool_pre_ping=True, future=True)
    migrate(engine)
    return Store(engine, url)


def open_store(settings: Settings) -> Store:
    """Connect to the store and bring its fixed tables up to date; starts the embedded server where there is none.

    Raises:
        TransientError: No server answers.
    """
    url = settings.database_url or server.start(settings)
    try:
        return _open(url)
    except OperationalError:
        raise TransientError(
            "the PostgreSQL server does not answer",
            next_step="check MOTLAN_DATABASE_URL, or unset it to use the embedded server.",
        ) from None


def migrate(engine: sa.Engine) -> None:
    """Bring the fixed tables to the newest version. A no-op where they are."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with engine.begin() as connection:
        connection.execute(sa.text("select pg_advisory_xact_lock(:key)"), {"key": PUBLISHER_LOCK + 1})
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
