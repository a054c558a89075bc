"""One DAG per dataset, made from the registry: pull, clean, make it visible. A new agency adds a DAG by being declared."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, Param
from motlan_airflow.alerts import failure_alert
from motlan_airflow.deadlines import freshness
from motlan_airflow.declared import sync_dags
from motlan_airflow.steps import RUN_TIMEOUT, START, SYNC, begin_sync, dataset_asset, pool_of, step


def describe(dataset: Any) -> str:
    """Write a dataset's page in Airflow, in Vietnamese and in English."""
    hours = dataset.freshness / 3600
    return f"""
### {dataset.title.vi}
Kéo dữ liệu từ cơ quan `{dataset.agency}`, làm sạch, kiểm tra rồi công bố vào hồ dữ liệu trong một lần ghi.
Lịch: `{dataset.schedule}` (giờ Việt Nam). Độ tươi đã cam kết: {hours:g} giờ. Chủ quản: {dataset.owner}.

### {dataset.title.en}
Pulls from agency `{dataset.agency}`, cleans and checks, then makes the run visible in one commit.
Schedule: `{dataset.schedule}` (Vietnam time). Promised freshness: {hours:g} hours. Owner: {dataset.owner}.
"""


FORM: dict[str, dict[str, Any]] = {
    "mode": {
        "default": "incremental",
        "enum": ["incremental", "full"],
        "title": "Cách kéo / What is pulled",
        "description": "incremental: phần thay đổi từ mốc đồng bộ. full: toàn bộ. / What changed; everything.",
    },
    "since": {
        "default": None,
        "type": ["null", "string"],
        "maxLength": 100,
        "title": "Kéo từ mốc / Since",
        "description": "Thay cho mốc đồng bộ, như 2026-01-01T00:00:00Z. / In place of the watermark: a moment, or a cursor.",
    },
    "dry_run": {
        "default": False,
        "type": "boolean",
        "title": "Chạy thử / Dry run",
        "description": "Chỉ hỏi số lượng, không lưu gì. / Asks how much would be pulled, and lands nothing.",
    },
}
"""Airflow's form for a run that somebody starts by hand."""


def sync(dataset: Any) -> DAG:
    """Make the DAG of one dataset."""
    with DAG(
        dag_id=f"sync_{dataset.name}",
        dag_display_name=dataset.title.vi,
        doc_md=describe(dataset),
        schedule=dataset.schedule,
        start_date=START,
        catchup=False,
        max_active_runs=1,
        dagrun_timeout=RUN_TIMEOUT,
        default_args={"owner": dataset.owner},
        params={name: Param(**form) for name, form in FORM.items()},
        on_failure_callback=failure_alert(),
        tags=["motlan", "sync", dataset.agency],
        deadline=freshness(dataset.name, dataset.freshness),
    ) as dag:
        run = begin_sync(dataset)
        # A pull ends by the agency's own pace; an hour beside it is for what the bus does with the rows.
        longest = timedelta(seconds=dataset.pace.get("pull_timeout", 43_200) + 3_600)
        landed = step("land", "land", run, SYNC, execution_timeout=longest, **pool_of(dataset.agency))
        cleaned = step("clean", "clean", run, SYNC)
        landed >> cleaned >> step("commit", "commit_sync", run, SYNC, outlets=[dataset_asset(dataset.name)])
    return dag


globals().update(sync_dags(sync))
