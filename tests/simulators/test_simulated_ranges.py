from __future__ import annotations

import json
import shutil
from collections import namedtuple
from pathlib import Path
from typing import Any

import duckdb
import pytest
from stdnum.vn import mst

from simulators import codes, events, make_ranges, make_world, people, ranges
from simulators.__main__ import app

PEOPLE, A_RANGE = 2500, 1000
ARGUMENTS: dict[str, Any] = {"people": PEOPLE, "seed": 11, "dirt": "heavy", "dense": True, "people_a_range": A_RANGE}
OF_IDENTIFIERS = ("SoDinhDanh", "Cha_SoDinhDanh", "Me_SoDinhDanh", "ChuHo_SoDinhDanh", "soDinhDanh", "so_dinh_danh")


@pytest.fixture(scope="module")
def ranged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A world of three ranges, and its counts."""
    folder = tmp_path_factory.mktemp("ranged")
    return folder, make_ranges(folder, **ARGUMENTS)


@pytest.fixture(scope="module")
def one_range(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The same people made at once, and the counts."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, make_world(folder, people=PEOPLE, seed=11, dirt="heavy", dense=True)


def differing(left: str, right: str, without: tuple[str, ...]) -> int:
    """Rows that only one of two sets of Parquet files has, some columns aside."""
    with duckdb.connect() as con:
        kept = [c for (c, *_) in con.execute(f"DESCRIBE FROM '{left}'").fetchall() if c not in without]
        one, other = (f"SELECT {', '.join(kept)} FROM '{files}'" for files in (left, right))
        both = f"({one} EXCEPT ALL {other}) UNION ALL ({other} EXCEPT ALL {one})"
        return len(con.execute(both).fetchall())


def one(query: str) -> tuple[Any, ...]:
    with duckdb.connect() as con:
        row = con.execute(query).fetchone()
    assert row is not None
    return row


@pytest.mark.slow
def test_ranges_make_the_people_of_one_range_but_for_personal_ids(ranged, one_range):
    ours, theirs = f"{ranged[0]}/truth/persons/*.parquet", f"{one_range[0]}/truth/persons.parquet"
    assert differing(ours, theirs, ("personal_id",)) == 0
    assert differing(ours, theirs, ()) > PEOPLE
    assert ranged[1]["world"]["people"] == PEOPLE
    assert ranged[1]["rows"] == one_range[1]["rows"]


@pytest.mark.slow
def test_ranges_make_the_rows_of_one_range_but_for_their_order_and_personal_ids(ranged, one_range):
    for dataset in events.DATASETS:
        ours, theirs = f"{ranged[0]}/landed/{dataset}/*.parquet", f"{one_range[0]}/registers/{dataset}/rows.parquet"
        assert differing(ours, theirs, ("_pos", *OF_IDENTIFIERS)) == 0, dataset


@pytest.mark.slow
def test_keys_and_codes_are_unique_over_the_ranges(ranged):
    folder = ranged[0]
    for dataset in events.DATASETS:
        rows, keys = one(f"SELECT count(*), count(DISTINCT _key) FROM '{folder}/landed/{dataset}/*.parquet'")
        assert rows == keys == ranged[1]["rows"][dataset]["0"]
    for code in ("personal_id", "cmnd", "tax_code", "social_insurance_code", "education_id"):
        codes, different = one(f"SELECT count({code}), count(DISTINCT {code}) FROM '{folder}/truth/persons/*.parquet'")
        assert codes == different > 500, code


@pytest.mark.slow
def test_rows_of_a_range_lie_in_the_order_of_their_moments(ranged):
    for dataset in events.DATASETS:
        right, first, last = one(
            f"""SELECT bool_and(_pos = n AND before <= _moment), min(_pos), max(_pos) FROM (
                  SELECT *, file_row_number + 1 AS n, lag(_moment, 1, '') OVER (ORDER BY file_row_number) AS before
                  FROM read_parquet('{ranged[0]}/landed/{dataset}/000001.parquet', file_row_number = true))"""
        )
        assert (right, first) == (True, 1) and last > 30, dataset


@pytest.mark.slow
def test_a_number_of_somebody_else_is_of_a_person_of_the_range(ranged):
    for number in range(3):
        found, numbers = one(
            f"""SELECT count(personal_id), count(*) FROM '{ranged[0]}/truth/dirt/{number:06d}.parquet'
                LEFT JOIN '{ranged[0]}/truth/persons/{number:06d}.parquet' ON personal_id = damaged
                WHERE kind = 'id_other'"""
        )
        assert found == numbers > 5


@pytest.mark.slow
def test_a_killed_run_goes_on_with_the_range_that_is_not_done_and_makes_the_same_files(ranged, tmp_path):
    folder = tmp_path / "killed"
    shutil.copytree(ranged[0], folder)
    before = {file: file.read_bytes() for file in folder.rglob("*.parquet")}
    (folder / "done" / "000001.json").unlink()
    (folder / "truth" / "counts.json").unlink()
    (folder / "landed" / "tax_taxpayers" / "000001.parquet").write_bytes(b"PAR1 half written")
    made = []
    counts = make_ranges(folder, **ARGUMENTS, tell=lambda what, done, total: made.append((what, done, total)))
    assert counts == ranged[1] == json.loads((folder / "truth" / "counts.json").read_text(encoding="utf-8"))
    assert {file: file.read_bytes() for file in folder.rglob("*.parquet")} == before
    assert made[-1] == ("done", PEOPLE, PEOPLE)
    assert [done for _, done, _ in made] == sorted(done for _, done, _ in made)


@pytest.mark.slow
@pytest.mark.parametrize("other", [{"seed": 12}, {"dirt": "clean"}, {"dense": False}, {"people_a_range": 1200}])
def test_a_folder_made_with_other_arguments_is_refused(ranged, other):
    with pytest.raises(ValueError, match=next(iter(other))):
        make_ranges(ranged[0], **ARGUMENTS | other)


def test_a_disk_that_is_too_small_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: namedtuple("Usage", "free")(3_000_000_000))
    with pytest.raises(ValueError, match=r"need 2\d\.\d GB of disk, and 3\.0 GB are free"):
        make_ranges(tmp_path / "out", people=100_000_000, seed=1)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "arguments", [{"people": 3}, {"people": 100_000_001}, {"people_a_range": 11}, {"dirt": "filthy"}]
)
def test_a_country_that_cannot_be_is_refused(tmp_path, arguments):
    with pytest.raises(ValueError):
        make_ranges(tmp_path, **{"people": 1000, "seed": 1} | arguments)


def test_ranges_that_leave_too_few_serial_numbers_are_refused():
    part = people.Range(people=100_000_000, first=0, after=600, number=3, ranges=600_000)
    with duckdb.connect() as con:
        codes.load(con)
        people.define_chance(con, 1)
        with pytest.raises(ValueError, match="serial numbers"):
            people.make_people(con, part, 0, 3, 0.0)


def test_tax_codes_of_100_million_people_and_of_their_employers_differ():
    with duckdb.connect() as con:
        people.define_chance(con, 1)
        events.define_tax_codes(con)
        # Numbers of every group that share their first eight digits with a number of another one.
        found = con.execute(
            """
            WITH id AS (
              SELECT i + unnest([0, 38000000, 40000000, 78000000, 99998000]) AS id FROM range(2000) r(i)
            )
            SELECT own_tax_code(id) FROM id UNION ALL SELECT second_tax_code(id) FROM id
            UNION ALL SELECT employer_code(i) FROM range(2000) r(i)
            """
        ).fetchall()
    assert len({code for (code,) in found}) == len(found) == 22_000
    assert all(mst.is_valid(code) for (code,) in found[::97])


def test_ranges_are_whole_blocks_and_the_last_may_be_smaller():
    cut = ranges.ranges_of(2500, 1000)
    assert [(r.first, r.after, r.number, r.ranges) for r in cut] == [
        (0, 1008, 0, 3),
        (1008, 2016, 1, 3),
        (2016, 2500, 2, 3),
    ]


@pytest.mark.slow
def test_the_command_tells_the_disk_it_needs_and_the_counts(ranged, tmp_path):
    from typer.testing import CliRunner

    flags = ["--people", str(PEOPLE), "--seed", "11", "--dirt", "heavy", "--dense", "--people-a-range", str(A_RANGE)]
    told = CliRunner().invoke(app, ["country", "--out", str(ranged[0]), *flags, "--json"])
    assert (told.exit_code, json.loads(told.stdout)) == (0, ranged[1])
    assert "0.0 GB of disk are still to be filled" in told.stderr
