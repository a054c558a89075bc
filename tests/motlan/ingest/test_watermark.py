"""A watermark is earned: what a source's cursors may be, and that every record is landed once whatever they are."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from motlan import pipeline
from motlan.adapter import SourceCount
from motlan.cli.main import app
from motlan.errors import ConfigurationError
from motlan.expressions import quote
from motlan.ingest.raw_columns import stored
from motlan.lake.tables import clean_table, raw_table
from motlan.ledger import log, runs
from motlan.ledger.results import Cleaned
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
    """Let the register hold these records, and pull them without cleaning; return the counts of the landing."""
    country.write(PEOPLE, list(records))
    run = pipeline.begin_sync(PEOPLE)["run"]
    counts = pipeline.land(run)
    runs.step(country.open().store, run, "clean", lambda _: Cleaned(0, 0, "", {}, {}))
    pipeline.commit_sync(run)
    return counts


def landed(country: Country) -> list[tuple[str | None, str | None]]:
    """Return key and cursor, as sent, of every landed row."""
    work = country.open()
    with work.engine("counting") as engine, work.store.engine.connect() as connection:
        files = work.lake.files(raw_table(PEOPLE), runs.visible(connection, "sync", PEOPLE))
        sent = ", ".join(quote(stored(name)) for name in ("id", "updated"))
        return engine.execute(f"select {sent} from read_parquet({files}) order by all").fetchall()


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


def test_one_clock_gone_wrong_silences_no_later_row(country: Country) -> None:
    odd = [person("far", "9999-12-31"), person("next", "2099-01-01T00:00:00.000000Z"), person("hour", soon(3600))]
    first = sync(country, person("a", "2026-09-01T00:00:00.000000Z"), *odd)
    assert (first["landed"], first["cursors"]) == (4, {"none": 0, "unreadable": 0, "ahead": 3})
    assert kept(country) == "2026-09-01T00:00:00.000000Z", "beyond the source's own moment nothing is earned"
    second = sync(country, person("a", "2026-09-01T00:00:00.000000Z"), *odd, person("b", "2026-09-02T00:00:00.000000Z"))
    assert (second["landed"], second["cursors"]["ahead"]) == (1, 3), "the later row lands, the odd ones not again"
    mended = [person("far", "2026-09-03T00:00:00.000000Z"), person("next", "2026-09-03T00:00:00.000000Z")]
    assert sync(country, *mended, odd[2])["landed"] == 2
    assert sync(country, *mended, odd[2])["cursors"]["ahead"] == 1, "what its source has mended is odd no more"
    assert kept(country) == "2026-09-03T00:00:00.000000Z"


def soon(seconds: int) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


UNREADABLE = [
    "n/a",
    "zzzz",
    "2026-13-01T00:00:00Z",
    "0000-00-00 00:00:00",
    "1790812800000",
    "2026-09-01T00:00:00Z\0",
    "infinity",
]


def test_what_cannot_be_read_lands_once_and_moves_nothing(country: Country) -> None:
    odd = [person(f"u{place}", cursor) for place, cursor in enumerate(UNREADABLE)]
    odd += [person("none", None), person("empty", ""), person("blank", " ")]
    good = person("a", "2026-09-01T24:00:00Z")
    for place in range(3):
        counts = sync(country, good, *odd)
        assert counts["landed"] == (0 if place else 11)
        assert counts["cursors"] == {"none": 3, "unreadable": len(UNREADABLE), "ahead": 0}, "said in every run"
        assert kept(country) == "2026-09-02T00:00:00.000000Z"
    assert sync(country, *odd, person("b", "2026-09-02T00:00:00Z"))["landed"] == 1
    assert status(country.open())["datasets"][PEOPLE]["cursors"]["none"] == 3
    shown = CliRunner().invoke(app, ["sync", PEOPLE])
    assert "3 without a cursor, 7 with a cursor" in " ".join(shown.stdout.replace("│", " ").split())


def test_a_register_of_nothing_but_unreadable_cursors_lands_once(country: Country, asked: list[str | None]) -> None:
    rows = [person(f"k{number}", str(1790000000 + number)) for number in range(6)]
    assert [sync(country, *rows)["landed"] for _ in range(2)] == [6, 0]
    assert asked == [None, None], "all is pulled, for nothing says from where on"
    declare(country, cursor_type="epoch_seconds", lag=3)
    assert [sync(country, *rows)["landed"] for _ in range(2)] == [0, 0]
    assert asked[2:] == [None, "1790000002"]


def test_sequence_numbers_order_as_numbers(country: Country, asked: list[str | None]) -> None:
    declare(country, cursor_type="sequence", lag=0, absent="kept")
    assert sync(country, person("a", "9"), person("b", "10"))["landed"] == 2
    assert kept(country) == "10"
    counts = sync(country, person("b", "10"), person("c", "98"), person("d", "100"))
    assert (counts["landed"], kept(country), asked) == (2, "100", [None, "10"])
    declare(country, lag=5)
    sync(country)
    assert asked[-1] == "95"


def test_a_token_is_only_ordered_as_text(country: Country) -> None:
    declare(country, cursor_type="token", lag=0)
    assert sync(country, person("a", "d9"), person("b", "d10"), person("c", "9\n9"))["cursors"]["unreadable"] == 1
    assert kept(country) == "d9"
    assert sync(country, person("a", "d9"), person("d", "e"))["landed"] == 1
    declare(country, lag=600)
    with pytest.raises(ConfigurationError, match="lag: 0"):
        pipeline.sync(PEOPLE)


def test_rows_without_a_key_land_as_often_as_the_source_has_them(country: Country) -> None:
    nobody = person("x", "2026-09-01T00:00:00.000000Z") | {"id": None}
    country.declare(
        "adapters/agencies.yaml", lambda content: content["agencies"]["alpha"]["datasets"][PEOPLE].update(page_rows=1)
    )
    known = person("a", "2026-09-01T00:00:00.000000Z")
    adapter = "tests.country.adapter.FileAdapter._since"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(adapter, lambda self, since: self._records())
        assert [sync(country, known, *[nobody] * number)["landed"] for number in (2, 2, 3)] == [3, 0, 1]


def test_a_poisoned_watermark_of_an_earlier_version_is_not_believed(country: Country, asked: list[str | None]) -> None:
    sync(country, person("a", "2026-09-01T00:00:00.000000Z"))
    for poison in ("2099-01-01T00:00:00.000000Z", "zzzz"):
        with country.open().store.engine.begin() as connection:
            connection.exec_driver_sql(f"update watermarks set cursor = '{poison}', written = ''")
        sync(country, person("a", "2026-09-01T00:00:00.000000Z"), person("b", "2026-09-02T00:00:00.000000Z"))
        assert (asked[-1], kept(country)) == (None, "2026-09-02T00:00:00.000000Z")
    assert len(landed(country)) == 2


def test_a_moment_is_kept_in_utc_or_not_at_all(country: Country) -> None:
    declare(country, cursor_zone="Asia/Ho_Chi_Minh")
    country.write(PEOPLE, [person("a", "2026-09-01 07:00:00"), person("b", "9999-12-31"), person("c", "zzzz")])
    pipeline.sync(PEOPLE)
    work = country.open()
    with work.engine("counting") as engine, work.store.engine.connect() as connection:
        files = work.lake.files(clean_table(PEOPLE), runs.visible(connection, "sync", PEOPLE))
        moments = engine.execute(f"select _key, _moment from read_parquet({files}) order by all").fetchall()
    assert moments == [("a", "2026-09-01T00:00:00.000000Z"), ("b", None), ("c", None)]


def test_a_reset_loses_and_doubles_nothing(country: Country, asked: list[str | None]) -> None:
    rows = [person(f"k{day}", f"2026-09-{day:02d} 07:00:00") for day in range(1, 7)]
    sync(country, *rows)
    early = person("early", "2026-08-01 00:00:00")
    assert sync(country, *rows, early)["landed"] == 0, "behind the lag window"
    work = country.open()
    done = call("reset", PEOPLE, "--reason", "a restore")
    assert (done["before"], done["after"]) == ("2026-09-06T07:00:00.000000Z", None)
    assert kept(country) is None
    assert sync(country, *rows, early)["landed"] == 1
    assert sync(country, *rows, early)["landed"] == 0
    assert len(landed(country)) == 7
    call("set", PEOPLE, "2026-09-02T00:00:00Z", said={"why": "look again"})
    sync(country, *rows, early)
    assert asked[-1] == "2026-09-01 23:50:00", "in the form that the source writes"
    found = call("show", PEOPLE)
    assert [(entry["action"], entry["reason"]) for entry in found["decisions"]] == [
        ("set", "look again"),
        ("reset", "a restore"),
    ]
    assert found["cursor"] == "2026-09-06T07:00:00.000000Z"
    with work.store.engine.connect() as connection:
        assert log.first_broken(connection) is None


def test_a_reset_while_a_run_pulls_holds(country: Country) -> None:
    sync(country, person("a", "2026-09-01T00:00:00.000000Z"))
    country.write(PEOPLE, [person("b", "2026-09-02T00:00:00.000000Z")])
    run = pipeline.begin_sync(PEOPLE)["run"]
    pipeline.land(run)
    call("reset", PEOPLE, "--reason", "a restore")
    pipeline.clean(run)
    pipeline.commit_sync(run)
    assert kept(country) is None


def call(*words: str, said: Any = None, fails: bool = False) -> dict[str, Any]:
    answer = CliRunner().invoke(app, ["watermark", *words, "--json"], input=json.dumps(said))
    assert answer.exit_code == fails, answer.output
    return json.loads(answer.stdout)


def test_a_watermark_is_set_to_what_can_be_for_a_reason_alone(country: Country) -> None:
    sync(country, person("a", "2026-09-01T00:00:00.000000Z"))
    good = "2026-09-01T00:00:00Z"
    for words, message in [
        (("show", "nobody"), "use one of alpha_people, beta_cards"),
        (("set", PEOPLE, "zzzz", "--reason", "x"), "no cursor of the type moment"),
        (("set", PEOPLE, "2099-01-01T00:00:00Z", "--reason", "x"), "has not come yet"),
        (("set", PEOPLE, good, "--reason", " "), "say why"),
        (("reset", PEOPLE), "not the decision as JSON"),
        (("reset", PEOPLE, "--reason", "asked by 001090000001"), "without it"),
    ]:
        assert message in call(*words, fails=True)["message"]
    assert kept(country) == "2026-09-01T00:00:00.000000Z"
    for words in ([], ["show"], ["set"], ["reset"]):
        assert "motlan watermark" in CliRunner().invoke(app, ["watermark", *words, "--help"]).stdout
    assert "2026-09-01T00:00:00.000000Z" in CliRunner().invoke(app, ["watermark", "show", PEOPLE]).stdout


def _local(zone: str, form: str) -> Callable[[datetime], str]:
    return lambda at: at.astimezone(ZoneInfo(zone)).strftime(form)


def _native(asked: str, written: str) -> bool:
    return datetime.fromisoformat(written) >= datetime.fromisoformat(asked)


def _number(asked: str, written: str) -> bool:
    return float(written) >= float(asked)


def _as_text(asked: str, written: str) -> bool:
    return written >= asked


FORMS: dict[str, tuple[dict[str, str], Callable[[datetime], str], Callable[[str, str], bool]]] = {
    "UTC": ({}, _local("UTC", "%Y-%m-%dT%H:%M:%S.%fZ"), _as_text),
    "UTC to the second": ({}, _local("UTC", "%Y-%m-%dT%H:%M:%SZ"), _as_text),
    "fixed offset": ({}, _local("Asia/Ho_Chi_Minh", "%Y-%m-%dT%H:%M:%S+07:00"), _as_text),
    "changing offset": ({}, lambda at: at.astimezone(ZoneInfo("Europe/Berlin")).isoformat(), _native),
    "own clock": ({"cursor_zone": "Asia/Ho_Chi_Minh"}, _local("Asia/Ho_Chi_Minh", "%Y-%m-%d %H:%M:%S"), _as_text),
    "a clock set back": ({"cursor_zone": "Europe/Berlin"}, _local("Europe/Berlin", "%Y-%m-%d %H:%M:%S"), _as_text),
    "minutes": ({"cursor_zone": "Australia/Lord_Howe"}, _local("Australia/Lord_Howe", "%Y%m%dT%H%M"), _as_text),
    "epoch": ({"cursor_type": "epoch_seconds"}, lambda at: str(int(at.timestamp())), _number),
    "milliseconds": ({"cursor_type": "epoch_milliseconds"}, lambda at: str(int(at.timestamp() * 1000)), _number),
    "not declared": ({}, lambda at: str(int(at.timestamp())), _number),
}
"""What is declared, how the source writes a moment, and how it compares one with what it is asked for."""
STEPS = st.lists(
    st.lists(
        st.tuples(
            st.integers(0, 4),
            st.one_of(st.integers(-600, 4000), st.sampled_from([0, 0, -600, None, "", "n/a", "2099-01-01T00:00:00Z"])),
        ),
        min_size=1,
        max_size=6,
    ),
    min_size=2,
    max_size=3,
)
"""What happens between syncs: a record is written, so many seconds after the newest moment of before (ties, late ones too)."""


@settings(
    max_examples=5,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.sampled_from(list(FORMS)), STEPS, st.integers(-2, 30))
def test_whatever_its_clock_everything_that_a_source_has_is_landed_once(
    country: Country, form: str, steps: list[list[tuple[int, int | str | None]]], hours: int
) -> None:
    """Moments lie about the night in which clocks are set back; the source counts as of an hour before or after them."""
    declared, write, at_or_after = FORMS[form]
    country.declare("adapters/agencies.yaml", lambda content: _redeclare(content, declared))
    with country.open().store.engine.begin() as connection:
        connection.exec_driver_sql("delete from watermarks")
        example = connection.exec_driver_sql("select count(*) from runs").scalar_one()
    newest = datetime(2026, 4, 4, 14, tzinfo=UTC) if form == "minutes" else datetime(2025, 10, 25, 23, 10, tzinfo=UTC)
    as_of = (newest + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    source: dict[str, Record] = {}
    had: set[tuple[str | None, str | None]] = set()

    def since(self: Any, watermark: Any) -> list[Record]:
        return [
            row
            for row in source.values()
            if watermark is None or row["odd"] or at_or_after(watermark.cursor, row["updated"] or "")
        ]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.country.adapter.FileAdapter._since", since)
        patch.setattr(
            "tests.country.adapter.FileAdapter.count",
            lambda self, asked: SourceCount(len(since(self, asked)), len(source), as_of),
        )
        for step in steps:
            moments = [newest]
            for number, after in step:
                at = newest + timedelta(seconds=after) if isinstance(after, int) else None
                moments += [at] if at else []
                key = f"{example}-{number}"
                odd = None if at else "yes"
                source[key] = person(key, write(at) if at else str(after) if after else None) | {"odd": odd}
            newest = max(moments)
            had |= {(row["id"], row["updated"]) for row in source.values()}
            sync(country)
            assert [row for row in landed(country) if (row[0] or "").startswith(f"{example}-")] == sorted(
                had, key=lambda row: (row[0] or "", row[1] is None, row[1] or "")
            )


def _redeclare(content: Any, declared: dict[str, str]) -> None:
    dataset = content["agencies"]["alpha"]["datasets"][PEOPLE]
    for name in ("cursor_zone", "cursor_type"):
        dataset.pop(name, None)
    dataset.update(declared)
