"""Which of a record's rows stands: by arrival, or by its own moment; and a clock that has gone wrong."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from motlan import pipeline
from motlan.expressions import connect
from motlan.lake.newest import newest, pull_moment
from tests.conftest import CARDS, SPINE, Country, card_record, spine_record
from tests.motlan.test_pipeline import rows, whole_job

SPINE_DATASET = "alpha_people"
FIRST, SECOND = "2026-09-01T00:00:00.000000Z", "2026-09-02T00:00:00.000000Z"
RIGHT = "2026-09-03T00:00:00.000000Z"


@pytest.mark.parametrize(
    ("run", "as_of", "moment"),
    [
        ("20261001T070000000000-ab12", "2026-09-30T00:00:00Z", "2026-09-30T00:00:00.000000Z"),
        ("20261001T070000000000-ab12", "2026-10-01T07:00:00+07:00", "2026-10-01T00:00:00.000000Z"),
        ("20261001T070000000000-ab12", "2062-01-01T00:00:00Z", "2026-10-01T07:00:00.000000Z"),
        ("20261001T070000000000-ab12", "2026-09-30 01:00:00", "2026-09-30T01:00:00.000000Z"),
        ("20261001T070000000000-ab12", "", "2026-10-01T07:00:00.000000Z"),
        ("20261001T070000000000-ab12", None, "2026-10-01T07:00:00.000000Z"),
    ],
)
def test_a_pull_is_of_the_sources_moment_and_never_of_one_to_come(run: str, as_of: str | None, moment: str) -> None:
    assert pull_moment(run, as_of) == moment


@pytest.mark.parametrize(("order", "told"), [("arrival", ["9", "b"]), ("moment", ["8", "b"])])
def test_the_row_that_stands_is_the_last_or_the_newest(order: str, told: list[str], tmp_path: Path) -> None:
    versions = [
        ("x", "r1/0/9", "2024", "7"), ("x", "r2/0/9", "2025", "6"), ("x", "r2/0/10", "2025", "8"),
        ("x", "r3/10/0", "2020", "9"), ("x", "r3/9/0", "2021", "5"), ("y", "r1/0/0", None, "a"), ("y", "r2/0/0", "2019", "b"),
    ]  # fmt: skip
    path = tmp_path / "rows.parquet"
    names = ("_key", "_ref", "_moment", "said")
    columns = {name: pa.array([row[n] for row in versions]) for n, name in enumerate(names)}
    pq.write_table(pa.table({**columns, "_pulled": pa.nulls(len(versions), pa.string())}), path)
    dataset: Any = SimpleNamespace(name="alpha", succession=order)
    with connect(threads=1, allowed=[tmp_path]) as con:
        found = con.execute(f"select said from ({newest(dataset, [str(path)], 'said')}) order by _key").fetchall()
    assert [said for (said,) in found] == told


def spine(died: str | None, updated: str) -> list[dict[str, str | None]]:
    return [
        spine_record(row, FIRST) | ({"died": died, "updated": updated} if not n else {}) for n, row in enumerate(SPINE)
    ]


def as_declared(country: Country, order: str | None, lag: int = 0) -> None:
    more = {"lag": lag} | ({"order": order} if order else {})
    country.declare("adapters/agencies.yaml", lambda c: c["agencies"]["alpha"]["datasets"][SPINE_DATASET].update(more))


@pytest.mark.parametrize("order", [None, "moment"])
def test_a_death_of_the_year_2062_is_withdrawn_under_the_right_clock(country: Country, order: str | None) -> None:
    as_declared(country, order)
    died = "select count(death_date) from golden_person where full_name = 'Nguyễn Văn An'"
    country.write(SPINE_DATASET, spine(None, FIRST))
    country.after(whole_job)
    country.write(SPINE_DATASET, spine("2026-08-30", "2062-01-01T00:00:00.000000Z"))
    whole_job()
    assert rows(country, died) == [(1,)], "it was sent last, and nothing newer is known"
    country.write(SPINE_DATASET, spine(None, "2026-10-02T00:00:00.000000Z"))
    whole_job()
    assert rows(country, died) == [(0,)]
    assert whole_job()["publish"]["changes"] == 0


def test_a_source_that_returns_to_an_earlier_value_and_moment_is_followed(country: Country) -> None:
    as_declared(country, None, lag=90 * 86400)
    died = "select death_date from golden_person where full_name = 'Nguyễn Văn An'"
    told = []
    for said, moment in (("2026-08-01", FIRST), ("2026-08-02", SECOND), ("2026-08-01", FIRST), ("2026-08-02", SECOND)):
        country.write(SPINE_DATASET, spine(said, moment))
        landed = whole_job()[SPINE_DATASET]["land"]["landed"]
        told += [(landed if told else 1, rows(country, died)[0][0])]
    assert told == [(1, "2026-08-01"), (1, "2026-08-02"), (1, "2026-08-01"), (1, "2026-08-02")]
    assert pipeline.sync(SPINE_DATASET)["land"]["landed"] == 0, "what it sent last is known"


def test_what_comes_late_undoes_nothing_where_moments_count(country: Country) -> None:
    as_declared(country, "moment", lag=90 * 86400)
    for said, moment in (("2026-08-02", SECOND), ("2026-08-01", FIRST)):
        country.write(SPINE_DATASET, spine(said, moment))
        whole_job()
    assert rows(country, "select death_date from golden_person where full_name = 'Nguyễn Văn An'") == [("2026-08-02",)]


def test_all_versions_of_a_record_in_each_answer_land_once(country: Country) -> None:
    country.declare(
        "adapters/agencies.yaml", lambda c: c["agencies"]["beta"]["datasets"]["beta_cards"].update(lag=90 * 86400)
    )
    versions = [card_record(CARDS[0], FIRST), card_record((*CARDS[0][:5], "GD4010000000009"), SECOND)]
    country.write("beta_cards", versions)
    assert pipeline.sync("beta_cards")["land"]["landed"] == 2
    assert pipeline.sync("beta_cards")["land"]["landed"] == 0
    late = card_record((*CARDS[0][:5], "GD4010000000008"), "2026-09-01T12:00:00.000000Z")
    country.write("beta_cards", [versions[0], late, versions[1]])
    assert pipeline.sync("beta_cards")["land"]["landed"] == 2, "the late one, and what was sent behind it"
    assert pipeline.sync("beta_cards")["land"]["landed"] == 0


def test_a_touch_changes_no_value_between_equals_in_any_run(country: Country) -> None:
    country.declare(
        "mapping/authority.yaml",
        lambda content: content["person"].update(
            sex={"authority": [["alpha_people", "beta_cards"]], "correct": True},
            full_name={"authority": ["alpha_people"]},
        ),
    )
    sexes = "select sex from golden_person where personal_id = '001080000003'"
    people = [spine_record(row, FIRST) for row in SPINE]
    cards = [card_record(row, SECOND) | ({"sex": "female"} if row[0] == "b3" else {}) for row in CARDS]
    country.write(SPINE_DATASET, people)
    country.write("beta_cards", cards)
    country.after(whole_job)
    assert rows(country, sexes) == [("female",)], "the card's word is newer"
    touched = [
        person | ({"name": "Lê Văn Cương", "updated": RIGHT} if person["number"] == "001080000003" else {})
        for person in people
    ]
    country.write(SPINE_DATASET, touched)
    done = whole_job()
    assert rows(country, sexes) == [("female",)], "who touches another field says nothing new on this one"
    assert done["publish"]["changes"] == 1
