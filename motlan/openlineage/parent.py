"""What began a run: the run of a scheduler that this process is a task of.

`OPENLINEAGE_PARENT_ID` (`namespace/job/run id`), which OpenLineage's own integrations hand to what they start, comes first. Else
it is the DAG run that Airflow's variables of a task name (`AIRFLOW_CTX_...`), under the id that Airflow's own provider of
OpenLineage gives it.
"""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from uuid import UUID

from openlineage.client.uuid import generate_static_uuid

_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:\+\d{2}:\d{2})?")


def find_parent() -> dict[str, str]:
    """Return `namespace`, `job` and `run` of what began this process, and `nominal`, when it was due; nothing where none did."""
    if found := _named(os.environ.get("OPENLINEAGE_PARENT_ID", "")):
        return found
    dag, run = (os.environ.get(f"AIRFLOW_CTX_{name}", "") for name in ("DAG_ID", "DAG_RUN_ID"))
    due = _due(os.environ.get("AIRFLOW_CTX_LOGICAL_DATE", ""), run)
    if not dag or due is None:
        return {}
    namespace = (
        os.environ.get("AIRFLOW__OPENLINEAGE__NAMESPACE") or os.environ.get("OPENLINEAGE_NAMESPACE") or "default"
    )
    of_run = generate_static_uuid(due, f"{namespace}.{dag}.0".encode())
    return {"namespace": namespace, "job": dag, "run": str(of_run), "nominal": due.isoformat()}


def _named(told: str) -> dict[str, str]:
    parts = told.rsplit("/", 2)
    try:
        return {"namespace": parts[0], "job": parts[1], "run": str(UUID(parts[2]))}
    except (IndexError, ValueError):
        return {}


def _due(logical: str, run: str) -> datetime | None:
    """Return when a DAG run was due: its logical date, or where it has none the moment in its id."""
    found = _MOMENT.search(logical) or _MOMENT.search(run)
    try:
        moment = datetime.fromisoformat(found[0]) if found else None
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment and moment.tzinfo is None else moment
