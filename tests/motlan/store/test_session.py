"""The store: its fixed tables, its secrets, and one publisher at a time."""

import threading
import time
from collections.abc import Callable

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from motlan.store import tables
from motlan.store.session import Store, migrate, sqlalchemy_url
from tests.conftest import Country


def open_empty(store_server: Callable[[str], str], name: str) -> Store:
    url = store_server(name)
    return Store(sa.create_engine(sqlalchemy_url(url), hide_parameters=True), url)


def test_the_migrations_make_exactly_the_declared_tables(store_server: Callable[[str], str]) -> None:
    store = open_empty(store_server, "t_migrations")
    migrate(store.engine)
    migrate(store.engine)
    with store.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), tables.metadata) == []


def test_an_installations_secret_is_made_once(country: Country) -> None:
    store = country.open().store
    assert store.secret("a") == store.secret("a") != store.secret("b")
    assert len(store.secret("a")) == 32


def test_there_is_one_publisher_at_a_time(country: Country) -> None:
    store, order = country.open().store, []

    def publish(name: str) -> None:
        with store.publishing():
            order.append(f"{name} in")
            time.sleep(0.1)
            order.append(f"{name} out")

    threads = [threading.Thread(target=publish, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert order in (["a in", "a out", "b in", "b out"], ["b in", "b out", "a in", "a out"])
