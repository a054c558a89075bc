"""A bad delivery is taken back as a new change, and nothing of it is lost."""

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from motlan import pipeline
from motlan.cli.main import app
from motlan.errors import ConfigurationError, ContractError
from motlan.ledger import runs
from motlan.lineage.evidence import gather
from motlan.lineage.replay import replay
from tests.conftest import CARDS, SPINE, Country, card_record, spine_record
from tests.motlan.test_pipeline import rows, whole_job

ME = "uid:7"
LATER = "2026-09-15T00:00:00.000000Z"
WHY = "the drop held a test's records"
GOLDEN = """select person_id, personal_id, full_name, birth_date, sex, death_date, health_card_number from golden_person
    order by personal_id, full_name"""
BAD = [
    ("a3", "001080000003", "Lê Văn Hùng", "1980-07-08", "male", "2026-09-01"),  # another name
    ("a4", "001070000009", "Phạm Văn Dũng", "1970", "male", None),  # another number
    ("a6", "001301000006", "Ai Đó", "2001-01-01", "female", None),  # a record that nobody else brings
]


def deliver_bad(country: Country) -> str:
    mended = {row[0]: spine_record(row, LATER) for row in BAD}
    country.write("alpha_people", [*(spine_record(row) for row in SPINE if row[0] not in mended), *mended.values()])
    return str(pipeline.sync("alpha_people")["run"])


def take_in() -> dict[str, Any]:
    reconciled = pipeline.reconcile()
    published = pipeline.publish()
    pipeline.project(published["run"])
    return {"link": reconciled["link"], **published}


@pytest.mark.quick
def test_golden_values_are_those_of_before_the_bad_delivery(country: Country, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTLAN_CHANGED_PERCENT", "1000")
    country.declare("mapping/matching.yaml", lambda told: told["person"].update(min_training_pairs=1))
    country.after(whole_job)
    before = rows(country, GOLDEN)
    bad = deliver_bad(country)
    take_in()
    assert rows(country, GOLDEN) != before
    found = pipeline.forecast_retract(bad)
    assert [found[name] for name in ("rows", "restored", "ended", "returned", "unmoved")] == [3, 2, 1, 0, 0]
    done = pipeline.retract(bad, ME, WHY)
    assert (done["land"]["landed"], done["commit"]["retracted"]) == (0, bad)
    again = take_in()
    assert again["link"]["why"] == "", "what turned alone is linked anew"
    assert rows(country, GOLDEN) == before
    events = {
        event for (event,) in rows(country, f"select event from feed_person where publication = {again['number']}")
    }
    assert "updated" in events and events & {"removed", "merged"}, "the reversal is a change like any other"
    pipeline.reconcile(full=True)
    assert pipeline.publish()["number"] is None, "doing everything anew comes to the same"
    work = country.open()
    persons = [str(row[0]) for row in rows(country, "select person_id from golden_person")]
    verdict = replay(work, gather(work, "person", persons), [(one, "full_name") for one in persons])
    assert (verdict.checked, verdict.equal) == (len(persons), len(persons)), verdict.reasons


def test_nothing_is_lost_and_the_log_says_who_why_and_when(country: Country) -> None:
    country.after(whole_job)
    bad = deliver_bad(country)
    done = pipeline.retract(bad, ME, WHY)
    assert rows(country, f"select state from runs where id = '{bad}'") == [(runs.RETRACTED,)]
    work = country.open()
    assert work.lake.files("raw.alpha_people", {bad}), "its rows stay"
    ((body, at),) = rows(country, "select body, recorded_at from log_entries where kind = 'retraction'")
    assert at is not None
    assert (body["run"], body["retracted"], body["principal"], body["reason"]) == (done["run"], bad, ME, WHY)
    assert rows(country, "select count(*) from log_entries where kind = 'landing'") == [(3,)], "and so do its entries"


def test_a_run_is_taken_back_once(country: Country) -> None:
    country.after(whole_job)
    bad = deliver_bad(country)
    own = pipeline.retract(bad, ME, WHY)["run"]
    with pytest.raises(ConfigurationError, match=f"this run was taken back before, by run {own}"):
        pipeline.retract(bad, ME, WHY)
    with pytest.raises(ConfigurationError, match="this run takes another one back"):
        pipeline.retract(own, ME, WHY)
    with pytest.raises(ConfigurationError, match="is a reconcile run"):
        pipeline.retract(rows(country, "select max(id) from runs where kind = 'reconcile'")[0][0], ME, WHY)


def test_the_mended_rows_come_and_the_same_rows_land_as_new(country: Country) -> None:
    country.after(whole_job)
    before = rows(country, "select cursor from watermarks where dataset = 'alpha_people'")
    bad = deliver_bad(country)
    assert rows(country, "select cursor from watermarks where dataset = 'alpha_people'") != before
    pipeline.retract(bad, ME, WHY)
    assert rows(country, "select cursor from watermarks where dataset = 'alpha_people'") == before
    assert pipeline.sync("alpha_people")["land"]["landed"] == 3, "what the source still sends lands as new"


def test_what_waits_for_release_is_closed_and_never_published(country: Country) -> None:
    country.after(whole_job)
    bad = deliver_bad(country)
    waits = pipeline.reconcile()["run"]
    assert pipeline.forecast_retract(bad)["closed"] == [waits]
    pipeline.retract(bad, ME, WHY)
    assert rows(country, f"select state from runs where id = '{waits}'") == [(runs.ABORTED,)]
    with pytest.raises(ContractError, match="this run is over"):
        pipeline.publish(waits)
    pipeline.reconcile()
    assert pipeline.publish()["number"] is None, "it was never published, so nothing is reversed"


def test_rows_that_it_quarantined_wait_no_longer_and_those_that_it_mended_wait_again(country: Country) -> None:
    country.after(whole_job)
    entries = "select source_key, state, closed_as from quarantine_entries order by source_key"
    assert rows(country, entries) == [("b6", "open", None)]
    named = card_record(("b6", "001190000005", "Hoàng Thị Hòa", "12/11/1990", "female", "GD4010000000006"), LATER)
    nameless = card_record(("b7", "001090000001", None, "03/02/1990", "male", "GD4010000000007"), LATER)
    country.write("beta_cards", [*(card_record(row) for row in CARDS if row[0] != "b6"), named, nameless])
    bad = pipeline.sync("beta_cards")["run"]
    assert rows(country, entries) == [("b6", "closed", "corrected"), ("b7", "open", None)]
    pipeline.retract(bad, ME, WHY)
    assert rows(country, entries) == [("b6", "open", None), ("b7", "closed", "retracted")]


def test_a_run_whose_rows_were_landed_again_goes_after_that_one(country: Country) -> None:
    country.after(whole_job)
    bad = deliver_bad(country)
    country.declare("mapping/alpha.yaml", lambda y: y["alpha_people"]["fields"].update(full_name="upper(name)"))
    again = pipeline.reclean("alpha_people")["run"]
    with pytest.raises(ContractError, match=f"run {again} landed rows of it again"):
        pipeline.retract(bad, ME, WHY)
    pipeline.retract(again, ME, WHY)
    pipeline.retract(bad, ME, WHY)


def test_the_command_shows_a_plan_and_asks(country: Country) -> None:
    country.after(whole_job)
    bad = deliver_bad(country)
    plan = CliRunner().invoke(app, ["retract", bad, "--dry-run"])
    assert plan.exit_code == 0
    assert "2 records are again what they were, 1 that it alone brought are gone" in " ".join(plan.output.split())
    unsaid = CliRunner().invoke(app, ["retract", bad, "--reason", WHY, "--json"])
    assert (unsaid.exit_code, "nobody said that it shall be taken back" in unsaid.output) == (1, True)
    numbered = CliRunner().invoke(app, ["retract", bad, "--reason", "see 001080000003", "--yes"])
    assert (numbered.exit_code, "has a number" in numbered.output) == (1, True)
    assert rows(country, f"select state from runs where id = '{bad}'") == [("visible",)]
    done = CliRunner().invoke(app, ["retract", bad, "--reason", WHY, "--yes", "--json"])
    assert json.loads(done.stdout)["commit"]["retracted"] == bad
