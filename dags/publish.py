"""What was reconciled becomes visible: numbered changes and corrections in the feeds, then the typed tables behind them.

One DAG per linked entity, made from the registry. It runs when a reconcile run is whole, when people released one, and by the
clock, for what was released by the command line meanwhile.
"""

from __future__ import annotations

from airflow.sdk import DAG, AssetAny, AssetOrTimeSchedule, CronTriggerTimetable
from motlan_airflow.alerts import failure_alert
from motlan_airflow.declared import entities
from motlan_airflow.steps import (
    PUBLISH,
    RUN_TIMEOUT,
    START,
    ZONE,
    choose_publication,
    held_asset,
    hold,
    reconciled_asset,
    step,
)
from motlan_airflow.steps import publish as publish_step

CLOCK = "15,45 * * * *"
"""When it is looked whether something waits to be published that no event told of."""


def publish(entity: str) -> DAG:
    """Make the DAG of one linked entity."""
    reconciled, held = reconciled_asset(entity), held_asset(entity)
    with DAG(
        dag_id=f"publish_{entity}",
        dag_display_name=f"Công bố: {entity}",
        doc_md=f"""
### Công bố `{entity}`
Công bố lần đối soát mới nhất: đánh số thay đổi, gửi đề nghị đính chính, dựng lại các bảng tra cứu.
Thay đổi vượt giới hạn thì chờ người duyệt (DAG `release_{entity}`).

### Publish `{entity}`
Publishes the newest reconciled run: numbers the changes, offers corrections, and projects the golden records into
the tables that are asked. What passes a limit of change waits for people (DAG `release_{entity}`).
""",
        schedule=AssetOrTimeSchedule(timetable=CronTriggerTimetable(CLOCK, timezone=ZONE), assets=AssetAny(reconciled)),
        start_date=START,
        catchup=False,
        max_active_runs=1,
        dagrun_timeout=RUN_TIMEOUT,
        on_failure_callback=failure_alert(),
        tags=["motlan", "publish", entity],
    ) as dag:
        published = publish_step(entity, reconciled)
        choose_publication(entity, reconciled) >> [published, hold(entity, reconciled, held)]
        step("project", "project", published, PUBLISH)
    return dag


for _entity in entities():
    globals()[f"publish_{_entity}"] = publish(_entity)
