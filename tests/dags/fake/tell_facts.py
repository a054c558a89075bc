# ruff: noqa: E402 - what is imported must not connect either
"""Loads the DAG files as Airflow does and prints, as JSON, what the tests ask about them."""

import json
import os
import socket
from pathlib import Path

CONNECTIONS: list[str] = []
_connect = socket.socket.connect


def connect(self, address):
    CONNECTIONS.append(str(address))
    return _connect(self, address)


socket.socket.connect = connect

from airflow.dag_processing.dagbag import BundleDagBag
from airflow.models.serialized_dag import SerializedDagModel
from airflow.serialization.serialized_objects import DagSerialization

from motlan import errors
from motlan.config import registry


def triggers(dag):
    condition = getattr(dag.timetable, "asset_condition", None)
    return [type(condition).__name__, *sorted(asset.name for asset in condition.objects)] if condition else []


def tell(dag):
    return {
        "tasks": [task.task_id for task in dag.topological_sort()],
        "links": sorted(f"{up} > {task.task_id}" for task in dag.tasks for up in task.upstream_task_ids),
        "retries": {task.task_id: task.retries for task in dag.tasks},
        "outlets": {task.task_id: [asset.name for asset in task.outlets] for task in dag.tasks if task.outlets},
        "schedule": str(getattr(dag.timetable, "expression", "")),
        "clock": str(getattr(getattr(dag.timetable, "timetable", None), "expression", "")),
        "weights": {task.task_id: task.priority_weight for task in dag.tasks},
        "pools": {task.task_id: task.pool for task in dag.tasks},
        "pages": {
            task.task_id: [task.doc_md, task.execution_timeout and task.execution_timeout.total_seconds()]
            for task in dag.tasks
        },
        "assets": triggers(dag),
        "catchup": dag.catchup,
        "max_active_runs": dag.max_active_runs,
        "tags": sorted(dag.tags),
        "doc": dag.doc_md,
        "params": dict(dag.params),
        "deadlines": len(dag.deadline or ()),
    }


def decide(error, try_number=1):
    from motlan_airflow.steps import RETRY_POLICY

    decision = RETRY_POLICY.evaluate(error, try_number=try_number, max_tries=4)
    return [decision.action.value, decision.retry_delay and decision.retry_delay.total_seconds()]


folder = os.environ["AIRFLOW__CORE__DAGS_FOLDER"]


def parse():
    return BundleDagBag(dag_folder=folder, bundle_path=Path(folder), bundle_name="dags-folder")


def versions(bags):
    """Count the different forms that each DAG was given by some parses: each is a version of it in Airflow's database."""
    found = {}
    for bag in bags:
        for dag_id, dag in bag.dags.items():
            found.setdefault(dag_id, set()).add(SerializedDagModel.hash(DagSerialization.to_dict(dag)))
    return {dag_id: len(forms) for dag_id, forms in found.items()}


bag = parse()
connections = list(CONNECTIONS)
kinds = [
    "ContractError",
    "ConfigurationError",
    "AccessError",
    "DataError",
    "TransientError",
    "EngineError",
    "InternalError",
    "MotlanError",
]
decisions = {kind: decide(getattr(errors, kind)("told")) for kind in kinds}
decisions["asked to wait 600 s"] = decide(errors.TransientError("busy", retry_after=600))
decisions["asked to wait 1 s"] = decide(errors.TransientError("busy", retry_after=1))
decisions["ValueError"] = decide(ValueError("unforeseen"))
print(
    json.dumps(
        {
            "broken": bag.import_errors,
            "dags": {dag_id: tell(dag) for dag_id, dag in bag.dags.items()},
            "datasets": sorted(registry.load().datasets),
            "decisions": decisions,
            "connections": connections,
            "files": len({dag.fileloc for dag in bag.dags.values()}),
            "versions": versions(parse() for _ in range(int(os.environ.get("FACTS_PARSES", "0")))),
        }
    )
)
