"""What Airflow's triggerer watches for the bus: nothing here holds a worker.

A trigger must be found again by its arguments alone, and looks through a short-lived connection of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
from airflow.triggers.base import BaseEventTrigger, BaseTrigger, TriggerEvent
from asgiref.sync import sync_to_async


class IdleTrigger(BaseTrigger):
    """Fires when no run of a DAG is queued or running.

    Args:
        dag_id: The DAG.
        seconds: Between two looks.
    """

    def __init__(self, dag_id: str, seconds: float = 2) -> None:
        super().__init__()
        self.dag_id, self.seconds = dag_id, seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what this trigger is made of."""
        return "motlan_airflow.triggers.IdleTrigger", {"dag_id": self.dag_id, "seconds": self.seconds}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look until it is so."""
        count = sync_to_async(RuntimeTaskInstance.get_dr_count)
        while await count(dag_id=self.dag_id, states=["queued", "running"]):
            await asyncio.sleep(self.seconds)
        yield TriggerEvent({"idle": self.dag_id})


class SyncedTrigger(BaseEventTrigger):
    """Fires once for each sync of an entity that was made by the command line and that no reconcile run has read yet.

    Args:
        entity: The linked entity.
        seconds: Between two looks.
    """

    def __init__(self, entity: str, seconds: float = 10) -> None:
        super().__init__()
        self.entity, self.seconds = entity, seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what this trigger is made of."""
        return "motlan_airflow.triggers.SyncedTrigger", {"entity": self.entity, "seconds": self.seconds}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look for ever."""
        seen = ""
        while True:
            newest = await sync_to_async(self._newest)()
            if newest > seen:
                seen = newest
                yield TriggerEvent({"run": newest})
            await asyncio.sleep(self.seconds)

    def _newest(self) -> str:
        from motlan import pipeline
        from motlan.errors import MotlanError

        try:
            return str(pipeline.unread(self.entity)["run"] or "")
        except MotlanError as error:  # the store is away for a moment: the next look finds it
            self.log.warning("%s", error)
            return ""
