"""Lineage: what a golden value rests on is replayed, and every alteration is noticed."""

import json
import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from demo import controls
from motlan.cli.main import app
from motlan.errors import DataError
from motlan.ingest import payloads
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
    country.after(whole_job)
    return country.open()


def test_before_anything_is_published_there_is_nobody_to_ask_about(country: Country) -> None:
    with pytest.raises(DataError, match="no person is published yet"):
        find_person(country.open(), "person", "001070000004")


def test_every_golden_field_replays_equal(work: Workspace) -> None:
    fields = sample(work, "person", 1000, seed=1)
    verdict = replay(work, gather(work, "person", sorted({person for person, _ in fields})), fields)
    assert (verdict.checked, verdict.equal, verdict.reasons) == (len(fields), len(fields), {})
    assert len(fields) == 30


@pytest.mark.slow
def test_a_chunk_that_was_all_landed_before_does_not_shift_the_log(
    country: Country, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOTLAN_LANDED_CHUNK_ROWS", "4")
    whole_job()
    appeared = spine_record(("a6", "001301000006", "Võ Thị Mai", "2001-01-01", "female", None))
    country.write("alpha_people", [*(spine_record(row) for row in SPINE), appeared])
    assert len(whole_job()["alpha_people"]["land"]["chunks"]) == 1, "of two, the first was landed before"
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
    person = find_person(work, "person", "001080000003")
    trace(work, "person", person, [], "user:auditor")
    with work.store.engine.connect() as connection:
        looks = connection.exec_driver_sql("select principal, action, subject from accesses").fetchall()
    assert [tuple(look) for look in looks] == [("user:auditor", "lineage.read", person)]


def test_an_unknown_identifier_is_not_repeated_in_the_error(work: Workspace) -> None:
    with pytest.raises(DataError) as caught:
        find_person(work, "person", "009999999999")
    assert "009999999999" not in str(caught.value)


def asked(*words: str, said: str = "") -> Result:
    return CliRunner().invoke(app, ["lineage", *words], input=said)


def test_a_person_is_found_by_the_id_of_the_bus_too(work: Workspace) -> None:
    person = find_person(work, "person", "001080000003")
    assert find_person(work, "person", person) == person
    answer = asked("full_name", "--person", person)
    assert answer.exit_code == 0, answer.output
    assert "Lê Văn Cường" in answer.output
    unknown = asked("--person", "00000000-0000-0000-0000-000000000000")
    assert (unknown.exit_code, "no golden person of this person id" in unknown.output) == (1, True)


def test_an_identifier_of_several_persons_lists_them(work: Workspace) -> None:
    with pytest.raises(DataError, match="more than one golden person") as caught:
        find_person(work, "person", "001090000001")
    persons = re.findall(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", caught.value.what)
    assert len(set(persons)) == 2
    assert "001090000001" not in str(caught.value)
    assert {find_person(work, "person", person) for person in persons} == set(persons)


def test_a_field_that_there_is_not_is_answered_with_those_that_there_are(work: Workspace) -> None:
    answer = asked("nosuch", said="001080000003\n")
    assert answer.exit_code == 1
    assert "no field nosuch" in answer.output
    assert "death_date" in answer.output
    assert "did you mean birth_date?" in asked("birthdate").output
    empty = asked("death_date", said="001190000002\n")
    assert (empty.exit_code, "has no value of death_date" in " ".join(empty.output.split())) == (1, True)


def test_a_damaged_or_missing_payload_is_told_by_its_file(work: Workspace) -> None:
    person = find_person(work, "person", "001070000004")
    (chain,) = trace(work, "person", person, ["birth_date"], "user:test")
    file = payloads.path(work.settings.payloads, chain["source"]["landed"]["payload_sha256"])
    file.write_bytes(b"altered")
    answer = asked("birth_date", "--person", person)
    assert answer.exit_code == 1
    told = "".join(answer.output.split())
    assert "doesNOTreplay:thefileasreceivedwasalteredhere" in told
    assert str(file.relative_to(work.settings.var)) in told
    file.unlink()
    as_json = asked("birth_date", "--person", person, "--json")
    assert as_json.exit_code == 1
    assert json.loads(as_json.stdout)["fields"][0]["files"] == [str(file.relative_to(work.settings.var))]


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(b"PAR1")])
def test_a_damaged_or_missing_file_of_the_lake_is_told(work: Workspace, damage: Callable[[Path], None]) -> None:
    file = next((work.settings.lake / "raw" / "beta_cards").rglob("*.parquet"))
    damage(file)
    answer = asked("birth_date", said="001070000004\n")
    assert answer.exit_code == 1
    assert str(file.relative_to(work.settings.var)) in "".join(answer.output.split())


def test_the_command_asks_for_the_identifier_and_prints_the_chain(work: Workspace) -> None:
    answer = CliRunner().invoke(app, ["lineage", "full_name"], input="001080000003\n")
    assert answer.exit_code == 0, answer.output
    assert "Lê Văn Cường" in answer.output
    assert "replays equal" in answer.output
    as_json = CliRunner().invoke(app, ["lineage", "full_name", "--json"], input="001080000003\n")
    assert json.loads(as_json.stdout)["fields"][0]["source"]["dataset"] == "alpha_people"
