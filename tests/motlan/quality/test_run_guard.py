"""The circuit breaker: a run that is surely too bad is stopped, and nothing of it is seen."""

import pytest

from motlan import pipeline
from motlan.errors import ContractError
from motlan.ledger import runs
from motlan.quality.run_guard import least_share
from motlan.status import status
from tests.conftest import Country, card_record


def cards(number: int, nameless: int, updated: str) -> list[dict[str, str | None]]:
    return [
        card_record((f"c{place}", None, None if place < nameless else "Lê Văn An", "01/02/1990", "male", None), updated)
        for place in range(number)
    ]


def limit(country: Country, text: str) -> None:
    (country.home / "mapping" / "scoring.yaml").write_text(text, encoding="utf-8")


def test_a_share_of_few_rows_says_little() -> None:
    assert least_share(2, 6) < 0.1 < least_share(200, 600)
    assert least_share(0, 50) == 0


def test_a_run_with_too_many_blocked_rows_is_stopped_with_a_report(country: Country) -> None:
    country.write("beta_cards", cards(300, 90, "2026-10-01T00:00:00.000000Z"))
    with pytest.raises(ContractError, match="90 of 300") as caught:
        pipeline.sync("beta_cards")
    assert "Lê" not in str(caught.value)
    work = country.open()
    found = status(work)["datasets"]["beta_cards"]
    assert found["state"] == "failed"
    assert "90 of 300 rows are blocked" in found["error"]
    report = found["breaker"]
    assert (report["rows"], report["blocked"], report["share_before"]) == (300, 90, None)
    assert report["rules"] == {"has_a_name": 90}
    with work.store.engine.connect() as connection:
        assert runs.visible(connection, "sync", "beta_cards") == []
    assert found["watermark"] is None, "the next run pulls the same rows again"
    limit(country, "datasets: {beta_cards: {blocking_share: 0.5}}")
    assert pipeline.sync("beta_cards")["clean"]["quarantined"] == 90, "a dataset may have a limit of its own"


def test_a_run_much_worse_than_the_last_ones_is_stopped(country: Country) -> None:
    limit(country, "breaker: {minimum_rows: 100, blocking_share: 0.9, rise: 0.1}")
    country.write("beta_cards", cards(200, 4, "2026-10-01T00:00:00.000000Z"))
    assert pipeline.sync("beta_cards")["commit"]["state"] == "visible"
    country.write("beta_cards", cards(200, 60, "2026-10-02T00:00:00.000000Z"))
    with pytest.raises(ContractError, match="more than in the last runs"):
        pipeline.sync("beta_cards")
    report = status(country.open())["datasets"]["beta_cards"]["breaker"]
    assert (report["share"], report["share_before"]) == (0.3, 0.02)


def test_a_small_run_never_trips_it(country: Country) -> None:
    country.write("beta_cards", cards(20, 19, "2026-10-01T00:00:00.000000Z"))
    assert pipeline.sync("beta_cards")["commit"]["state"] == "visible"
