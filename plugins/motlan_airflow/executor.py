"""Airflow's LocalExecutor that ends in time: Airflow's own waits for tasks as long as they take when the scheduler is stopped.

Set `AIRFLOW__CORE__EXECUTOR=motlan_airflow.executor.PromptLocalExecutor`.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress

import psutil
from airflow.executors.local_executor import LocalExecutor


class PromptLocalExecutor(LocalExecutor):
    """Gives running tasks `MOTLAN_GRACE_SECONDS` (10) to end when the scheduler is stopped, then ends them.

    A step that is ended is harmless: what it wrote is invisible, and its next try begins where the last step was done.
    """

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
