"""PostgreSQL killed: told by its name, started again, and never an error that nobody foresaw."""

from __future__ import annotations

import logging
import os
import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from adbc_driver_manager import OperationalError as AdbcError

from motlan.settings import Settings, load
from motlan.store import server, supervisor
from motlan.store.session import lost, open_store
from tests.conftest import ROOT, traversable_folder

pytestmark = pytest.mark.slow


@pytest.fixture
def settings() -> Iterator[Settings]:
    """An embedded server of its own, running."""
    with traversable_folder() as var, pytest.MonkeyPatch.context() as patch:
        patch.delenv("MOTLAN_DATABASE_URL", raising=False)
        patch.setenv("MOTLAN_HOME", str(ROOT))
        patch.setenv("MOTLAN_VAR", str(var))
        server.start(load())
        yield load()
        server.stop(load())
        assert supervisor.postmaster(load().store) is None, "it is stopped, whoever started it again"


def kill(settings: Settings) -> None:
    process = supervisor.postmaster(settings.store)
    assert process is not None
    process.kill()
    while supervisor.postmaster(settings.store):
        pass


def test_a_killed_server_is_told_and_the_next_command_has_it_again(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    with open_store(settings).engine.begin() as connection:
        connection.execute(sa.text("create table kept as select 1 as one"))
    kill(settings)
    assert supervisor.has_died(settings.store)
    with caplog.at_level(logging.WARNING):
        store = open_store(settings)
    assert "the embedded PostgreSQL has died; it is started again" in caplog.text
    with store.engine.connect() as connection:
        assert connection.execute(sa.text("select one from kept")).scalar_one() == 1


def test_a_supervisor_starts_it_again_at_once(settings: Settings) -> None:
    said: list[str] = []

    def look(_: float) -> None:
        if len(said) == 1 and supervisor.postmaster(settings.store):
            kill(settings)
        elif len(said) == 2:
            assert supervisor.postmaster(settings.store)
            raise KeyboardInterrupt

    supervisor.watch(settings, said.append, look)
    assert said[1] == "the embedded PostgreSQL has ended; it is started again"


def test_a_number_that_another_process_has_now_is_no_server(tmp_path: Path) -> None:
    assert not supervisor.has_died(tmp_path)
    (tmp_path / ".s.PGSQL.5432.lock").write_text(f"{os.getpid()}\n")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / ".s.PGSQL.5432"))
    (tmp_path / "postmaster.pid").write_text(f"{os.getpid()}\n{tmp_path}\n1\n5432\n{tmp_path}\n\n1 2\nready\n")
    assert supervisor.has_died(tmp_path)
    supervisor.clear(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "error",
    [
        psycopg.OperationalError("server closed the connection: 001090000001"),
        psycopg.errors.AdminShutdown("001090000001"),
        psycopg.InterfaceError("the connection is lost: 001090000001"),
        sa.exc.OperationalError("select '001090000001'", None, psycopg.OperationalError("001090000001")),
        AdbcError("could not send: 001090000001", status_code=10),
    ],
)
def test_whoever_talks_to_it_is_told_to_try_again_and_no_value_is_told(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MOTLAN_DATABASE_URL", raising=False)
    told = str(lost(error))
    assert "the embedded PostgreSQL ended, or does not answer" in told
    assert "001090000001" not in told
    monkeypatch.setenv("MOTLAN_DATABASE_URL", "postgresql://somewhere/motlan")
    assert "start the server that MOTLAN_DATABASE_URL names" in str(lost(error))


def test_what_it_could_not_do_now_is_told_by_its_state() -> None:
    assert "SQLSTATE 53100" in str(lost(psycopg.errors.DiskFull("x")))
    assert lost(psycopg.errors.UniqueViolation("x")) is None
    assert lost(sqlite3.OperationalError("x")) is None
    assert lost(ValueError("x")) is None
