"""The peers: Splink alone on the accepted rows of the run, and pydantic row by row on a sample of the landed rows."""

from __future__ import annotations

import shutil
from pathlib import Path

import duckdb

from bench.linking import ENTITY, IDENTITY, link_with_splink
from bench.national.pipeline import Setting
from bench.national.watch import Steps
from bench.pydantic_rules import PydanticRules
from motlan.config.registry import Dataset
from motlan.expressions import literal, one
from motlan.ingest.clean import select_canonical
from motlan.lake.iceberg import read_parquet
from motlan.lake.tables import clean_table, raw_table
from motlan.ledger import runs
from motlan.quality import row_rules
from motlan.workspace import Workspace, open_workspace

PYDANTIC_ROWS = 4_000
"""Rows of each dataset that pydantic is timed on."""


def splink(steps: Steps, setting: Setting, memory_limit: str) -> dict[str, str]:
    """Link the accepted rows by Splink alone; its pairs are left in `peer/splink.parquet`.

    Args:
        steps: Told of the step; reading the rows out of the lake is not a part of it.
        setting: Where.
        memory_limit: Splink's own limit: it needs more than ours.
    """
    setting.enter()
    work, folder = open_workspace(), setting.folder / "peer"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "facts").mkdir(parents=True)
    count = 0
    with duckdb.connect(config={"memory_limit": setting.memory_limit, "threads": setting.threads}) as con:
        for dataset in work.registry.datasets_of(ENTITY):
            if files := _files(work, clean_table(dataset.name), dataset.name):
                query = (
                    f"select {literal(dataset.name)} as dataset, _key, {_fields(dataset)} from {read_parquet(files)}"
                )
                target = folder / "facts" / f"{dataset.name}.parquet"
                con.execute(f"copy ({query}) to {literal(str(target))} (format parquet, compression zstd)")
                count += one(con, f"select count(*) from {read_parquet([str(target)])}")[0]
    with steps.step("link", rows=count):
        link_with_splink(folder, memory_limit, setting.threads)
    shutil.rmtree(folder / "facts")
    return {"memory_limit": memory_limit}


def _fields(dataset: Dataset) -> str:
    return ", ".join(name if name in dataset.fields else f"null::varchar as {name}" for name in IDENTITY)


def _files(work: Workspace, table: str, dataset: str) -> list[str]:
    with work.store.engine.connect() as opened:
        return work.lake.files(table, set(runs.visible(opened, "sync", dataset)))


def pydantic(steps: Steps, setting: Setting) -> dict[str, float]:
    """Time pydantic on a sample of each register.

    Returns:
        `seconds` that it would take for all rows, and `differs`, its answers that are not ours.
    """
    setting.enter()
    work = open_workspace()
    total, differs = 0.0, 0
    with steps.step("check"):
        for dataset in work.registry.datasets.values():
            asked = work.registry.row_rules_of(dataset)
            sample = PydanticRules(dataset, asked)
            with work.engine(f"sampling {dataset.name}") as engine:
                row_rules.show_raw(engine, dataset, _files(work, raw_table(dataset.name), dataset.name)[:1])
                sample.run(engine, row_rules.tag(asked, select_canonical(dataset)), PYDANTIC_ROWS)
            total += sample.seconds / max(sample.rows, 1) * sum(setting.rows(dataset.name))
            differs += sample.differs
    return {"seconds": total, "differs": differs}


def pairs(setting: Setting) -> Path:
    """Return where Splink's pairs are, once it ran."""
    return setting.folder / "peer" / "splink.parquet"
