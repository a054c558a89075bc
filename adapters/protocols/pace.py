"""Manners towards a source: how often we ask, and how we wait and try again. Shared by HTTP and SQL."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import TypeVar

import tenacity

from adapters.protocols.deadline import left, within
from motlan.adapter import Pace
from motlan.errors import TransientError

_T = TypeVar("_T")


class Throttle:
    """Spaces requests evenly, so that a source never sees more than `requests_per_second` from this process."""

    def __init__(self, requests_per_second: float) -> None:
        self._gap = 1 / requests_per_second
        self._next = 0.0
        self._lock = threading.Lock()

    def wait(self) -> None:
        """Sleep until it is our turn."""
        with self._lock:
            now = time.monotonic()
            turn = max(self._next, now)
            self._next = turn + self._gap
        if turn > now:
            time.sleep(turn - now)


def with_retries(pace: Pace, ask: Callable[[], _T]) -> _T:
    """Call until it succeeds: exponential back-off with full jitter, never sooner than the source asked for.

    A source that asks for a longer wait than `Pace.max_wait` is not waited for here: whoever schedules us can do
    that better, and finds the seconds in `TransientError.retry_after`. All attempts together take `Pace.answer_timeout`
    at the most: what is called has to keep `deadline.left`.

    Raises:
        TransientError: The last attempt failed too, the time is up, or the source asked for a long wait.
    """

    def patient(error: BaseException) -> bool:
        return isinstance(error, TransientError) and (error.retry_after or 0) <= pace.max_wait

    def seconds(state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = getattr(error, "retry_after", None) or 0.0
        ceiling = min(pace.max_wait, pace.first_wait * 2 ** (state.attempt_number - 1))
        return min(pace.max_wait, asked + random.uniform(ceiling / 2, ceiling))  # noqa: S311 (jitter, no secret)

    def over(state: tenacity.RetryCallState) -> bool:
        return state.attempt_number >= pace.attempts or state.upcoming_sleep >= left()

    retrying = tenacity.Retrying(
        stop=over,
        wait=seconds,
        retry=tenacity.retry_if_exception(patient),
        reraise=True,
    )
    # That we come seldom is no fault of the source: one pause of ours does not count.
    allowed = pace.answer_timeout + 1 / pace.requests_per_second
    with within(allowed, "answer_timeout", told=pace.answer_timeout):
        return retrying(ask)
