"""The doors that people and agencies use: the command line's screen, the API's answers and log, PostgreSQL's own log."""

import io
import logging
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import sqlalchemy as sa
import typer
import uvicorn

from motlan import pipeline
from motlan.cli import main, serving
from motlan.feeds import keys
from motlan.store import server
from motlan.store.session import Store
from tests.conftest import Country
from tests.privacy.faults import FAULTS
from tests.privacy.leaks import Known, shown

PROBE = "Người Dùng Thử"
"""A name that is nobody's: what shows that a log would take one."""


COMMANDS = {
    "status": ("motlan.cli.status.read", "sqlalchemy_integrity"),
    "quality": ("motlan.quality.report.report", "psycopg_duplicate"),
    "metrics show": ("motlan.monitoring.metrics.exposition", "sqlalchemy_data"),
    "sync alpha_people": ("tests.country.adapter.FileAdapter.pull", "duckdb_cast"),
    "reconcile": ("motlan.publication.publish.last_number", "sqlalchemy_data"),
    "quarantine list": ("motlan.quarantine.listing.counts", "adbc_copy"),
    "quarantine replay --dataset beta_cards": ("motlan.quarantine.replay.waits", "python_chain"),
    "quarantine export beta_cards --out held.csv": ("motlan.store.bulk.copy_out", "psycopg_copy"),
    "lineage": ("motlan.lineage.trace.find_person", "arrow_cast"),
    "clean explain --as person_name": ("motlan.cli.clean.explain", "pydantic_validation"),
    "quarantine show 0123456789ab": ("motlan.quarantine.decisions.find", "yaml_scan"),
}


def test_a_command_that_fails_says_nothing_of_a_person(
    crowd: Country,
    store: Store,
    tmp_path: Path,
    somebody: str,
    known: Known,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for command, (boundary, fault) in COMMANDS.items():
        monkeypatch.setattr(sys, "argv", ["motlan", *command.split()])
        monkeypatch.setattr(sys, "stdin", io.StringIO(somebody))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(boundary, lambda *_, fault=fault, **__: FAULTS[fault](store, tmp_path, somebody))
            with pytest.raises(SystemExit) as caught:
                main.app()
        said = "\n".join(capfd.readouterr())
        assert caught.value.code == 1, command
        assert "Error" in said, command
        assert not known.leaked(said, shown(caught.value)), command


def test_without_care_the_command_line_would_tell(
    store: Store, tmp_path: Path, somebody: str, known: Known, capfd: pytest.CaptureFixture[str]
) -> None:
    app = typer.Typer()
    app.command()(lambda: FAULTS["sqlalchemy_data"](store, tmp_path, somebody))
    with pytest.raises(Exception) as caught, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["motlan"])
        app()
    sys.excepthook(caught.type, caught.value, caught.tb)
    sys.excepthook = sys.__excepthook__
    assert known.leaked(*capfd.readouterr())


class Served:
    """The API as `motlan serve` serves it, in a thread."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._settings: dict[str, Any] = {}
        monkeypatch.setattr(uvicorn, "run", lambda app, **settings: self._settings.update(app=app, **settings))
        serving.serve(port=0)
        self._server = uvicorn.Server(uvicorn.Config(**self._settings))
        self._thread = threading.Thread(target=self._server.run, daemon=True)

    def __enter__(self) -> str:
        self._thread.start()
        while not self._server.started:
            assert self._thread.is_alive(), "the server did not start"
            time.sleep(0.05)
        return f"http://127.0.0.1:{self._server.servers[0].sockets[0].getsockname()[1]}"

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(10)


def test_the_api_logs_neither_what_was_asked_nor_what_failed(
    country: Country,
    store: Store,
    tmp_path: Path,
    somebody: str,
    known: Known,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.WARNING, "httpx")  # the caller's own
    pipeline.begin_sync("alpha_people")
    key = keys.issue(country.open().store, "beta")
    with Served(monkeypatch) as address, httpx.Client(headers={"Authorization": f"Bearer {key}"}) as caller:
        caller.get(f"{address}/v1/health").raise_for_status()
        asked = caller.get(f"{address}/v1/feeds/person/changes", params={"after": somebody, "limit": somebody})
        named = caller.get(f"{address}/v1/feeds/{somebody}/changes")
        stranger = caller.get(f"{address}/v1/feeds/person/changes", headers={"Authorization": "Bearer " + "x" * 40})
        answers = []
        for fault in ("sqlalchemy_data", "sqlalchemy_integrity", "pydantic_validation", "python_chain"):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(
                    "motlan.feeds.app._read", lambda *_, fault=fault: FAULTS[fault](store, tmp_path, somebody)
                )
                answers.append(caller.get(f"{address}/v1/feeds/person/changes"))
    assert [asked.status_code, named.status_code, stranger.status_code] == [422, 404, 401]
    assert {answer.status_code for answer in answers} == {500}
    assert {answer.headers["content-type"] for answer in answers} == {"application/problem+json"}
    assert caplog.text.count("unforeseen") == len(answers), "the operator is told of each"
    assert not known.leaked(asked.text, *(answer.text for answer in answers))
    assert not known.leaked(caplog.text, *capfd.readouterr())


WRONG = (
    "create temp table people (name text primary key, number integer check (number > 0))",
    "insert into people values ('{0}', 1), ('{0}', 2)",
    "insert into people values ('{0}', -1)",
    "select '{0}'::integer",
    "select pg_input_error_info('{0}', 'integer'), 1/0, '{0}'",
    "do $$ begin raise warning 'about {0}'; raise exception 'about {0}'; end $$",
)


def say_wrongly(url: str, value: str, *first: str) -> int:
    """Send PostgreSQL statements that fail, with a value in each; return how many did."""
    failed = 0
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in first:
            connection.execute(statement)
        for statement in WRONG:
            try:
                connection.execute(statement.format(value))
            except psycopg.Error:
                failed += 1
        try:
            connection.execute("select $1::integer", [value], prepare=True)
        except psycopg.Error:
            failed += 1
        try:
            with connection.cursor() as cursor, cursor.copy("copy people from stdin (format csv)") as copy:
                copy.write(f'"a","{value}"\n'.encode())
        except psycopg.Error:
            failed += 1
    return failed


@pytest.mark.slow
def test_postgresqls_own_log_holds_no_value(store: Store, server_log: Path, somebody: str, known: Known) -> None:
    before = server_log.stat().st_size
    assert say_wrongly(store.url, somebody) == len(WRONG) + 1
    assert not known.leaked(server_log.read_text(errors="replace")[before:])
    passwords = store.url.partition("passfile=")[2].partition("&")[0].rpartition("/")[0]
    admin = f"postgresql://postgres@/postgres?passfile={passwords}/postgres.pgpass&host={server_log.parent}"
    chatty = [f"set {name} = default" for name in server.QUIET_LOG]
    chatty += [
        "set log_min_messages = warning",
        "set log_min_error_statement = error",
        "set log_error_verbosity = default",
    ]
    say_wrongly(admin, PROBE, *chatty)
    said = server_log.read_text(errors="replace")
    assert said.count(PROBE) > len(WRONG), "as PostgreSQL comes, its log would take every one of them"
    assert not known.leaked(said)


@pytest.mark.slow
def test_the_stores_engine_keeps_parameters_out_of_its_errors(store: Store, somebody: str, known: Known) -> None:
    with pytest.raises(sa.exc.DataError) as caught, store.engine.connect() as connection:
        connection.execute(sa.text("select 1 / (length(:v) * 0)"), {"v": somebody})
    assert "hide_parameters" in str(caught.value)
    assert not known.leaked(str(caught.value), repr(caught.value), *traceback.format_exception(caught.value))
