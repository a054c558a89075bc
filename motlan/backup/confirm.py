"""After a restore: what was published last, kept elsewhere, decides whether the feeds go on or a new epoch begins.

Where the restored state has all that readers can have seen, it goes on as if nothing had been. Where it is behind, what readers
saw may never have happened here: the feeds' epoch rises, and no number is given out again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from motlan.backup.restore import RESTORED
from motlan.errors import ConfigurationError, ContractError
from motlan.ledger import log, merkle
from motlan.publication import checkpoints, epochs, hold
from motlan.publication.checkpoints import Checkpoint
from motlan.publication.epochs import GivenOut
from motlan.workspace import Workspace

Counts = dict[str, Any]
SPARED_PUBLICATIONS, SPARED_SEQS, SPARED_EPOCHS = 1_000, 1_000_000_000, 10
"""Numbers that are left out where nobody knows which were given out: more than can be lost between two backups."""


def confirm(work: Workspace, known: Sequence[Checkpoint]) -> Counts:
    """Reconcile a restored installation with what was published last, and let it publish again.

    Args:
        work: The restored installation.
        known: The checkpoints that publications wrote, oldest first; of one alone all entries of its log have to be there.

    Returns:
        `lost_publications`, `epoch`, `epoch_rose`, `next_publication`, `held` (whether a person holds publishing still).

    Raises:
        ConfigurationError: Nothing waits for it, or there is no checkpoint.
        ContractError: The checkpoint is of another log, or older than the backup: publishing stays blocked.
    """
    note = read_note(work)
    if not known:
        raise ConfigurationError(
            "there is no checkpoint",
            next_step="give the file that MOTLAN_CHECKPOINTS named: `motlan restore confirm --checkpoint FILE`.",
        )
    last = known[-1]
    with work.store.engine.connect() as connection:
        _require_extension(connection, note, known)
    given = GivenOut(last.publication, last.seqs)
    return _reconcile(work, note, given, last.epoch, f"reconciled with publication {last.publication}")


def confirm_without(work: Workspace, why: str) -> Counts:
    """Let a restored installation publish again where no checkpoint was kept: a new epoch whose numbers nobody can have seen.

    Args:
        work: The restored installation.
        why: In the operator's words.

    Returns:
        See `confirm`; `lost_publications` is not known, and 0.

    Raises:
        ConfigurationError: Nothing waits for it, or the reason is missing.
    """
    note = read_note(work)
    if not why.strip():
        raise ConfigurationError("to go on without a checkpoint needs its reason", next_step="say why.")
    with work.store.engine.connect() as connection:
        now, epoch = epochs.given_out(connection), epochs.current(connection)
    if epoch == note["epoch"]:  # else a try that was stopped has begun it already
        seqs = {entity: seq + SPARED_SEQS for entity, seq in now.seqs.items()}
        now, epoch = GivenOut(now.publication + SPARED_PUBLICATIONS, seqs), epoch + SPARED_EPOCHS
    return {**_reconcile(work, note, now, epoch, f"without a checkpoint: {why.strip()}"), "lost_publications": 0}


def _reconcile(work: Workspace, note: Counts, given: GivenOut, epoch: int, why: str) -> Counts:
    """Begin an epoch where readers can have seen more than is here, and end the restore's hold."""
    lost = max(0, given.publication - note["publication"])
    with work.store.publishing() as connection:
        restored = epochs.given_out(connection)
        rises = epoch > epochs.current(connection) or restored.or_later(given) != restored
        if rises:
            epochs.begin(connection, given, f"{note['backup']} was restored, {lost} publications behind", epoch)
            checkpoints.write(connection, work.settings.checkpoints)
        now, following = epochs.current(connection), epochs.given_out(connection).publication + 1
    hold.end(work.store, hold.PUBLISH, hold.RESTORE, why)
    if before := note["held_before"]:
        hold.begin(work.store, hold.PUBLISH, before["principal"], before["reason"])
    (work.settings.var / RESTORED).unlink()
    return {
        "lost_publications": lost,
        "epoch": now,
        "epoch_rose": now > note["epoch"],
        "next_publication": following,
        "held": bool(before),
    }


def read_note(work: Workspace) -> Counts:
    """Return what was restored here and waits to be reconciled.

    Raises:
        ConfigurationError: Nothing waits.
        ContractError: What was restored is not as it was taken.
    """
    with work.store.engine.connect() as connection:
        held = hold.in_force(connection).get(hold.PUBLISH)
    path = work.settings.var / RESTORED
    if held is None or held["principal"] != hold.RESTORE or not path.exists():
        raise ConfigurationError(
            "nothing was restored here that waits for it", next_step="see `motlan status` and `motlan hold list`."
        )
    note: Counts = json.loads(path.read_text(encoding="utf-8"))
    if wrong := note["wrong"]:
        raise ContractError(
            f"what was restored is not as it was taken: {'; '.join(wrong)}",
            where=str(work.settings.var),
            next_step="restore another backup: `motlan backup list`.",
        )
    return note


def _require_extension(connection: sa.Connection, note: Counts, known: Sequence[Checkpoint]) -> None:
    """Let the checkpoints be of the log that was restored: what it was then, or what it became.

    Raises:
        ContractError: They are of another log, prove too little, or are older than the backup.
    """
    last, size = known[-1], note["log_size"]
    ours = log.leaves(connection)[:size]
    if last.log_size > size:
        if checkpoints.leaves_of(known)[:size] != ours:
            raise _other_log(last)
    elif merkle.tree_head(ours[: last.log_size]).hex() != last.root:
        raise _other_log(last)
    elif last.publication < note["publication"]:
        raise ContractError(
            f"the checkpoint is of publication {last.publication}, and the backup has publication {note['publication']}",
            where="MOTLAN_CHECKPOINTS",
            next_step="give the newest checkpoint: the file that publications wrote.",
        )


def _other_log(last: Checkpoint) -> ContractError:
    return ContractError(
        f"the log of the checkpoint (publication {last.publication}, {last.log_size:,} entries) does not extend the restored "
        "one: publishing stays blocked",
        where="MOTLAN_CHECKPOINTS",
        next_step="give this installation's own checkpoints, or restore another backup.",
    )
