"""Checkpoints: what was published last, kept elsewhere, so that a restore knows whether it lost anything that readers saw.

Each publication adds one line of JSON to the file that `MOTLAN_CHECKPOINTS` names, before it is committed: a line may tell of a
publication that never was (the next line has its number again), but no publication is without a line. A line names its log by the
tree head (RFC 9162), and has the hashes of the entries since an earlier line, so that the file alone proves that one state of the
log extends another. No line holds a personal value.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from motlan.errors import ConfigurationError, ContractError
from motlan.ledger import log, merkle
from motlan.publication import epochs

FILE = "checkpoints.jsonl"
"""Name of the file where `MOTLAN_CHECKPOINTS` is a folder."""


@dataclass(frozen=True)
class Checkpoint:
    """What was published, at one moment.

    Attributes:
        publication: The last publication's number; 0 where there is none.
        seqs: Entity -> the last number of its feed.
        log_size: Entries of the log.
        root: The log's tree head after them, in hex.
        epoch: The feeds' epoch.
        recorded_at: When it was written: a moment in UTC, in ISO 8601.
        since: How many entries of the log came before the first of `leaves`.
        leaves: Leaf hashes of the entries after these, in hex; empty where the line proves nothing.
    """

    publication: int
    seqs: dict[str, int]
    log_size: int
    root: str
    epoch: int
    recorded_at: str
    since: int = 0
    leaves: tuple[str, ...] = ()

    def line(self) -> str:
        """Return it as a line of JSON."""
        return json.dumps(asdict(self))

    def short(self) -> dict[str, Any]:
        """Return it without the hashes of entries."""
        return {name: value for name, value in asdict(self).items() if name not in ("since", "leaves")}


def read_now(connection: sa.Connection, since: int = 0) -> Checkpoint:
    """Return the checkpoint of what the connection sees, with the hashes of the log's entries after the first so many."""
    given, size = epochs.given_out(connection), log.size_of(connection)
    return Checkpoint(
        publication=given.publication,
        seqs=given.seqs,
        log_size=size,
        root=(log.root_of(connection, size) or b"").hex(),
        epoch=epochs.current(connection),
        recorded_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        since=since,
        leaves=tuple(leaf.hex() for leaf in log.leaves(connection, since)),
    )


def file_of(place: Path) -> Path:
    """Return the file of checkpoints that a file's or a folder's path means."""
    return place / FILE if place.is_dir() or not place.suffix else place


def write(connection: sa.Connection, place: Path | None) -> Checkpoint | None:
    """Add the checkpoint of a publication to the file, in the publisher's transaction, before it is committed.

    Args:
        connection: Has published, and is not committed.
        place: The file or its folder; nothing is written where None.

    Raises:
        ConfigurationError: The file cannot be written: nothing is published then.
    """
    if place is None:
        return None
    path = file_of(place)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        known = read(path.read_text(encoding="utf-8").splitlines()) if path.exists() else []
        same = (one.log_size for one in reversed(known) if _holds(connection, one))
        found = read_now(connection, next(same, 0))
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "a", encoding="utf-8") as file:
            # A kill may have cut off the line before.
            file.write(f"\n{found.line()}\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise ConfigurationError(
            f"the checkpoint of this publication cannot be written ({type(error).__name__}): nothing is published",
            where=f"MOTLAN_CHECKPOINTS={path}",
            next_step="mount or make that place, then run `motlan publish` again.",
        ) from None
    return found


def _holds(connection: sa.Connection, one: Checkpoint) -> bool:
    """Tell whether the log that the connection sees had this checkpoint's state."""
    root = log.root_of(connection, one.log_size)
    return root is not None and root.hex() == one.root


def read(lines: Iterable[str]) -> list[Checkpoint]:
    """Read lines of checkpoints, oldest first. A line that a kill cut off is left out: its publication was not committed.

    Raises:
        ConfigurationError: There are lines, and none is a checkpoint.
    """
    told = [line for line in lines if line.strip()]
    found = [one for one in map(_read_line, told) if one]
    if told and not found:
        raise ConfigurationError(
            "no line of this is a checkpoint",
            where="MOTLAN_CHECKPOINTS",
            next_step="give the file that publications wrote, or what `motlan backup checkpoint --json` printed.",
        )
    return found


def _read_line(line: str) -> Checkpoint | None:
    try:
        values = json.loads(line)
        return Checkpoint(**{**values, "leaves": tuple(values.get("leaves", ()))})
    except (ValueError, TypeError, AttributeError):
        return None


def leaves_of(known: Iterable[Checkpoint]) -> list[bytes]:
    """Return the log's leaf hashes that lines of checkpoints tell, up to the last line, each line held to its root.

    Raises:
        ContractError: The lines do not tell all entries, or do not fit together.
    """
    found: list[bytes] = []
    tree = merkle.Tree()
    for one in known:
        if len(found) < one.since or one.since + len(one.leaves) != one.log_size:
            raise _unproven(one)
        new = list(map(bytes.fromhex, one.leaves))
        if one.since < len(found):  # what an earlier line told was never committed
            tree = merkle.Tree()
            new, found = found[: one.since] + new, []
        for leaf in new:
            tree.append(leaf)
        found += new
        if tree.head().hex() != one.root:
            raise _unproven(one)
    return found


def _unproven(one: Checkpoint) -> ContractError:
    return ContractError(
        f"the checkpoint of publication {one.publication} does not show the log that leads to it",
        where="MOTLAN_CHECKPOINTS",
        next_step="give the whole file that publications wrote (`motlan restore confirm --checkpoint FILE`).",
    )
