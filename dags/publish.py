"""What was reconciled becomes visible: numbered changes and corrections in the feeds, then the typed tables behind them."""

from __future__ import annotations

from airflow.sdk import DAG
from motlan_airflow.steps import RECONCILED, START, first_step_after, step

with DAG(
    dag_id="publish",
    dag_display_name="Công bố",
    doc_md="""
### Công bố
Công bố lần đối soát mới nhất: đánh số thay đổi, gửi đề nghị đính chính, dựng lại các bảng tra cứu.

### Publish
Publishes the newest reconciled run: numbers the changes, offers corrections, and projects the golden records into
the tables that are asked.
""",
    schedule=[RECONCILED],
    start_date=START,
    catchup=False,
    max_active_runs=1,
    tags=["motlan"],
) as dag:
    step("project", "project", first_step_after(RECONCILED, "publish", "publish"))
