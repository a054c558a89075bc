"""One DAG per dataset, made from the registry: pull, clean, make it visible. A new agency adds a DAG by being declared."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG
from motlan_airflow.deadlines import freshness
from motlan_airflow.steps import START, dataset_asset, first_step, step

from motlan.config import registry


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
        tags=["motlan", "sync", dataset.agency],
        deadline=freshness(dataset.name, dataset.freshness),
    ) as dag:
        run = first_step("begin", "begin_sync", dataset.name)
        landed, cleaned = step("land", "land", run), step("clean", "clean", run)
        landed >> cleaned >> step("commit", "commit_sync", run, outlets=[dataset_asset(dataset.name)])
    return dag


for _dataset in registry.load().datasets.values():
    globals()[f"sync_{_dataset.name}"] = sync(_dataset)
