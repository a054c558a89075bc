"""That an incremental run leaves the state of a full one."""

from __future__ import annotations

import duckdb

from bench.states import open_findings, scores, written
from motlan import pipeline
from motlan.lake.iceberg import read_parquet
from motlan.workspace import open_workspace


def assert_as_full(run: str, entity: str = "person", *, where: str = "") -> None:
    """Assert that a full reconcile after a published run of the same inputs changes nothing, and scores alike.

    Args:
        run: The run that was published last.
        entity: The linked entity.
        where: What led there, for the message.
    """
    work = open_workspace()
    open_before, counted = open_findings(work), scores(work, run)
    full = pipeline.reconcile(entity, full=True)
    added = written(work, full["run"], entity)
    shown = {name: duckdb.sql(f"from {read_parquet(files)} limit 3").fetchall() for name, files in added.items()}
    assert not shown, f"{where}: {shown}"  # rows of synthetic people, for who looks for the cause
    assert full["link"]["changed"] == 0, where
    diff = full["diff"]
    assert [diff[name] for name in ("versions", "changes", "corrections", "findings")] == [0, 0, 0, 0], where
    assert {name: beside["versions"] for name, beside in diff["related_entities"].items() if beside["versions"]} == {}
    pipeline.publish(full["run"])
    again = scores(work, full["run"])
    for name, rows in counted.items():
        assert set(again[name]) - set(rows) == set() == set(rows) - set(again[name]), f"{where}: {name}"
    assert open_findings(work) == open_before, where
