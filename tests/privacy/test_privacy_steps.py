"""Runs that are made to fail in every step, by every library, say nothing of the people in them."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from motlan import pipeline
from motlan.errors import MotlanError
from motlan.quarantine import export
from motlan.quarantine.listing import Wanted
from motlan.store import tables
from motlan.store.session import Store
from tests.conftest import Country
from tests.privacy.faults import FAULTS
from tests.privacy.leaks import Known, shown

BOUNDARIES = {
    "land": "tests.country.adapter.FileAdapter.pull",
    "clean": "motlan.quality.row_rules.check_chunk",
    "commit_sync": "motlan.ingest.watermark.move",
    "begin_reconcile": "motlan.publication.publish.last_number",
    "link": "motlan.workspace.Workspace.facts",
    "merge": "motlan.merge.merge.write_ranges",
    "cross_check": "motlan.quality.cross_register.write_ranges",
    "diff": "motlan.lake.iceberg.Lake.commit",
    "publish": "motlan.ledger.log.append",
    "project": "motlan.projection.load.ensure_tables",
    "replay": "motlan.quarantine.replay.land",
}
"""Step -> what it calls on its way: there the library fails."""


def faults_of(step: str) -> list[str]:
    """Deal the faults out to the steps, so that each step and each library has its turn: all pairs would take a minute."""
    return list(FAULTS)[list(BOUNDARIES).index(step) :: len(BOUNDARIES)]


class Failing:
    """Makes a step fail by some libraries in turn, and keeps all that is said of it."""

    def __init__(self, store: Store, folder: Path, value: str) -> None:
        self._fault_of = (store, folder, value)
        self.told: dict[tuple[str, str], str] = {}

    def fail(self, step: str, call: Callable[[], Any], run: str | None = None) -> None:
        for name in faults_of(step):
            fault = FAULTS[name]
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(BOUNDARIES[step], lambda *_, fault=fault, **__: fault(*self._fault_of))
                with pytest.raises(MotlanError) as caught:
                    call()
            if run:
                pipeline.fail(run, caught.value)  # as the scheduler's listener does
            self.told[step, name] = shown(caught.value)

    def step(self, name: str, run: str) -> Any:
        """Let a step fail, then let it be tried again and succeed."""
        call = getattr(pipeline, name)
        self.fail(name, lambda: call(run), run)
        return call(run)


def test_no_step_that_fails_tells_of_a_person(
    crowd: Country,
    store: Store,
    server_log: Path,
    tmp_path: Path,
    somebody: str,
    known: Known,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    failing = Failing(store, tmp_path, somebody)
    for dataset in ("alpha_people", "beta_cards"):
        run = pipeline.begin_sync(dataset)["run"]
        for step in ("land", "clean", "commit_sync"):
            done = failing.step(step, run) if dataset == "beta_cards" else getattr(pipeline, step)(run)
    assert done["state"] == "visible"
    failing.fail("begin_reconcile", pipeline.begin_reconcile)
    run = pipeline.begin_reconcile()["run"]
    for step in ("link", "merge", "cross_check", "diff", "publish", "project"):
        done = failing.step(step, run)
    assert done["publications"] == 1
    failing.fail("replay", lambda: pipeline.replay("beta_cards"))

    work = crowd.open()
    assert export.export(work, Wanted(dataset="beta_cards"), "csv", tmp_path / "held.csv", "user:test") == 24
    assert known.leaked((tmp_path / "held.csv").read_text()), "the rows are full of values"
    with work.store.engine.connect() as connection:
        runs = connection.execute(sa.select(tables.runs.c.steps, tables.runs.c.error)).all()
    assert {step for step, _ in failing.told} == set(BOUNDARIES)
    assert {name for _, name in failing.told} == set(FAULTS)
    assert not {place for place, text in failing.told.items() if known.leaked(text)}
    assert not known.leaked(str(runs))
    assert caplog.records
    assert not known.leaked(caplog.text)
    assert not known.leaked(*capfd.readouterr())
    logs = [server_log, *tmp_path.rglob("*.log")]
    assert not known.leaked(*(path.read_text(errors="replace") for path in logs))
