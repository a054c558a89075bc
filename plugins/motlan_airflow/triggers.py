"""What Airflow's triggerer watches for the bus: nothing here holds a worker.

A trigger must be found again by its arguments alone, and looks through a short-lived connection of its own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
from airflow.triggers.base import BaseEventTrigger, BaseTrigger, TriggerEvent
from asgiref.sync import sync_to_async


class IdleTrigger(BaseTrigger):
    """Fires when no run of a DAG is queued or running, and no run of some others, for which it waits no longer than told.

    Args:
        dag_id: The DAG.
        others: Other DAGs.
        patience: For how many seconds the others are waited for.
        seconds: Between two looks.
    """

    def __init__(self, dag_id: str, others: Sequence[str] = (), patience: float = 0, seconds: float = 2) -> None:
        super().__init__()
        self.dag_id, self.others, self.patience, self.seconds = dag_id, list(others), patience, seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what this trigger is made of."""
        made = {name: getattr(self, name) for name in ("dag_id", "others", "patience", "seconds")}
        return "motlan_airflow.triggers.IdleTrigger", made

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look until it is so."""
        until = time.monotonic() + self.patience
        while await self._busy([self.dag_id, *(self.others if time.monotonic() < until else ())]):
            await asyncio.sleep(self.seconds)
        yield TriggerEvent({"idle": self.dag_id})

    async def _busy(self, dag_ids: Sequence[str]) -> bool:
        count = sync_to_async(RuntimeTaskInstance.get_dr_count)
        for dag_id in dag_ids:
            if await count(dag_id=dag_id, states=["queued", "running"]):
                return True
        return False


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
            return str(pipeline.unread(self.entity, by_hand=True)["run"] or "")
        except MotlanError as error:  # the store is away for a moment: the next look finds it
            self.log.warning("%s", error)
            return ""
