"""Which run and step a process is at work on, for the lines of its log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

_SCOPE: ContextVar[Mapping[str, str]] = ContextVar("motlan_scope", default={})  # noqa: B039 - never changed, only replaced


def current() -> Mapping[str, str]:
    """Return what is worked on: `run`, `step`, `kind` and `subject`; empty between steps."""
    return _SCOPE.get()


@contextmanager
def at_work(**names: str) -> Iterator[None]:
    """Name what is worked on in this block.

    Args:
        names: `run`, `step`, `kind` and `subject`: ids and declared names alone.
    """
    before = _SCOPE.set({**_SCOPE.get(), **names})
    try:
        yield
    finally:
        _SCOPE.reset(before)
