"""Lineage: what a golden value rests on is replayed, and every alteration is noticed."""

import json
import random
from collections.abc import Callable

import pytest
from typer.testing import CliRunner

from demo import controls
from motlan.cli import app
from motlan.errors import DataError
from motlan.landing.land import first_commitment
from motlan.lineage.evidence import Evidence, gather
from motlan.lineage.replay import replay
from motlan.lineage.sample import sample
from motlan.lineage.trace import find_person, trace
from motlan.workspace import Workspace
from tests.conftest import SPINE, Country, spine_record
from tests.motlan.test_pipeline import whole_job

Altered = Callable[[Evidence, str, str, random.Random], Evidence]


@pytest.fixture
def work(country: Country) -> Workspace:
    whole_job()
    return country.open()


def test_every_golden_field_replays_equal(work: Workspace) -> None:
    fields = sample(work, "person", 1000, seed=1)
    verdict = replay(work, gather(work, "person", sorted({person for person, _ in fields})), fields)
    assert (verdict.checked, verdict.equal, verdict.reasons) == (len(fields), len(fields), {})
    assert len(fields) == 30


@pytest.mark.slow
def test_a_chunk_that_was_all_landed_before_does_not_shift_the_log(
    country: Country, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("motlan.landing.land.CHUNK_ROWS", 4)
    whole_job()
    appeared = spine_record(("a6", "001301000006", "Võ Thị Mai", "2001-01-01", "female", None))
    country.write("alpha_people", [*(spine_record(row) for row in SPINE), appeared])
    assert len(whole_job()["alpha_people"]["land"]["chunks"]) == 1, "of two, the first was landed before"
    work = country.open()
    fields = sample(work, "person", 1000, seed=1)
    verdict = replay(work, gather(work, "person", sorted({person for person, _ in fields})), fields)
    assert (verdict.equal, verdict.reasons) == (len(fields), {})


@pytest.mark.slow
def test_rows_whose_commitments_are_of_the_first_form_replay_too(
    country: Country, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("motlan.landing.land.commitment", first_commitment)
    whole_job()
    work = country.open()
    fields = sample(work, "person", 1000, seed=1)
    verdict = replay(work, gather(work, "person", sorted({person for person, _ in fields})), fields)
    assert (verdict.equal, verdict.reasons) == (len(fields), {})


@pytest.mark.parametrize("kind", controls.KINDS, ids=lambda kind: kind.__name__)
def test_a_replay_notices(kind: Altered, work: Workspace) -> None:
    fields = sample(work, "person", 1000, seed=1)
    evidence = gather(work, "person", sorted({person for person, _ in fields}))
    person, field = next(pair for pair in fields if pair[1] == "health_card_number")
    verdict = replay(work, kind(evidence, person, field, random.Random(1)), [(person, field)])
    assert verdict.equal == 0
    assert sum(verdict.reasons.values()) == 1


def test_a_chain_leads_from_the_value_to_the_landed_row(work: Workspace) -> None:
    person = find_person(work, "person", "001070000004")
    (chain,) = trace(work, "person", person, ["birth_date"], "user:test")
    assert (chain["value"], chain["replays_equal"]) == ("1970-02-01", True)
    assert chain["decision"]["rule"] == "refined"
    assert chain["source"]["dataset"] == "beta_cards"
    assert chain["source"]["landed"]["raw"] == {"born": "01/02/1970"}
    assert chain["source"]["link"]["rule"] == "identifier personal_id"


def test_every_look_is_written_down_before_it_is_answered(work: Workspace) -> None:
    person = find_person(work, "person", "001090000001")
    trace(work, "person", person, [], "user:auditor")
    with work.store.engine.connect() as connection:
        looks = connection.exec_driver_sql("select principal, action, subject from accesses").fetchall()
    assert [tuple(look) for look in looks] == [("user:auditor", "lineage.read", person)]


def test_an_unknown_identifier_is_not_repeated_in_the_error(work: Workspace) -> None:
    with pytest.raises(DataError) as caught:
        find_person(work, "person", "009999999999")
    assert "009999999999" not in str(caught.value)


def test_the_command_asks_for_the_identifier_and_prints_the_chain(work: Workspace) -> None:
    answer = CliRunner().invoke(app, ["lineage", "full_name"], input="001080000003\n")
    assert answer.exit_code == 0, answer.output
    assert "Lê Văn Cường" in answer.output
    assert "replays equal" in answer.output
    as_json = CliRunner().invoke(app, ["lineage", "full_name", "--json"], input="001080000003\n")
    assert json.loads(as_json.stdout)["fields"][0]["source"]["dataset"] == "alpha_people"
