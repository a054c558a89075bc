"""Writes the final failure of a task to the bus's own ledger, which outlives Airflow's database.

Airflow calls it in the task's process, and in the scheduler where that process was killed. Only the error's class and
the text of our own errors go through; the text of any other error may quote a personal value.
"""

from __future__ import annotations

import logging
import re
from typing import Any

from airflow.listeners import hookimpl
from sqlalchemy.orm import object_session

from motlan.errors import MotlanError
from motlan_airflow.links import run_of

log = logging.getLogger(__name__)

OUR_DAGS = re.compile(r"(sync|reconcile|publish)_\w+")


@hookimpl
def on_task_instance_failed(previous_state: Any, task_instance: Any, error: BaseException | str | None) -> None:  # noqa: ARG001
    """Mark the task's run failed in the ledger; a failure that will be tried again is not one yet."""
    if task_instance.state != "failed" or not OUR_DAGS.fullmatch(task_instance.dag_id):
        return
    from motlan import pipeline

    where = f"{task_instance.dag_id}.{task_instance.task_id}"
    try:
        run = _run_of(task_instance)
        if run is not None:
            pipeline.fail(run, presentable(error, where))
    except Exception as refusal:  # noqa: BLE001 - a listener must not break the task runner or the scheduler
        log.warning("The ledger did not take the failure of %s: %s", where, type(refusal).__name__)


def presentable(error: BaseException | str | None, where: str) -> MotlanError:
    """Return our own error as it is, and any other one by its class alone."""
    if isinstance(error, MotlanError):
        return error
    what = "was ended from outside" if error is None or isinstance(error, str) else f"unforeseen {type(error).__name__}"
    return MotlanError(what, where=where, next_step="read the task's log in Airflow.")


def _run_of(task_instance: Any) -> str | None:
    # In the scheduler the instance is a database row: asking through its own session keeps Airflow's transaction whole.
    session = object_session(task_instance) if hasattr(task_instance, "_sa_instance_state") else None
    return run_of(task_instance, **({"session": session} if session else {}))
