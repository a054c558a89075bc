"""Taking a backup: one snapshot of the database, and the files that it names, while the bus works.

Files of the lake and payloads never change, so that a database's snapshot and the files that it names are one consistent point.
Those that no earlier backup has are held by links of our own before anything else: what is removed meanwhile stays for us.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from motlan.backup import dump
from motlan.backup.folder import DRAFT, FORMAT, BackupFolder, put
from motlan.backup.manifest import DUMP, KEYS, MANIFEST, LakeTable, Manifest, digest_of, write_sums
from motlan.config.files import declared_digest
from motlan.errors import ContractError, EngineError, TransientError
from motlan.ledger import erasures, log, runs
from motlan.publication import epochs
from motlan.quality.check_state import CHECKS
from motlan.store import tables
from motlan.workspace import Workspace

TRIES = 5
"""How often a backup begins anew where files go between the snapshot and their links."""
Counts = dict[str, Any]
Watch = Callable[[str], None]
"""Is given what is begun."""


def take(work: Workspace, to: Path | None = None, watch: Watch = lambda _: None) -> Counts:
    """Take a backup, and remove those that are no longer kept.

    Args:
        work: The open installation.
        to: The folder of backups; that of the settings where absent.
        watch: Is given what is begun.

    Returns:
        `backup` (its name), `taken_at`, `publication`, `files` and `bytes` (all that it has), `new_files` and `new_bytes` (what
        no earlier one had), `store_bytes`, `removed` (backups that were too old), `files_removed` and `seconds`.

    Raises:
        ConfigurationError: No folder is named, or it cannot be written.
        TransientError: Another backup is under way.
    """
    began = time.monotonic()
    folder = BackupFolder.of(work.settings, to)
    folder.make()
    with folder.alone():
        before = folder.newest_manifest()
        found = _take_again(work, folder, before, watch)
        expired = folder.expire(work.settings.backup_days)
        erasures.save_list(work.store, folder.root)
        if apart := work.settings.backup_keys:
            left = {path.name for path in folder.backups()}
            for keys in apart.glob(f"*.{KEYS}"):
                if keys.name.removesuffix(f".{KEYS}") not in left:
                    keys.unlink()
    return {**found, **expired, "seconds": round(time.monotonic() - began, 2)}


def _take_again(work: Workspace, folder: BackupFolder, before: Manifest | None, watch: Watch) -> Counts:
    """Take a backup, again where a file that the snapshot names was removed before it was linked.

    Raises:
        ContractError: A file is missing each time.
        TransientError: An erasure replaced files meanwhile.
        EngineError: The disk is full, or gone.
    """
    for last in (*[False] * (TRIES - 1), True):
        try:
            return _take(work, folder, before, watch)
        except FileNotFoundError as error:
            if last:
                name = Path(str(error.filename or "a file of the lake")).name
                raise ContractError(
                    f"{name}, which the database names, is missing",
                    where="lake",
                    next_step="restore it from an earlier backup: it lies under `files/` there.",
                ) from None
        except OSError as error:
            raise EngineError(
                f"the backup cannot be written ({error.strerror or type(error).__name__})",
                where=str(folder.root),
                next_step="make room on that disk or mount it, then try again; what was begun is no backup and is removed.",
            ) from None
        finally:
            for draft in folder.root.glob(f"{DRAFT}*"):
                shutil.rmtree(draft, ignore_errors=True)
    raise AssertionError


def _take(work: Workspace, folder: BackupFolder, before: Manifest | None, watch: Watch) -> Counts:
    connect = work.store.engine.connect().execution_options(isolation_level="REPEATABLE READ")
    with work.own_folder() as pins:
        with connect as connection:
            snapshot, now = connection.execute(sa.text("select pg_export_snapshot(), now()")).one()
            watch("reading what the database names")
            name = now.astimezone(UTC).strftime(FORMAT)
            draft = folder.root / f"{DRAFT}{name}"
            draft.mkdir(mode=0o700)
            manifest = _state(connection, work, before, now)
            erased = _erasures(connection)
            wanted = _named(connection, work, manifest)
            known = before.files if before else {}
            new = {path for path in wanted if path not in known or not _is_there(folder.files / path, known[path][0])}
            replaced = _replaced(connection, work, known, wanted)
            new |= replaced
            pinned = _pin(work.settings.var, sorted(new), pins)
            watch("dumping the store")
            dump.dump(work.store.url, snapshot, dump.projections(work.registry), draft / DUMP)
            dump.write_keys(connection, work.settings.keys, _keys_of(work, draft, name))
        watch(f"copying {len(pinned):,} files")
        for path in sorted(replaced):
            folder.keep_replaced(path, known[path][1])
        with ThreadPoolExecutor(work.settings.threads) as threads:
            added = dict(threads.map(lambda pair: (pair[0], _add(pair[1], folder.files / pair[0])), pinned.items()))
    with work.store.engine.connect() as connection:
        if _erasures(connection) != erased or erasures.under_way(connection):
            raise TransientError(
                "files were erased while the backup was taken",
                where="lake",
                next_step="take it again when that is done.",
            )
    manifest.files.update({path: added.get(path) or known[path] for path in sorted(wanted)})
    manifest.save(draft / MANIFEST)
    write_sums(draft)
    os.sync()
    draft.rename(folder.root / name)
    return {
        "backup": name,
        "taken_at": manifest.taken_at,
        "publication": manifest.publication,
        "files": len(manifest.files),
        "bytes": sum(size for size, _ in manifest.files.values()),
        "new_files": len(added),
        "new_bytes": sum(size for size, _ in added.values()),
        "store_bytes": (folder.root / name / DUMP).stat().st_size,
    }


def _keys_of(work: Workspace, draft: Path, name: str) -> Path:
    """Return where a backup's keys are written."""
    if (apart := work.settings.backup_keys) is None:
        return draft / KEYS
    apart.mkdir(mode=0o700, parents=True, exist_ok=True)
    return apart / f"{name}.{KEYS}"


def _state(connection: sa.Connection, work: Workspace, before: Manifest | None, now: datetime) -> Manifest:
    """Describe the snapshot, its files left out."""
    size = log.size_of(connection)
    count = sa.select(sa.func.count())
    return Manifest(
        taken_at=now.astimezone(UTC).isoformat(timespec="milliseconds"),
        var=str(work.settings.var),
        declared=declared_digest(work.settings.home),
        log_size=size,
        root=(log.root_of(connection, size) or b"").hex(),
        publication=epochs.given_out(connection).publication,
        epoch=epochs.current(connection),
        counts={
            table.name: int(connection.execute(count.select_from(table)).scalar_one())
            for table in tables.metadata.sorted_tables
            if table is not tables.secrets
        },
        tables=_lake(connection, work, before),
    )


def _lake(connection: sa.Connection, work: Workspace, before: Manifest | None) -> dict[str, LakeTable]:
    """Describe the lake's tables as the snapshot has them. Metadata that were read for the backup before are not read again."""
    known = before.tables if before else {}
    found = {}
    for name, metadata in work.lake.tables(connection).items():
        same = known.get(name)
        if same and same.metadata == metadata:
            found[name] = same
            continue
        rows, paths = work.lake.reach(metadata)
        found[name] = LakeTable(metadata, rows, tuple(sorted(_under(work.settings.var, paths))))
    return found


def _under(var: Path, paths: Iterable[str]) -> Iterator[str]:
    return (str(Path(path).relative_to(var)) for path in paths)


def _named(connection: sa.Connection, work: Workspace, manifest: Manifest) -> set[str]:
    """Return the files that a snapshot needs, by their paths under the installation's folder."""
    found = {path for table in manifest.tables.values() for path in table.files}
    if (work.lake.root / "moved.json").exists():
        found.add(f"{work.lake.root.name}/moved.json")
    for entity in work.registry.entities:  # what the newest cross-check left for the next one
        if done := runs.newest_done(connection, "reconcile", entity):
            left = work.lake.root / CHECKS / entity / f"run={done}"
            found |= set(_under(work.settings.var, (str(path) for path in left.rglob("*") if path.is_file())))
    payloads = work.settings.payloads
    kept = (path for part in payloads.glob("[0-9a-f][0-9a-f]") for path in part.glob("*.zst"))
    return found | set(_under(work.settings.var, map(str, kept)))


def _replaced(
    connection: sa.Connection, work: Workspace, known: Mapping[str, tuple[int, str]], wanted: set[str]
) -> set[str]:
    """Return the files that an erasure replaced since the backup before."""
    lake, files = work.lake.root.relative_to(work.settings.var), tables.lake_files.c
    body = tables.log_entries.c.body
    erased = sa.select(sa.func.jsonb_object_keys(body["files"])).where(tables.log_entries.c.kind == erasures.DONE)
    query = sa.select(files.path, files.sha256).where(files.path.in_(erased), files.removed_at.is_(None))
    found = {f"{lake}/{row.path}": bytes(row.sha256).hex() for row in connection.execute(query)}
    return {path for path in found.keys() & known.keys() & wanted if found[path] != known[path][1]}


def _erasures(connection: sa.Connection) -> int:
    """Return how many erasures began."""
    entry = tables.log_entries.c
    return int(connection.execute(sa.select(sa.func.count()).where(entry.kind == erasures.BEGUN)).scalar_one())


def _is_there(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except OSError:
        return False


def _pin(var: Path, new: list[str], pins: Path) -> dict[str, Path]:
    """Hold files by links of our own, where the disk lets us: path under `var` -> what to read.

    Raises:
        FileNotFoundError: One is gone.
    """
    found = {}
    for number, name in enumerate(new):
        pin = pins / str(number)
        try:
            os.link(var / name, pin)
        except FileNotFoundError:
            raise
        except OSError:  # another disk, or one without links
            pin = var / name
        found[name] = pin
    return found


def _add(source: Path, target: Path) -> tuple[int, str]:
    """Add a file to those of all backups; return its size and SHA-256, as it is there."""
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    put(source, target)
    return digest_of(target)
