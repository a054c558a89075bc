"""Until when something may take, known to all that waits for it below: a question, its attempts, a whole pull.

Time-outs of one read never end what sends a byte now and then. A deadline does: whoever waits asks here how long it still
may. Deadlines lie inside each other, and the earliest rules. Each belongs to the thread that set it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from math import inf

from motlan.errors import ContractError, MotlanError, TransientError


class OutOfBoundsError(Exception):
    """What came passes a bound of time or rate. It knows no place: who asked makes an error of ours of it."""

    def __init__(self, what: str, setting: str, kind: type[MotlanError] = TransientError) -> None:
        super().__init__(what)
        self._what, self._kind = what, kind
        self._step = f"ask the source's owner, or change {setting} in adapters/agencies.yaml."

    def at(self, where: str) -> MotlanError:
        """Make the error that is told, with its place."""
        return self._kind(self._what, where=where, next_step=self._step)


@dataclass(frozen=True)
class _Deadline:
    until: float
    told: float
    setting: str


_deadline: ContextVar[_Deadline] = ContextVar("deadline", default=_Deadline(inf, inf, ""))  # noqa: B039 (frozen)


@contextmanager
def within(seconds: float, setting: str, told: float | None = None) -> Iterator[None]:
    """Give what happens inside so many seconds, or fewer where an earlier deadline rules.

    Args:
        seconds: How long from now.
        setting: The name in `agencies.yaml` that says so, for the error.
        told: The seconds that the error tells, where they began before now.
    """
    new = _Deadline(time.monotonic() + seconds, seconds if told is None else told, setting)
    token = _deadline.set(min(new, _deadline.get(), key=lambda deadline: deadline.until))
    try:
        yield
    finally:
        _deadline.reset(token)


def left() -> float:
    """Return how many seconds are left; none or fewer when the time is up."""
    return _deadline.get().until - time.monotonic()


def out_of_time() -> OutOfBoundsError:
    """Make the error of the deadline that rules here."""
    deadline = _deadline.get()
    what = "the pull took" if deadline.setting == "pull_timeout" else "the answer was not whole after"
    return OutOfBoundsError(f"{what} {deadline.told:g} seconds", deadline.setting)


def refuse_late() -> None:
    """Refuse to begin or go on once the time is up.

    Raises:
        OutOfBoundsError: It is.
    """
    if left() <= 0:
        raise out_of_time()


@contextmanager
def told_at(where: str) -> Iterator[None]:
    """Make an error of ours, with its place, of what passed a bound inside.

    Raises:
        ContractError, TransientError: It did.
    """
    try:
        yield
    except OutOfBoundsError as error:
        raise error.at(where) from None


class Rate:
    """How quickly an answer comes: so many bytes at the least in each window, the first of which its first byte opens.

    Args:
        least: Bytes a second.
        window: Seconds over which the rate is taken.
        head: Bytes that may come before the answer's own status and header fields are whole.
    """

    def __init__(self, least: float, window: float, head: int) -> None:
        self._least, self._window, self._head = least, window, head
        self._opened, self._came, self._total = inf, 0, 0
        self.in_head = True

    def left(self) -> float:
        """Return the seconds until this window ends; all the time there is before the first byte."""
        return self._opened + self._window - time.monotonic()

    def came(self, size: int) -> None:
        """Take note of bytes.

        Raises:
            OutOfBoundsError: They came too slowly, or the answer's head has no end.
        """
        if self._opened == inf:
            self._opened = time.monotonic()
        self._came += size
        self._total += size
        if self.in_head and self._total > self._head:
            raise OutOfBoundsError(
                f"more than {self._head} bytes before the answer begins", "the endpoint", ContractError
            )
        if self.left() <= 0:
            self.turn()

    def turn(self) -> None:
        """End a window and open the next one.

        Raises:
            OutOfBoundsError: Too little came in it.
        """
        if self._came < self._least * self._window:
            told = f"the answer came slower than {self._least:g} bytes a second for {self._window:g} seconds"
            raise OutOfBoundsError(told, "least_bytes_per_second")
        self._opened, self._came = time.monotonic(), 0
