"""A watermark is earned: what a source's cursors may be, and that every record is landed once whatever they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from motlan import pipeline
from motlan.status import status
from tests.conftest import Country, spine_record

PEOPLE = "alpha_people"
Record = dict[str, str | None]


def person(key: str, cursor: str | None, name: str = "Lê Văn An") -> Record:
    return spine_record((key, None, name, "1990-02-03", "male", None)) | {"updated": cursor}


def declare(country: Country, **changes: Any) -> None:
    country.declare(
        "adapters/agencies.yaml", lambda content: content["agencies"]["alpha"]["datasets"][PEOPLE].update(changes)
    )


def sync(country: Country, *records: Record) -> dict[str, Any]:
    """Let the register hold these records, and pull; return the counts of the landing."""
    country.write(PEOPLE, list(records))
    return pipeline.sync(PEOPLE)["land"]


def landed(country: Country) -> list[tuple[str | None, str | None]]:
    """Return key and cursor, as sent, of every landed row."""
    work = country.open()
    with work.store.engine.connect() as connection:
        runs = [row[0] for row in connection.exec_driver_sql("select id from runs where state = 'visible'")]
    with work.engine("counting") as engine:
        files = work.lake.files(f"raw.{PEOPLE}", set(runs))
        return engine.execute(f"select id, updated from read_parquet({files}) order by all").fetchall()


def kept(country: Country) -> str | None:
    return status(country.open())["datasets"][PEOPLE]["watermark"]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """Return what the source is asked for, in order."""
    found: list[str | None] = []
    original: Callable[..., Any] = __import__("tests.country.adapter", fromlist=["x"]).FileAdapter.pull

    def pull(self: Any, since: Any) -> Any:
        found.append(since and since.cursor)
        return original(self, since)

    monkeypatch.setattr("tests.country.adapter.FileAdapter.pull", pull)
    return found


@pytest.mark.parametrize(
    ("first", "late", "since", "utc"),
    [
        ("2026-09-01T07:00:00+07:00", "2026-09-01T06:55:00+07:00", "2026-09-01T06:50:00+07:00", "2026-09-01T00:00:00"),
        ("2026-09-01T07:00:00-05:00", "2026-09-01T06:55:00-05:00", "2026-09-01T06:50:00-05:00", "2026-09-01T12:00:00"),
        ("2026-09-01 07:00:00", "2026-09-01 06:55:00", "2026-09-01 06:50:00", "2026-09-01T00:00:00"),
        ("20260901T070000Z", "20260901T065500Z", "20260901T065000Z", "2026-09-01T07:00:00"),
        (
            "2026-09-01T07:00:00.1234567Z",
            "2026-09-01T06:55:00.0000000Z",
            "2026-09-01T06:50:00.1234560Z",
            "2026-09-01T07:00:00",
        ),
    ],
)
def test_a_lag_is_reckoned_in_utc_and_asked_for_as_the_source_writes(
    country: Country, asked: list[str | None], first: str, late: str, since: str, utc: str
) -> None:
    declare(country, cursor_zone="Asia/Ho_Chi_Minh")
    assert sync(country, person("a", first))["landed"] == 1
    assert (kept(country) or "").startswith(utc)
    again = sync(country, person("a", first), person("b", late))
    assert (again["pulled"], again["landed"]) == (2, 1), "what comes twice is landed once"
    assert asked == [None, since]
    assert landed(country) == [("a", first), ("b", late)]
