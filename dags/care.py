"""What keeps the bus sound and its days equally quick for years. Nothing waits for these DAGs.

`care_<entity>`, once a day: quarantined rows are checked again where rules changed, bases are written, promised freshness is
checked. `care_bus`, once a day: the log's root is computed again, old metadata and Airflow's own history are removed, and the
newest backup is restored into an empty place. `care_backup`, every five minutes where `MOTLAN_BACKUP` names a folder.
"""

from __future__ import annotations

import os

from airflow.sdk import DAG
from motlan_airflow.alerts import failure_alert
from motlan_airflow.declared import entities
from motlan_airflow.steps import START, clean_airflow, each_dataset, lone_step


def care(entity: str, datasets: list[str]) -> DAG:
    """Make the DAG of one linked entity."""
    with DAG(
        dag_id=f"care_{entity}",
        dag_display_name=f"Bảo trì: {entity}",
        doc_md=f"""
### Bảo trì `{entity}`
Kiểm tra lại các dòng cách ly khi quy tắc đã đổi, kiểm tra độ tươi đã cam kết, và ghi lại dữ liệu đã công bố thành một bản nền
khi phần thay đổi sau đó đã lớn, để mỗi ngày không chậm dần theo năm tháng.

### Care for `{entity}`
Checks quarantined rows again where rules changed, checks the promised freshness, and writes the published rows anew as a base
where later publications have grown, so that a day costs the same for years.
""",
        schedule="30 4 * * *",
        start_date=START,
        catchup=False,
        max_active_runs=1,
        on_failure_callback=failure_alert(),
        tags=["motlan", "care", entity],
    ) as dag:
        each_dataset("recheck", "recheck", datasets)
        each_dataset("check_freshness", "check_freshness", datasets)
        lone_step("care", "care", entity=entity)
    return dag


def care_bus() -> DAG:
    """Make the DAG of the whole installation."""
    with DAG(
        dag_id="care_bus",
        dag_display_name="Bảo trì: trục dữ liệu",
        doc_md="""
### Bảo trì trục dữ liệu
Tính lại gốc của sổ nhật ký, dọn siêu dữ liệu cũ và lịch sử của Airflow, khôi phục thử bản sao lưu mới nhất.

### Care for the bus
Computes the log's root again, removes old metadata and Airflow's history, restores the newest backup into an empty place.
""",
        schedule="10 2 * * *",
        start_date=START,
        catchup=False,
        max_active_runs=1,
        on_failure_callback=failure_alert(),
        tags=["motlan", "care"],
    ) as dag:
        lone_step("check_log", "check_log")
        lone_step("expire", "expire")
        lone_step("check_backup", "check_backup", only_where="MOTLAN_BACKUP")
        clean_airflow()
    return dag


def care_backup() -> DAG:
    """Make the DAG that takes backups."""
    with DAG(
        dag_id="care_backup",
        dag_display_name="Bảo trì: sao lưu",
        doc_md="""
### Sao lưu
Mỗi năm phút, khi `MOTLAN_BACKUP` chỉ một thư mục: sao lưu kho, hồ dữ liệu và khóa tại cùng một thời điểm.

### Backup
Every five minutes, where `MOTLAN_BACKUP` names a folder: store, lake and keys at one point in time.
""",
        schedule="*/5 * * * *" if os.environ.get("MOTLAN_BACKUP") else None,
        start_date=START,
        catchup=False,
        max_active_runs=1,
        on_failure_callback=failure_alert(),
        tags=["motlan", "care", "backup"],
    ) as dag:
        lone_step("backup", "backup", only_where="MOTLAN_BACKUP")
    return dag


for _entity, _datasets in entities().items():
    globals()[f"care_{_entity}"] = care(_entity, [dataset.name for dataset in _datasets])
bus, backup = care_bus(), care_backup()
