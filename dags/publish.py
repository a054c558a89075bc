"""What was reconciled becomes visible: numbered changes and corrections in the feeds, then the typed tables behind them.

One DAG per linked entity, made from the registry.
"""

from __future__ import annotations

from airflow.sdk import DAG
from motlan_airflow.steps import START, first_step_after, reconciled_asset, step

from motlan.config import registry


def publish(entity: str) -> DAG:
    """Make the DAG of one linked entity."""
    reconciled = reconciled_asset(entity)
    with DAG(
        dag_id=f"publish_{entity}",
        dag_display_name=f"Công bố: {entity}",
        doc_md=f"""
### Công bố `{entity}`
Công bố lần đối soát mới nhất: đánh số thay đổi, gửi đề nghị đính chính, dựng lại các bảng tra cứu.

### Publish `{entity}`
Publishes the newest reconciled run: numbers the changes, offers corrections, and projects the golden records into
the tables that are asked.
""",
        schedule=[reconciled],
        start_date=START,
        catchup=False,
        max_active_runs=1,
        tags=["motlan", "publish", entity],
    ) as dag:
        step("project", "project", first_step_after(reconciled, "publish", "publish", entity=entity))
    return dag


for _entity in registry.load().entities:
    globals()[f"publish_{_entity}"] = publish(_entity)
