"""What DAG files are made from: the datasets that are declared right, and the ones that are not, each for itself.

Parsing reads declared files and nothing else: no network, no database, no clock. The same files give the same DAGs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from airflow.sdk import DAG, task

from motlan.config import registry
from motlan.errors import ConfigurationError
from motlan_airflow.steps import START


def entities() -> dict[str, list[Any]]:
    """Return the linked entities, and the datasets of each that are declared right, by name."""
    found: dict[str, list[Any]] = {}
    for dataset in registry.load_each()[0].values():
        found.setdefault(dataset.entity, []).append(dataset)
    return dict(sorted(found.items()))


def sync_dags(make: Callable[[Any], DAG]) -> dict[str, DAG]:
    """Make the DAG of every dataset; one that is declared wrong gets a DAG that says what is wrong.

    Args:
        make: Makes the DAG of a dataset that is declared right.

    Returns:
        The DAGs by their ids.
    """
    right, wrong = registry.load_each()
    dags = [make(dataset) for dataset in right.values()] + [broken(name, error) for name, error in wrong.items()]
    return {dag.dag_id: dag for dag in dags}


def broken(name: str, error: ConfigurationError) -> DAG:
    """Make the DAG that stands in for a dataset that is declared wrong. Started, it fails with what is wrong."""
    said = str(error)
    with DAG(
        dag_id="sync_" + "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in name),
        dag_display_name=f"{name}: khai báo sai / declared wrong",
        doc_md=f"""
### `{name}`: khai báo sai
Chưa thể đồng bộ. Các bộ dữ liệu khác không bị ảnh hưởng. Sửa chỗ sau rồi DAG sẽ tự trở lại:

`{said}`

### `{name}`: declared wrong
It is not synced; the other datasets are. Mend this place, and its DAG is back by itself:

`{said}`
""",
        schedule=None,
        start_date=START,
        catchup=False,
        tags=["motlan", "sync", "broken"],
    ) as dag:

        @task(task_id="declaration", retries=0)
        def call() -> None:
            raise ConfigurationError(f"this dataset is declared wrong: {said}", where=name)

        call()
    return dag
