"""Signed checkpoints of the log: its origin, size and tree head (C2SP tlog-checkpoint), with the cosignatures of witnesses.

One is signed with every run, so that whoever keeps an earlier one finds a log that was rewritten since, even under the real key.
"""

from __future__ import annotations

import base64
import logging
import secrets
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from motlan.errors import ConfigurationError, MotlanError
from motlan.ledger import log
from motlan.ledger.file_entries import append_files
from motlan.proof import witnesses
from motlan.proof.keys import LOG, Key, make_key, read_key, save_key
from motlan.settings import Settings
from motlan.store import Store, tables

log_of_process = logging.getLogger(__name__)
KEY = "log key"
"""Kind of the log's entries about its own key."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint, as its text says: nothing of it is checked.

    Attributes:
        origin: Which log.
        size: How many entries.
        root: The tree head.
        note: The whole note, signatures too.
    """

    origin: str
    size: int
    root: bytes
    note: str

    @classmethod
    def read(cls, note: str) -> Checkpoint:
        """Read a note.

        Raises:
            ConfigurationError: It is no checkpoint.
        """
        lines = note.split("\n")
        try:
            return cls(lines[0], int(lines[1]), base64.b64decode(lines[2], validate=True), note)
        except (ValueError, IndexError):
            raise ConfigurationError(
                "this is no checkpoint", next_step="give what `motlan audit checkpoint` printed, or /v1/log/checkpoint."
            ) from None

    @property
    def text(self) -> str:
        """The note's text, which signatures are of."""
        return note_text(self.origin, self.size, self.root)


def note_text(origin: str, size: int, root: bytes) -> str:
    """Return the text of a checkpoint."""
    return f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n"


def key_of(settings: Settings) -> Key:
    """Return the key that signs the log, made where there is none yet.

    Raises:
        ConfigurationError: The file is no key, or others may read it.
    """
    if (found := read_key(settings.log_key)) is None:
        found = make_key(f"motlan/log-{secrets.token_hex(4)}", LOG)
        save_key(found, settings.log_key)
    return found


def enter_key(connection: sa.Connection, key: Key, action: str = "in force") -> None:
    """Let the log say which key signs it, where it does not yet."""
    entry = tables.log_entries.c
    query = sa.select(entry.body["key"].astext).where(entry.kind == KEY).order_by(entry.index.desc()).limit(1)
    if connection.execute(query).scalar_one_or_none() != key.public:
        log.append(connection, KEY, {"key": key.public, "action": action})


def sign(store: Store, settings: Settings) -> Checkpoint:
    """Sign the log as it stands now; where that was done, return what was signed.

    Files that no entry names yet are entered first, and so is the key where it is new. Witnesses are asked; one that does not
    answer is left out, and asked again with the next checkpoint.
    """
    key = key_of(settings)
    with store.publishing() as connection:
        append_files(connection)
        enter_key(connection, key)
        size = log.size_of(connection)
        root = log.root_of(connection, size) or b""
        stored = find(connection, size)
    policy = witnesses.read_policy(settings.log_policy)
    if stored and stored.text == note_text(key.name, size, root) and witnesses.is_met(policy, stored.note):
        return stored
    text = note_text(key.name, size, root)
    note = f"{text}\n{key.sign(text)}"
    with store.engine.connect() as connection:
        note += witnesses.cosign(policy, connection, note, size)
    with store.engine.begin() as connection:
        table = tables.log_checkpoints
        values = insert(table).values(size=size, note=note)
        connection.execute(values.on_conflict_do_update(index_elements=[table.c.size], set_={"note": note}))
    return Checkpoint(key.name, size, root, note)


def try_sign(store: Store, settings: Settings) -> None:
    """Sign the log after a run. What the run made visible stays so where that fails; `motlan doctor` tells of it."""
    try:
        sign(store, settings)
    except MotlanError as error:
        log_of_process.warning("The log was not signed (%s)", error)


def find(connection: sa.Connection, size: int | None = None) -> Checkpoint | None:
    """Return the checkpoint of a size, or the newest one; None where there is none."""
    table = tables.log_checkpoints.c
    query = sa.select(table.note).order_by(table.size.desc()).limit(1)
    found = connection.execute(query if size is None else query.where(table.size == size)).scalar_one_or_none()
    return None if found is None else Checkpoint.read(found)


def replace_key(store: Store, settings: Settings, name: str | None = None) -> tuple[Key, Key]:
    """Put a new key in the place of the log's; return the old one and the new one.

    The log says so under the old key: one more checkpoint is signed by both, by which who pinned the old one goes over to the new
    one. The old private key is destroyed.

    Args:
        store: The store.
        settings: Where the key is.
        name: Another origin, for a log that goes on from a restore which lost entries; the same where absent.
    """
    old = key_of(settings)
    new = make_key(name or old.name, LOG)
    with store.publishing() as connection:
        append_files(connection)
        enter_key(connection, old)
        log.append(connection, KEY, {"key": new.public, "action": "replaces", "replaced": old.public})
        size = log.size_of(connection)
        root = log.root_of(connection, size) or b""
        text = note_text(old.name, size, root)
        note = f"{text}\n{old.sign(text)}" + (new.sign(text) if new.name == old.name else "")
        values = insert(tables.log_checkpoints).values(size=size, note=note)
        connection.execute(values.on_conflict_do_update(index_elements=["size"], set_={"note": note}))
    draft = Path(f"{settings.log_key}.new")
    draft.unlink(missing_ok=True)
    save_key(new, draft)
    draft.replace(settings.log_key)
    return old, new
