"""Sends events to where OpenLineage's own settings say: a file, an HTTP endpoint, or another transport of `openlineage-python`.

A run neither fails for it nor waits longer than `MOTLAN_OPENLINEAGE_SECONDS` in all; what was not sent by then is left out, and
the log says so once. `motlan openlineage RUN --emit` sends it again.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from motlan.errors import ConfigurationError, TransientError

if TYPE_CHECKING:
    from openlineage.client import OpenLineageClient
    from openlineage.client.event_v2 import RunEvent

FILE = "openlineage.yml"
_log = logging.getLogger("motlan.openlineage")
_log.addHandler(logging.NullHandler())
_OWN = {"facets": {"source_code_location": {"disabled": True}}}
"""A checkout's address is no part of a run, and may hold a token."""


def is_configured() -> bool:
    """Tell whether OpenLineage's own settings name a place; the library itself would write to standard output where none does."""
    given = os.environ
    if given.get("OPENLINEAGE_DISABLED", "").strip().lower() == "true":
        return False
    if given.get("OPENLINEAGE_URL") or any(name.startswith("OPENLINEAGE__TRANSPORT") for name in given):
        return True
    places = (given.get("OPENLINEAGE_CONFIG"), FILE, Path.home() / ".openlineage" / FILE)
    return any(Path(place).is_file() for place in places if place)


class Sender:
    """Sends events one after the other in a thread of its own, and waits for that for a while.

    Args:
        seconds: How long it waits in all, until it sends nothing any more.
    """

    def __init__(self, seconds: float) -> None:
        self._left = seconds
        self._failed = False

    def send(self, events: Sequence[RunEvent]) -> bool:
        """Send events; return whether all of them are known to be sent. Never raises for a place that does not take them."""
        if self._failed or not events:
            return not events
        sent: list[str] = []
        thread = threading.Thread(target=self._send, args=(events, sent), name="openlineage", daemon=True)
        began = time.monotonic()
        thread.start()
        thread.join(self._left)
        self._left -= time.monotonic() - began
        if thread.is_alive():
            sent.append("did not answer in time")
        if sent or self._left <= 0:
            self._failed = True
            why = sent[0] if sent else "was slow"
            _log.warning("openlineage: its place %s; nothing further is sent there by this process.", why)
        return not sent

    def _send(self, events: Sequence[RunEvent], problems: list[str]) -> None:
        try:
            client = open_client()
            for event in events:
                client.emit(event)
            client.close(self._left)
        except Exception as error:  # noqa: BLE001 - no place of events may stop a run; a library's text may hold an address
            problems.append(f"could not be used ({type(error).__name__})")


def send_now(events: Sequence[RunEvent], seconds: float) -> None:
    """Send events for somebody who asked for it.

    Raises:
        ConfigurationError: Nothing is configured.
        TransientError: They were not all sent.
    """
    if not is_configured():
        raise ConfigurationError(
            "no place for OpenLineage events is named",
            where="OPENLINEAGE_URL",
            next_step="set it to an endpoint, or OPENLINEAGE_CONFIG to a file; see docs/how-to/send-openlineage-events.md.",
        )
    if not Sender(seconds).send(events):
        raise TransientError(
            "the events were not all sent",
            where="OpenLineage",
            next_step="look whether the endpoint answers, and whether OPENLINEAGE_URL or OPENLINEAGE_CONFIG is right.",
        )


def open_client() -> OpenLineageClient:
    """Open the library's client, as its own settings say."""
    from openlineage.client import OpenLineageClient

    return OpenLineageClient(config=_OWN)
