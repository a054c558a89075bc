"""What keeps the cost of a day the same for years, once a day, and nothing waits for it.

One DAG per linked entity, made from the registry.
"""

from __future__ import annotations

from airflow.sdk import DAG
from motlan_airflow.steps import START, lone_step

from motlan.config import registry


def care(entity: str) -> DAG:
    """Make the DAG of one linked entity."""
    with DAG(
        dag_id=f"care_{entity}",
        dag_display_name=f"Bảo trì: {entity}",
        doc_md=f"""
### Bảo trì `{entity}`
Ghi lại dữ liệu đã công bố thành một bản nền khi phần thay đổi sau đó đã lớn, để mỗi ngày không chậm dần theo năm tháng.

### Care for `{entity}`
Writes the published rows anew as a base where later publications have grown, so that a day costs the same for years.
""",
        schedule="30 4 * * *",
        start_date=START,
        catchup=False,
        max_active_runs=1,
        tags=["motlan", "care", entity],
    ) as dag:
        lone_step("care", "care", entity=entity)
    return dag


for _entity in registry.load().entities:
    globals()[f"care_{_entity}"] = care(_entity)
