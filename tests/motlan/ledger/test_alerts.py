"""One alert a cause: what fails for the same reason is counted, and told again after a day or when it began anew."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from motlan import pipeline
from motlan.errors import MotlanError
from motlan.store import tables
from tests.conftest import SPINE, Country, spine_record


def fail_sync(country: Country, dataset: str, how: str) -> dict[str, object] | None:
    country.write(dataset, how)
    with pytest.raises(MotlanError):
        pipeline.sync(dataset)
    found: dict[str, object] | None = pipeline.raise_alert("sync", dataset)["alert"]
    return found


def test_a_cause_is_told_once_until_it_is_over(country: Country) -> None:
    first = fail_sync(country, "alpha_people", "down")
    assert first
    assert (first["cause"], first["times"], first["runbook"]) == ("TransientError of alpha", 1, "agency-down")
    assert fail_sync(country, "alpha_people", "down") is None, "people know of it"
    other = fail_sync(country, "alpha_people", "broken")
    assert other and other["cause"] == "ContractError of sync alpha_people"
    country.write("alpha_people", [spine_record(row) for row in SPINE])
    pipeline.sync("alpha_people")
    again = fail_sync(country, "alpha_people", "down")
    assert again and again["times"] == 1, "it had ended, and began anew"


def test_what_goes_on_for_a_day_is_told_once_more(country: Country) -> None:
    assert fail_sync(country, "beta_cards", "down")
    with country.open().store.engine.begin() as connection:
        alerts = tables.alerts
        connection.execute(sa.update(alerts).values(told_at=alerts.c.told_at - sa.text("interval '25 hours'")))
    again = fail_sync(country, "beta_cards", "down")
    assert again and again["times"] == 2
