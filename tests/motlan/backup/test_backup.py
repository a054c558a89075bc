"""A backup is taken while the bus works, comes back elsewhere, and is reconciled with what was published."""

import json
import os
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from motlan import pipeline
from motlan.backup import restore as restoring
from motlan.backup.folder import FORMAT, chosen, kept
from motlan.cli.main import app
from motlan.errors import AccessError, ConfigurationError, ContractError
from motlan.feeds import keys
from motlan.feeds.app import create_app
from motlan.ledger import log
from motlan.publication import checkpoints, hold
from tests.conftest import SPINE, Country, Databases, spine_record
from tests.motlan.test_pipeline import rows, whole_job

GOLDEN = "select to_jsonb(g) from golden_person g order by person_id"
FEED = "select to_jsonb(f) from feed_person f order by seq"


def command(*words: str, fails: bool = False) -> dict:
    answer = CliRunner().invoke(app, [*words, "--json"])
    assert answer.exit_code == (1 if fails else 0), answer.output
    return json.loads(answer.stdout)


@pytest.fixture
def folder(country_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MOTLAN_BACKUP", str(tmp_path / "backups"))
    monkeypatch.setenv("MOTLAN_CHECKPOINTS", str(tmp_path / "elsewhere" / "checkpoints.jsonl"))
    return tmp_path / "backups"


@pytest.fixture
def lose(country: Country, databases: Databases, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """The database and the state's folder are lost; an empty database and another folder are there."""

    def do() -> None:
        url = databases.make("template1")
        monkeypatch.setenv("MOTLAN_DATABASE_URL", url)
        monkeypatch.setenv("MOTLAN_VAR", str(country.home / f"var-{url.rpartition('/')[2].partition('?')[0]}"))
        (country.home / "var").rename(country.home / "lost")

    return do


def change(day: int) -> None:
    """Let one person's name change, and publish it."""
    name = f"Nguyễn Văn {'ABCDEFGH'[day]}n"
    new = spine_record(("a1", "001090000001", name, "1990-02-03", "male", None), f"2026-10-{day:02}T00:00:00.000000Z")
    others = [spine_record(row) for row in SPINE if row[0] != "a1"]
    path = Path(os.environ["COUNTRY_URL"].removeprefix("file://")) / "alpha_people.json"
    path.write_text(json.dumps([*others, new], ensure_ascii=False), encoding="utf-8")
    pipeline.sync("alpha_people")
    pipeline.reconcile()
    pipeline.project(pipeline.publish()["run"])


def published_twice() -> None:
    whole_job()
    change(2)


def test_it_comes_back_elsewhere_as_it_was_and_goes_on(
    country: Country, folder: Path, lose: Callable[[], None]
) -> None:
    country.after(published_twice)
    golden, feed = rows(country, GOLDEN), rows(country, FEED)
    done = command("backup")
    assert (done["publication"], done["new_files"]) == (2, done["files"])
    again = command("backup")
    assert (again["files"], again["new_files"]) == (done["files"], 0), "nothing changed: nothing is copied"
    lose()
    back = command("restore", str(folder))
    assert (back["wrong"], back["backup"]) == ([], again["backup"])
    assert back["replayed"] == back["replayed_equal"] == 30
    assert (rows(country, GOLDEN), rows(country, FEED)) == (golden, feed)
    with pytest.raises(AccessError, match="motlan restore confirm"):
        change(3)
    with pytest.raises(AccessError, match="motlan restore confirm"):
        hold.end(country.open().store, hold.PUBLISH, "user:an", "I want to")
    place = folder.parent / "now.json"
    with country.open().store.engine.connect() as connection:  # what was published before checkpoints were set
        place.write_text(checkpoints.read_now(connection).line())
    done = command("restore", "confirm", "--checkpoint", str(place))
    assert (done["epoch_rose"], done["epoch"], done["next_publication"]) == (False, 1, 3)
    pipeline.project(pipeline.publish()["run"])
    assert rows(country, "select max(publication), max(seq) from feed_person") == [(3, 8)]
    with country.open().store.engine.connect() as connection:
        assert log.first_broken(connection) is None
    assert pipeline.reconcile(full=True)["diff"]["changes"] == 0, "what changed alone and everything come to the same"


def test_a_restore_that_is_behind_begins_an_epoch_and_gives_no_number_again(
    country: Country, folder: Path, lose: Callable[[], None]
) -> None:
    country.after(whole_job)
    key = keys.issue(country.open().store, "beta")
    command("backup")
    place = Path(os.environ["MOTLAN_CHECKPOINTS"])
    with country.open().store.engine.connect() as connection:  # as publishers that are killed before their commit
        log.append(connection, "publication", {"number": 2})
        checkpoints.write(connection, place)
        connection.rollback()
    with place.open("a") as file:
        file.write('{"publication": 2, "se')
    change(2)
    (before,) = rows(country, "select max(seq) from feed_person")
    lose()
    command("restore", str(folder))
    done = command("restore", "confirm")
    assert (done["epoch_rose"], done["epoch"], done["lost_publications"], done["next_publication"]) == (True, 2, 1, 3)
    assert "nothing was restored" in command("restore", "confirm", fails=True)["message"]
    change(3)
    assert rows(country, "select publication, seq from feed_person order by seq desc limit 1") == [(3, before[0] + 1)]
    feeds = TestClient(create_app(), headers={"Authorization": f"Bearer {key}"})
    for query in ({"after": before[0]}, {"after": before[0] + 1, "epoch": 1}, {"after": 0, "epoch": 1}):
        answer = feeds.get("/v1/feeds/person/changes", params=query)
        assert (answer.status_code, answer.headers["Motlan-Epoch"]) == (410, "2"), query
        assert "/v1/feeds/person/snapshot" in answer.json()["detail"]
        assert answer.headers["content-type"] == "application/problem+json"
    snapshot = feeds.get("/v1/feeds/person/snapshot", params={"epoch": 2})
    assert snapshot.headers["Motlan-Seq"] == str(before[0] + 1)
    more = feeds.get("/v1/feeds/person/changes", params={"after": before[0] + 1, "epoch": 2})
    assert (more.status_code, more.text, more.headers["Motlan-Epoch"]) == (200, "", "2")
    line = checkpoints.read(place.read_text().splitlines())[-1]
    assert (line.epoch, line.publication) == (2, 3)


def test_checkpoints_of_another_log_or_too_old_leave_it_blocked(
    country: Country, folder: Path, lose: Callable[[], None], tmp_path: Path
) -> None:
    country.after(published_twice)
    with country.open().store.engine.connect() as connection:
        now = asdict(checkpoints.read_now(connection))
        size = connection.exec_driver_sql(
            "select min(index) + 1 from log_entries where kind = 'publication'"
        ).scalar_one()
        first = {**now, "publication": 1, "log_size": size, "root": log.root_of(connection, size).hex(), "leaves": []}
    command("backup")
    lose()
    command("restore", str(folder))
    given = tmp_path / "given.json"
    for wrong, said in (
        (first, "the backup has publication 2"),
        ({**now, "root": "00" * 32}, "does not extend the restored one"),
        ({**now, "log_size": 1000}, "does not show the log that leads to it"),
    ):
        given.write_text(json.dumps(wrong))
        assert said in command("restore", "confirm", "--checkpoint", str(given), fails=True)["message"]
    with country.open().store.engine.connect() as connection, pytest.raises(AccessError):
        hold.require_none(connection)
    answer = CliRunner().invoke(app, ["restore", "confirm", "--no-checkpoint", "--json"], input='{"why": "lost too"}')
    assert json.loads(answer.stdout)["epoch"] == 12
    change(3)
    assert rows(country, "select max(publication), max(seq) from feed_person") == [(1003, 1_000_000_008)]


def test_nothing_is_published_where_its_checkpoint_cannot_be_written(
    country: Country, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOTLAN_CHECKPOINTS", "/proc/no/such.jsonl")
    with pytest.raises(ConfigurationError, match="nothing is published"):
        whole_job()
    assert rows(country, "select count(*) from publications") == [(0,)]


def test_a_place_that_is_not_empty_is_refused(country: Country, folder: Path) -> None:
    country.after(whole_job)
    command("backup")
    assert "empty place" in command("restore", str(folder), fails=True)["message"]
    elsewhere = str(country.home / "other")
    assert "this database has" in command("restore", str(folder), "--to", elsewhere, fails=True)["message"]
    assert not Path(elsewhere).exists()


def test_a_damaged_backup_is_refused_and_the_next_one_mends_it(
    country: Country, folder: Path, lose: Callable[[], None]
) -> None:
    country.after(whole_job)
    command("backup")
    damaged = next(path for path in (folder / "files" / "lake").rglob("*.parquet"))
    content = damaged.read_bytes()
    damaged.unlink()
    damaged.write_bytes(content[:-1])
    assert damaged.name in command("backup", "check", fails=True)["message"]
    command("backup")
    assert damaged.read_bytes() == content
    damaged.unlink()
    damaged.write_bytes(content[:-1] + b"x")
    lose()
    assert damaged.name in command("restore", str(folder), fails=True)["message"]
    assert "was stopped" in command("restore", str(folder), fails=True)["message"]
    assert "a restore into this folder" in command("status", fails=True)["message"]


@pytest.mark.quick
def test_the_nightly_check_restores_and_leaves_nothing(country: Country, folder: Path) -> None:
    country.after(whole_job)
    taken = command("backup")
    there = sorted(path for path in folder.rglob("*"))
    done = command("backup", "check")
    assert (done["backup"], done["replayed"], done["replayed_equal"]) == (taken["backup"], 30, 30)
    assert sorted(path for path in folder.rglob("*")) == there
    assert not list((country.home / "var" / "scratch").glob("*"))
    assert "no backup" in command("backup", "check", str(country.home), fails=True)["message"]


def test_what_is_removed_between_the_snapshot_and_its_links_begins_it_anew(
    country: Country, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from motlan.backup import take

    country.after(whole_job)
    pin, tries = take._pin, []

    def gone_once(var: Path, new: list[str], pins: Path) -> dict[str, Path]:
        tries.append(new)
        return pin(var, [*new, "lake/none.parquet"] if len(tries) == 1 else new, pins)

    monkeypatch.setattr(take, "_pin", gone_once)
    command("backup")
    assert len(tries) == 2
    assert [path.name[0] for path in folder.iterdir() if path.is_dir()] != ["."]


def test_keys_can_lie_apart_and_the_restore_needs_them(
    country: Country, folder: Path, lose: Callable[[], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOTLAN_BACKUP_KEYS", str(tmp_path / "keys"))
    country.after(whole_job)
    secret = country.open().store.secret("person ids")
    backup = command("backup")["backup"]
    assert not (folder / backup / "keys.json").exists()
    monkeypatch.delenv("MOTLAN_BACKUP_KEYS")
    lose()
    assert "--keys FILE" in command("restore", str(folder), fails=True)["message"]
    command("restore", str(folder), "--keys", str(tmp_path / "keys" / f"{backup}.keys.json"))
    assert country.open().store.secret("person ids") == secret


def test_what_a_killed_backup_left_is_no_backup_and_is_removed(country: Country, folder: Path) -> None:
    country.after(whole_job)
    draft = folder / ".draft-20260101T000000000000Z"
    draft.mkdir(parents=True)
    with pytest.raises(ConfigurationError, match="no backup here"):
        chosen(folder)
    command("backup")
    assert not draft.exists()


def test_a_damaged_manifest_stops_no_later_backup_and_a_full_disk_is_said(
    country: Country, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    country.after(whole_job)
    damaged = command("backup")["backup"]
    (folder / damaged / "manifest.json.gz").write_bytes(b"x")
    assert "missing or was altered" in command("backup", "check", fails=True)["message"]
    assert "cannot be read" in command("backup", "list", fails=True)["message"]
    assert command("backup")["new_files"], "it takes everything anew"

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("motlan.backup.take.write_sums", full)
    assert "No space left on device" in command("backup", fails=True)["message"]
    assert not list(folder.glob(".draft-*"))


def test_old_backups_go_with_the_files_that_only_they_had(
    country: Country, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    country.after(whole_job)
    first = command("backup")["backup"]
    only = folder / "files" / "lake" / "only"
    only.write_text("x")
    from motlan.backup import manifest

    old = folder / f"{(datetime.now(UTC) - timedelta(days=20)).strftime(FORMAT)}"
    (folder / first).rename(old)
    read = manifest.Manifest.read(old)
    read.files["lake/only"] = (1, "x")
    read.save(old / manifest.MANIFEST)
    done = command("backup")
    assert (done["removed"], done["files_removed"]) == (1, 1)
    assert not old.exists() and not only.exists()
    assert command("backup", "check")["replayed"] == 30


def test_an_hour_a_day_and_the_days_before_are_kept_ever_more_sparsely() -> None:
    now = datetime(2026, 11, 30, 12, tzinfo=UTC)
    taken = [now - timedelta(minutes=5 * number) for number in range(12 * 24 * 30)]
    paths = sorted(Path(moment.strftime(FORMAT)) for moment in taken)
    left = kept(paths, 14, now)
    assert len(left) == 13 + 23 + 14
    assert kept(paths[:1], 14, now) == paths[:1], "the newest one stays however old it is"


def test_replay_says_what_is_not_as_it_was_taken(
    country: Country, folder: Path, lose: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    country.after(whole_job)
    command("backup")
    monkeypatch.setattr(restoring.log, "first_broken", lambda connection: 3)
    with pytest.raises(ContractError, match="entry 3 of the log does not hold"):
        pipeline.check_backup()
    lose()
    answer = CliRunner().invoke(app, ["restore", str(folder)])
    assert answer.exit_code == 1
    assert "entry 3 of the log does not hold" in answer.output
    assert "entry 3 of the log does not hold" in command("restore", "confirm", fails=True)["message"]
