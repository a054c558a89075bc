"""One linked entity, such as a person, out of many rows: link, merge, check across registers, and write down what changed.

One DAG per linked entity, made from the registry. It runs after any sync of its registers. Syncs that end while it runs lead to
one further run together, because it has one active run only.
"""

from __future__ import annotations

from airflow.sdk import DAG, AssetAny, Param
from motlan_airflow.steps import START, dataset_asset, first_step, reconciled_asset, step, wait_until_idle

from motlan.config import registry


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
Khi chạy bằng tay với `full`: làm lại toàn bộ, dù dữ liệu có thay đổi hay không.

### Reconcile `{entity}`
Links the agencies' rows, chooses the value to believe per field, checks across registers, and writes down what changed.
Started by hand with `full`, it does so with everything, whatever changed.
""",
        params={
            "full": Param(
                False,
                type="boolean",
                title="Làm lại toàn bộ / Everything anew",
                description="Bình thường chỉ xử lý phần thay đổi. / As a rule what changed alone is done: it comes to the same.",
            )
        },
        schedule=AssetAny(*map(dataset_asset, datasets)),
        start_date=START,
        catchup=False,
        max_active_runs=1,
        tags=["motlan", "reconcile", entity],
    ) as dag:
        run = first_step("begin", "begin_reconcile", entity, asked=["full"])
        linked, merged, checked = (step(name, name, run) for name in ("link", "merge", "cross_check"))
        wait_until_idle(f"publish_{entity}") >> run
        linked >> merged >> checked >> step("diff", "diff", run, outlets=[reconciled])
    return dag


_registry = registry.load()
for _entity in _registry.entities:
    _datasets = [dataset.name for dataset in _registry.datasets.values() if dataset.entity == _entity]
    globals()[f"reconcile_{_entity}"] = reconcile(_entity, _datasets)
