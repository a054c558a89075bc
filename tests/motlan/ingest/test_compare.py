"""A source is compared with what is held of it: silent drift is counted, and what is to come anyway is none."""

from __future__ import annotations

import json
from typing import Any

from typer.testing import CliRunner

from motlan import pipeline
from motlan.cli.main import app
from tests.conftest import SPINE, Country, spine_record
from tests.motlan.test_pipeline import rows

DATASET = "alpha_people"
LATER = "2026-09-20T00:00:00.000000Z"


def _compare(*extra: str) -> tuple[int, dict[str, Any]]:
    done = CliRunner().invoke(app, ["compare", DATASET, "--json", *extra])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    found = json.loads(done.stdout)
    assert "error" not in found, found
    return done.exit_code, found


def _named(row: tuple[str | None, ...], name: str) -> tuple[str | None, ...]:
    return (*row[:2], name, *row[3:])


def test_a_register_that_agrees_has_no_drift_and_nothing_is_landed(country: Country) -> None:
    pipeline.sync(DATASET)
    before = rows(country, "select count(*) from runs")
    code, found = _compare()
    assert (code, found["there"], found["here"], found["same"], found["drift"]) == (0, 5, 5, 5, 0.0)
    assert rows(country, "select count(*) from runs") == before


def test_silent_drift_is_counted_and_a_reset_mends_it(country: Country) -> None:
    pipeline.sync(DATASET)
    silent = [
        _named(SPINE[0], "Nguyễn Văn Ánh"),
        *SPINE[1:4],
        ("a6", *SPINE[4][1:]),
    ]  # one named anew, one gone, one new
    news = spine_record(_named(SPINE[1], "Trần Thị Bích"), LATER)  # said as it should be
    records = [spine_record(row) for row in silent if row[0] != "a2"]
    country.write(DATASET, [*records, news])
    code, found = _compare()
    counts = [found[name] for name in ("different", "missing_here", "missing_there", "not_pulled_yet", "same")]
    assert (code, counts) == (1, [1, 1, 1, 1, 2])
    assert found["drift"] == 0.5
    reset = CliRunner().invoke(app, ["watermark", "reset", DATASET, "--reason", "it drifted"])
    assert reset.exit_code == 0
    pipeline.sync(DATASET)
    code, found = _compare()
    assert (code, found["drift"], found["there"], found["here"]) == (0, 0.0, 5, 5)


def test_nothing_landed_yet_is_all_to_come(country: Country) -> None:
    code, found = _compare()
    assert (code, found["there"], found["here"], found["not_pulled_yet"], found["drift"]) == (0, 5, 0, 5, 0.0)


def test_a_source_that_says_no_moments_is_compared_in_full_by_every_sync(country: Country) -> None:
    """A register without `updated_at`: each sync pulls everything, unchanged rows land nothing, changes and deletes are seen."""
    silent = [spine_record(row) | {"updated": None} for row in SPINE]
    country.write(DATASET, silent)
    assert pipeline.sync(DATASET)["land"]["landed"] == 5
    done = pipeline.sync(DATASET)
    assert (done["land"]["pulled"], done["land"]["landed"], done["commit"]["state"]) == (5, 0, "unchanged")
    country.write(DATASET, [spine_record(_named(SPINE[0], "Nguyễn Văn Ánh")) | {"updated": None}, *silent[2:]])
    land = pipeline.sync(DATASET)["land"]
    assert (land["landed"], land["gone"]) == (1, 1)
    assert _compare()[1]["drift"] == 0.0
