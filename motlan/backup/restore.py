"""Bringing a backup back into an empty place, and proving that what came back is what was taken.

Nobody may publish afterwards until what was published last is reconciled (`motlan.backup.confirm`): the backup may be older than
what readers saw. Runs that were under way when it was taken are closed: what passed between their steps is in no backup.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from motlan.backup import dump
from motlan.backup.folder import BackupFolder, put
from motlan.backup.manifest import DUMP, KEYS, Manifest, check_sums, digest_of
from motlan.config import registry as declared
from motlan.config.files import declared_digest
from motlan.errors import ConfigurationError, ContractError, EngineError
from motlan.lake.iceberg import Lake
from motlan.lake.moved import FILE as MOVED
from motlan.lake.moved import Moved
from motlan.ledger import erasures, log, runs
from motlan.lineage.evidence import gather
from motlan.lineage.replay import replay
from motlan.lineage.sample import sample
from motlan.projection import load as projection
from motlan.publication import epochs, hold
from motlan.settings import Settings
from motlan.store import open_store, server, tables
from motlan.store.folders import make_private
from motlan.store.session import Store, sqlalchemy_url
from motlan.workspace import RESTORING, Workspace

RESTORED = "restored.json"
"""File in a restored installation's folder: what was restored, for its reconciliation."""
SAMPLE = 50
"""Golden fields that are replayed."""
REASON = "restored from a backup: what was published last is not reconciled yet"
Counts = dict[str, Any]
Watch = Callable[[str], None]


@dataclass(frozen=True)
class InPlace(Settings):
    """An installation that reads its lake and payloads where a folder of backups has them, and writes nothing there.

    Attributes:
        files: The folder of the backups' files.
    """

    files: Path = Path()

    @property
    def lake(self) -> Path:
        """Folder of the Iceberg tables' files."""
        return self.files / "lake"

    @property
    def payloads(self) -> Path:
        """Folder of the payloads."""
        return self.files / "payloads"


@dataclass(frozen=True)
class Restored:
    """What a restore did and found.

    Attributes:
        work: The restored installation.
        manifest: Of the backup.
        counts: What was done and found, small and without personal values.
        wrong: What is not as it was taken; empty where all is.
    """

    work: Workspace
    manifest: Manifest
    counts: Counts
    wrong: list[str] = field(default_factory=list)


def restore(
    settings: Settings,
    folder: BackupFolder,
    backup: Path,
    *,
    keys: Path | None = None,
    watch: Watch = lambda _: None,
) -> Restored:
    """Restore a backup into an empty place.

    Args:
        settings: The installation: where to, and which database; of a check `InPlace`.
        folder: The folder of backups.
        backup: Which one.
        keys: The backup's keys, where they are kept apart; by default as the settings say.
        watch: Is given what is begun.

    Raises:
        ConfigurationError: The place is not empty, or the keys are missing.
        ContractError: The backup is damaged.
    """
    began = time.monotonic()
    found_keys = _find_keys(settings, backup, keys)
    _require_empty(settings)
    with folder.reading():
        check_sums(backup)
        manifest = Manifest.read(backup)
        make_private(*settings.private)
        (settings.var / RESTORING).touch()
        watch(f"checking and bringing back {len(manifest.files):,} files")
        _bring_files(settings, folder, manifest)
        watch("loading the store")
        work = _load_store(settings, backup, found_keys, _moved(settings, folder, manifest))
    wrong = _compare_counts(work, manifest)
    counts = {"backup": backup.name, "taken_at": manifest.taken_at, "publication": manifest.publication}
    counts |= {"files": len(manifest.files), "bytes": sum(size for size, _ in manifest.files.values())}
    counts["declared_differs"] = manifest.declared != declared_digest(settings.home)
    if not isinstance(settings, InPlace):
        counts["runs_closed"] = _block(work, settings, manifest, backup)
        counts["erasures_to_repeat"] = erasures.note_later(settings, folder.root, manifest.taken_at)
    watch("loading the golden tables and feeds from the lake")
    counts["projected"] = _project(work)
    watch("replaying golden values")
    counts |= _replay(work, wrong)
    if wrong and not isinstance(settings, InPlace):  # nothing is published from it
        note = json.loads((settings.var / RESTORED).read_text(encoding="utf-8"))
        (settings.var / RESTORED).write_text(json.dumps({**note, "wrong": wrong}), encoding="utf-8")
    (settings.var / RESTORING).unlink()
    return Restored(work, manifest, {**counts, "seconds": round(time.monotonic() - began, 2)}, wrong)


def _find_keys(settings: Settings, backup: Path, keys: Path | None) -> Path:
    apart = settings.backup_keys
    named = [keys, backup / KEYS, apart and apart / f"{backup.name}.{KEYS}"]
    found = next((path for path in named if path and path.is_file()), None)
    if found is None or (keys and found != keys):
        raise ConfigurationError(
            "the keys of this backup are not here",
            where=str(keys or backup),
            next_step=f"give --keys FILE: {backup.name}.{KEYS} in the folder that MOTLAN_BACKUP_KEYS named.",
        )
    return found


def _require_empty(settings: Settings) -> None:
    """Refuse a place in which something is.

    Raises:
        ConfigurationError: Something is there.
    """
    here = [path.name for path in settings.var.iterdir() if path.name != "lost+found"] if settings.var.exists() else []
    if RESTORING in here:
        raise ConfigurationError(
            "an earlier restore into this folder was stopped",
            where=str(settings.var),
            next_step="remove what is in the folder (`motlan store stop` first), then restore again.",
        )
    if here:
        raise ConfigurationError(
            "a backup is restored into an empty place, and this folder is not empty",
            where=str(settings.var),
            next_step="move it away (after `motlan store stop`), or give another folder by --to.",
        )
    if settings.database_url:
        engine = sa.create_engine(sqlalchemy_url(settings.database_url), hide_parameters=True, poolclass=sa.NullPool)
        with engine.connect() as connection:
            if names := sa.inspect(connection).get_table_names():
                raise ConfigurationError(
                    f"a backup is restored into an empty place, and this database has {len(names):,} tables",
                    where="MOTLAN_DATABASE_URL",
                    next_step="make an empty database and name that one.",
                )


def _bring_files(settings: Settings, folder: BackupFolder, manifest: Manifest) -> None:
    """Bring back the files of the lake and payloads, each held to the manifest.

    Raises:
        ContractError: Files are missing or were altered.
    """

    def bring(name: str) -> bool:
        for source in folder.sources(name, manifest.files[name][1]):
            target = source
            with suppress(FileNotFoundError):
                if not isinstance(settings, InPlace):
                    target = settings.var / name
                    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                    put(source, target)
                if digest_of(target) == manifest.files[name]:
                    return True
        return False

    try:
        with ThreadPoolExecutor(settings.threads) as threads:
            good = list(threads.map(bring, manifest.files))
    except OSError as error:
        raise EngineError(
            f"the files cannot be brought back ({error.strerror or type(error).__name__})",
            where=str(settings.var),
            next_step="make room on that disk, remove what is in the folder, then restore again.",
        ) from None
    if bad := [name for name, holds in zip(manifest.files, good, strict=True) if not holds]:
        raise ContractError(
            f"{len(bad):,} of {len(good):,} files are missing or were altered, such as {bad[0]}",
            where=str(folder.files),
            next_step="use another copy of the backups; the next backup copies these files anew where the bus has them.",
        )


def _moved(settings: Settings, folder: BackupFolder, manifest: Manifest) -> Moved:
    """Return where the lake lies now and where it lay; of a lake that was brought elsewhere it is written down."""
    name = f"{settings.lake.name}/{MOVED}"
    known = json.loads((folder.files / name).read_text(encoding="utf-8")) if name in manifest.files else []
    places = dict.fromkeys([*known, f"{manifest.var}/{settings.lake.name}"])
    before = tuple(place for place in places if place != str(settings.lake))
    if not isinstance(settings, InPlace):
        path = settings.lake / MOVED
        path.unlink(missing_ok=True)  # it may be a link to the backup's
        if before:
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps(before), encoding="utf-8")
    return Moved(str(settings.lake), before)


def _load_store(settings: Settings, backup: Path, keys: Path, moved: Moved) -> Workspace:
    url = settings.database_url or server.start(settings)
    dump.load(url, backup / DUMP)
    store: Store = open_store(settings)
    with store.engine.begin() as connection:
        dump.load_keys(connection, settings.keys, keys)
    return Workspace(settings, declared.load(settings.home), store, Lake(settings, store, moved))


def _compare_counts(work: Workspace, manifest: Manifest) -> list[str]:
    """Return what of the store, the log and the lake is not as it was taken."""
    wrong = []
    with work.store.engine.connect() as connection:
        for table in tables.metadata.sorted_tables:
            count = connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
            if count != manifest.counts.get(table.name, count):
                wrong.append(f"{table.name} has {count:,} rows of {manifest.counts[table.name]:,}")
        if (broken := log.first_broken(connection)) is not None:
            wrong.append(f"entry {broken} of the log does not hold")
        root, size = log.root_of(connection, manifest.log_size), log.size_of(connection)
        if size != manifest.log_size or root is None or root.hex() != manifest.root:
            wrong.append(f"the log has not the root that it had after {manifest.log_size:,} entries")
    for name, taken in manifest.tables.items():
        rows = sum(file.rows for file in work.lake.added(name))
        if rows != taken.rows:
            wrong.append(f"the lake's table {name} has {rows:,} rows of {taken.rows:,}")
    return wrong


def _block(work: Workspace, settings: Settings, manifest: Manifest, backup: Path) -> int:
    """Let nothing be published, and close the runs that were under way; return how many."""
    with work.store.engine.connect() as connection:
        before = hold.in_force(connection).get(hold.PUBLISH)
    kept = {name: before[name] for name in ("principal", "reason")} if before else None
    note = {
        "backup": backup.name,
        "log_size": manifest.log_size,
        "root": manifest.root,
        "publication": manifest.publication,
        "epoch": manifest.epoch,
        "wrong": [],
        "held_before": kept if kept and kept["principal"] != hold.RESTORE else None,
    }
    (settings.var / RESTORED).write_text(json.dumps(note), encoding="utf-8")
    if before:
        hold.end(work.store, hold.PUBLISH, hold.RESTORE, REASON)
    hold.begin(work.store, hold.PUBLISH, hold.RESTORE, REASON)
    table = tables.runs
    values = {
        "state": "abandoned",
        "error": "abandoned: restored from a backup; a new run does its work",
        "ended_at": sa.func.now(),
    }
    with work.store.engine.begin() as connection:
        is_open = table.c.state.in_(("running", *runs.WAITING))
        return int(connection.execute(sa.update(table).where(is_open).values(**values)).rowcount)


def _project(work: Workspace) -> int:
    """Make the golden tables and the feeds again from the lake; return how many publications were loaded."""
    table = tables.log_entries.c
    with work.store.engine.connect() as connection:
        query = sa.select(sa.exists().where(table.kind == projection.MEND))
        mend = bool(connection.execute(query).scalar_one())
        published = set(connection.scalars(sa.select(tables.publications.c.entity).distinct()))
    return sum(projection.project(work, name, mend=mend) for name in work.registry.entities if name in published)


def _replay(work: Workspace, wrong: list[str]) -> Counts:
    """Hold the feeds to the publications' numbers, and replay a sample of golden values from what was landed."""
    checked = equal = 0
    with work.store.engine.connect() as connection:
        changes = dict(
            connection.execute(
                sa.select(tables.publications.c.entity, sa.func.sum(tables.publications.c.changes)).group_by(
                    tables.publications.c.entity
                )
            ).all()
        )
        for name, number in changes.items():
            count = connection.execute(sa.select(sa.func.count()).select_from(sa.table(f"feed_{name}"))).scalar_one()
            if count != number:
                wrong.append(f"the feed of {name} has {count:,} changes of {int(number):,}")
        seed = epochs.given_out(connection).publication
    for name in changes:
        fields = sample(work, name, SAMPLE, seed)
        if not fields:
            continue
        verdict = replay(work, gather(work, name, sorted({person for person, _ in fields})), fields)
        checked, equal = checked + verdict.checked, equal + verdict.equal
        wrong += [f"{count:,} golden values of {name}: {reason}" for reason, count in sorted(verdict.reasons.items())]
    return {"replayed": checked, "replayed_equal": equal}
