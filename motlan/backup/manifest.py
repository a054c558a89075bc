"""What a backup has: the manifest beside its dump, by which everything is checked when it comes back."""

from __future__ import annotations

import gzip
import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from motlan.errors import ContractError

MANIFEST, DUMP, KEYS, SUMS = "manifest.json.gz", "store.dump", "keys.json", "SHA256SUMS"
"""Names of a backup's own files. `sha256sum -c SHA256SUMS` checks them."""
FORMAT = 1


@dataclass(frozen=True)
class LakeTable:
    """A table of the lake, as a database's snapshot has it.

    Attributes:
        metadata: Where its newest metadata lay.
        rows: Rows of its files.
        files: Its files and those of its metadata, by their paths under the installation's folder.
    """

    metadata: str
    rows: int
    files: tuple[str, ...]


@dataclass(frozen=True)
class Manifest:
    """What a backup has.

    Attributes:
        taken_at: The point in time that it holds: a moment in UTC, in ISO 8601.
        var: The installation's folder.
        declared: Digest of the declared half, which is not in the backup.
        log_size: Entries of the log.
        root: The log's tree head, in hex.
        publication: The number of the newest publication.
        epoch: The feeds' epoch.
        counts: Table of the store -> its rows.
        tables: Table of the lake -> what it has.
        files: Path under the installation's folder -> size in bytes and SHA-256.
    """

    taken_at: str
    var: str
    declared: str
    log_size: int
    root: str
    publication: int
    epoch: int
    counts: dict[str, int]
    tables: dict[str, LakeTable]
    files: dict[str, tuple[int, str]] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write it."""
        content = json.dumps({"format": FORMAT, **asdict(self)})
        path.write_bytes(gzip.compress(content.encode(), compresslevel=3, mtime=0))

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Read a backup's manifest.

        Raises:
            ContractError: It is damaged, or of another version of the bus.
        """
        try:
            told: dict[str, Any] = json.loads(gzip.decompress((folder / MANIFEST).read_bytes()))
        except (OSError, EOFError, ValueError) as error:
            raise ContractError(
                f"the manifest cannot be read ({type(error).__name__})",
                where=str(folder),
                next_step="use another backup: `motlan backup list`.",
            ) from None
        if told.pop("format", None) != FORMAT:
            raise ContractError(
                "this backup is of another version of the bus",
                where=str(folder),
                next_step="use the version that made it.",
            )
        told["tables"] = {
            name: LakeTable(**{**one, "files": tuple(one["files"])}) for name, one in told["tables"].items()
        }
        told["files"] = {name: (size, digest) for name, (size, digest) in told["files"].items()}
        return cls(**told)


def digest_of(path: Path) -> tuple[int, str]:
    """Return a file's size and SHA-256."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
        return file.tell(), found


def write_sums(folder: Path) -> None:
    """Write the digests of a backup's own files, as `sha256sum` reads them."""
    names = [name for name in (MANIFEST, DUMP, KEYS) if (folder / name).exists()]
    lines = [f"{digest_of(folder / name)[1]}  {name}\n" for name in names]
    (folder / SUMS).write_text("".join(lines), encoding="ascii")


def check_sums(folder: Path) -> None:
    """Check a backup's own files.

    Raises:
        ContractError: One is missing or was altered.
    """
    try:
        lines = (line.split() for line in (folder / SUMS).read_text(encoding="ascii").splitlines())
        told = {name: digest for digest, name in lines}
        wrong = [name for name, digest in told.items() if digest_of(folder / name)[1] != digest]
        wrong += [name for name in (MANIFEST, DUMP) if name not in told]
    except (OSError, ValueError) as error:
        wrong = [f"one of its own files ({type(error).__name__})"]
    if wrong:
        raise ContractError(
            f"{wrong[0]} is missing or was altered",
            where=str(folder),
            next_step="use another backup: `motlan backup list`.",
        )
