"""Records that a register no longer has: noticed by its own count, whatever else changed, and not where too many are gone."""

from pathlib import Path
from typing import Any

import pytest

from motlan import pipeline
from motlan.errors import ContractError
from motlan.ingest import watermark_reset
from tests.conftest import SPINE, Country, spine_record
from tests.motlan.test_pipeline import LATER, rows

NEW = ("a6", "001199000006", "Đỗ Thị Sen", "1999-01-02", "female", None)


def sync() -> dict[str, Any]:
    landed: dict[str, Any] = pipeline.sync("alpha_people")["land"]
    return landed


def current(country: Country) -> set[str]:
    work = country.open()
    with work.store.engine.connect() as connection:
        found = connection.exec_driver_sql("select id from runs where kind = 'sync' and state = 'visible'")
        inputs = {"alpha_people": [run for (run,) in found]}
    with work.engine("looking") as engine:
        return {key for (key,) in engine.execute(f"select _key from {work.facts('person', inputs)}").fetchall()}


def test_a_record_that_goes_while_another_comes_is_noticed_and_comes_back(country: Country) -> None:
    assert "gone" not in sync(), "there was nothing that could be gone"
    country.write("alpha_people", [*map(spine_record, SPINE[1:]), spine_record(NEW, LATER)])
    landed = sync()
    assert (landed["landed"], landed["gone"], landed["surplus"]) == (1, 1, 0)
    assert current(country) == {"a2", "a3", "a4", "a5", "a6"}
    assert "gone" not in sync(), "everything is pulled but once"
    country.write("alpha_people", [*map(spine_record, SPINE), spine_record(NEW, LATER)])
    assert sync()["landed"] == 1, "as it was, and yet it lands again"
    assert current(country) == {"a1", "a2", "a3", "a4", "a5", "a6"}
    country.write("alpha_people", [spine_record(row) for row in SPINE])
    assert sync()["gone"] == 1
    assert rows(country, "select count(*) from log_entries where kind = 'records gone'") == [(2,)]


def test_a_pull_of_everything_after_a_reset_tells_what_is_gone(
    country: Country, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync()
    country.write("alpha_people", [spine_record(row) for row in SPINE[1:]])
    work = country.open()
    watermark_reset.reset(work.store, work.registry.dataset("alpha_people"), "person:ann", "the office tidied up")
    assert sync()["gone"] == 1


@pytest.mark.parametrize("what", ["kept", "too many"])
def test_what_is_gone_stays_where_it_is_declared_and_too_much_at_once_stops_the_run(
    country: Country, what: str
) -> None:
    def keep(content: Any) -> None:
        content["agencies"]["alpha"]["datasets"]["alpha_people"]["absent"] = "kept"

    if what == "kept":
        country.declare("adapters/agencies.yaml", keep)
    else:
        limits = "breaker: {minimum_rows: 5, gone_share: 0.3}\n"
        Path(country.home / "mapping" / "scoring.yaml").write_text(limits, encoding="utf-8")
    sync()
    country.write("alpha_people", [spine_record(row) for row in SPINE[2:]])
    if what == "kept":
        assert "gone" not in sync()
        return
    with pytest.raises(ContractError, match="2 of 5 records are gone at once"):
        sync()
    assert len(current(country)) == 5, "nothing of the run is seen"


def test_a_source_that_contradicts_its_own_count_deletes_nobody(
    country: Country, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.sync("alpha_people")
    monkeypatch.setattr("tests.country.adapter.FileAdapter._since", lambda *_: [])
    with pytest.raises(ContractError, match="counts 5 records, and 0 where it is asked for everything"):
        pipeline.sync("alpha_people")
