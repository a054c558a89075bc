"""Witnesses: others who look whether each checkpoint extends the one before, and sign that they saw it (C2SP tlog-witness).

The bus submits a checkpoint to each witness that the policy gives an address; a witness keeps the newest checkpoint it has seen,
so that a log which was rewritten does not get its signature again.
"""

from __future__ import annotations

import base64
import logging
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import sqlalchemy as sa

from motlan.errors import ConfigurationError
from motlan.ledger import log as ledger
from motlan.proof import check

log = logging.getLogger(__name__)
WAIT_S = 3.0
"""Seconds in which a witness has to answer."""


@dataclass(frozen=True)
class Policy:
    """Who may witness, and how many must (C2SP tlog-policy).

    Attributes:
        text: The policy as it is written; `quorum none` where there is none.
        witnesses: Public key -> address of the witness; those without one are not asked.
    """

    text: str = "quorum none\n"
    witnesses: dict[str, str] = field(default_factory=dict)


def read_policy(path: Path | None) -> Policy:
    """Read a policy; one without witnesses where no file is named.

    Raises:
        ConfigurationError: The file is missing, or a line cannot be used.
    """
    if path is None:
        return Policy()
    try:
        text = path.read_text(encoding="utf-8")
        lines = [line.split() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]
        found = {line[2]: line[3].rstrip("/") for line in lines if line[0] == "witness" and len(line) == 4}
        for key in found:
            check.read_key(key)
        if sum(line[0] == "quorum" for line in lines) != 1:
            raise ValueError
    except (OSError, ValueError, IndexError, check.ProofError):
        raise ConfigurationError(
            "this is no policy of witnesses",
            where=f"MOTLAN_LOG_POLICY={path}",
            next_step="see https://c2sp.org/tlog-policy: lines `witness NAME KEY ADDRESS`, `group`, and one `quorum`.",
        ) from None
    return Policy(text, found)


def is_met(policy: Policy, note: str) -> bool:
    """Tell whether a note has the signatures of as many witnesses as the policy wants."""
    try:
        return check.read_policy(note, policy.text)[1]
    except (check.ProofError, LookupError, ValueError):
        return False


def cosign(policy: Policy, connection: sa.Connection, note: str, size: int) -> str:
    """Ask the policy's witnesses for their signatures of a checkpoint; return the lines of those that gave one.

    Args:
        policy: Whom to ask.
        connection: Sees the log.
        note: The checkpoint, signed by the log.
        size: Its size.
    """
    lines = ""
    for key, address in policy.witnesses.items():
        try:
            lines += _ask(connection, address, key, note, size)
        except (httpx.HTTPError, check.ProofError, ValueError, KeyError) as error:
            log.warning("The witness %s did not sign (%s)", key.split("+")[0], type(error).__name__)
    return lines


def _ask(connection: sa.Connection, address: str, key: str, note: str, size: int) -> str:
    old = 0
    for _ in range(2):  # the second time from the size that the witness says it has
        proof = ledger.prove_consistency(connection, old, size)
        said = "".join(f"{base64.b64encode(node).decode()}\n" for node in proof)
        answer = httpx.post(f"{address}/add-checkpoint", content=f"old {old}\n{said}\n{note}".encode(), timeout=WAIT_S)
        if answer.status_code != httpx.codes.CONFLICT or int(answer.text) == old:
            break
        old = int(answer.text)
    answer.raise_for_status()
    lines = [f"{line}\n" for line in answer.text.splitlines() if line.startswith(f"— {key.split('+')[0]} ")]
    text = note.rpartition("\n\n")[0]
    return "".join(line for line in lines if check.signers(f"{text}\n\n{line}", [key]))
