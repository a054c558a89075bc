"""Airflow tasks made of the bus's steps: what may travel between them, and when one is tried again.

A task calls one function of `motlan.pipeline` and holds no logic of its own. It never lets a library's error out:
Airflow writes exceptions to its logs and its database, and libraries quote personal values in their messages.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NoReturn
from zoneinfo import ZoneInfo

from airflow.sdk import (
    Asset,
    AssetWatcher,
    BaseSensorOperator,
    ExceptionRetryPolicy,
    RetryAction,
    RetryDecision,
    RetryRule,
    get_current_context,
    task,
)
from airflow.sdk.exceptions import AirflowSkipException

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
from motlan_airflow.alerts import deliver
from motlan_airflow.links import LINKS, console
from motlan_airflow.triggers import IdleTrigger, SyncedTrigger

log = logging.getLogger(__name__)

ZONE = "Asia/Ho_Chi_Minh"
RUN_TIMEOUT = timedelta(hours=24)
"""How long a DAG run may take."""
START = datetime(2026, 1, 1, tzinfo=ZoneInfo(ZONE))
"""Start date of every DAG; its zone is the one that the registry's schedules are written in."""

PATIENCE = timedelta(minutes=15)
"""How long a reconcile run waits for syncs that are under way."""
PUBLISH, RECONCILE, SYNC = 3, 2, 1
"""Priority weights: what is nearest to a reader goes first, so that what was begun is finished before more is begun."""


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


def synced_asset(entity: str) -> Asset:
    """Return the asset that is new when somebody synced a dataset of an entity by the command line."""
    watcher = AssetWatcher(name=f"synced_{entity}", trigger=SyncedTrigger(entity))
    return Asset(f"motlan://synced/{entity}", watchers=[watcher])


def held_asset(entity: str) -> Asset:
    """Return the asset that is new when a publication of an entity is held back; its events name the run."""
    return Asset(f"motlan://held/{entity}")


def begin_sync(dataset: Any) -> Any:
    """Make the task that opens a sync run of a dataset, as the form of Airflow says. Its result is the run's id.

    It is skipped, and what follows with it, for a dry run, and for all runs of a backfill but one: a source that has only its
    state of now is pulled once, whatever past dates were asked for.
    """

    @task(task_id="begin", doc_md=documentation("begin_sync"), **settings(SYNC, hours=1))
    def call(ti: Any = None, params: Any = None, dag_run: Any = None) -> str:
        job = f"airflow {ti.dag_id}"
        asked = {"full": params["mode"] == "full", "since": params["since"] or None}
        if getattr(dag_run.run_type, "value", dag_run.run_type) == "backfill":
            jobs, job = f"{job} backfill ", f"{job} backfill {dag_run.run_id}"
            if run := call_pipeline("pulled_by_backfill", dataset.name, jobs, job)["run"]:
                _skip(f"The source of {dataset.name} has only its state of now: run {run} of this backfill pulls it.")
            log.info("The source of %s has only its state of now: one run of this backfill pulls it.", dataset.name)
        if params["dry_run"]:
            _skip(f"Dry run, nothing is landed: {_numbers(call_pipeline('preview', dataset.name, **asked))}")
        return _begun(call_pipeline("begin_sync", dataset.name, job, **asked))

    return _linked(call())


def begin_reconcile(entity: str) -> Any:
    """Make the task that opens a reconcile run. Its result is the run's id.

    It is skipped, and what follows with it, until every required dataset had its first sync; and where an event started it and a
    run that began before reads that sync already.
    """

    @task(task_id="begin", doc_md=documentation("begin_reconcile"), **settings(RECONCILE, hours=1))
    def call(ti: Any = None, params: Any = None, dag_run: Any = None) -> str:
        if (missing := call_pipeline("unsynced", entity)["datasets"]) and not params["incomplete"]:
            _skip(f"Not before the first sync of {', '.join(missing)}: agencies.yaml declares them as required.")
        by_event = getattr(dag_run.run_type, "value", dag_run.run_type) == "asset_triggered"
        if by_event and call_pipeline("unread", entity)["run"] is None:
            _skip("A run that began before reads every sync that there is.")
        full = {"full": params["full"], "incomplete": params["incomplete"]}
        return _begun(call_pipeline("begin_reconcile", entity, f"airflow {ti.dag_id}", **full))

    return _linked(call())


def choose_publication(entity: str, asset: Asset) -> Any:
    """Make the task that says whether the next publication may go or people have to release it; names the task that follows."""

    @task.branch(task_id="check_limits", doc_md=documentation("waits"), **settings(PUBLISH, hours=1))
    def call(triggering_asset_events: Any = None) -> list[str]:
        found = call_pipeline("waits", named_run(triggering_asset_events, asset), entity=entity)
        if found["run"] is None:
            log.info("Nothing is reconciled and unpublished.")
            return []
        if "needed" not in found:
            return ["publish"]
        log.info("Run %s waits for people to release it: %d limits are passed.", found["run"], len(found["passed"]))
        return ["hold"]

    return _linked(call())


def publish(entity: str, asset: Asset) -> Any:
    """Make the task that publishes the run which the newest event of an asset names, or the pipeline's choice.

    The pipeline chooses where the DAG was started by hand or by the clock. Its result is the run's id.
    """

    @task(task_id="publish", doc_md=documentation("publish"), **settings(PUBLISH))
    def call(triggering_asset_events: Any = None) -> str:
        outcome = call_pipeline("publish", named_run(triggering_asset_events, asset), entity=entity)
        _tell("publish", outcome)
        return str(outcome["run"])

    return _linked(call())


def hold(entity: str, asset: Asset, held: Asset) -> Any:
    """Make the task that lets people be asked about a publication that is held back."""

    @task(task_id="hold", outlets=[held], doc_md=documentation("waits"), **settings(PUBLISH, hours=1))
    def call(triggering_asset_events: Any = None, outlet_events: Any = None) -> None:
        found = call_pipeline("waits", named_run(triggering_asset_events, asset), entity=entity)
        outlet_events[held].extra = {"run": found["run"]}
        told = (
            f"Publication of {entity} waits: run {found['run']} passes {len(found.get('passed', ()))} limits of change. "
            f"{found.get('needed', 0)} people release it among Airflow's required actions, or by `motlan release`. "
            f"{console('/console/runs/' + found['run'])}"
        )
        deliver(
            f"publication of {entity} waits",
            told.strip(),
            {"cause": "held publication", "kind": "publish", "subject": entity, "run": found["run"]},
        )

    return _linked(call())


def named_run(events: Any, asset: Asset) -> str | None:
    """Return the newest run that the events of an asset name; None where there are none."""
    found = events[asset] if asset in (events or ()) else ()
    return max((event.extra["run"] for event in found if "run" in event.extra), default=None)


def step(task_id: str, function: str, run: Any, weight: int, outlets: Sequence[Asset] = (), **extra: Any) -> Any:
    """Make a task that calls `motlan.pipeline.<function>(run)`. Its result is the numbers among the step's counts.

    The whole outcome is in the bus's own ledger; numbers are let through because they can be nobody's name.

    Args:
        task_id: The task's name in Airflow.
        function: Name of the pipeline's function.
        run: What a first step returned.
        weight: Priority of the task.
        outlets: Assets that are new when the task has succeeded.
        extra: Further settings of the task, such as its pool.
    """

    @task(task_id=task_id, outlets=list(outlets), doc_md=documentation(function), **{**settings(weight), **extra})
    def call(run: str, outlet_events: Any = None) -> dict[str, float]:
        outcome = call_pipeline(function, run)
        for asset in outlets:
            outlet_events[asset].extra = {"run": run}
        _tell(task_id, outcome)
        return {name: value for name, value in outcome.items() if isinstance(value, int | float)}

    return _linked(call(run))


def lone_step(task_id: str, function: str, only_where: str = "", **named: Any) -> Any:
    """Make a task that calls `motlan.pipeline.<function>(**named)`, for no run. Its result is the numbers among the counts.

    Args:
        task_id: The task's name in Airflow.
        function: Name of the pipeline's function.
        only_where: Name of a variable of the environment; the task is skipped where it is unset.
        named: What it is called with.
    """

    @task(task_id=task_id, doc_md=documentation(function), **settings(SYNC))
    def call() -> dict[str, float]:
        if only_where and not os.environ.get(only_where):
            _skip(f"{only_where} is not set.")
        outcome = call_pipeline(function, **named)
        _tell(task_id, outcome)
        return {name: value for name, value in outcome.items() if isinstance(value, int | float)}

    return call()


def each_dataset(task_id: str, function: str, datasets: Sequence[str]) -> Any:
    """Make a task for each dataset, named by it in Airflow, that calls `motlan.pipeline.<function>(dataset)`.

    Args:
        task_id: The tasks' name.
        function: Name of the pipeline's function.
        datasets: Names of the datasets.
    """

    @task(
        task_id=task_id, map_index_template="{{ dataset }}", doc_md=documentation(function), **settings(SYNC, hours=2)
    )
    def call(dataset: str) -> dict[str, float]:
        get_current_context()["dataset"] = dataset
        outcome = call_pipeline(function, dataset)
        _tell(f"{task_id} of {dataset}", outcome)
        return {name: value for name, value in outcome.items() if isinstance(value, int | float)}

    return call.expand(dataset=list(datasets))


def clean_airflow(days: int = 90) -> Any:
    """Make the task that removes what is older than some days from Airflow's own database, by `airflow db clean`.

    A task may not open that database; the command gets its address as `MOTLAN_AIRFLOW_DATABASE_URL`, or by Airflow's own
    settings of a command or a secret.
    """
    page = "Xóa lịch sử cũ của Airflow.\n\nRemoves Airflow's old history.\n\n`airflow db clean`"

    @task(task_id="clean_airflow", doc_md=page, **settings(SYNC, hours=2))
    def call() -> None:
        variable = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"
        env = {name: value for name, value in os.environ.items() if name != variable}
        if address := os.environ.get("MOTLAN_AIRFLOW_DATABASE_URL"):
            env[variable] = address
        elif not {f"{variable}_CMD", f"{variable}_SECRET"} & set(env):
            _skip("MOTLAN_AIRFLOW_DATABASE_URL is not set.")
        before = (datetime.now(ZoneInfo(ZONE)) - timedelta(days=days)).isoformat()
        command = [
            sys.executable,
            "-m",
            "airflow",
            "db",
            "clean",
            "--clean-before-timestamp",
            before,
            "--skip-archive",
            "--yes",
        ]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        if done.returncode:
            raise MotlanError(
                "Airflow's history could not be removed", next_step="run `airflow db clean` by hand to see why."
            )

    return call()


class WaitUntilIdle(BaseSensorOperator):
    """Waits until no run of another DAG is queued or running. It waits in the triggerer, and holds no worker.

    A comparison with the last publication is stale as soon as another run is published, so the two must not overlap. Syncs that
    are under way are waited for a while, so that those of one hour lead to one run together.

    Args:
        dag_id: The DAG of the publication.
        syncs: The DAGs of the syncs.
        kwargs: As of every operator.
    """

    def __init__(self, *, dag_id: str, syncs: Sequence[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.other, self.syncs = dag_id, list(syncs)

    def execute(self, context: Any) -> None:
        """Look once, and hand over to the triggerer where another run is under way."""
        count = context["ti"].get_dr_count
        if any(count(dag_id=dag_id, states=["queued", "running"]) for dag_id in (self.other, *self.syncs)):
            trigger = IdleTrigger(self.other, self.syncs, PATIENCE.total_seconds())
            self.defer(trigger=trigger, method_name="end", timeout=timedelta(hours=12))

    def end(self, context: Any, event: Any = None) -> None:
        """Go on."""


def wait_until_idle(entity: str, datasets: Sequence[str]) -> Any:
    """Make the task that waits until no publication of an entity is under way, and a while for its syncs."""
    page = (
        "Chờ lần công bố và các lượt đồng bộ đang chạy. / Waits for the publication and the syncs that are under way."
    )
    return WaitUntilIdle(
        task_id=f"wait_for_publish_{entity}",
        dag_id=f"publish_{entity}",
        syncs=[f"sync_{dataset}" for dataset in datasets],
        doc_md=page,
        priority_weight=RECONCILE,
        retries=2,
    )


def documentation(function: str) -> str:
    """Return what a task's page says of it."""
    vi, en = TEXTS[function]
    return f"{vi}\n\n{en}\n\n`motlan.pipeline.{function}`"


TEXTS = {
    "begin_sync": ("Mở một lượt đồng bộ.", "Opens a sync run."),
    "land": (
        "Kéo phần thay đổi từ cơ quan và lưu nguyên trạng như đã nhận.",
        "Pulls what changed at the agency, and keeps it as received.",
    ),
    "clean": (
        "Chuyển về trường chuẩn, làm sạch và kiểm tra; dòng sai được giữ lại ở vùng cách ly.",
        "Maps to canonical fields, cleans and checks; a row that is wrong goes to quarantine.",
    ),
    "commit_sync": (
        "Công bố lượt đồng bộ trong một giao dịch và dời mốc đồng bộ.",
        "Makes the sync run visible in one transaction, and moves the watermark.",
    ),
    "begin_reconcile": (
        "Mở một lượt đối soát, sau khi mọi bộ dữ liệu bắt buộc đã đồng bộ lần đầu.",
        "Opens a reconcile run, once every required dataset had its first sync.",
    ),
    "link": ("Ghép bản ghi của các cơ quan thành từng đối tượng.", "Links the agencies' rows."),
    "merge": ("Chọn giá trị tin cậy cho mỗi trường.", "Chooses the value to believe of each field."),
    "cross_check": ("Kiểm tra chéo giữa các cơ sở dữ liệu.", "Checks across registers."),
    "diff": ("Ghi lại phần thay đổi so với lần công bố trước.", "Writes down what changed since the last publication."),
    "waits": (
        "Kiểm tra giới hạn thay đổi: vượt giới hạn thì chờ người có thẩm quyền cho phép.",
        "Checks the limits of change: what passes one waits for people to release it.",
    ),
    "publish": ("Công bố và đánh số thay đổi.", "Publishes, and numbers the changes."),
    "project": ("Dựng lại các bảng tra cứu và luồng dữ liệu.", "Loads the tables that are asked, and the feeds."),
    "care": ("Ghi lại bản nền của dữ liệu đã công bố.", "Writes the bases of the published rows anew."),
    "expire": (
        "Xóa siêu dữ liệu cũ của hồ dữ liệu.",
        "Removes old metadata of the lake; rows and earlier states stay.",
    ),
    "recheck": ("Kiểm tra lại các dòng đang cách ly.", "Checks quarantined rows again."),
    "check_freshness": ("Kiểm tra độ tươi đã cam kết.", "Checks the promised freshness."),
    "backup": ("Sao lưu kho, hồ dữ liệu và khóa tại cùng một thời điểm.", "Backs up store, lake and keys."),
    "check_backup": (
        "Khôi phục thử bản sao lưu mới nhất.",
        "Restores the newest backup into an empty place, and checks it.",
    ),
    "check_log": ("Tính lại gốc của sổ nhật ký.", "Computes the log's root again."),
}
"""Function of the pipeline -> what it does, in Vietnamese and in English."""


def settings(weight: int, hours: float = 12) -> dict[str, Any]:
    """Return the settings of a task. A failed one is tried again so often: `MOTLAN_TASK_RETRIES`.

    Args:
        weight: Its priority.
        hours: How long one try may take.
    """
    return {
        "retries": int(os.environ.get("MOTLAN_TASK_RETRIES", "4")),
        "retry_delay": timedelta(seconds=_first_wait()),
        "retry_exponential_backoff": 2,
        "max_retry_delay": timedelta(hours=1),
        "retry_policy": RETRY_POLICY,
        "execution_timeout": timedelta(hours=hours),
        "priority_weight": weight,
        "weight_rule": "absolute",
        "multiple_outputs": False,
    }


def pool_of(agency: str) -> dict[str, Any]:
    """Return the pool of what pulls from an agency, where pools are made (`MOTLAN_POOLS=1`; see `motlan_airflow.pools`)."""
    return {"pool": f"agency_{agency}"} if os.environ.get("MOTLAN_POOLS") == "1" else {}


def _first_wait() -> float:
    """Return the seconds before a failed task is tried again (`MOTLAN_TASK_RETRY_SECONDS`); the wait doubles each time."""
    return float(os.environ.get("MOTLAN_TASK_RETRY_SECONDS", "30"))


def _linked(made: Any) -> Any:
    """Give a task its links to the bus's pages."""
    made.operator.operator_extra_links = LINKS
    return made


def _skip(why: str) -> NoReturn:
    log.info(why)
    raise AirflowSkipException(why)


def _begun(outcome: dict[str, Any]) -> str:
    run = str(outcome["run"])
    log.info("Run %s began. %s", run, console(f"/console/runs/{run}"))
    return run


def _tell(what: str, outcome: dict[str, Any]) -> None:
    """Write into the task's log what a step came to, and where its run's page is."""
    run = outcome.get("run")
    if run and console():
        log.info("%s: %s", what, console(f"/console/runs/{run}"))  # the bus itself tells of the step's numbers
    elif not run:
        log.info("%s: %s", what, _numbers(outcome))


def _numbers(outcome: dict[str, Any]) -> str:
    found = {name: value for name, value in outcome.items() if isinstance(value, int | float) and value is not True}
    return ", ".join(f"{name} {value:,}" for name, value in found.items()) or "done"


def call_pipeline(function: str, *arguments: Any, **named: Any) -> dict[str, Any]:
    """Call a function of the pipeline; only our own errors come out.

    Raises:
        MotlanError: It failed.
    """
    # Late: a DAG file is parsed every few seconds, and must not pull the engine in each time.
    from motlan import pipeline
    from motlan_airflow.credentials import offer_connections

    offer_connections()
    try:
        outcome: dict[str, Any] = getattr(pipeline, function)(*arguments, **named)
        return outcome
    except MotlanError as error:
        raise error from None
    except Exception as error:  # noqa: BLE001 - every foreign error is wrapped, because its text may quote a value
        raise unforeseen(error, f"pipeline.{function}") from None
