"""The embedded server's doors: every role proves itself, opens what is its own, and nobody else enters the state's folder."""

import os
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from fastapi.testclient import TestClient
from psycopg import errors as refusals

from motlan.errors import ConfigurationError
from motlan.feeds import keys
from motlan.feeds.app import create_app
from motlan.settings import Settings, load
from motlan.store import folders, roles, server, supervisor
from motlan.store.postgres import Postgres
from tests.conftest import Country, traversable_folder
from tests.motlan.test_pipeline import rows, whole_job

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="another account can be had by root alone")


def passwords_of(url: str) -> Path:
    return Path(url.partition("passfile=")[2].partition("&")[0]).parent


def as_role(url: str, role: str, database: str, password_of: str | None) -> str:
    """The URL of a database for a role that has the password of another one, or none."""
    place = url.partition("&host=")[2]
    file = passwords_of(url) / f"{password_of}.pgpass" if password_of else "/nothing"
    return f"postgresql://{role}@/{database}?passfile={file}&host={place}"


def feeds_of(url: str, database: str) -> str:
    return as_role(url, f"{database}_feeds", database, f"{database}_feeds")


def test_no_role_is_taken_on_trust(store_server: Callable[[str], str]) -> None:
    url, other = store_server("t_door"), store_server("t_neighbour")
    hba = Path(url.partition("&host=")[2], "pg_hba.conf").read_text(encoding="utf-8")
    assert [line for line in hba.splitlines() if line and line[0] != "#"] == ["local all all scram-sha-256"]
    for role in ("postgres", "motlan", "t_door", "t_door_feeds", "t_neighbour"):
        for password_of in (None, "t_neighbour" if role != "t_neighbour" else "t_door"):
            with pytest.raises(psycopg.OperationalError):
                psycopg.connect(as_role(url, role, "t_door", password_of))
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        assert cursor.execute("select current_user").fetchone() == ("t_door",)
    for database in ("t_door", "motlan", "postgres", "template1"):
        for role in ("t_neighbour", "t_neighbour_feeds"):
            with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
                psycopg.connect(as_role(other, role, database, role))


def test_no_password_stands_in_an_address_and_their_files_are_private(store_server: Callable[[str], str]) -> None:
    url = store_server("t_door")
    files = list(passwords_of(url).iterdir())
    assert {"postgres.pgpass", "motlan.pgpass", "t_door.pgpass", "t_door_feeds.pgpass"} <= {file.name for file in files}
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert not any(file.read_text().strip().rpartition(":")[2] in url for file in files)


FORBIDDEN = [
    "update golden_person set full_name = 'x'",
    "delete from golden_person",
    "insert into feed_epochs values (9, 9, '{}', 'x')",
    "update feed_person set full_name = 'x'",
    "delete from accesses",
    "update accesses set principal = 'x'",
    "truncate accesses",
    "select * from accesses",
    "insert into log_entries values (99, 'publication', '{}', '', '', now())",
    "update log_entries set body = '{}'",
    "delete from log_entries",
    "drop table log_entries",
    "alter table log_entries owner to current_user",
    "update api_keys set revoked_at = null",
    "insert into api_keys default values",
    "select * from secrets",
    "select * from people",
    "select * from sign_ins",
    "select * from corrections_person",
    "create table mine (a int)",
    "create schema mine",
    "create or replace function f() returns int language sql as 'select 1'",
    "update publications set number = 7",
    "set role postgres",
    "copy (select 1) to program 'true'",
    "create role other superuser",
]


def test_the_role_that_serves_the_feeds_serves_them_and_changes_nothing(
    country: Country, store_server: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    database = "t_feeds"
    url = store_server(database)
    feeds = feeds_of(url, database)
    monkeypatch.setenv("MOTLAN_DATABASE_URL", url)
    monkeypatch.setenv("MOTLAN_FEEDS_DATABASE_URL", feeds)
    whole_job()
    key = keys.issue(country.open().store, "beta")
    app = create_app()
    with TestClient(app, headers={"Authorization": f"Bearer {key}"}) as client:
        assert len(client.get("/v1/feeds/person/changes").text.splitlines()) == 6
        assert app.state.work.store.url == feeds
        for statement in FORBIDDEN:
            with psycopg.connect(feeds) as connection, pytest.raises(refusals.InsufficientPrivilege):
                connection.execute(statement)
        with country.open().store.engine.begin() as connection:
            connection.exec_driver_sql("drop table golden_person cascade; drop table feed_person cascade")
            connection.exec_driver_sql("update publications set projected_at = null")
        from motlan.projection.load import project

        project(country.open(), "person")
        assert len(client.get("/v1/feeds/person/changes").text.splitlines()) == 6, "its tables were built anew"
    assert rows(country, "select count(*) from accesses where principal = 'beta'") == [(2,)]


LEDGER = [f"{change} {table}" for table in roles.LEDGER for change in ("delete from", "truncate")] + [
    "update log_entries set body = '{}'",
    "update log_nodes set hash = ''",
    "update log_checkpoints set size = 7",
    "update accesses set principal = 'x'",
    "update versions set body = '{}'",
    "update link_decisions set verdict = 'same'",
    "alter table log_entries disable trigger all",
    "drop table accesses",
    "update alembic_version set version_num = '0001'",
]


@pytest.mark.slow
def test_the_bus_does_its_work_as_a_role_that_changes_nothing_of_the_ledger(
    country: Country, store_server: Callable[[str], str], server_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = "t_bus"
    url = store_server(database)
    monkeypatch.setenv("MOTLAN_DATABASE_URL", url)
    country.open()  # the owner migrates
    admin = server.admin_url(server_settings).replace("/postgres?", f"/{database}?")
    for _ in range(2):  # and again after a new version
        with psycopg.connect(admin) as connection:
            connection.execute(roles.script(database, database).encode())
    bus, audit = (as_role(url, f"{database}_{kind}", database, f"{database}_{kind}") for kind in ("bus", "audit"))
    monkeypatch.setenv("MOTLAN_DATABASE_URL", bus)
    monkeypatch.setenv("MOTLAN_FEEDS_DATABASE_URL", feeds_of(url, database))
    whole_job()
    key = keys.issue(country.open().store, "beta")
    with TestClient(create_app(), headers={"Authorization": f"Bearer {key}"}) as client:
        assert len(client.get("/v1/feeds/person/changes").text.splitlines()) == 6
        assert client.get("/v1/feeds/person/snapshot").status_code == 200
    for statement in LEDGER:
        for role in (bus, audit, feeds_of(url, database)):
            with psycopg.connect(role) as connection, pytest.raises(refusals.InsufficientPrivilege):
                connection.execute(statement)
    with psycopg.connect(url) as connection, pytest.raises(refusals.InsufficientPrivilege, match="only added to"):
        connection.execute("delete from accesses")  # the owner, by mistake
    with psycopg.connect(audit) as connection:
        assert connection.execute("select count(*) from feed_person").fetchone() == (6,)
        with pytest.raises(refusals.InsufficientPrivilege):
            connection.execute("select * from secrets")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_states_folder_is_made_private_and_tightened_where_it_is_not(tmp_path: Path) -> None:
    made = tmp_path / "made" / "var"
    folders.make_private(made)
    assert (mode(made), mode(made.parent)) == (0o700, 0o700)
    for wide in (0o755, 0o777, 0o711, 0o750, 0o701):
        made.chmod(wide)
        folders.make_private(made)
        assert mode(made) == 0o700, oct(wide)
    (made / "file").touch()
    assert mode(made / "file") == 0o600, "what a process of ours makes is private wherever it lies"


def test_a_state_that_cannot_be_a_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "var"):
        with pytest.raises(ConfigurationError, match="cannot be made"):
            folders.make_private(path)


@as_root
def test_a_state_that_belongs_to_another_account_is_refused(tmp_path: Path) -> None:
    os.chown(tmp_path, 65_534, -1)
    with pytest.raises(ConfigurationError, match="belongs to another account"):
        folders.make_private(tmp_path)


def test_every_door_of_the_bus_makes_the_state_private(country: Country) -> None:
    var = load().var
    var.mkdir(mode=0o755)
    whole_job()
    assert mode(var) == 0o700
    wide = [path for path in var.rglob("*") if not path.is_symlink() and mode(path) & 0o077]
    assert wide == []


@as_root
@pytest.mark.slow
def test_another_account_reads_nothing_and_connects_to_nothing() -> None:
    with traversable_folder() as home, pytest.MonkeyPatch.context() as patch:
        var = home / "var"
        patch.setenv("MOTLAN_VAR", str(var))
        patch.delenv("MOTLAN_DATABASE_URL", raising=False)
        settings = load()
        url = server.start(settings)
        try:
            assert mode(var) == 0o700
            stranger = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
            for program in (["ls", str(var)], ["cat", str(settings.passwords / "motlan.pgpass")]):
                assert subprocess.run([*stranger, *program], capture_output=True, check=False).returncode
            assert folders.owner_of(var) == 0
            assert url.startswith("postgresql://motlan@/motlan?")
            assert server.start(settings) == url
        finally:
            assert server.stop(settings)
        assert not server.stop(settings)


@pytest.mark.slow
def test_a_server_that_trusted_everybody_or_was_killed_is_closed_and_keeps_what_it_holds() -> None:
    with traversable_folder() as home:
        folder, passwords = home / ("long" * 30) / "store", home / "passwords"
        folder.parent.mkdir()
        made = Postgres(folder, passwords, {}, [home])
        try:
            made.start()
            assert len(made.get_uri().partition("&host=")[2]) < 100, "a socket's path has a limit"
            with psycopg.connect(made.get_uri(), autocommit=True) as connection:
                connection.execute("create table kept as select 1 as a")
            (folder / "pg_hba.conf").write_text("local all all trust\n", encoding="utf-8")
            made.stop()
            (passwords / "postgres.pgpass").unlink()
            made.start()
            assert kept(made) == 1
            with pytest.raises(psycopg.OperationalError):
                psycopg.connect(as_role(made.get_uri(), "postgres", "postgres", None))
            first = supervisor.postmaster(folder)
            assert first
            first.kill()
            while supervisor.postmaster(folder):
                time.sleep(0.05)
            made.start()
            assert kept(made) == 1
            made.stop()
            assert not made.is_running()
        finally:
            made.stop()


def kept(server: Postgres) -> int:
    with psycopg.connect(server.get_uri()) as connection:
        (found,) = connection.execute("select a from kept").fetchone() or (0,)
        return int(found)
