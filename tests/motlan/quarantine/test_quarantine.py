"""Quarantine: nothing is lost, every reason is told, and what was mended comes in by the same way as any row."""

import csv
import io
import json
import re
import stat
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from motlan import pipeline
from motlan.cli.main import app
from motlan.errors import ConfigurationError, ContractError, DataError
from motlan.ingest import payloads
from motlan.lake.iceberg import read_parquet
from motlan.lake.tables import clean_table
from motlan.lineage.evidence import gather
from motlan.lineage.replay import replay
from motlan.lineage.sample import sample
from motlan.quarantine import decisions, export, listing
from motlan.quarantine.listing import Wanted
from motlan.store import bulk
from tests.conftest import CARDS, Country, card_record
from tests.motlan.test_pipeline import LATER, rows, whole_job

CARD = "beta_cards"
EVIL = "=HYPERLINK(1)"
ME = "user:test"


def held(name: str | None = None, key: str = "b6", moment: str = "2026-09-01T00:00:00.000000Z", **other: Any) -> dict:
    return card_record((key, "001190000005", name, "12/11/1990", "female", "GD4010000000006"), moment) | other


def sync_cards() -> None:
    pipeline.sync(CARD)


def entries(country: Country, wanted: Wanted | None = None) -> list[dict[str, Any]]:
    return listing.listed(country.open(), wanted or Wanted(), 100)


def only(country: Country) -> dict[str, Any]:
    (entry,) = entries(country)
    return entry


def in_lake(country: Country, run: str) -> dict[str, int]:
    work = country.open()
    with work.engine("counting") as engine:
        return {
            kind: engine.execute(f"select count(*) from {read_parquet(files)}").fetchall()[0][0] if files else 0
            for kind in ("raw", "clean", "quarantine")
            for files in [work.lake.files(f"{kind}.{CARD}", {run})]
        }


def accepted(country: Country) -> dict[str, str]:
    work = country.open()
    with work.store.engine.connect() as connection:
        seen = list(
            connection.exec_driver_sql("select id from runs where kind = 'sync' and state = 'visible'").scalars()
        )
    facts = work.facts("person", {CARD: seen, "alpha_people": seen})
    with work.engine("reading") as engine:
        return dict(engine.execute(f"select _key, full_name from {facts} where dataset = '{CARD}'").fetchall())


def test_a_held_row_has_its_place_its_reason_in_both_languages_and_its_raw_text(country: Country) -> None:
    country.after(sync_cards)
    entry = only(country)
    assert (entry["dataset"], entry["source_key"], entry["state"], entry["rules"]) == (
        CARD,
        "b6",
        "open",
        ["has_a_name"],
    )
    assert (entry["times_seen"], entry["locator"]) == (1, "/5")
    shown = listing.show(country.open(), entry["id"][:12], ME)
    assert [(reason["vi"], reason["en"]) for reason in shown["reasons"]] == [("Thiếu tên", "The name is missing")]
    assert shown["raw"]["card"] == "GD4010000000006"
    assert rows(country, "select principal, action, subject from accesses") == [(ME, "quarantine.read", entry["id"])]
    assert rows(country, "select kind, subject from versions where kind = 'rule'  and subject = 'has_a_name'")


def test_the_lists_hold_no_value_of_any_person(country: Country) -> None:
    country.after(sync_cards)
    for command in (["list"], ["list", "--json"]):
        answer = CliRunner().invoke(app, ["quarantine", *command])
        assert answer.exit_code == 0
        assert "b6" in answer.output
        for value in ("001190000005", "12/11/1990", "GD4010000000006"):
            assert value not in answer.output


def test_the_same_bad_row_in_a_later_pull_counts_up(country: Country) -> None:
    country.after(sync_cards)
    country.write(CARD, [held(moment=LATER)])
    pipeline.sync(CARD)
    entry = only(country)
    assert (entry["times_seen"], entry["state"]) == (2, "open")
    assert entry["ref"].split("/")[0] > rows(country, "select min(id) from runs")[0][0]


def test_two_bad_rows_under_one_damaged_key_are_two_entries(country: Country) -> None:
    country.write(CARD, [held(key="1.23E+11"), held(key="1.23E+11", number="001190000006")])
    country.after(sync_cards)
    assert len(entries(country)) == 2


@pytest.mark.slow
def test_a_row_that_its_source_corrects_closes_by_itself(country: Country) -> None:
    country.after(sync_cards)
    country.write(CARD, [held("Hoàng Thị Hòa", moment=LATER)])
    run = pipeline.sync(CARD)
    assert run["commit"]["corrected"] == 1
    assert rows(country, "select state, closed_as, closed_by from quarantine_entries") == [
        ("closed", "corrected", run["run"])
    ]
    country.write(CARD, [held(moment="2026-10-03T00:00:00.000000Z")])
    pipeline.sync(CARD)
    assert (only(country)["state"], only(country)["times_seen"]) == ("open", 2), "the error is back"


@pytest.mark.slow
def test_an_older_bad_row_that_comes_late_is_closed_at_once(country: Country) -> None:
    country.declare("adapters/agencies.yaml", lambda c: c["agencies"]["beta"]["datasets"][CARD].update(lag=90 * 86400))
    country.write(CARD, [held("Hoàng Thị Hòa", moment=LATER)])
    country.after(sync_cards)
    country.write(CARD, [held("Hoàng Thị Hòa", moment=LATER), held()])
    pipeline.sync(CARD)
    assert only(country)["state"] == "closed"


@pytest.mark.slow
def test_a_replay_after_a_changed_rule_takes_the_row_in(country: Country) -> None:
    country.after(sync_cards)
    assert pipeline.replay(CARD, ["other_rule"]) == {"replayed": 0}
    still = pipeline.replay(CARD, ["has_a_name"])
    assert (still["clean"]["quarantined"], still["commit"]["refused"]) == (1, 1)
    assert (only(country)["state"], only(country)["times_seen"]) == ("open", 2)
    country.declare("mapping/quality.yaml", lambda content: content["rules"][0].update(severity="warning"))
    done = pipeline.replay(CARD)
    assert (done["land"]["landed"], done["clean"]["accepted"], done["commit"]["replayed"]) == (1, 1, 1)
    assert rows(country, "select state, closed_as, closed_by from quarantine_entries") == [
        ("closed", "replayed", done["run"])
    ]
    assert accepted(country)["b6"] is None
    assert pipeline.replay(CARD) == {"replayed": 0}


@pytest.mark.slow
def test_a_fix_comes_in_and_its_lineage_leads_to_the_fix_and_from_there_to_the_source(country: Country) -> None:
    country.after(whole_job)
    entry = only(country)
    work = country.open()
    decisions.fix(work, entry["id"], ME, "asked the office", {"name": "Hoàng Thị Hoà"})
    assert only(country)["state"] == "fixed"
    watermark = rows(country, f"select cursor, key from watermarks where dataset = '{CARD}'")
    done = pipeline.replay(CARD)
    assert done["commit"] | {"seconds": 0, "run": ""} == {
        "state": "visible", "replayed": 1, "refused": 0, "corrected": 0, "seconds": 0, "run": "",
    }  # fmt: skip
    assert rows(country, f"select cursor, key from watermarks where dataset = '{CARD}'") == watermark
    assert accepted(country)["b6"] == "Hoàng Thị Hòa"
    pipeline.reconcile()
    pipeline.project(pipeline.publish()["run"])
    fields = sample(work, "person", 1000, seed=1)
    evidence = gather(work, "person", sorted({person for person, _ in fields}))
    verdict = replay(work, evidence, fields)
    assert (verdict.equal, verdict.reasons) == (len(fields), {})
    (landed,) = [row for row in evidence.raw[CARD].to_pylist() if row["_key"] == "b6"]
    assert landed["_locator"] == f"fix:{entry['id']}"
    document = json.loads(payloads.read(work.settings.payloads, landed["_payload"]))
    assert (document["before"]["name"], document["after"]["name"]) == (None, "Hoàng Thị Hoà")
    assert (document["who"], document["why"], document["landed_row"]) == (ME, "asked the office", entry["ref"])


def test_a_fix_that_does_not_help_leaves_the_row_open(country: Country) -> None:
    country.after(sync_cards)
    decisions.fix(country.open(), only(country)["id"], ME, "a try", {"sex": "male"})
    assert pipeline.replay(CARD)["commit"]["refused"] == 1
    assert rows(country, "select state, fix, times_seen from quarantine_entries") == [("open", None, 2)]


@pytest.mark.slow
def test_a_decision_holds_while_the_same_version_of_a_row_is_sent_again(country: Country) -> None:
    country.declare("adapters/agencies.yaml", lambda c: c["agencies"]["beta"]["datasets"][CARD].update(cursor="number"))
    country.write(CARD, [held(number="0 drop 1")])
    country.after(sync_cards)
    decisions.fix(country.open(), only(country)["id"], ME, "asked", {"name": "Hoàng Thị Hòa"})
    pipeline.replay(CARD)
    country.write(CARD, [held(number="0 drop 2")])
    pipeline.sync(CARD)
    assert (only(country)["state"], only(country)["times_seen"]) == ("closed", 2)
    assert accepted(country)["b6"] == "Hoàng Thị Hòa"


@pytest.mark.slow
def test_a_waived_row_is_accepted_as_it_is_with_its_findings(country: Country) -> None:
    country.after(sync_cards)
    decisions.waive(country.open(), only(country)["id"], ME, "she has one name only")
    done = pipeline.replay(CARD)
    assert (done["clean"]["accepted"], done["clean"]["quarantined"]) == (1, 0)
    work = country.open()
    with work.engine("reading") as engine:
        files = read_parquet(work.lake.files(clean_table(CARD), {done["run"]}))
        (found,) = engine.execute(f"select list_transform(_errors, lambda e: e.rule) from {files}").fetchall()
    assert found == (["has_a_name"],)
    shown = listing.show(work, only(country)["id"], ME)
    assert [(said["action"], said["principal"], said["reason"]) for said in shown["decisions"]] == [
        ("waive", ME, "she has one name only")
    ]
    country.write(CARD, [held(moment=LATER)])
    pipeline.sync(CARD)
    assert only(country)["state"] == "waived", "a newer version of the same content: taken in by the next replay"


def test_a_closed_row_is_not_decided_again_and_a_decision_needs_its_reason(country: Country) -> None:
    country.after(sync_cards)
    entry, work = only(country)["id"], country.open()
    for why, changed in (("", {"name": "A"}), ("why", {"nmae": "A"}), ("why", {}), ("why", {"name": None})):
        with pytest.raises(ConfigurationError):
            decisions.fix(work, entry, ME, why, changed)
    with pytest.raises(ConfigurationError):
        decisions.waive(work, entry, ME, " ")
    assert decisions.waive_all(work, CARD, "has_a_name", ME, "all of them") == 1
    pipeline.replay(CARD)
    with pytest.raises(DataError, match="closed"):
        decisions.waive(work, entry, ME, "again")
    with pytest.raises(DataError, match="no entry"):
        decisions.find(work, "ffffffffffff")


@pytest.mark.slow
def test_a_fix_made_while_a_replay_runs_is_not_lost(country: Country) -> None:
    country.after(sync_cards)
    work, entry = country.open(), only(country)["id"]
    decisions.waive(work, entry, ME, "let it pass")
    original = pipeline.clean

    def slow(run: str) -> dict[str, Any]:
        decisions.fix(work, entry, ME, "found it", {"name": "Hoàng Thị Hòa"})
        return original(run)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "clean", slow)
        pipeline.replay(CARD)
    assert only(country)["state"] == "fixed"
    pipeline.replay(CARD)
    assert accepted(country)["b6"] == "Hoàng Thị Hòa"


def test_a_refused_copy_quotes_no_value(country: Country, tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text("Hoàng Thị Hòa,001190000005\n", encoding="utf-8")
    with pytest.raises(ContractError) as caught, country.open().store.engine.begin() as connection:
        bulk.copy_in(connection, "quarantine_entries", tmp_path / "bad.csv")
    assert "Hoàng" not in str(caught.value)
    assert caught.value.__suppress_context__


class KilledError(BaseException):
    pass


def die(*_: object, **__: object) -> None:
    raise KilledError


KILLS = {
    "the raw file is written": "motlan.ingest.land.write_chunk",
    "the files are committed": "motlan.lake.iceberg.Lake.commit",
    "the ledger notes a step": "motlan.ledger.runs._with",
    "a chunk is checked": "motlan.quality.row_rules.check_chunk",
    "the entries are prepared": "motlan.quarantine.entries.prepare",
    "the entries are loaded": "motlan.quarantine.entries.bulk.copy_in",
    "the run is made visible": "motlan.ledger.runs.set_state",
    "the scratch is swept": "motlan.workspace.Workspace.sweep",
}


@pytest.mark.slow
@pytest.mark.parametrize("replayed", [False, True], ids=["sync", "replay"])
def test_in_is_accepted_and_quarantined_however_often_a_run_is_killed(country: Country, replayed: bool) -> None:
    country.write(CARD, [*(card_record(row) for row in CARDS), held(key="b7"), held(key="b8")])
    if replayed:
        country.after(sync_cards)
        by_key = {entry["source_key"]: entry["id"] for entry in entries(country)}
        decisions.waive(country.open(), by_key["b7"], ME, "so it is")
        decisions.fix(country.open(), by_key["b8"], ME, "so it is", {"name": "Võ An"})
    run = pipeline.begin_sync(CARD)["run"]
    work = country.open()

    def land() -> None:
        from motlan.ledger import runs
        from motlan.quarantine import replay as requeue

        if replayed:
            runs.step(work.store, run, "land", lambda current: requeue.land(work, current))
        else:
            pipeline.land(run)

    deaths = 0
    for place in KILLS.values():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(place, die)
            try:
                for step in (land, lambda: pipeline.clean(run), lambda: pipeline.commit_sync(run)):
                    step()
            except KilledError:
                deaths += 1
    land()
    pipeline.clean(run)
    pipeline.commit_sync(run)
    assert deaths == len(KILLS)
    found = in_lake(country, run)
    assert found["raw"] == found["clean"] + found["quarantine"] == (3 if replayed else len(CARDS) + 2)
    assert found["quarantine"] == (1 if replayed else 3)
    states = [(entry["source_key"], entry["state"], entry["times_seen"]) for entry in entries(country)]
    assert sorted(states) == (
        [("b6", "open", 2), ("b7", "closed", 1), ("b8", "closed", 1)]
        if replayed
        else [("b6", "open", 1), ("b7", "open", 1), ("b8", "open", 1)]
    )


@pytest.mark.slow
@settings(
    max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 5), st.sampled_from([None, "Võ An", "Lê Ba"])), max_size=8),
        min_size=1,
        max_size=2,
    )
)
def test_whatever_comes_every_record_is_accepted_or_has_a_waiting_entry(
    country: Country, pulls: list[list[tuple[int, str | None]]]
) -> None:
    clock = len(rows(country, "select 1 from runs")) * 10  # the examples share one country: time goes on
    for number, records in enumerate(pulls):
        moment = f"2027-01-01T00:00:00.{clock + number:06d}Z"
        newest = {f"k{key}": held(name, key=f"k{key}", moment=moment) for key, name in records}
        country.write(CARD, list(newest.values()))
        done = pipeline.sync(CARD)
        found = in_lake(country, done["run"])
        assert found["raw"] == done["land"]["landed"] == found["clean"] + found["quarantine"] == len(newest)
        waiting = {entry["source_key"] for entry in entries(country) if entry["state"] == "open"}
        for key, record in newest.items():
            assert (key in waiting) == (record["name"] is None)


def exported(country: Country, form: export.Format, folder: Path) -> Path:
    target = folder / f"held.{form}"
    assert export.export(country.open(), Wanted(CARD), form, target, ME) == 1
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    return target


@pytest.mark.slow
def test_exports_are_private_complete_and_harmless_in_a_spreadsheet(country: Country, tmp_path: Path) -> None:
    country.write(CARD, [held(number=EVIL, card="\tGD4")])
    country.after(sync_cards)
    text = exported(country, "csv", tmp_path).read_text(encoding="utf-8-sig")
    (row,) = csv.DictReader(io.StringIO(text, newline=""))
    assert (row["number"], row["card"], row["key"]) == (f"'{EVIL}", "'\tGD4", "b6")
    assert row["reason_vi"].startswith("Thiếu tên; "), "and the card's form"
    (exact,) = map(json.loads, exported(country, "ndjson", tmp_path).read_text(encoding="utf-8").splitlines())
    assert (exact["number"], exact["card"]) == (EVIL, "\tGD4")
    assert set(exact["rules"].split(", ")) == {"has_a_name", "schema_health_card_number"}
    with zipfile.ZipFile(exported(country, "xlsx", tmp_path)) as book:
        sheet = book.read("xl/worksheets/sheet1.xml").decode()
    assert "<f>" not in sheet
    assert f"'{EVIL}" in sheet.replace("&#39;", "'").replace("&apos;", "'")
    looks = rows(country, "select principal, action, subject from accesses")
    assert looks == [(ME, "quarantine.export", f"dataset {CARD}")] * 3


FORMULAS = [
    "x;=1+1;y", "=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "＝1", "'=1", "''=1", "'x", "a,=b", "a\t=b", 'q"=1',
    "x\n=1",
]  # fmt: skip


def test_a_cell_is_one_cell_and_no_formula_whichever_separator_a_spreadsheet_takes(
    country: Country, tmp_path: Path
) -> None:
    records = [held(id=f"f{number}", card=value) for number, value in enumerate(FORMULAS)]
    country.write(CARD, [{**record, "=1;x": "v"} for record in records])
    pipeline.sync(CARD)
    target = tmp_path / "held.csv"
    assert export.export(country.open(), Wanted(CARD), "csv", target, ME) == len(FORMULAS)
    text = target.read_bytes().decode("utf-8-sig")
    found = list(csv.DictReader(io.StringIO(text, newline="")))
    assert '"x;=1+1;y"' in text
    assert not [row["card"] for row in found if re.match(r"\s*[=+\-@＝]|[\t\r]", row["card"])]
    assert sorted(export.as_sent(row["card"]) for row in found) == sorted(FORMULAS)
    assert {name for name in found[0] if name.startswith(("=", "'"))} == {"'=1;x"}, "a source's column name is text too"
    assert text.startswith('"entry","key",')


@pytest.mark.slow
def test_the_commands_take_values_from_standard_input_alone(country: Country, tmp_path: Path) -> None:
    country.after(sync_cards)
    entry = only(country)["id"][:10]

    def call(*words: str, said: Any = None) -> dict[str, Any]:
        answer = CliRunner().invoke(app, ["quarantine", *words, "--json"], input=json.dumps(said))
        assert answer.exit_code == (1 if said == "nonsense" else 0), answer.output
        return json.loads(answer.stdout)

    assert call("list", "--state", "open")["counts"] == [
        {"dataset": CARD, "rule": "has_a_name", "state": "open", "entries": 1, "times_seen": 1}
    ]
    assert call("show", entry)["raw"]["number"] == "001190000005"
    assert "JSON" in call("fix", entry, said="nonsense")["message"]
    assert call("fix", entry, said={"why": "asked", "values": {"name": "Hoàng Thị Hòa"}})["state"] == "fixed"
    assert call("waive", entry, said={"why": "asked"})["state"] == "waived"
    assert call("waive", "--dataset", CARD, "--rule", "has_a_name", said={"why": "asked"})["entries"] == 0
    assert call("export", CARD, "--out", str(tmp_path / "held.csv"))["rows"] == 1
    assert call("replay", "--dataset", CARD)[CARD]["clean"]["accepted"] == 1
    for words in (["list"], ["show", entry]):
        assert CliRunner().invoke(app, ["quarantine", *words]).exit_code == 0
