"""The folder of backups: one copy of every file that never changes, and a small folder a backup.

`files/` has the lake's files and payloads under the paths that they have in the installation; a backup names those of them that
it has, so that only new ones are copied. An erasure alone replaces a file of the lake: the one before stays beside it, under its
digest, as long as a backup from before the erasure is kept. A backup is made under a name that none has, and given its own at
the end: what was killed is no backup, and the next one removes it.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from motlan.backup.manifest import Manifest
from motlan.errors import ConfigurationError, ContractError, TransientError
from motlan.settings import Settings

NAME = re.compile(r"\d{8}T\d{12}Z")
"""Name of a backup: the moment in UTC that it holds, with microseconds."""
FORMAT = "%Y%m%dT%H%M%S%fZ"
DRAFT = ".draft-"
REPLACED = ".replaced-"
"""What stands between the name of a file that was replaced and its digest."""


class BackupFolder:
    """The folder of an installation's backups.

    Args:
        root: Its path; made where missing.
    """

    def __init__(self, root: Path) -> None:
        self.root, self.files = root, root / "files"

    @classmethod
    def of(cls, settings: Settings, root: Path | None = None) -> BackupFolder:
        """Return a folder of backups: the one named, else that of the settings.

        Raises:
            ConfigurationError: None is named, or it lies within what is to be backed up.
        """
        chosen = root.resolve() if root else settings.backup
        if chosen is None:
            raise ConfigurationError(
                "no folder of backups is named",
                next_step="set MOTLAN_BACKUP, best to another disk, or give --to FOLDER.",
            )
        if chosen == settings.var or settings.var in chosen.parents:
            raise ConfigurationError(
                "the folder of backups lies within the installation's own",
                where=str(chosen),
                next_step="choose one outside MOTLAN_VAR, best on another disk.",
            )
        return cls(chosen)

    def make(self) -> None:
        """Make the folder, for our account's eyes alone."""
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.root.chmod(0o700)
            self.files.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(
                f"the folder of backups cannot be written ({type(error).__name__})",
                where=str(self.root),
                next_step="mount it, or set MOTLAN_BACKUP to another.",
            ) from None

    def backups(self) -> list[Path]:
        """Return the backups, oldest first."""
        found = self.root.iterdir() if self.root.is_dir() else ()
        return sorted(path for path in found if NAME.fullmatch(path.name))

    def keep_replaced(self, name: str, digest: str) -> None:
        """Keep a file beside its name, for earlier backups, before another content takes its place."""
        target = _replaced(self.files / name, digest)
        if not target.exists():
            put(self.files / name, target)

    def sources(self, name: str, digest: str) -> tuple[Path, ...]:
        """Return where the content of a file may be, by the digest that a backup names."""
        return (self.files / name, _replaced(self.files / name, digest))

    def newest_manifest(self) -> Manifest | None:
        """Return the manifest of the newest backup whose manifest is whole; None where there is none."""
        for path in reversed(self.backups()):
            with suppress(ContractError):
                return Manifest.read(path)
        return None

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Be the only one that takes a backup here; what killed ones left is removed.

        Raises:
            TransientError: Another one is under way.
        """
        with _locked(self.root / ".taking", fcntl.LOCK_EX) as taken:
            if not taken:
                raise TransientError(
                    "another backup is under way", where=str(self.root), next_step="wait for its end, then try again."
                )
            for draft in self.root.glob(f"{DRAFT}*"):
                shutil.rmtree(draft, ignore_errors=True)
            yield

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Let no backup be removed within this block. Where nothing can be written nothing is removed either."""
        if not os.access(self.root, os.W_OK):
            yield
            return
        with _locked(self.root / ".reading", fcntl.LOCK_SH, wait=True):
            yield

    def expire(self, days: int, now: datetime | None = None) -> dict[str, int]:
        """Remove backups that are no longer kept, and files that only they had; none while one is being read.

        Returns:
            `removed`: how many backups; `files_removed`: how many files.
        """
        with _locked(self.root / ".reading", fcntl.LOCK_EX) as free:
            known = self.backups()
            old = [path for path in known if path not in kept(known, days, now or datetime.now(UTC))] if free else []
            if not old:
                return {"removed": 0, "files_removed": 0}
            left = [path for path in known if path not in old]
            gone: set[str] = set()
            for path in old:
                with suppress(ContractError):
                    gone |= Manifest.read(path).files.keys()
                shutil.rmtree(path)
            try:
                for path in reversed(left):  # nearly all is in the newest one already
                    gone -= Manifest.read(path).files.keys() if gone else set()
            except ContractError:  # nobody knows what a damaged one has
                gone = set()
            for name in gone:
                (self.files / name).unlink(missing_ok=True)
            self._remove_replaced(left)
            return {"removed": len(old), "files_removed": len(gone)}

    def _remove_replaced(self, left: list[Path]) -> None:
        """Remove files that an erasure replaced and that no backup has that is left: what was erased is gone with them."""
        found = {path for path in self.files.rglob(f"*{REPLACED}*") if path.is_file()}
        try:
            for backup in left if found else ():
                files = Manifest.read(backup).files
                found -= {_replaced(self.files / name, digest) for name, (_, digest) in files.items()}
        except ContractError:  # nobody knows what a damaged one has
            return
        for path in found:
            path.unlink()


def _replaced(path: Path, digest: str) -> Path:
    return path.with_name(f"{path.name}{REPLACED}{digest}")


def kept(backups: list[Path], days: int, now: datetime) -> list[Path]:
    """Return the backups that are kept: each of the newest hour, one an hour of the newest day, one a day before it.

    Args:
        backups: All of them, oldest first. The newest one is always kept.
        days: For how many days.
        now: The present moment.
    """
    chosen: dict[str, Path] = {}
    for path in backups:
        taken = moment_of(path)
        age = now - taken
        if age <= timedelta(hours=1):
            chosen[path.name] = path
        elif age <= timedelta(days=days):  # the newest of its hour or its day
            chosen[f"{taken:%Y-%m-%d %H}" if age <= timedelta(days=1) else f"{taken:%Y-%m-%d}"] = path
    return sorted({*chosen.values(), *backups[-1:]})


def moment_of(backup: Path) -> datetime:
    """Return the moment that a backup holds, by its name."""
    return datetime.strptime(backup.name, FORMAT).replace(tzinfo=UTC)


def chosen(source: Path) -> tuple[BackupFolder, Path]:
    """Return the folder of backups and the backup that a path means: one of them, or the newest of a folder.

    Raises:
        ConfigurationError: There is no backup.
    """
    place = source.resolve()
    if NAME.fullmatch(place.name) and place.is_dir():
        return BackupFolder(place.parent), place
    known = BackupFolder(place).backups()
    if not known:
        raise ConfigurationError(
            "there is no backup here", where=str(source), next_step="name a folder of backups, or one of them."
        )
    return BackupFolder(place), known[-1]


@contextmanager
def _locked(path: Path, kind: int, *, wait: bool = False) -> Iterator[bool]:
    """Hold a lock of a file in this block; yield whether it was free."""
    with path.open("a") as file:
        taken = False
        with suppress(BlockingIOError):
            fcntl.flock(file, kind if wait else kind | fcntl.LOCK_NB)
            taken = True
        yield taken


def put(source: Path, target: Path) -> None:
    """Put a file that never changes to another place, whole or not at all: a link on the same disk, else a copy."""
    draft = target.with_name(f"{DRAFT}{target.name}")
    draft.unlink(missing_ok=True)
    try:
        os.link(source, draft)
    except OSError:
        with source.open("rb") as read, os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as written:
            shutil.copyfileobj(read, written, 1 << 20)
            os.fsync(written.fileno())
    draft.rename(target)
