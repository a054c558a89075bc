"""Runs the real DAG files one after another without a scheduler, in one long-lived child process.

A fresh interpreter per DAG would cost 8 s of imports each; in one worker a DAG of five tasks costs 0.6 s. The worker
starts to import when the runner is made, so make it early and let the world grow meanwhile. Its log is a file.

As a script (`python -m demo.runner`) it is that worker, one JSON value a line: in come a DAG's id, or an object of
further settings; out goes an answer to each id.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from demo import airflow_home
from motlan.errors import MotlanError


@dataclass(frozen=True)
class DagRunResult:
    """How one run of a DAG ended.

    Attributes:
        dag_id: The DAG.
        state: Airflow's word: `success` or `failed`.
        seconds: Wall clock, without the worker's start.
        task: The task that failed first, or None.
        error: Its error's class and our text (never a value), or None.
    """

    dag_id: str
    state: str
    seconds: float
    task: str | None = None
    error: str | None = None


class Runner:
    """The parent's end of the worker. A context manager: the worker ends with it.

    Args:
        env: A complete environment from `demo.airflow_home.prepare`.
        log: File that takes all that Airflow says.
    """

    def __init__(self, env: Mapping[str, str], log: Path) -> None:
        self._log = log
        with log.open("ab") as sink:
            self._worker = subprocess.Popen(
                [sys.executable, "-m", "demo.runner"],
                env={**env, "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=sink,
                text=True,
            )

    def add_env(self, env: Mapping[str, str]) -> None:
        """Give the worker settings that were not known when it began, such as the agencies' addresses and credentials.

        They count for what is read when a step runs, not for Airflow's own settings.
        """
        try:
            self._send(dict(env))
        except BrokenPipeError:
            return  # The next run tells that the worker is gone.

    def run_dag(self, dag_id: str) -> DagRunResult:
        """Run a DAG to its end; a failed run is an answer, not an exception.

        Raises:
            MotlanError: The worker is gone; its log says why.
        """
        try:
            self._send(dag_id)
            answer = _pipe(self._worker.stdout).readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            raise MotlanError(
                f"Airflow's worker ended (code {self._worker.wait()}) before {dag_id} had",
                next_step=f"read {self._log}",
            )
        return DagRunResult(**json.loads(answer))

    def _send(self, request: str | dict[str, str]) -> None:
        _pipe(self._worker.stdin).write(json.dumps(request) + "\n")
        _pipe(self._worker.stdin).flush()

    def close(self) -> None:
        """End the worker: it stops when nothing more can come in."""
        with suppress(BrokenPipeError):
            _pipe(self._worker.stdin).close()
        try:
            self._worker.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._worker.kill()
            self._worker.wait()
        _pipe(self._worker.stdout).close()

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _pipe(stream: IO[str] | None) -> IO[str]:
    if stream is None:
        raise ValueError("the worker was started without pipes")
    return stream


class _Failures:
    """A listener that keeps the first failed task of a run."""

    def __init__(self) -> None:
        self.first: tuple[str, str] | None = None

    def listen(self) -> None:
        """Register with the task runner of this process."""
        from airflow.listeners import hookimpl
        from airflow.sdk.listener import get_listener_manager

        @hookimpl
        def on_task_instance_failed(previous_state: Any, task_instance: Any, error: Any) -> None:  # noqa: ARG001
            text = f"{type(error).__name__}: {error}" if isinstance(error, MotlanError) else type(error).__name__
            if task_instance.state == "failed" and self.first is None:
                self.first = (task_instance.task_id, text)

        self.on_task_instance_failed = on_task_instance_failed
        get_listener_manager().add_listener(self)


def _work(requests: IO[str], answers: IO[str]) -> None:
    airflow_home.migrate_here()
    airflow_home.settle(os.environ)
    dags = _load_dags()
    failures = _Failures()
    failures.listen()
    _warm_up()
    for request in map(json.loads, requests):
        if isinstance(request, dict):
            os.environ.update(request)
            continue
        answers.write(json.dumps(asdict(_run(dags, failures, request))) + "\n")
        answers.flush()


def _load_dags() -> Mapping[str, Any]:
    from airflow.dag_processing.dagbag import BundleDagBag

    folder = os.environ["AIRFLOW__CORE__DAGS_FOLDER"]
    bag = BundleDagBag(dag_folder=folder, bundle_path=Path(folder), bundle_name="dags-folder")
    if bag.import_errors:
        names = ", ".join(Path(path).name for path in bag.import_errors)
        raise SystemExit(f"DAG files that do not import: {names}\n" + "\n".join(bag.import_errors.values()))
    dags: Mapping[str, Any] = bag.dags
    return dags


def _warm_up() -> None:
    """Build Airflow's in-process API and import the engine now, and not inside the first tasks: it takes 6 s."""
    import httpx
    from airflow.sdk.execution_time.supervisor import in_process_api_server

    with httpx.Client(transport=in_process_api_server().transport, base_url="http://in-process.invalid./") as client:
        client.get("/health")


def _run(dags: Mapping[str, Any], failures: _Failures, dag_id: str) -> DagRunResult:
    failures.first = None
    if dag_id not in dags:
        return DagRunResult(dag_id, "failed", 0.0, None, f"no such DAG; there are {', '.join(sorted(dags))}")
    started = time.monotonic()
    run = dags[dag_id].test()
    task, error = failures.first or (None, None)
    return DagRunResult(dag_id, str(run.state.value), round(time.monotonic() - started, 2), task, error)


def main() -> None:
    """Answer on the real standard output, and send whatever else is printed to the log."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    _work(sys.stdin, answers)
    answers.flush()
    sys.stderr.flush()
    os._exit(0)  # Every run is committed; Airflow's orderly teardown of its in-process API would take 2 s more.


if __name__ == "__main__":
    main()
