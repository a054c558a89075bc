"""Schema drift: what a source changes without a word is told, and the dataset's contract says what happens."""

import json
from typing import Any

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from motlan import pipeline
from motlan.cli.main import app
from motlan.config.registry import load
from motlan.errors import ConfigurationError, ContractError
from motlan.ingest.drift import Drift, Profile, compare, described, profile
from motlan.quarantine import decisions, listing
from motlan.quarantine.listing import Wanted
from motlan.status import status
from tests.conftest import Country, card_record
from tests.motlan.test_pipeline import rows

CARD = "beta_cards"


def declare(country: Country, **change: Any) -> None:
    country.declare(
        "adapters/agencies.yaml", lambda content: content["agencies"]["beta"]["datasets"][CARD].update(change)
    )


def cards(day: int, number: int = 30, **other: Any) -> list[dict[str, str | None]]:
    made = []
    for at in range(number):
        row = (f"k{at}", f"0010900{at:05d}", "Nguyễn Văn An", "03/02/1990", "male", f"GD40100000{at:05d}")
        made.append(card_record(row, f"2026-09-{day:02d}T00:00:00.000000Z") | other)
    return made


def without(records: list[dict[str, str | None]], column: str) -> list[dict[str, str | None]]:
    return [record | {column: None} for record in records]


def drift_of(country: Country) -> dict[str, Any]:
    return status(country.open())["datasets"][CARD]["drift"]


def test_a_run_as_declared_has_no_drift(country: Country) -> None:
    pipeline.sync(CARD)
    assert drift_of(country) == {"added": [], "missing": [], "retyped": {}, "chunks": []}


@pytest.mark.slow
def test_under_evolve_a_change_lands_and_is_told_once_as_a_diff(country: Country) -> None:
    country.write(CARD, cards(1))
    pipeline.sync(CARD)
    country.write(CARD, without(cards(2, born="19900203", phone="0900"), "card"))
    done = pipeline.sync(CARD)
    assert (done["clean"]["accepted"], done["commit"]["state"]) == (30, "visible")
    assert described(drift_of(country)) == "+phone, -card, ~born: year last date -> whole number"
    assert "columns changed: +phone" in " ".join(CliRunner().invoke(app, ["status"]).output.split())
    country.write(CARD, without(cards(3, born="19900203"), "card"))
    pipeline.sync(CARD)
    assert described(drift_of(country)) == ""


@pytest.mark.slow
def test_under_freeze_a_change_stops_the_run_before_anything_is_seen(country: Country) -> None:
    declare(country, contract="freeze")
    country.write(CARD, cards(1))
    pipeline.sync(CARD)
    before = rows(country, "select count(*) from log_entries")
    country.write(CARD, cards(2, phone="0900123456"))
    with pytest.raises(ContractError, match=r"\+phone") as caught:
        pipeline.sync(CARD)
    assert "0900123456" not in str(caught.value)
    assert rows(country, "select count(*) from log_entries") == before
    assert rows(country, "select state from runs order by id desc limit 1") == [("failed",)]
    country.write(CARD, cards(2))
    assert pipeline.sync(CARD)["land"]["landed"] == 30


@pytest.mark.slow
def test_under_quarantine_the_rows_of_a_drifted_chunk_wait_until_it_is_declared(country: Country) -> None:
    declare(country, contract="quarantine")
    country.write(CARD, cards(1))
    pipeline.sync(CARD)
    country.write(CARD, cards(2, phone="0900"))
    done = pipeline.sync(CARD)
    assert (done["clean"]["accepted"], done["clean"]["quarantined"]) == (0, 30)
    found = listing.counts(country.open(), Wanted(CARD))
    assert found == [{"dataset": CARD, "rule": "schema_drift", "state": "open", "entries": 30, "times_seen": 30}]
    assert pipeline.replay(CARD)["commit"]["refused"] == 30, "nobody declared the column"
    pipeline.sync("alpha_people")
    pipeline.reconcile()
    assert pipeline.publish()["number"] == 1, "the other rows go on"
    columns = load(country.home).dataset(CARD).columns
    declare(country, columns={**columns, "phone": "phone"})
    assert pipeline.replay(CARD)["commit"]["replayed"] == 30


@pytest.mark.slow
def test_rows_of_a_drifted_chunk_can_be_waived_together(country: Country, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTLAN_LANDED_CHUNK_ROWS", "25")
    declare(country, contract="quarantine", page_rows=25)
    country.write(CARD, cards(1, 25) + [record | {"id": f"j{record['id']}"} for record in cards(2, 25, phone="0900")])
    done = pipeline.sync(CARD)
    assert (done["clean"]["accepted"], done["clean"]["quarantined"]) == (25, 25), "the other chunk is as declared"
    assert decisions.waive_all(country.open(), CARD, "schema_drift", "user:test", "harmless") == 25
    assert pipeline.replay(CARD)["clean"]["accepted"] == 25


def test_a_contract_that_nobody_knows_is_refused(country_files: Country) -> None:
    declare(country_files, contract="strict")
    with pytest.raises(ConfigurationError, match="contract"):
        load(country_files.home)


def profiled(rows_: int, columns: dict[str, str | None]) -> Profile:
    table = pa.table({name: pa.array([value] * rows_, pa.string()) for name, value in columns.items()})
    return profile(table, columns)


def test_few_rows_prove_nothing_and_mixed_columns_have_no_type(country_files: Country) -> None:
    dataset = load(country_files.home).dataset(CARD)
    full = dict.fromkeys(dataset.columns, "1")
    before = profiled(1000, full)
    few, many = profiled(5, full | {"card": None}), profiled(30, full | {"card": None, "born": "a"})
    assert not compare(dataset, set(full), few, before)
    assert compare(dataset, set(full), many, before) == Drift(missing={"card"})
    assert compare(dataset, set(full) - {"card"}, few, Profile()).missing == {"card"}


def test_a_name_that_could_be_a_value_is_not_told() -> None:
    counts = Drift(added={"001090000001", "so_dien_thoai"}).counts()
    assert counts["added"] == ["(a name too odd to tell)", "so_dien_thoai"]
    assert "001090000001" not in json.dumps(counts)
