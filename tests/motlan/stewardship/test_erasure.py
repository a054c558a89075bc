"""Erasure: values and salts are gone from every store, the log verifies, others' proofs check, and the bus goes on."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.avro.file import AvroFile
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.typedef import Record
from typer.testing import CliRunner

from motlan import pipeline
from motlan.backup import restore
from motlan.backup.folder import BackupFolder
from motlan.cli.main import app
from motlan.errors import ConfigurationError, DataError
from motlan.ledger.row_commitments import commitment
from motlan.lineage.evidence import gather
from motlan.lineage.replay import replay
from motlan.lineage.sample import sample
from motlan.linking import stored_models
from motlan.projection.verify import mismatches
from motlan.proof import check, checkpoints, verify
from motlan.proof.log_check import Pins
from motlan.proof.prove import prove
from motlan.quarantine import decisions as quarantined
from motlan.settings import load
from motlan.stewardship import erasure, erasure_requests
from tests.conftest import CARDS, SPINE, Country, card_record, signed_in, spine_record, traversable_folder
from tests.motlan.merge.test_related_entities import GRANT, RELATED
from tests.motlan.test_pipeline import LATER, rows, whole_job

MAI = ("Võ Thị Mai", "VO THI MAI", "vo thi mai", "2001-01-01", "01/01/2001", "GD4010000000005", "key-of-mai")
"""What was said of a person whom one register alone knows, and what was made of it."""
KEY = MAI[-1]


def published(country: Country) -> None:
    """Bring the bus to its first publication, with a key of hers that nothing else looks like."""
    cards = [(KEY, *row[1:]) if row[0] == "b5" else row for row in CARDS]
    country.write("beta_cards", [card_record(row) for row in cards])
    country.after(whole_job)


def verified(country: Country) -> list:
    work = country.open()
    return list(verify.verify(work, Pins(checkpoints.key_of(work.settings).public)))


def findings(country: Country) -> list:
    return verified(country) + list(mismatches(country.open(), "person"))


def everything(country: Country) -> str:
    """Return all that is stored: texts of every file under `var`, decompressed, and of every table."""
    work, out = country.open(), io.StringIO()
    for path in sorted(work.settings.var.rglob("*")):
        if path.is_file() and "postgres" not in path.parts:
            out.write(f"{path}: {text_of(path)}\n")
    with work.store.engine.connect() as connection:
        for (table,) in connection.exec_driver_sql(
            "select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = relnamespace "
            "where relkind in ('r', 'p') and nspname not in ('pg_catalog', 'information_schema')"
        ).all():
            out.write(f"{table}: {connection.exec_driver_sql(f'select * from {table}').all()}\n")
    return out.getvalue()


def text_of(path: Path) -> str:
    if path.suffix == ".parquet":
        table = pq.read_table(path)
        kept = pq.read_metadata(path)
        bounds = [
            str(kept.row_group(group).column(place).statistics)
            for group in range(kept.num_row_groups)
            for place in range(kept.num_columns)
        ]
        return f"{table.to_pylist()} {table.schema.metadata} {bounds}"
    if path.suffix == ".zst":
        with pa.CompressedInputStream(str(path), "zstd") as stream:
            return stream.read().decode("utf-8", "replace")
    if path.suffix == ".avro":
        with AvroFile[Record](PyArrowFileIO().new_input(str(path))) as file:
            return " ".join(decoded(record) for record in file)
    return path.read_bytes().decode("utf-8", "replace")


def decoded(found: object) -> str:
    if isinstance(found, Record):
        return " ".join(decoded(found[place]) for place in range(len(found)))
    if isinstance(found, dict):
        return " ".join(map(decoded, found.values()))
    if isinstance(found, list):
        return " ".join(map(decoded, found))
    return found.decode("utf-8", "replace") if isinstance(found, bytes) else str(found)


def erase(country: Country, dataset: str, key: str) -> dict:
    return erasure.erase(country.open(), dataset, "person:admin", "a court's decision", key=key)


def left_of(country: Country, values: tuple[str, ...]) -> dict[str, list[str]]:
    lines = everything(country).splitlines()
    found = {value: [line.split(": ")[0] for line in lines if value in line] for value in values}
    return {value: where for value, where in found.items() if where}


def test_nothing_of_an_erased_record_is_left_in_any_store(country: Country) -> None:
    published(country)
    assert {"Võ Thị Mai", "GD4010000000005", KEY} <= left_of(country, MAI).keys()
    done = erase(country, "beta_cards", KEY)
    assert (done["rows"], done["persons_erased"], done["persons_left"]) == (1, 1, 0)
    assert left_of(country, MAI) == {}
    assert findings(country) == []
    assert rows(country, "select event, full_name from feed_person where event = 'erased'") == [("erased", None)]
    assert rows(country, "select count(*) from golden_person") == [(5,)]
    pipeline.project(pipeline.publish(pipeline.reconcile()["run"])["run"])
    assert left_of(country, MAI) == {}
    assert findings(country) == []
    told = "select seq, event, changed, full_name from feed_person where seq > 6"
    assert rows(country, told) == [(7, "erased", [], None)], "readers of what is new are told of it too"


def test_who_knows_every_field_but_not_the_salt_confirms_nothing(country: Country) -> None:
    published(country)
    work = country.open()
    ((ref, run),) = [
        (row["_ref"], row["_run"])
        for path in work.lake.root.glob("raw/beta_cards/*/*.parquet")
        for row in pq.read_table(path).to_pylist()
        if row["_key"] == KEY
    ]
    (path,) = work.lake.root.glob(f"raw/beta_cards/run={run}/*.parquet")
    known = next(row for row in pq.read_table(path).to_pylist() if row["_ref"] == ref)
    names = {name: name.removeprefix("raw:") for name in known if name.startswith("raw:")}
    with duckdb.connect() as engine:
        engine.register("known", pa.Table.from_pylist([known]))
        assert engine.sql(f"select {commitment(names)} = _commitment from known").fetchall() == [(True,)]
        erase(country, "beta_cards", KEY)
        stone = next(row for row in pq.read_table(path).to_pylist() if row["_ref"] == ref)
        assert {name for name, value in stone.items() if value is not None} == {"_ref", "_run", "_commitment"}
        assert stone["_commitment"] == known["_commitment"], "what the log's root is over"
        for salt in ("''", "''::varchar", "repeat('0', 32)", "_payload"):
            found = engine.sql(f"select {commitment(names, salt)} = _commitment from known").fetchall()
            assert found == [(False,)]
    ((salts,),) = [[*work.lake.root.glob("salts/person/run=*/*.parquet")]]
    erased = [row for row in pq.read_table(salts).to_pylist() if row["_commitment"]]
    assert len(erased) == 1
    assert erased[0]["_salt"] is None


def test_proofs_and_replay_of_others_hold_after_an_erasure(country: Country) -> None:
    published(country)
    work = country.open()
    key = checkpoints.key_of(work.settings).public
    policy = f"log {key}\nquorum none\n"
    ((person,),) = rows(country, "select person_id::text from golden_person where full_name = 'Nguyễn Văn An'")
    ((hers,),) = rows(country, "select person_id::text from golden_person where full_name = 'Võ Thị Mai'")
    before = prove(work, "person", person, "health_card_number", "user:test")
    erase(country, "beta_cards", KEY)
    for proof in (before, prove(work, "person", person, "health_card_number", "user:test")):
        assert check.check(proof, policy)["value"] == "GD4010000000001"
    with pytest.raises(DataError, match="no value"):
        prove(work, "person", hers, "full_name", "user:test")
    fields = sample(work, "person", 100, 1)
    verdict = replay(work, gather(work, "person", sorted({one for one, _ in fields})), fields)
    assert (verdict.equal, verdict.reasons) == (verdict.checked, {})
    assert verdict.checked > 20


def test_what_others_say_of_the_person_stays_and_what_the_record_said_goes_with_the_next_publication(
    country: Country,
) -> None:
    published(country)
    erased = erase(country, "beta_cards", "b4")
    assert (erased["persons_erased"], erased["persons_left"]) == (0, 1)
    assert findings(country) == []
    pipeline.project(pipeline.publish(pipeline.reconcile()["run"])["run"])
    told = "select full_name, birth_date, health_card_number from golden_person where personal_id = '001070000004'"
    assert rows(country, told) == [("Phạm Văn Dũng", "1970", None)]
    assert findings(country) == []


def test_runs_go_on_after_an_erasure(country: Country, monkeypatch: pytest.MonkeyPatch) -> None:
    published(country)
    monkeypatch.setenv("MOTLAN_CHANGED_PERCENT", "1000")
    monkeypatch.setattr(stored_models, "standing", stored_models.released)  # so few rows teach no model of their own
    erase(country, "beta_cards", KEY)
    assert pipeline.sync("beta_cards")["commit"]["state"] in ("visible", "unchanged")
    done = pipeline.reconcile()
    assert done["link"]["why"] == "the previous run left nothing to start from"
    pipeline.project(pipeline.publish(done["run"])["run"])
    renamed = spine_record(("a3", "001080000003", "Lê Văn Hùng", "1980-07-08", "male", "2026-09-01"), LATER)
    country.write("alpha_people", [*(spine_record(row) for row in SPINE if row[0] != "a3"), renamed])
    pipeline.sync("alpha_people")
    done = pipeline.reconcile()
    assert done["link"]["scope"] == "changed", done["link"]["why"]
    pipeline.project(pipeline.publish(done["run"])["run"])
    assert pipeline.publish(pipeline.reconcile(full=True)["run"])["changes"] == 0
    assert findings(country) == []


@pytest.mark.parametrize("where", ["put_in_place", "name_anew"])
def test_a_killed_erasure_is_gone_on_with_and_is_no_alarm(
    country: Country, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    published(country)
    calls = 0
    real = getattr(erasure, where)

    def killed(*given: object) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        real(*given)

    with monkeypatch.context() as patch:
        patch.setattr(erasure, where, killed)
        with pytest.raises(KeyboardInterrupt):
            erase(country, "beta_cards", KEY)
    assert verified(country) == []
    with pytest.raises(ConfigurationError, match="--resume"):
        erase(country, "beta_cards", "b4")
    erasure.resume(country.open())
    assert left_of(country, MAI) == {}
    assert findings(country) == []
    with pytest.raises(DataError, match="erased before"):
        erase(country, "beta_cards", KEY)


def run(words: list[str], said: str = "", who: str | None = None) -> dict:
    env = signed_in(who, {"ann": "steward"}.get(who, "admin")) if who else {}
    answer = CliRunner().invoke(app, ["erase", *words, "--json"], input=said, env=env)
    return json.loads(answer.stdout) | {"exit": answer.exit_code}


def test_one_person_asks_and_an_admin_who_is_another_carries_it_out(country: Country) -> None:
    published(country)
    assert run(["beta_cards", "--dry-run"], KEY, "ann")["rows"] == 1
    asked = run(["beta_cards", "--reason", "a court's decision"], KEY, "ann")
    for who in ("ann", None):
        assert "only an admin who signed in" in run(["--confirm", asked["request"], "--yes"], who=who)["message"]
    own = run(["beta_cards", "--reason", "a court's decision"], KEY, "ben")
    assert "does not confirm it" in run(["--confirm", own["request"], "--yes"], who="ben")["message"]
    assert run(["--confirm", asked["request"], "--yes"], who="ben")["erased"][0]["rows"] == 1
    assert "was carried out" in run(["--confirm", asked["request"], "--yes"], who="ben")["message"]
    told = json.loads(CliRunner().invoke(app, ["erase", "--list", "--json"]).stdout)
    assert {one["request"]: one["state"] for one in told} == {
        own["request"]: "waits for another person",
        asked["request"]: "done",
    }
    assert left_of(country, MAI) == {}
    assert findings(country) == []


def test_a_backup_from_before_an_erasure_comes_back_and_tells_what_to_erase_again(
    country: Country, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store_server: Callable[[str], str]
) -> None:
    published(country)
    folder = tmp_path / "backups"
    first = pipeline.backup(str(folder))["backup"]
    erase(country, "beta_cards", KEY)
    second = pipeline.backup(str(folder))["backup"]
    for name, later, left in ((first, 1, True), (second, 0, False)):
        with monkeypatch.context() as patch, traversable_folder() as var:
            patch.setenv("MOTLAN_VAR", str(var / "state"))
            patch.setenv("MOTLAN_DATABASE_URL", store_server(f"restored_{name.lower()}"))
            done = restore.restore(load(), BackupFolder(folder), folder / name)
            assert (done.wrong, done.counts["erasures_to_repeat"]) == ([], later)
            assert bool(left_of(country, MAI)) is left
            if later:
                assert len(erasure_requests.repeat(country.open(), "person:admin")) == 1
                assert left_of(country, MAI) == {}


def test_what_is_beside_an_erased_person_goes_too_and_a_things_other_members_keep_it(country: Country) -> None:
    country.declare("mapping/authority.yaml", lambda content: content.update(RELATED))
    country.declare("mapping/grants.yaml", lambda content: content.update(membership=GRANT))
    country.declare(
        "mapping/beta.yaml",
        lambda content: content["beta_cards"].update(related_entities={"household_head": "personal_id(number)"}),
    )
    published(country)
    told = "select household_head, household_members, key from golden_household where household_head = '001090000001'"
    assert rows(country, told) == [("001090000001", "2", KEY)]
    erase(country, "beta_cards", KEY)
    assert left_of(country, MAI) == {}
    assert findings(country) == []
    assert rows(country, "select count(*) from golden_membership") == [(4,)]
    pipeline.project(pipeline.publish(pipeline.reconcile()["run"])["run"])
    assert rows(country, told) == [("001090000001", "1", "b1")]
    assert rows(country, "select event from feed_membership where seq > 5") == [("erased",)]
    assert left_of(country, MAI) == {}
    assert findings(country) == []


def test_every_version_goes_from_bases_histories_and_the_quarantine(
    country: Country, monkeypatch: pytest.MonkeyPatch
) -> None:
    spine = {row[0]: row for row in SPINE} | {"a4": ("key-of-dung", *SPINE[3][1:])}
    cards = {row[0]: row for row in CARDS} | {
        "b4": ("card-of-dung", *CARDS[3][1:]),
        "b6": ("card-of-hoa", *CARDS[5][1:]),
    }
    country.write("alpha_people", [spine_record(row) for row in spine.values()])
    country.write("beta_cards", [card_record(row) for row in cards.values()])
    whole_job()
    renamed = ("key-of-dung", "001070000099", "Phạm Quang Dũng", "1970-02-01", "male", None)
    country.write("alpha_people", [spine_record(row) for row in spine.values()] + [spine_record(renamed, LATER)])
    whole_job()
    monkeypatch.setenv("MOTLAN_REBASE_PERCENT", "1")
    assert pipeline.care()["written"] > 0
    ((entry,),) = rows(country, "select id from quarantine_entries")
    quarantined.fix(country.open(), entry, "user:test", "Hoàng Thị Hòa told us", {"name": "Hoàng Thị Hòa Bình"})
    said = ("001070000004", "001070000099", "Phạm Quang Dũng", "Phạm Văn Dũng", "key-of-dung", "card-of-dung")
    of_the_card = ("card-of-hoa", "GD4010000000006", "Hòa Bình", "Hòa told us")
    assert left_of(country, said + of_the_card).keys() == {*said, *of_the_card}
    assert erase(country, "alpha_people", "key-of-dung")["rows"] == 2
    assert erase(country, "beta_cards", "card-of-dung")["rows_of_others_in_payloads"] == 5
    assert erase(country, "beta_cards", "card-of-hoa")["quarantine_entries"] == 1
    assert left_of(country, said + of_the_card) == {}
    pipeline.project(pipeline.publish(pipeline.reconcile()["run"])["run"])
    assert left_of(country, said + of_the_card) == {}
    assert findings(country) == []
