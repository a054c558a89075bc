"""The store's dump, by PostgreSQL's own programs, which the embedded server's wheel brings. They read older servers too.

What PostgreSQL mirrors of the lake (golden tables, feeds, corrections) is left out: it is made again from the lake. So are the
installation's secrets, which stand in a file of their own.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

import sqlalchemy as sa
from psycopg import pq

from motlan.config.registry import Registry
from motlan.errors import EngineError
from motlan.projection.tables import mirror_of
from motlan.store import tables
from motlan.store.postgres import programs

FILE = "file:"
"""How the name of a key begins that lies in a file."""


def projections(registry: Registry) -> list[str]:
    """Return the names of the tables that are made again from the lake."""
    found = [f"corrections_{name}" for name in registry.entities]
    mirrors = [mirror_of(entity) for entity in registry.entities.values()]
    for mirror in (*mirrors, *(mirror_of(related) for related in registry.related_entities.values())):
        found += [mirror.golden_table, mirror.feed_table]
    return found


def dump(url: str, snapshot: str, without: Iterable[str], target: Path) -> None:
    """Write the store as an exported snapshot of its database has it.

    Args:
        url: URL of the store, for its owner.
        snapshot: From `pg_export_snapshot()`.
        without: Tables that are left out, with their partitions.
        target: The file.

    Raises:
        EngineError: The dump failed.
    """
    left_out = [f"--exclude-table-and-children={name}" for name in without]
    words = [
        "--format=custom",
        "--compress=gzip:1",
        f"--snapshot={snapshot}",
        "--lock-wait-timeout=60000",
        "--no-password",
    ]
    _run(url, "pg_dump", *words, *left_out, f"--exclude-table-data={tables.secrets.name}", f"--file={target}")


def load(url: str, source: Path) -> None:
    """Load a dump into an empty database, all of it or nothing.

    Raises:
        EngineError: It failed.
    """
    words = ("--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges", "--no-password")
    database = _environment(url).get("PGDATABASE", "")
    _run(url, "pg_restore", *words, f"--dbname={database}", str(source))


def write_keys(connection: sa.Connection, folder: Path, target: Path) -> None:
    """Write the installation's random secrets, from which persons' ids and others follow, and the keys that lie in its state.

    Args:
        connection: The store's.
        folder: The folder of keys in the state: the log's, where it is not elsewhere, and that of the feeds' rows.
        target: The file.
    """
    found = connection.execute(sa.select(tables.secrets.c.name, tables.secrets.c.value))
    files = sorted(folder.glob("*.key")) if folder.exists() else []
    content = json.dumps(
        {name: bytes(value).hex() for name, value in found}
        | {f"{FILE}{one.name}": one.read_bytes().hex() for one in files}
    )
    with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(content)


def load_keys(connection: sa.Connection, folder: Path, source: Path) -> int:
    """Bring the secrets and the keys back (see `write_keys`); return how many."""
    found = {name: bytes.fromhex(value) for name, value in json.loads(source.read_text(encoding="ascii")).items()}
    files = {Path(name.removeprefix(FILE)).name: found.pop(name) for name in list(found) if name.startswith(FILE)}
    for name, content in files.items():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(content)
    values = [{"name": name, "value": value} for name, value in found.items()]
    if values:
        connection.execute(sa.insert(tables.secrets), values)
    return len(values) + len(files)


def _environment(url: str) -> dict[str, str]:
    """Return what a URL says, as variables that libpq reads: a password is no argument of a process."""
    options = pq.Conninfo.parse(url.encode())
    return dict(os.environ) | {one.envvar.decode(): one.val.decode() for one in options if one.envvar and one.val}


def _run(url: str, program: str, *words: str) -> None:
    # Its own words may quote values.
    done = subprocess.run(
        [str(programs() / program), *words], env=_environment(url), stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    if done.returncode:
        raise EngineError(
            f"{program} failed (exit code {done.returncode})",
            where="store",
            next_step="try again; a PostgreSQL server of yours must not be newer than this program "
            f"(`{programs() / program} --version`).",
        )
