"""Links from a task to the bus's own pages: the run, the quality of what it brought, and where its values come from.

They lead to `MOTLAN_CONSOLE_URL`; where that is unset there are none.
"""

from __future__ import annotations

import os
from typing import Any

from airflow.sdk import BaseOperatorLink

FIRST_TASKS = ("begin", "publish")
"""The tasks whose result names the bus's run; who looks for the run of another task of a DAG asks these."""


def console(path: str = "") -> str:
    """Return the address of a page of the bus; empty where `MOTLAN_CONSOLE_URL` names no server."""
    address = os.environ.get("MOTLAN_CONSOLE_URL", "").rstrip("/")
    return address + path if address.startswith(("http://", "https://")) else ""


def run_of(ti: Any, **arguments: Any) -> str | None:
    """Return the bus's run that a task instance works on; None where there is none yet."""
    for task_id in FIRST_TASKS:
        run = ti.xcom_pull(task_ids=task_id, **arguments)
        if run:
            return str(run)
    return None


class _Link(BaseOperatorLink):
    page = ""

    def get_link(self, operator: Any, *, ti_key: Any) -> str:  # noqa: ARG002 - Airflow's signature
        """Return the address. Airflow asks when the task has ended, with its instance."""
        run = run_of(ti_key) if console() else None
        return console(self.page.format(run=run)) if run else ""


class RunLink(_Link):
    """The run's steps, counts and errors."""

    name, page = "Motlan: lượt chạy (run)", "/console/runs/{run}"


class QualityLink(_Link):
    """What the rules found in this run."""

    name, page = "Motlan: chất lượng (quality)", "/console/runs/{run}/quality"


class LineageLink(_Link):
    """What this run read, and what it wrote."""

    name, page = "Motlan: nguồn gốc (lineage)", "/console/runs/{run}/lineage"


LINKS = (RunLink(), QualityLink(), LineageLink())
