"""The check of everything: the log against checkpoints that were kept elsewhere, and against the log what the bus stores.

What is read: every entry and node of the log, every byte of the lake's files and their metadata, every payload that a landed row
names, every projected row, every access, the publications, runs and versions of the ledger.
"""

from __future__ import annotations

from collections.abc import Iterator

from motlan.ledger import log
from motlan.proof import checkpoints
from motlan.proof.findings import Finding
from motlan.proof.lake_check import check_files, check_payloads
from motlan.proof.ledger_check import check_accesses, check_ledger
from motlan.proof.log_check import Pins, Read, Watch, check_log
from motlan.proof.projection_check import check_projections
from motlan.workspace import Workspace


def verify(work: Workspace, pins: Pins, watch: Watch = lambda _, __, ___: None) -> Iterator[Finding]:
    """Give everything that is not as the log says; nothing where all is.

    Args:
        work: The open installation.
        pins: The auditor's key and checkpoints.
        watch: Is given what is checked, how much of it is done, and how much there is.

    Raises:
        ConfigurationError: The key cannot be read.
    """
    read = Read()
    with work.store.engine.connect() as connection:
        yield from check_log(connection, pins, read, watch)
        yield from check_ledger(connection, read)
        yield from check_accesses(connection, read)
    sound = True
    for finding in check_files(work, read, pins.since.size if pins.since else 0, watch):
        sound = False
        yield finding
    yield from check_payloads(work, read, watch)
    if not read.erasing:  # lake and store are not alike before its end
        yield from check_projections(work, watch, sound=sound)


def verify_nightly(work: Workspace) -> Iterator[Finding]:
    """Give what is not as the log says, files being read only where their size, moments or number are not what they were.

    The key is the one on this machine: what an auditor holds elsewhere tells more.
    """
    read, pins = Read(), Pins(checkpoints.key_of(work.settings).public)
    with work.store.engine.connect() as connection:
        yield from check_log(connection, pins, read, lambda _, __, ___: None)
        yield from check_ledger(connection, read)
        yield from check_accesses(connection, read)
    yield from check_files(work, read, read.size, lambda _, __, ___: None)


def size_of(work: Workspace) -> int:
    """Return how many entries the log has."""
    with work.store.engine.connect() as connection:
        return log.size_of(connection)
