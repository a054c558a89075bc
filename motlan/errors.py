"""Every error that the bus raises on purpose, sorted by what the reader should do about it.

    MotlanError
    ├── ConfigurationError   the declared half is wrong: mend the file named in the message
    ├── ContractError        a source broke its word: do not retry, ask its owner
    ├── TransientError       the line or the server failed: retry, it may pass
    │   └── EngineError      memory, disk or time ran out here, or our own server was lost: retry, and look at the machine
    ├── DataError            one row cannot be used: it goes to quarantine
    ├── AccessError          the caller may not do this
    └── InternalError        an invariant of ours does not hold: report it; nothing is published

An error says what happened, where, and what to do next. It never carries a personal value: messages of
libraries quote values (a database's cast error does), so they are wrapped with `from None`.
"""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import ClassVar


class MotlanError(Exception):
    """Base of all deliberate errors.

    Args:
        what: What happened, without any personal value.
        where: The place: a file and line, a dataset, a page.
        next_step: What the reader can do about it; by default what its kind of error always asks for.
    """

    usual_step: ClassVar[str] = ""

    def __init__(self, what: str, *, where: str = "", next_step: str = "") -> None:
        next_step = next_step or self.usual_step
        self.what, self.where, self.next_step = what, where, next_step
        told = f"{where}: {what}" if where else what
        super().__init__(f"{_sentence(told)} Next: {next_step}" if next_step else told)


def _sentence(text: str) -> str:
    """Return a text that ends as a sentence does."""
    return text if text.endswith((".", "!", "?")) else f"{text}."


class ConfigurationError(MotlanError):
    """A declaration or a setting is wrong. Retrying does not help; mending the named place does."""


class ContractError(MotlanError):
    """A source sent what it promised not to send. The run stops, nothing partial is published."""

    usual_step = "ask the source's owner."


class TransientError(MotlanError):
    """A failure that may pass: a time-out, a refused connection, a 429 or a 5xx. Retry with back-off.

    Args:
        retry_after: Seconds that the source asked us to wait, where it did.
    """

    usual_step = "try again later."

    def __init__(self, what: str, *, where: str = "", next_step: str = "", retry_after: float | None = None) -> None:
        super().__init__(what, where=where, next_step=next_step)
        self.retry_after = retry_after


class EngineError(TransientError):
    """Our own machine failed, never a source: memory, disk or time ran out, or our server was lost. Retry with back-off."""


class DataError(MotlanError):
    """One row cannot be used. It goes to quarantine with its raw text; the run goes on."""


class AccessError(MotlanError):
    """The caller is not known, or may not do this."""


class InternalError(MotlanError):
    """An invariant of the bus itself does not hold. Nothing of the run is published; retrying does not help; report it."""


def unforeseen(error: BaseException, where: str = "") -> MotlanError:
    """Tell of an error that is not ours by its class and its place in the code alone, to be raised `from None`.

    Args:
        error: Any error; its text, arguments and notes are left out, because they may quote a personal value.
        where: The step or the command that it ended.
    """
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "site-packages" not in frame.filename] or frames
    place = f" at {Path(own[-1].filename).name}:{own[-1].lineno}" if own else ""
    return MotlanError(
        f"unforeseen {type(error).__name__}{place}",
        where=where,
        next_step="run it again with MOTLAN_DEBUG_SQL=1 on synthetic data to see more.",
    )
