"""One linked entity, such as a person, out of many rows: link, merge, check across registers, and write down what changed.

One DAG per linked entity, made from the registry. It runs after any sync of its registers, by Airflow or by the command line,
and once a day by the clock, so that one silent agency does not hold up the rest. Syncs that end while it runs lead to one
further run together, because it has one active run only.
"""

from __future__ import annotations

from airflow.sdk import DAG, AssetAny, AssetOrTimeSchedule, CronTriggerTimetable, Param
from motlan_airflow.alerts import failure_alert
from motlan_airflow.declared import entities
from motlan_airflow.steps import (
    RECONCILE,
    RUN_TIMEOUT,
    START,
    ZONE,
    begin_reconcile,
    dataset_asset,
    reconciled_asset,
    step,
    synced_asset,
    wait_until_idle,
)

CLOCK = "0 5 * * *"
"""When it runs though no sync ended."""


def reconcile(entity: str, datasets: list[str]) -> DAG:
    """Make the DAG of one linked entity.

    Args:
        entity: Its name.
        datasets: The names of its datasets.
    """
    reconciled = reconciled_asset(entity)
    with DAG(
        dag_id=f"reconcile_{entity}",
        dag_display_name=f"Đối soát: {entity}",
        doc_md=f"""
### Đối soát `{entity}`
Ghép bản ghi của các cơ quan thành từng đối tượng, chọn giá trị tin cậy cho mỗi trường, kiểm tra chéo, ghi lại phần thay đổi.
Chạy sau mỗi lần đồng bộ và mỗi ngày một lần (`{CLOCK}`, giờ Việt Nam), sau khi mọi bộ dữ liệu bắt buộc đã đồng bộ lần đầu.
Khi chạy bằng tay với `full`: làm lại toàn bộ, dù dữ liệu có thay đổi hay không.

### Reconcile `{entity}`
Links the agencies' rows, chooses the value to believe per field, checks across registers, and writes down what changed.
It runs after each sync and once a day (`{CLOCK}`, Vietnam time), once every required dataset had its first sync.
Started by hand with `full`, it does so with everything, whatever changed.
""",
        params={
            "full": Param(
                False,
                type="boolean",
                title="Làm lại toàn bộ / Everything anew",
                description="Bình thường chỉ xử lý phần thay đổi. / As a rule what changed alone is done: it comes to the same.",
            ),
            "incomplete": Param(
                False,
                type="boolean",
                title="Không chờ bộ dữ liệu bắt buộc / Without required datasets",
                description="Chạy dù có bộ dữ liệu bắt buộc chưa đồng bộ. / Runs though a required one had no sync yet.",
            ),
        },
        schedule=AssetOrTimeSchedule(
            timetable=CronTriggerTimetable(CLOCK, timezone=ZONE),
            assets=AssetAny(*map(dataset_asset, datasets), synced_asset(entity)),
        ),
        start_date=START,
        catchup=False,
        max_active_runs=1,
        dagrun_timeout=RUN_TIMEOUT,
        on_failure_callback=failure_alert(),
        tags=["motlan", "reconcile", entity],
    ) as dag:
        run = begin_reconcile(entity)
        linked, merged, checked = (step(name, name, run, RECONCILE) for name in ("link", "merge", "cross_check"))
        wait_until_idle(entity, datasets) >> run
        linked >> merged >> checked >> step("diff", "diff", run, RECONCILE, outlets=[reconciled])
    return dag


for _entity, _datasets in entities().items():
    globals()[f"reconcile_{_entity}"] = reconcile(_entity, [dataset.name for dataset in _datasets])
