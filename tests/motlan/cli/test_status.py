"""`motlan status`: ages and promises, backlogs, what failed and what comes next; it starts no server."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from motlan import pipeline
from motlan.config import registry
from motlan.errors import ConfigurationError, ContractError, TransientError
from motlan.ingest.timeliness import NEVER, NOT_PULLED, NOTHING_NEW, timeliness
from motlan.operations.schedules import next_run, next_runs
from tests.conftest import SPINE, Country, spine_record
from tests.motlan.cli.conftest import Command
from tests.motlan.test_pipeline import BOTH, whole_job

NEWEST = datetime(2026, 9, 1, tzinfo=UTC)  # of the small country's records
AS_OF = datetime(2026, 10, 1, tzinfo=UTC)  # of its registers


def test_a_schedule_is_read_in_its_zone() -> None:
    now = datetime(2026, 11, 30, 20, 0, tzinfo=UTC)  # 03:00 of the next day in Hanoi
    found = next_run("30 4 * * *", "Asia/Ho_Chi_Minh", now)
    assert found and found.isoformat() == "2026-12-01T04:30:00+07:00"
    assert next_run("30 4 * * *", "UTC", now) == datetime(2026, 12, 1, 4, 30, tzinfo=UTC)
    assert next_run("@hourly", "UTC", now) == datetime(2026, 11, 30, 21, 0, tzinfo=UTC)
    assert next_run("61 25 * * *", "UTC", now) is None


def test_the_next_pulls_are_told_in_the_zone_of_the_schedules(country_files: Country) -> None:
    country_files.declare("adapters/agencies.yaml", lambda y: y.update(schedule_zone="Asia/Ho_Chi_Minh"))
    found = next_runs(registry.load(country_files.home), datetime(2026, 11, 30, 18, 30, tzinfo=UTC))
    assert list(found.items()) == [
        ("beta_cards", "2026-12-01T02:00:00+07:00"),
        ("alpha_people", "2026-12-02T01:00:00+07:00"),
    ]
    country_files.declare("adapters/agencies.yaml", lambda y: y.update(schedule_zone="Hanoi"))
    with pytest.raises(ConfigurationError, match=r"agencies.yaml, line \d+: Hanoi is no zone"):
        registry.load(country_files.home)


def test_ages_are_held_against_the_promise_and_late_says_why(country: Country) -> None:
    pipeline.sync("alpha_people")
    work = country.open()
    found = timeliness(work, NEWEST + timedelta(seconds=86_400))
    assert (found["alpha_people"]["age"], found["alpha_people"]["late"]) == (86_400, False)
    assert (found["beta_cards"]["late"], found["beta_cards"]["why"]) == (True, NEVER)
    found = timeliness(work, AS_OF + timedelta(hours=1))
    assert (found["alpha_people"]["lag"], found["alpha_people"]["why"]) == (3600, NOTHING_NEW)
    assert timeliness(work, datetime.now(UTC) + timedelta(hours=25))["alpha_people"]["why"] == NOT_PULLED


@pytest.mark.quick
def test_what_waits_and_what_failed_is_told(country: Country, command: Command, printed: Callable[..., str]) -> None:
    country.after(whole_job)
    country.write("alpha_people", [spine_record((*row[:5], "2026-09-30"), "2026-10-02T00:00:00Z") for row in SPINE[:1]]
                  + [spine_record(row) for row in SPINE[1:]])  # fmt: skip
    pipeline.sync("alpha_people")
    waits = command("status")["backlog"]
    assert waits["quarantine"] == {"beta_cards": 1}
    assert (waits["unreconciled"], waits["unpublished"], waits["unprojected"]) == ({"alpha_people": 1}, [], [])
    run = str(pipeline.reconcile()["run"])
    command("hold", "publish")
    country.write("beta_cards", "down")
    with pytest.raises(TransientError):
        pipeline.sync("beta_cards")
    found = command("status")
    assert found["backlog"]["unreconciled"] == {}
    assert found["backlog"]["unpublished"] == [{"run": run, "entity": "person", "state": "reconciled"}]
    assert [(one["kind"], one["subject"], one["state"]) for one in found["failed"]] == [
        ("sync", "beta_cards", "failed")
    ]
    assert found["holds"][0]["subject"] == "publish"
    assert list(found["next_runs"]) == sorted(BOTH, key=lambda name: found["next_runs"][name])
    shown = printed("status")
    for words in (
        "late:",
        "motlan publish",
        "motlan runs show",
        "motlan hold list",
        "motlan quarantine list",
    ):
        assert words in shown.replace("\n", " "), words


def test_long_names_fit(country: Country, printed: Callable[..., str]) -> None:
    name = "the_register_of_people_whose_name_is_as_long_as_any_name_that_somebody_may_declare"

    def rename(content: Any) -> None:
        content["agencies"]["beta"]["datasets"][name] = content["agencies"]["beta"]["datasets"]["beta_cards"]

    country.declare("adapters/agencies.yaml", rename)
    country.declare("mapping/beta.yaml", lambda y: y.update({name: y["beta_cards"]}))
    country.write(name, "[]")
    pipeline.sync(name)
    for words in (["status"], ["agencies", "list"], ["runs", "list"], ["quarantine", "list"], ["hold", "list"]):
        printed(*words)
    printed("agencies", "check", name)


def test_it_starts_no_server_and_says_how(tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MOTLAN_DATABASE_URL", raising=False)
    monkeypatch.setenv("MOTLAN_VAR", str(tmp_path / "var"))
    told = command("status", code=1)["message"]
    assert "the embedded PostgreSQL does not run. Next: `motlan store start` starts it" in told
    assert not (tmp_path / "var").exists()


def test_the_daily_check_fails_where_nothing_was_pulled_in_time_and_tells_of_a_source_that_is_stale(
    country: Country,
) -> None:
    with pytest.raises(ContractError, match=NEVER):
        pipeline.check_freshness("alpha_people")
    pipeline.sync("alpha_people")
    found = pipeline.check_freshness("alpha_people")
    assert (found["stale"], found["age"] > found["promised"]) == (1, True)
