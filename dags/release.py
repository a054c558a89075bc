"""A publication that passes a limit of change waits here until people release it, or one refuses it.

One DAG per linked entity, made from the registry. Each asks among Airflow's required actions; `motlan release` does the same.
"""

from __future__ import annotations

from airflow.sdk import DAG
from motlan_airflow.alerts import failure_alert
from motlan_airflow.declared import entities
from motlan_airflow.release import ReleaseOperator
from motlan_airflow.steps import START, held_asset, reconciled_asset


def release(entity: str) -> DAG:
    """Make the DAG of one linked entity."""
    held = held_asset(entity)
    with DAG(
        dag_id=f"release_{entity}",
        dag_display_name=f"Duyệt công bố: {entity}",
        doc_md=f"""
### Duyệt công bố `{entity}`
Một lần công bố thay đổi quá nhiều sẽ chờ ở đây, kèm các con số. Cần đủ số người đồng ý; một người từ chối là dừng.
Người duyệt phải có tên trong `motlan people`.

### Release of `{entity}`
A publication that changes too much waits here, with its numbers, until enough people let it go, or one refuses it.
Who decides must be known to `motlan people` by the same name.
""",
        schedule=[held],
        start_date=START,
        catchup=False,
        max_active_runs=4,
        on_failure_callback=failure_alert(),
        tags=["motlan", "release", entity],
    ) as dag:
        ReleaseOperator(task_id="ask", held=held, entity=entity, outlets=[reconciled_asset(entity)], retries=2)
    return dag


for _entity in entities():
    globals()[f"release_{_entity}"] = release(_entity)
