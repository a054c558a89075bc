"""What the check of everything finds: one thing that is not as the log says, and where."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One thing that is not as the log says.

    Attributes:
        store: Where: `log`, `key`, `checkpoint`, `lake`, `payloads`, `projection`, `accesses` or `ledger`.
        place: What there: an entry, a file, a table.
        row: The row in it, by the bus's own names (a landed row's reference, a person id, an access); empty: all of it.
        day: The day (UTC, ISO 8601) on which the thing was recorded; empty where nothing tells.
        what: What is wrong, in a few words without a personal value.
    """

    store: str
    place: str
    row: str
    day: str
    what: str
