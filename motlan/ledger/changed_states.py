"""Which runs changed their state in this thread, for whoever reports that once it is committed.

What is noted inside a transaction may be rolled back: who takes the notes reads the ledger again.
"""

from __future__ import annotations

import threading

_noted = threading.local()


def note(run: str) -> None:
    """Note that a run begins, is opened again, or comes to an end."""
    _of_thread()[run] = None


def take() -> list[str]:
    """Return the runs that were noted since the last call, in the order in which they were noted first."""
    found = _of_thread()
    runs = list(found)
    found.clear()
    return runs


def _of_thread() -> dict[str, None]:
    if not hasattr(_noted, "runs"):
        _noted.runs = {}
    runs: dict[str, None] = _noted.runs
    return runs
