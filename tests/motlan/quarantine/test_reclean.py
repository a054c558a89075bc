"""Reclean: what is landed, under a changed mapping, comes to what landing it anew would."""

import os
import shutil
from datetime import UTC, datetime
from typing import Any

import pytest
from typer.testing import CliRunner

from motlan import pipeline
from motlan.cli.main import app
from motlan.errors import ContractError
from motlan.ledger import control, runs
from motlan.lineage.evidence import gather
from motlan.lineage.replay import replay
from motlan.quality import row_rules
from motlan.quarantine import decisions
from motlan.stewardship import overrides
from tests.conftest import CARDS, SPINE, Country, Databases, card_record, spine_record
from tests.motlan.quarantine.test_quarantine import CARD, ME, only
from tests.motlan.test_pipeline import BOTH, LATER, rows, whole_job

FIELDS = ("full_name", "birth_date", "health_card_number")
OTHER_NAME = "coalesce(person_name(name), person_name(card))"
"""Another mapping of a card's name: a card without one is called by its number, and is held back no more."""


def remap(country: Country, **fields: str) -> None:
    country.declare("mapping/beta.yaml", lambda y: y[CARD]["fields"].update(fields))


def current(country: Country) -> dict[str, tuple[str | None, ...]]:
    """What the cards say now: key -> fields."""
    work = country.open()
    with work.store.engine.connect() as connection:
        inputs = {dataset: runs.visible(connection, "sync", dataset) for dataset in BOTH}
    with work.engine("reading") as engine:
        found = engine.execute(
            f"select _key, {', '.join(FIELDS)} from {work.facts('person', inputs)} where dataset = '{CARD}'"
        ).fetchall()
    return {key: tuple(said) for key, *said in found}


def several_versions(country: Country) -> None:
    """A register of which a record changed twice, one is gone, and one is held back."""
    whole_job()
    renamed = card_record((*CARDS[1][:2], "Trần Thị Bình Minh", *CARDS[1][3:]), LATER)
    country.write(CARD, [card_record(CARDS[0]), renamed, *map(card_record, CARDS[3:])])
    pipeline.sync(CARD)


@pytest.mark.parametrize(
    "fields",
    [
        {"full_name": OTHER_NAME},
        {"birth_date": "partial_date(born, 'iso')", "full_name": "upper(person_name(name))"},
    ],
)
def test_it_comes_to_what_landing_anew_under_the_new_mapping_would(
    country: Country, databases: Databases, fields: dict[str, str]
) -> None:
    several_versions(country)
    before = current(country)
    remap(country, **fields)
    done = pipeline.reclean(CARD)
    assert (done["land"]["landed"], done["commit"]["state"]) == (5, "visible"), "four stand, and one waits"
    recleaned = current(country)
    assert recleaned != before
    shutil.rmtree(country.home / "var")
    url, os.environ["MOTLAN_DATABASE_URL"] = country.url, databases.make()
    try:
        pipeline.sync(CARD)
        assert current(country) == recleaned
    finally:
        databases.drop(os.environ["MOTLAN_DATABASE_URL"])
        os.environ["MOTLAN_DATABASE_URL"] = url


@pytest.mark.quick
def test_nothing_is_pulled_the_watermark_stays_and_lineage_proves(country: Country) -> None:
    country.after(whole_job)
    marks = rows(country, "select * from watermarks order by dataset")
    remap(country, full_name=OTHER_NAME)
    country.write(CARD, "broken")  # a pull would fail
    assert pipeline.forecast_reclean(CARD) == {"rows": 6, "standing": 5, "waiting": 1, "left_out": 0}
    assert CliRunner().invoke(app, ["reclean", CARD, "--dry-run"]).exit_code == 0
    assert rows(country, "select count(*) from runs") == [(3,)], "a dry run counts, and begins none"
    done = pipeline.reclean(CARD)
    assert (done["clean"]["accepted"], done["clean"]["quarantined"]) == (6, 0)
    assert rows(country, "select * from watermarks order by dataset") == marks
    assert rows(country, "select closed_as from quarantine_entries") == [("corrected",)], "what waited passes now"
    pipeline.reconcile()
    pipeline.project(pipeline.publish()["run"])
    persons = [row[0] for row in rows(country, "select person_id::text from golden_person")]
    verdict = replay(country.open(), gather(country.open(), "person", persons), [(one, "full_name") for one in persons])
    assert (verdict.checked, verdict.equal) == (6, 6), verdict.reasons
    country.write(CARD, [card_record(row) for row in CARDS])
    assert pipeline.sync(CARD)["land"]["landed"] == 0, "and what the source sends again is known"


def test_rows_that_wait_or_were_waived_stay_as_people_left_them(country: Country) -> None:
    country.after(whole_job)
    decisions.waive(country.open(), only(country)["id"], ME, "seen")
    pipeline.replay(CARD)
    assert "b6" in current(country)
    remap(country, full_name="upper(person_name(name))")
    pipeline.reclean(CARD)
    said = current(country)
    assert set(said) == {"b1", "b2", "b3", "b4", "b5", "b6"}, "a row that a person waived is accepted again"
    assert only(country)["state"] == "closed"


def test_a_row_that_waits_and_does_not_pass_still_waits(country: Country) -> None:
    country.after(whole_job)
    remap(country, full_name="upper(person_name(name))")
    pipeline.reclean(CARD)
    assert (only(country)["state"], only(country)["times_seen"]) == ("open", 2)


def test_a_decision_about_a_value_holds_and_older_versions_keep_their_word(country: Country) -> None:
    country.after(whole_job)
    renamed = [spine_record((*row[:5], None), LATER) if row[0] == "a3" else spine_record(row) for row in SPINE]
    country.write("alpha_people", renamed)
    pipeline.sync("alpha_people")
    dead = [spine_record(row, "2026-10-03T00:00:00Z") if row[0] == "a3" else spine_record(row) for row in SPINE]
    country.write("alpha_people", dead)
    pipeline.sync("alpha_people")
    pipeline.reconcile()
    pipeline.project(pipeline.publish()["run"])
    ((person,),) = rows(country, "select person_id from golden_person where death_date is not null")
    overrides.exclude(country.open(), "person", person, "death_date", ME, "alive")
    country.declare("mapping/alpha.yaml", lambda y: y["alpha_people"]["fields"].update(full_name="upper(name)"))
    pipeline.reclean("alpha_people")
    pipeline.reconcile()
    assert [row["state"] for row in overrides.listed(country.open(), "person")] == ["holds"]


def test_since_takes_what_landed_lately_alone(country: Country) -> None:
    several_versions(country)
    newest = control.listed(country.open().store, control.Wanted(limit=1))[0]
    since = datetime.strptime(newest["run"].partition("-")[0], "%Y%m%dT%H%M%S%f").replace(tzinfo=UTC)
    remap(country, full_name="upper(person_name(name))")
    assert pipeline.forecast_reclean(CARD, since)["rows"] == 1
    assert pipeline.reclean(CARD, since)["land"]["landed"] == 1


def test_a_mapping_that_holds_back_too_much_changes_nothing(country: Country) -> None:
    (country.home / "mapping" / "scoring.yaml").write_text("breaker: {minimum_rows: 2}\n", encoding="utf-8")
    country.after(whole_job)
    before = current(country)
    remap(country, full_name="person_name(substring(name, 200, 5))")
    with pytest.raises(ContractError, match="most break has_a_name"):
        pipeline.reclean(CARD)
    remap(country, full_name="person_name(name)")
    assert current(country) == before


def test_ctrl_c_says_what_stands_and_the_run_is_gone_on_with(country: Country, monkeypatch: pytest.MonkeyPatch) -> None:
    country.after(whole_job)
    before = current(country)
    remap(country, full_name=OTHER_NAME)

    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(row_rules, "check_chunk", stop)
        answer = CliRunner().invoke(app, ["reclean", CARD])
    assert answer.exit_code == 130
    said = " ".join(answer.output.split())
    assert "5 rows that stand and 1 that wait in quarantine are cleaned anew" in said
    assert "stopped: nothing of it is visible" in said
    assert "motlan runs retry RUN" in said
    (failed,) = control.listed(country.open().store, control.Wanted(state="failed"))
    country.write(CARD, "broken")
    assert pipeline.resume(failed["run"])["clean"]["accepted"] == 6
    assert current(country) != before
