"""Promised freshness as deadlines of Airflow. Off unless `MOTLAN_DEADLINES=1`: `dag.test()` cannot run a DAG that has one."""

from __future__ import annotations

import logging
import os
from datetime import timedelta

from airflow.sdk import AsyncCallback, DeadlineAlert, DeadlineReference
from asgiref.sync import sync_to_async

from motlan_airflow.alerts import deliver

log = logging.getLogger(__name__)


def freshness(dataset: str, seconds: int) -> DeadlineAlert | None:
    """Return the alert for a dataset whose sync must end within its promised freshness, or None where these are off."""
    if os.environ.get("MOTLAN_DEADLINES") != "1":
        return None
    return DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(seconds=seconds),
        callback=AsyncCallback(report_stale, {"dataset": dataset, "seconds": seconds}),
    )


async def report_stale(dataset: str, seconds: int, **_: object) -> None:
    """Tell people that a dataset is older than promised. Runs in Airflow's triggerer."""
    told = (
        f"Dataset {dataset} is older than its promised freshness of {seconds} seconds: its sync has not ended. "
        "What to do: docs/operations.md#stale-data"
    )
    log.warning("%s", told)
    document = {"cause": f"stale {dataset}", "kind": "freshness", "subject": dataset, "runbook": "stale-data"}
    await sync_to_async(deliver)(f"{dataset} is older than promised", told, document)
