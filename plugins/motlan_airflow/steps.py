"""Airflow tasks made of the bus's steps: what may travel between them, and when one is tried again.

A task calls one function of `motlan.pipeline` and holds no logic of its own. It never lets a library's error out:
Airflow writes exceptions to its logs and its database, and libraries quote personal values in their messages.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from airflow.sdk import Asset, ExceptionRetryPolicy, RetryAction, RetryDecision, RetryRule, task

from motlan.errors import (
    AccessError,
    ConfigurationError,
    ContractError,
    DataError,
    InternalError,
    MotlanError,
    TransientError,
    unforeseen,
)

START = datetime(2026, 1, 1, tzinfo=ZoneInfo("Asia/Ho_Chi_Minh"))
"""Start date of every DAG; its zone is the one that the registry's schedules are written in."""

FIRST_TASKS = ("begin", "publish")
"""The tasks whose result names the bus's run; the listener asks them which run a failed task belonged to."""


class BusRetryPolicy(ExceptionRetryPolicy):
    """Our error tree as a retry policy; a wait that the source asked for is kept where it is the longer one."""

    def evaluate(self, exception: BaseException, try_number: int, max_tries: int, context: Any = None) -> RetryDecision:
        """Decide by the error's class.

        Returns:
            FAIL for what a retry cannot mend, RETRY for what may pass, DEFAULT (which also retries) for the unforeseen.
        """
        decision = super().evaluate(exception, try_number, max_tries, context)
        asked = getattr(exception, "retry_after", None)
        if decision.action is RetryAction.RETRY and asked and asked > _first_wait() * 2.0 ** (try_number - 1):
            return RetryDecision.retry(timedelta(seconds=asked), "the source asked for this wait")
        return decision


RETRY_POLICY = BusRetryPolicy(
    rules=[
        RetryRule(ContractError, RetryAction.FAIL, reason="the source broke its word: ask its owner"),
        RetryRule(ConfigurationError, RetryAction.FAIL, reason="a declaration is wrong: mend the named place"),
        RetryRule(AccessError, RetryAction.FAIL, reason="access was refused: a retry would be refused as well"),
        RetryRule(DataError, RetryAction.FAIL, reason="the same row would fail again"),
        RetryRule(InternalError, RetryAction.FAIL, reason="an invariant of the bus does not hold: report it"),
        RetryRule(TransientError, RetryAction.RETRY, reason="the line or the server failed: it may pass"),
    ]
)


def dataset_asset(dataset: str) -> Asset:
    """Return the asset that is new when a sync of the dataset has become visible; its events name the run."""
    return Asset(f"motlan://datasets/{dataset}")


def reconciled_asset(entity: str) -> Asset:
    """Return the asset that is new when a reconcile run of an entity is whole and waits to be published; its events name it."""
    return Asset(f"motlan://reconciled/{entity}")


def first_step(task_id: str, function: str, *arguments: Any, asked: Sequence[str] = ()) -> Any:
    """Make the task that opens a run of the bus, for this DAG. Its result is the run's id.

    Args:
        task_id: The task's name in Airflow, one of `FIRST_TASKS`.
        function: Name of the pipeline's function.
        arguments: What it is called with.
        asked: Names of the DAG's parameters that it is called with too.
    """

    @task(task_id=task_id, **_settings())
    def call(ti: Any = None, params: Any = None) -> str:
        named = {name: params[name] for name in asked}
        return str(_call(function, *arguments, f"airflow {ti.dag_id}", **named)["run"])

    return call()


def first_step_after(asset: Asset, task_id: str, function: str, *, entity: str) -> Any:
    """Make the task that works on the run which the newest event of an asset names, or on the pipeline's choice.

    The pipeline chooses where the DAG was started by hand. Its result is the run's id.

    Args:
        asset: The asset.
        task_id: The task's name in Airflow, one of `FIRST_TASKS`.
        function: Name of the pipeline's function.
        entity: The linked entity of which the pipeline chooses.
    """

    @task(task_id=task_id, **_settings())
    def call(triggering_asset_events: Any = None) -> str:
        events = triggering_asset_events[asset] if asset in (triggering_asset_events or ()) else ()
        run = max((event.extra["run"] for event in events), default=None)
        return str(_call(function, run, entity=entity)["run"])

    return call()


def step(task_id: str, function: str, run: Any, outlets: Sequence[Asset] = ()) -> Any:
    """Make a task that calls `motlan.pipeline.<function>(run)`. Its result is the numbers among the step's counts.

    The whole outcome is in the bus's own ledger; numbers are let through because they can be nobody's name.

    Args:
        task_id: The task's name in Airflow.
        function: Name of the pipeline's function.
        run: What a first step returned.
        outlets: Assets that are new when the task has succeeded.
    """

    @task(task_id=task_id, outlets=list(outlets), **_settings())
    def call(run: str, outlet_events: Any = None) -> dict[str, float]:
        outcome = _call(function, run)
        for asset in outlets:
            outlet_events[asset].extra = {"run": run}
        return {name: value for name, value in outcome.items() if isinstance(value, int | float)}

    return call(run)


def lone_step(task_id: str, function: str, **named: Any) -> Any:
    """Make a task that calls `motlan.pipeline.<function>(**named)`, for no run. Its result is the numbers among the counts.

    Args:
        task_id: The task's name in Airflow.
        function: Name of the pipeline's function.
        named: What it is called with.
    """

    @task(task_id=task_id, **_settings())
    def call() -> dict[str, float]:
        outcome = _call(function, **named)
        return {name: value for name, value in outcome.items() if isinstance(value, int | float)}

    return call()


def wait_until_idle(dag_id: str) -> Any:
    """Make the task that waits until no run of another DAG is under way.

    A comparison with the last publication is stale as soon as another run is published, so the two must not overlap.
    It holds its worker while it waits: with `mode="reschedule"` and short waits, the scheduler (3.3.2) takes the end of
    one look for the end of the next and fails the task.
    """

    @task.sensor(task_id=f"wait_for_{dag_id}", mode="poke", poke_interval=2, timeout=3600)
    def idle(ti: Any = None) -> bool:
        return bool(ti.get_dr_count(dag_id=dag_id, states=["queued", "running"]) == 0)

    return idle()


def _settings() -> dict[str, Any]:
    """Return the settings of all tasks. A failed one is tried again so often: `MOTLAN_TASK_RETRIES`."""
    return {
        "retries": int(os.environ.get("MOTLAN_TASK_RETRIES", "4")),
        "retry_delay": timedelta(seconds=_first_wait()),
        "retry_exponential_backoff": 2,
        "max_retry_delay": timedelta(hours=1),
        "retry_policy": RETRY_POLICY,
        "multiple_outputs": False,
    }


def _first_wait() -> float:
    """Return the seconds before a failed task is tried again (`MOTLAN_TASK_RETRY_SECONDS`); the wait doubles each time."""
    return float(os.environ.get("MOTLAN_TASK_RETRY_SECONDS", "30"))


def _call(function: str, *arguments: Any, **named: Any) -> dict[str, Any]:
    # Late: a DAG file is parsed every few seconds, and must not pull the engine in each time.
    from motlan import pipeline

    try:
        outcome: dict[str, Any] = getattr(pipeline, function)(*arguments, **named)
        return outcome
    except MotlanError as error:
        raise error from None
    except Exception as error:  # noqa: BLE001 - every foreign error is wrapped, because its text may quote a value
        raise unforeseen(error, f"pipeline.{function}") from None
