"""Airflow's LocalExecutor that ends in time: Airflow's own waits for tasks as long as they take when the scheduler is stopped.

Set `AIRFLOW__CORE__EXECUTOR=motlan_airflow.executor.PromptLocalExecutor`.
"""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from contextlib import suppress
from typing import Any

import psutil
from airflow.executors.local_executor import LocalExecutor


class PromptLocalExecutor(LocalExecutor):
    """Gives running tasks `MOTLAN_GRACE_SECONDS` (10) to end when the scheduler is stopped, then ends them.

    A step that is ended is harmless: what it wrote is invisible, and its next try begins where the last step was done.

    A task that waited in the triggerer, or for people, goes on as the same try. Airflow (3.3.2) may hear of the end of its first
    part when the second is under way, and fails it; this executor tells of the end of the last part alone.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._parts: Counter[Any] = Counter()

    def _process_workloads(self, workload_list: Any) -> None:
        for workload in workload_list:
            self._parts[workload.key] += 1
        super()._process_workloads(workload_list)

    def change_state(self, key: Any, state: Any, *args: Any, **kwargs: Any) -> None:
        """Take what became of a task, but of a part of it that another one follows."""
        if str(getattr(state, "value", state)) in ("success", "failed"):
            self._parts[key] -= 1
            if self._parts[key] > 0:
                return
            del self._parts[key]
        super().change_state(key, state, *args, **kwargs)

    def start(self) -> None:
        """Start the executor; each worker is a copy of this process, and begins with the bus's engine imported."""
        import motlan.pipeline  # noqa: F401 - else each task takes 2 s for it

        super().start()

    def end(self) -> None:
        """End the executor and what it runs."""
        for _ in self.workers:
            self.activity_queue.put(None)
        if not self._ends_within(float(os.environ.get("MOTLAN_GRACE_SECONDS", "10"))):
            for number in (signal.SIGTERM, signal.SIGKILL):
                for process in self._started():
                    with suppress(psutil.NoSuchProcess):
                        process.send_signal(number)
                if self._ends_within(3):
                    break
        for worker in self.workers.values():
            if worker.is_alive():
                worker.kill()
        super().end()

    def _started(self) -> list[psutil.Process]:
        """Return what the workers run: each task is a process of its own, and may have children."""
        found: list[psutil.Process] = []
        for worker in self.workers.values():
            with suppress(psutil.NoSuchProcess):
                found += psutil.Process(worker.pid).children(recursive=True)
        return found

    def _ends_within(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while any(worker.is_alive() for worker in self.workers.values()):
            if time.monotonic() > deadline:
                return False
            self._read_results()  # a full pipe would keep a worker from ending
            time.sleep(0.1)
        return True
