"""What came of landed rows, and whom the feeds have told."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from motlan.cli.main import app
from motlan.errors import ConfigurationError, DataError
from motlan.ledger import accesses
from motlan.lineage.impact import find_impact, parse_origin
from tests.conftest import SPINE, Country, spine_record
from tests.motlan.test_pipeline import LATER, rows, sync_both, whole_job

ME = "uid:7"
AGENCY = "beta"
FIELDS = ("personal_id", "full_name", "death_date")


def give_changes(country: Country, first: int, last: int) -> None:
    """Write down that an agency was given changes of the feed."""
    seen = accesses.Seen("person", first_seq=first, last_seq=last, fields=FIELDS)
    basis = accesses.Basis(legal_basis="the test's")
    accesses.record(country.open().store, AGENCY, "feed.read", f"person after {first - 1} limit 1000", seen, basis)


def run_of(country: Country, dataset: str) -> str:
    return str(rows(country, f"select max(id) from runs where kind = 'sync' and subject = '{dataset}'")[0][0])


def impact_of(country: Country, dataset: str, what: str, **options: Any) -> dict[str, Any]:
    work = country.open()
    return find_impact(work, parse_origin(work, dataset, what), ME, **options)


@pytest.mark.quick
def test_everything_that_came_of_a_run_is_counted_and_listed(country: Country, tmp_path: Path) -> None:
    country.after(whole_job)
    target = tmp_path / "impact.csv"
    found = impact_of(country, "beta_cards", run_of(country, "beta_cards"), limit=3, to=target)
    assert found["landed"] | {"runs": None} == {"rows": 6, "records": 6, "accepted": 5, "quarantined": 1, "runs": None}
    golden = rows(country, "select count(health_card_number), count(*) from golden_person")
    assert found["by_field"]["health_card_number"] == {"now": golden[0][0], "ever": golden[0][0]}
    assert found["publications"] == [1]
    assert found["feed"]["changes"] == found["persons"]["now"] == 5
    assert len(found["sample"]) == 3
    assert len(list(csv.DictReader(target.open()))) == found["fields"]["ever"]
    assert found["recipients"] == [], "nobody has read the feed"
    looks = rows(country, "select principal, action from accesses")
    assert looks == [(ME, "impact.read")], "the look is written down"


def test_a_row_that_was_replaced_said_something_once_and_says_nothing_now(country: Country) -> None:
    country.after(whole_job)
    renamed = spine_record(("a3", "001080000003", "Lê Văn Hùng", "1980-07-08", "male", "2026-09-01"), LATER)
    country.write("alpha_people", [*(spine_record(row) for row in SPINE if row[0] != "a3"), renamed])
    before = impact_of(country, "alpha_people", run_of(country, "alpha_people"))
    whole_job()
    first = impact_of(country, "alpha_people", before["sample"][0]["row"].split("/")[0])
    assert first["fields"]["ever"] == before["fields"]["ever"]
    assert first["fields"]["now"] < before["fields"]["now"]
    assert first["publications"] == [1]
    second = impact_of(country, "alpha_people", run_of(country, "alpha_people"))
    assert (second["landed"]["rows"], second["persons"]["now"]) == (1, 1)
    assert second["corrections"]["because_of_these_values"] == 1, "the card says another name"
    assert second["publications"] == [2]
    assert second["feed"] == {"changes": 1, "first_seq": 7, "last_seq": 7}


def test_agencies_that_asked_for_the_changes_have_received_what_they_may_read(country: Country) -> None:
    country.after(whole_job)
    run = run_of(country, "alpha_people")
    give_changes(country, 1, 2)
    (told,) = impact_of(country, "alpha_people", run)["recipients"]
    assert told["agency"] == AGENCY
    ((theirs,),) = rows(country, "select count(*) from feed_person where seq <= 2 and full_name != 'Võ Thị Mai'")
    assert told["persons"] == theirs, "of the first two changes, those of persons whom this register has"
    give_changes(country, 3, 6)
    (told,) = impact_of(country, "alpha_people", run)["recipients"]
    assert told["persons"] == 5, "with the sixth change, which is of a person of the other register"
    assert told["fields"] == ["death_date", "full_name", "personal_id"], "and no field beyond the grant"
    assert told["legal_basis"] == "the test's"


def test_a_page_of_a_snapshot_counts_as_received(country: Country) -> None:
    country.after(whole_job)
    store = country.open().store
    first, last = rows(country, "select min(person_id::text), max(person_id::text) from golden_person")[0]
    seen = accesses.Seen("person", first_key=first, last_key=last, last_seq=6, fields=FIELDS)
    accesses.record(store, AGENCY, "feed.snapshot", "person", seen, accesses.Basis(legal_basis="the test's"))
    (told,) = impact_of(country, "alpha_people", run_of(country, "alpha_people"))["recipients"]
    assert (told["persons"], told["fields"]) == (5, ["death_date", "full_name", "personal_id"])


def test_what_is_landed_and_not_published_has_reached_nobody(country: Country) -> None:
    country.after(sync_both)
    found = impact_of(country, "beta_cards", run_of(country, "beta_cards"))
    assert (found["landed"]["rows"], found["persons"], found["recipients"]) == (6, {"now": 0, "ever": 0}, [])


@pytest.mark.parametrize(
    ("what", "error", "words"),
    [
        ("nothing", ConfigurationError, "no landed row, no run and no payload"),
        ("20260101T000000000000-0000", DataError, "nothing was landed of this run"),
        ("0" * 64, DataError, "nothing was landed of this payload"),
    ],
)
def test_what_was_never_landed_is_refused(country: Country, what: str, error: type[Exception], words: str) -> None:
    country.after(whole_job)
    with pytest.raises(error, match=words):
        impact_of(country, "beta_cards", what)


def command(*words: str) -> Any:
    answer = CliRunner().invoke(app, [*words, "--json"])
    assert answer.exit_code == 0, answer.output
    return json.loads(answer.stdout)


def test_a_payload_and_a_row_lead_to_what_came_of_them(country: Country) -> None:
    country.after(whole_job)
    work, run = country.open(), run_of(country, "alpha_people")
    with work.engine("looking") as engine:
        payload, ref = engine.execute(
            f"select _payload, min(_ref) from read_parquet({work.lake.files('raw.alpha_people', {run})}) group by all limit 1"
        ).fetchone() or ("", "")
    whole = command("impact", "alpha_people", payload)
    one = command("impact", "alpha_people", ref, "--limit", "0")
    assert 5 >= whole["landed"]["rows"] == whole["persons"]["now"] >= one["landed"]["rows"] == 1
    assert (one["persons"]["now"], one["sample"]) == (1, [])
