"""Metadata of long ago go, rows stay."""

import os
import threading
import time

import pytest

from motlan import pipeline
from motlan.ledger import holds
from motlan.lineage.evidence import gather
from motlan.lineage.replay import replay
from motlan.lineage.sample import sample
from tests.conftest import Country
from tests.motlan.backup.test_backup import change, published_twice


def test_old_metadata_go_and_everything_is_read_and_written_as_before(country: Country) -> None:
    country.after(published_twice)
    lake = country.home / "var" / "lake"
    metadata = sorted(lake.rglob("metadata/*"))
    assert pipeline.expire(days=7) == {"snapshots": 0, "files": 0, "bytes": 0, "busy": 0}
    for path in metadata:
        os.utime(path, times=(time.time() - 10**6,) * 2)
    rows = sorted(lake.rglob("*.parquet"))
    done = pipeline.expire(days=0)
    left = sorted(lake.rglob("metadata/*"))
    assert done["snapshots"] and done["busy"] == 0
    assert done["files"] == len(set(metadata) - set(left)) > len(metadata) / 2
    assert sorted(lake.rglob("*.parquet")) == rows
    change(3)
    work = country.open()
    fields = sample(work, "person", 1000, seed=1)
    assert (
        replay(work, gather(work, "person", sorted({person for person, _ in fields})), fields).equal
        == len(fields)
        == 30
    )
    assert pipeline.reconcile(full=True)["diff"]["changes"] == 0


@pytest.mark.quick
def test_what_a_run_writes_now_is_left_for_the_next_time(country: Country) -> None:
    pipeline.sync("alpha_people")
    work = country.open()
    done: list[int] = []
    with holds.hold(work.store, holds.lock_of("sync", "alpha_people")):
        other = threading.Thread(target=lambda: done.append(pipeline.expire(days=0)["busy"]))
        other.start()
        other.join()
    assert done[0] == len(list((country.home / "var" / "lake").glob("*/alpha_people/metadata")))
