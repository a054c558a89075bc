"""One person out of many rows: link, merge, check across registers, and write down what changed.

Runs after any sync. Syncs that end while it runs lead to one further run together, because it has one active run only.
"""

from __future__ import annotations

from airflow.sdk import DAG, AssetAny
from motlan_airflow.steps import RECONCILED, START, dataset_asset, first_step, step, wait_until_idle

from motlan.config import registry

with DAG(
    dag_id="reconcile",
    dag_display_name="Đối soát",
    doc_md="""
### Đối soát
Ghép bản ghi của các cơ quan thành từng người, chọn giá trị tin cậy cho mỗi trường, kiểm tra chéo, ghi lại phần thay đổi.

### Reconcile
Links the agencies' rows into persons, chooses the value to believe per field, checks across registers, and writes
down what changed.
""",
    schedule=AssetAny(*(dataset_asset(name) for name in registry.load().datasets)),
    start_date=START,
    catchup=False,
    max_active_runs=1,
    tags=["motlan"],
) as dag:
    run = first_step("begin", "begin_reconcile")
    linked, merged, checked = (step(name, name, run) for name in ("link", "merge", "cross_check"))
    wait_until_idle("publish") >> run
    linked >> merged >> checked >> step("diff", "diff", run, outlets=[RECONCILED])
