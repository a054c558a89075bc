"""Reports what becomes of runs as it happens. Off unless OpenLineage's settings name a place; it never stops a run.

The ledger notes which runs began, went on or ended (`motlan.ledger.changed_states`); behind each function of the pipeline and
each command they are read again and their events sent. A publication has its own start and failure, which no state of the ledger
tells.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache

from motlan.errors import MotlanError
from motlan.ledger import changed_states, runs
from motlan.openlineage.sending import Sender, is_configured
from motlan.workspace import Workspace, open_workspace

_log = logging.getLogger("motlan.openlineage")


@cache
def _sender(seconds: float) -> Sender:
    return Sender(seconds)


def begin(work: Workspace, run: str) -> None:
    """Report that a run begins, and keep which run of a scheduler it is a part of."""
    if is_configured():
        with _harmless():
            _keep_parent(work, run, publication=False)
    report()


def report() -> None:
    """Report all runs whose state changed since this was called last."""
    changed = changed_states.take()
    if not changed or not is_configured():
        return
    with _harmless():
        from openlineage.client.event_v2 import RunState

        from motlan.openlineage import events, recorded

        work, found = open_workspace(), []
        for run in changed:
            with _harmless():  # one that cannot be read takes no other's event away
                told = recorded.read(work.store, run)
                for job in events.jobs_of(told)[-1:]:
                    state = events.state_of(told, job)
                    if (job, state) == (events.PUBLISH, RunState.START):
                        continue  # `publishing` reports it
                    began, ended = events.moments(told, job)
                    moment = began if state is RunState.START else ended or datetime.now(UTC)
                    found.append(events.event_of(work.registry, work.settings.engine, told, job, state, moment))
        _sender(work.settings.openlineage_seconds).send(found)


@contextmanager
def publishing(work: Workspace, run: str) -> Iterator[None]:
    """Report that a run is being published, and where it is not, why; how it ends is reported as all ends are."""
    if not is_configured() or runs.get(work.store, run).state in runs.SEEN:
        yield
        return
    with _harmless():
        _keep_parent(work, run, publication=True)
    _report_publication(work, run, None)
    try:
        yield
    except BaseException as error:
        _report_publication(work, run, runs.words(error))
        raise


def _report_publication(work: Workspace, run: str, error: str | None) -> None:
    with _harmless():
        from openlineage.client.event_v2 import RunState

        from motlan.openlineage import events, recorded

        state = RunState.FAIL if error else RunState.START
        told = replace(recorded.read(work.store, run), error=error)
        event = events.event_of(work.registry, work.settings.engine, told, events.PUBLISH, state, datetime.now(UTC))
        _sender(work.settings.openlineage_seconds).send([event])


def _keep_parent(work: Workspace, run: str, *, publication: bool) -> None:
    from motlan.openlineage.parent import find_parent
    from motlan.openlineage.recorded import PARENT, PARENT_OF_PUBLICATION

    if publication or (found := find_parent()):
        runs.note(
            work.store, run, PARENT_OF_PUBLICATION if publication else PARENT, find_parent() if publication else found
        )


@contextmanager
def _harmless() -> Iterator[None]:
    """Let nothing that goes wrong in a report reach the run that it is about."""
    try:
        yield
    except MotlanError as error:
        _log.warning("openlineage: no event was sent: %s", error)
    except Exception as error:  # noqa: BLE001 - a report is never worth a run; a library's text may quote a value
        _log.warning("openlineage: no event was sent (%s)", type(error).__name__)
