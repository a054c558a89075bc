"""A pull of everything, or from a cursor on, in place of the watermark; and a look at what would be pulled."""

from __future__ import annotations

import pytest

from motlan import pipeline
from motlan.errors import ConfigurationError
from tests.conftest import SPINE, Country, spine_record

EARLY, LATE = "2026-08-01T00:00:00.000000Z", "2026-09-01T00:00:00.000000Z"


@pytest.fixture
def synced(country: Country) -> Country:
    """Half of the people changed early, and all were pulled."""
    country.write("alpha_people", [spine_record(row, EARLY if at % 2 else LATE) for at, row in enumerate(SPINE)])
    pipeline.sync("alpha_people")
    return country


def pulled(**asked: object) -> tuple[int, int]:
    land = pipeline.sync("alpha_people", **asked)["land"]  # type: ignore[arg-type]
    return land["pulled"], land["landed"]


def test_everything_is_pulled_and_what_landed_before_lands_once(synced: Country) -> None:
    late = (len(SPINE) + 1) // 2
    assert pulled() == (late, 0)
    assert pulled(full=True) == (len(SPINE), 0)
    assert pulled(since=EARLY) == (len(SPINE), 0)
    assert pulled(since="2026-08-15T00:00:00Z") == (late, 0)


def test_what_a_source_changed_without_a_newer_cursor_comes_with_a_pull_of_everything(synced: Country) -> None:
    changed = [spine_record(row, EARLY if at % 2 else LATE) for at, row in enumerate(SPINE)]
    changed[1]["name"] = "Lê Thị Mới"
    synced.write("alpha_people", changed)
    assert pulled()[1] == 0
    assert pulled(full=True)[1] == 1


def test_a_cursor_that_is_none_begins_no_run(synced: Country) -> None:
    with pytest.raises(ConfigurationError, match="no cursor of the type moment"):
        pipeline.begin_sync("alpha_people", since="yesterday")
    assert pulled() == ((len(SPINE) + 1) // 2, 0), "nothing is under way"


def test_a_preview_lands_nothing(synced: Country) -> None:
    found = pipeline.preview("alpha_people", since=EARLY)
    assert (found["source_rows"], found["source_total"]) == (len(SPINE), len(SPINE))
    assert pipeline.preview("alpha_people")["source_rows"] == (len(SPINE) + 1) // 2
    assert pipeline.preview("alpha_people", full=True)["different"] == 0


def test_nothing_is_reconciled_before_the_first_sync_of_what_is_required(country: Country) -> None:
    country.declare("adapters/agencies.yaml", lambda said: said["agencies"]["beta"].update(capacity=3))
    country.declare(
        "adapters/agencies.yaml", lambda said: said["agencies"]["beta"]["datasets"]["beta_cards"].update(required=True)
    )
    pipeline.sync("alpha_people")
    assert pipeline.unsynced() == {"datasets": ["beta_cards"]}
    for begin in (pipeline.begin_reconcile, pipeline.reconcile):
        with pytest.raises(ConfigurationError, match="beta_cards had no sync yet"):
            begin()
    assert pipeline.reconcile(incomplete=True)["link"]["rows"] == len(SPINE)
    assert pipeline.unread() == {"run": None}
    synced = pipeline.sync("beta_cards")["run"]
    assert pipeline.unsynced() == {"datasets": []}
    assert pipeline.unread() == {"run": synced}, "a person made it, and no reconcile run read it"
    pipeline.reconcile()
    assert pipeline.unread() == {"run": None}
