"""Due dates: since when a finding is open, when it is due and overdue, and what an unchanged run says of a register."""

import csv
import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from motlan import pipeline
from motlan.cli.main import app
from motlan.config.scoring import DueDays
from motlan.quality.deadlines import last_days
from motlan.quality.report import report
from motlan.quality.scores import current
from motlan.quarantine import export
from motlan.quarantine.listing import Wanted, listed
from motlan.store import tables
from tests.conftest import CARDS, Country, card_record, spine_record
from tests.country.adapter import FileAdapter

DAYS = DueDays(complex_fields=["sex"])
SINCE = date(2026, 11, 1)


def test_a_conflict_about_a_complex_field_has_the_longer_time() -> None:
    verify = SINCE + timedelta(days=5)
    assert last_days(DAYS, "row", "sex", SINCE) == (verify, SINCE + timedelta(days=10)), "no conflict"
    assert last_days(DAYS, "correction", "full_name", SINCE) == (verify, SINCE + timedelta(days=10))
    assert last_days(DAYS, "correction", "sex", SINCE) == (verify, SINCE + timedelta(days=20))


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Let runs begin on a day of November 2026; those of one day in the order in which they begin."""

    class Clock(datetime):
        moment = datetime(2026, 11, 1, tzinfo=UTC)

        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            cls.moment += timedelta(seconds=1)
            return cls.moment

    monkeypatch.setattr("motlan.ledger.runs.datetime", Clock)
    return lambda day: setattr(Clock, "moment", datetime(2026, 11, day, tzinfo=UTC))


def job() -> None:
    for dataset in ("alpha_people", "beta_cards"):
        pipeline.sync(dataset)
    pipeline.reconcile()
    pipeline.publish()


def told(country: Country, day: int, **asked: Any) -> dict[tuple[str, str], tuple[Any, ...]]:
    work = country.open()
    found = report(work.store, work.registry, today=date(2026, 11, day), **asked)["findings"]
    names = ("open", "due", "overdue", "first_seen", "due_date")
    return {
        (line["kind"], line["name"]): tuple(line[name] for name in names) for line in found if line["agency"] == "beta"
    }


def change(country: Country, day: int, *changed: tuple[str | None, ...]) -> None:
    """Let cards change on a day; one that is not known yet is new."""
    moment = f"2026-11-{day:02d}T00:00:00.000000Z"
    cards = vars(country).setdefault("cards", {row[0]: card_record(row) for row in CARDS})
    cards.update({row[0]: card_record(row, moment) for row in changed})
    country.write("beta_cards", list(cards.values()))


WRONG = ("b1", "12", "NGUYEN VAN AN", "03/02/1990", "male", "GD4010000000001")
RIGHT = ("b1", "001090000001", "NGUYEN VAN AN", "03/02/1990", "male", "GD4010000000001")
OTHER_SEX = ("b4", "001070000004", "Phạm Văn Dũng", "01/02/1970", "female", "GD4010000000004")
SAME_SEX = ("b4", "001070000004", "Phạm Văn Dũng", "01/02/1970", "male", "GD4010000000004")
NEW = ("b8", "34", "Trần Thị Bình", "06/05/1990", "female", "GD4010000000008")


def test_a_finding_is_open_since_it_was_first_seen_and_overdue_when_its_days_are_over(
    country: Country, at: Callable[[int], None]
) -> None:
    scoring = country.home / "mapping" / "scoring.yaml"
    scoring.write_text("due_days: {complex_fields: [sex]}\n", encoding="utf-8")
    at(1)
    change(country, 1, WRONG, OTHER_SEX)
    job()
    first = told(country, 1, by="rule")
    assert first["row", "number_valid"] == (1, 0, 0, "2026-11-01", "2026-11-11")
    assert first["cross", "not_after_death"] == (1, 0, 0, "2026-11-01", "2026-11-11")
    assert first["correction", "sex"] == (1, 0, 0, "2026-11-01", "2026-11-21")
    assert first["quarantine", "has_a_name"][:3] == (1, 0, 0)
    assert told(country, 6)["row", ""][:3] == (1, 0, 0), "the last day for verification"
    assert told(country, 7)["row", ""][:3] == (1, 1, 0)
    assert told(country, 11)["row", ""][:3] == (1, 1, 0), "the last day for the mend"
    assert told(country, 12)["row", ""][:3] == (1, 0, 1)
    assert told(country, 21)["correction", ""][:3] == (1, 1, 0)
    assert told(country, 22)["correction", ""][:3] == (1, 0, 1)

    at(4)
    change(country, 4, ("b1", "13", *WRONG[2:]), NEW)
    job()
    second = told(country, 12, by="rule")
    assert second["row", "number_valid"] == (2, 1, 1, "2026-11-01", "2026-11-11"), "a new version keeps its first day"
    assert second["cross", "not_after_death"][3] == "2026-11-01"
    assert second["correction", "sex"][3] == "2026-11-01"

    at(8)
    change(country, 8, RIGHT, SAME_SEX)
    job()
    third = told(country, 12, by="rule")
    assert third["row", "number_valid"] == (1, 1, 0, "2026-11-04", "2026-11-14"), "what the source mended is not open"
    assert ("correction", "sex") not in third

    at(9)
    change(country, 9, WRONG, OTHER_SEX)
    job()
    fourth = told(country, 12, by="rule")
    assert fourth["row", "number_valid"] == (2, 1, 0, "2026-11-04", "2026-11-14"), "what comes back is new"
    assert fourth["correction", "sex"][3] == "2026-11-09"
    assert told(country, 12, dataset="alpha_people") == {}

    shown = CliRunner().invoke(app, ["quality"])
    assert shown.exit_code == 0
    assert "overdue" in shown.output
    lines = json.loads(CliRunner().invoke(app, ["quality", "--json"]).output)["findings"]
    assert {"agency", "kind", "open", "due", "overdue", "first_seen", "due_date"} <= set(lines[0])


PULL = {
    "name": "as_announced",
    "field": "_key",
    "dimension": "completeness",
    "severity": "error",
    "expression": "pulled >= source_rows",
    "share": {"have": "pulled", "of": "source_rows"},
    "message": {"vi": "Thiếu", "en": "Short"},
}
FRESH = {
    "name": "fresh",
    "field": "_moment",
    "dimension": "timeliness",
    "severity": "error",
    "expression": "age <= freshness if expected >= 10 else None",
    "message": {"vi": "Cũ", "en": "Old"},
}


def test_a_held_row_has_a_due_date_where_it_is_listed_and_exported(country: Country, tmp_path: Path) -> None:
    pipeline.sync("beta_cards")
    work, wanted = country.open(), Wanted(dataset="beta_cards")
    today, seen = datetime.now(UTC).date(), sa.update(tables.quarantine_entries)
    for days, overdue in ((10, False), (11, True)):
        with work.store.engine.begin() as connection:
            connection.execute(seen.values(first_seen=sa.func.now() - timedelta(days=days)))
        (entry,) = listed(work, wanted, 10)
        due_date = (today - timedelta(days=days - 10)).isoformat()
        assert (entry["due_date"], entry["overdue"]) == (due_date, overdue)
        export.export(work, wanted, "csv", tmp_path / "held.csv", "user:test")
        (row,) = csv.DictReader((tmp_path / "held.csv").read_text(encoding="utf-8-sig").splitlines())
        assert row["due_date"] == due_date
    assert "!" in CliRunner().invoke(app, ["quarantine", "list"]).output


def test_an_unchanged_run_of_which_nothing_was_announced_changes_no_score(
    country: Country, monkeypatch: pytest.MonkeyPatch
) -> None:
    country.declare("mapping/quality.yaml", lambda content: content.update(register_rules=[PULL]))
    job()
    everything = FileAdapter._since
    monkeypatch.setattr(FileAdapter, "_since", lambda it, since: [] if since else everything(it, since))
    job()
    work = country.open()
    lines = report(work.store, work.registry)["lines"]
    assert [line["change"] for line in lines] == [0.0] * len(lines)
    assert [len(line["trend"]) for line in lines] == [2] * len(lines)
    assert {count.dataset for count in current(work.store, work.registry) if count.rule == "as_announced"} == {
        "alpha_people",
        "beta_cards",
    }


def test_silence_is_staleness_only_where_changes_are_frequent(country: Country) -> None:
    """The country's clock stands at 2026-10-01; its promise is a day."""
    country.declare("mapping/quality.yaml", lambda content: content.update(register_rules=[FRESH]))
    busy = [f"2026-09-{day:02d}T{hour:02d}:00:00.000000Z" for day in range(1, 30) for hour in range(0, 24, 2)]
    country.write(
        "alpha_people",
        [
            spine_record((f"a{n}", None, "Lê Văn Tám", "1990-02-03", "male", None), moment)
            for n, moment in enumerate(busy)
        ],
    )
    country.write("beta_cards", [card_record(row, "2026-09-01T00:00:00.000000Z") for row in CARDS])
    job()
    work = country.open()
    fresh = {c.dataset: (c.assessed, c.passed) for c in current(work.store, work.registry) if c.rule == "fresh"}
    assert fresh == {"alpha_people": (1, 0)}, (
        "the busy register fell silent for 26 hours; the other one says little anyway"
    )
