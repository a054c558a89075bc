"""A source that restores an old backup is noticed, and followed when its owner says that the old state holds."""

from __future__ import annotations

from typing import Any

import pytest

from motlan import pipeline
from motlan.adapter import SourceCount
from motlan.errors import ContractError
from motlan.ingest import watermark_reset
from tests.conftest import SPINE, Country, spine_record
from tests.country.adapter import FileAdapter

DATASET = "alpha_people"
OLD, NEW = "2026-09-01T00:00:00.000000Z", "2026-09-20T00:00:00.000000Z"


def _write(country: Country, *, changed: dict[str, str], without: tuple[str, ...] = ()) -> None:
    """Let the spine hold its records, some of them under another name since a later moment."""
    rows = [(row, NEW if row[0] in changed else OLD) for row in SPINE if row[0] not in without]
    country.write(
        DATASET, [spine_record((*row[:2], changed.get(str(row[0]), row[2]), *row[3:]), moment) for row, moment in rows]
    )


def _sync() -> dict[str, Any]:
    return pipeline.sync(DATASET)


def test_updates_that_a_backup_lost_stop_the_run_until_a_person_resets_the_watermark(country: Country) -> None:
    _write(country, changed={})
    _sync()
    _write(country, changed={"a2": "Trần Thị Bích"})
    assert _sync()["land"]["landed"] == 1
    assert _sync()["land"]["landed"] == 0, "nothing changed: nothing is wrong"
    _write(country, changed={})  # as many records as before, and nothing of the change
    with pytest.raises(ContractError, match="went back: its newest change is of 2026-09-01"):
        _sync()
    with pytest.raises(ContractError, match=f"motlan watermark reset {DATASET}"):
        _sync()
    work = country.open()
    watermark_reset.reset(work.store, work.registry.dataset(DATASET), "user:ann", "its owner says that it holds")
    assert _sync()["land"]["landed"] == 1, "the record is again as it was"
    assert _sync()["land"]["landed"] == 0


def test_a_newest_record_that_was_deleted_is_no_backup_and_is_looked_for_once(
    country: Country, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(country, changed={})
    _sync()
    _write(country, changed={"a2": "Trần Thị Bích"})
    _sync()
    _write(country, changed={}, without=("a2",))
    assert _sync()["land"]["gone"] == 1
    pulled, pull = list[Any](), FileAdapter.pull
    monkeypatch.setattr(FileAdapter, "pull", lambda adapter, since: pulled.append(since) or pull(adapter, since))
    assert _sync()["land"]["landed"] == 0
    assert len(pulled) == 1 and pulled[0] is not None


def test_a_moment_of_the_source_that_goes_back_stops_the_run(country: Country, monkeypatch: pytest.MonkeyPatch) -> None:
    as_of = {"now": "2026-10-05T00:00:00.000000Z"}

    def count(self: Any, since: Any) -> SourceCount:
        return SourceCount(len(self._since(since)), len(self._records()), as_of["now"])

    monkeypatch.setattr("tests.country.adapter.FileAdapter.count", count)
    _write(country, changed={})
    _sync()
    as_of["now"] = "2026-10-04T23:58:00.000000Z"
    _sync()  # clocks may differ by as much
    as_of["now"] = "2026-10-01T00:00:00.000000Z"
    with pytest.raises(ContractError, match="as of 2026-10-01T00:00:00"):
        _sync()
