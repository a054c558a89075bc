"""What happens to records over the years: each kind as `dirt.yaml` describes it, with the truth beside it."""

from __future__ import annotations

import duckdb
import pytest
import yaml

from simulators import events, make_world
from simulators.codes import CODES
from simulators.dirt import DIRT_FILE, Profile
from simulators.histories import KINDS, TWINS

NUMBER = {
    "population_citizens": "SoDinhDanh",
    "insurance_members": "soDinhDanh",
    "tax_taxpayers": "SoDinhDanh",
    "education_pupils": "so_dinh_danh",
    "education_staff": "so_dinh_danh",
}


def versions(sql: duckdb.DuckDBPyConnection, kind: str) -> list[tuple[str, list[dict]]]:
    """Every record of a kind: its dataset, and its versions in order, with `_kind` and `_who` (null of day 0's) beside them."""
    found = []
    records = "SELECT DISTINCT dataset, key FROM histories WHERE kind = ? ORDER BY ALL"
    for dataset, key in sql.execute(records, [kind]).fetchall():
        rows = sql.execute(
            f"""SELECT rows.*, kind AS _kind, truth_rows.true_id AS _who, other AS _other
                FROM {dataset} rows
                JOIN truth_rows ON truth_rows.dataset = '{dataset}' AND truth_rows.key = _key AND valid_from_day = _day
                LEFT JOIN histories ON histories.dataset = '{dataset}' AND histories.key = _key AND histories.day = _day
                WHERE _key = ? ORDER BY _day""",
            [key],
        )
        names = [column[0] for column in rows.description]
        found.append((dataset, [dict(zip(names, row, strict=True)) for row in rows.fetchall()]))
    assert found, f"{kind} did not happen"
    return found


def person(sql: duckdb.DuckDBPyConnection, true_id: int, day: int) -> dict:
    rows = sql.execute(
        "SELECT * FROM persons WHERE true_id = ? AND valid_from_day <= ? ORDER BY valid_from_day DESC LIMIT 1",
        [true_id, day],
    )
    return dict(zip([column[0] for column in rows.description], rows.fetchone(), strict=True))


def test_every_kind_is_described_and_happens(world):
    described = yaml.safe_load(DIRT_FILE.read_text(encoding="utf-8"))["histories"]
    assert described.keys() == {*KINDS, TWINS} == world[1]["histories"].keys()
    assert all(kind["description"] and kind["detected_by"] for kind in described.values())
    assert all(count >= 1 for count in world[1]["histories"].values())


def test_heavy_has_three_times_as_many_and_clean_none():
    heavy, default, clean = (Profile(name) for name in ("heavy", "default", "clean"))
    for kind in (*KINDS, TWINS):
        assert [profile.history(kind, 100) for profile in (heavy, default, clean)] == [3, 1, 0]
        assert heavy.history(kind, 1_000_000) == 3 * default.history(kind, 1_000_000) >= 300


@pytest.mark.parametrize("dataset", events.DATASETS)
def test_a_register_serves_one_version_of_a_record_on_each_day_in_the_order_of_moments(sql, dataset):
    for day in range(3):
        served = f"FROM {dataset} WHERE _day <= {day} AND _until > {day}"
        rows, keys = sql.execute(f"SELECT count(*), count(DISTINCT _key) {served}").fetchone()
        assert rows == keys > 0
    out = "SELECT count(*) FROM (SELECT _moment < lag(_moment) OVER (ORDER BY _pos) AS back FROM {}) WHERE back"
    assert sql.execute(out.format(dataset)).fetchone() == (0,)


def test_a_number_established_anew_is_of_the_same_person_and_mends_what_was_wrong(sql):
    in_population = 0
    for dataset, (before, *_, after) in versions(sql, "number_reestablished"):
        was, now = person(sql, after["_who"], 0), person(sql, after["_who"], 2)
        facts = ("sex", "birth_date", "birth_province")
        assert sum(was[name] != now[name] for name in facts) == 1
        assert before[NUMBER[dataset]] != after[NUMBER[dataset]] == now["personal_id"] != was["personal_id"]
        assert before["_who"] == after["_who"]
        in_population += dataset == "population_citizens"
        kept = sql.execute(
            "SELECT count(*) FROM population_citizens WHERE ChuHo_SoDinhDanh = ? AND _key != ?",
            [now["personal_id"], after["_key"]],
        )
        assert kept.fetchone() == (0,), "the household keeps the old number for a while"
    assert in_population


def test_a_record_dated_far_ahead_carries_a_death_that_the_next_day_withdraws(sql):
    for dataset, rows in versions(sql, "clock_ahead"):
        ahead, right = rows[-2:]
        assert ahead["_moment"] > "2062" > right["_moment"]
        assert ahead["_until"] == right["_day"]
        status = {"population_citizens": "NgayMat", "insurance_members": "trangThai", "tax_taxpayers": "TrangThai"}[
            dataset
        ]
        assert ahead[status] in ("20261002", "closed", "03")
        assert person(sql, right["_who"], 2)["death_date"] is None
        if dataset == "population_citizens":
            assert right[status] is None


def test_a_moment_goes_back_by_less_than_what_is_read_again_with_the_earlier_address(sql):
    place = {
        "population_citizens": "ThuongTru_MaDonViHanhChinh",
        "insurance_members": "maXa",
        "education_staff": "ma_xa",
    }
    for dataset, rows in versions(sql, "clock_back"):
        wrong, back = rows[-2:]
        assert wrong["_moment"][:17] == back["_moment"][:11] + "23:59:"
        assert back["_moment"] < wrong["_moment"] < back["_moment"].replace(":55:", ":59:")[:17] + "59"
        assert back["_day"] == wrong["_day"] + 1
        home = person(sql, back["_who"], 2)["residence_commune"]
        assert (wrong[place[dataset]] == home, back[place[dataset]]) == (False, home)


def test_what_is_delivered_late_has_its_own_moment_and_its_own_employer(sql):
    for _, (first, newer, late) in versions(sql, "delivered_late"):
        assert late["_moment"] == first["_moment"] < newer["_moment"]
        assert late["CoQuanChiTra"] == first["CoQuanChiTra"] != newer["CoQuanChiTra"]


def test_a_commune_that_was_divided_is_written_by_its_retired_code(sql):
    column = {
        "population_citizens": "ThuongTru_MaDonViHanhChinh",
        "insurance_members": "maXa",
        "education_pupils": "ma_xa",
    }
    listed = f"SELECT successors FROM read_csv('{CODES}/communes.csv', all_varchar = true) WHERE code = ? AND valid_to NOT NULL"
    for dataset, rows in versions(sql, "commune_divided"):
        (successors,) = sql.execute(listed, [rows[-1][column[dataset]]]).fetchone()
        parts = successors.split(";")
        assert len(parts) > 1
        assert person(sql, rows[-1]["_who"], 2)["residence_commune"] in parts


def test_a_pupil_is_enrolled_by_a_second_record_before_the_old_school_says_that_he_left(sql):
    records = [rows[-1] for _, rows in versions(sql, "school_transfer")]
    for new in [row for row in records if row["trang_thai"] == "dang_hoc"]:
        (old,) = [row for row in records if row["_who"] == new["_who"] and row["_key"] != new["_key"]]
        assert old["trang_thai"] == "chuyen_truong"
        assert old["_day"] == new["_day"] + 1
        assert old["ma_dinh_danh"] == new["ma_dinh_danh"]
        assert old["ma_truong"] != new["ma_truong"]


def test_a_closed_membership_is_followed_by_an_active_one_with_its_own_code_and_card(sql):
    records = [rows[-1] for _, rows in versions(sql, "membership_closed")]
    for new in [row for row in records if row["trangThai"] == "active"]:
        (old,) = [row for row in records if row["_who"] == new["_who"] and row["_key"] != new["_key"]]
        assert old["trangThai"] == "closed"
        truth = person(sql, new["_who"], 2)
        assert (new["maSoBhxh"], new["soTheBhyt"]) == (truth["social_insurance_code"], truth["health_card"])
        assert old["maSoBhxh"] != new["maSoBhxh"] == new["soTheBhyt"][-10:]


@pytest.mark.parametrize("kind", ["record_of_another", "record_returns"])
def test_a_record_becomes_another_persons_with_all_that_it_says_and_may_return(sql, kind):
    for dataset, (first, other, *again) in versions(sql, kind):
        assert first["_who"] == other["_other"] != other["_who"]
        assert other[NUMBER[dataset]] == person(sql, other["_who"], 2)["personal_id"]
        assert len(again) == (kind == "record_returns")
        assert all(row["_who"] == first["_who"] for row in again)
        there = "SELECT count(*) FROM truth_rows WHERE dataset = ? AND true_id = ? AND key != ?"
        assert sql.execute(there, [dataset, other["_who"], other["_key"]]).fetchone() == (0,)
        assert person(sql, first["_who"], 0)["in_population"]
        assert person(sql, other["_who"], 0)["in_population"] == (other["_day"] % 2 == 0)


def test_a_number_of_another_is_typed_and_corrected_the_day_after(sql):
    for dataset, rows in versions(sql, "number_of_another"):
        wrong, right = rows[-2:]
        assert wrong[NUMBER[dataset]] == person(sql, wrong["_other"], 0)["personal_id"]
        assert right[NUMBER[dataset]] == person(sql, right["_who"], 0)["personal_id"]
        assert len({row["_who"] for row in rows}) == 1


def test_somebody_enters_the_population_register_late(sql):
    for dataset, (row,) in versions(sql, "late_registration"):
        assert dataset == "population_citizens"
        assert [person(sql, row["_who"], day)["in_population"] for day in (0, 2)] == [False, True]
        known = "SELECT count(*) FROM truth_rows WHERE true_id = ? AND valid_from_day = 0"
        assert sql.execute(known, [row["_who"]]).fetchone()[0] > 0


def test_a_registration_may_turn_out_to_be_of_somebody_else(sql):
    for dataset, (first, other) in versions(sql, "registration_of_another"):
        assert dataset == "population_citizens"
        assert first["_who"] != other["_who"]
        for row in (first, other):
            assert row["SoDinhDanh"] == person(sql, row["_who"], 0)["personal_id"]
        assert person(sql, other["_who"], 2)["in_population"]


def test_twins_have_the_same_name_but_for_a_mark(sql):
    pairs = sql.execute(
        """SELECT DISTINCT a.full_name, b.full_name FROM persons a JOIN persons b USING (household_id, birth_date, sex)
           WHERE a.true_id < b.true_id AND a.true_id >= 3000"""
    ).fetchall()
    assert pairs
    for one, other in pairs:
        assert one != other
        assert sql.execute("SELECT strip_accents(?) = strip_accents(?)", [one, other]).fetchone() == (True,)


def test_what_is_wrong_in_a_later_version_is_in_the_log(sql):
    columns = dict(
        sql.execute(
            'SELECT kind, list(DISTINCT "column") FROM dirt WHERE day > 0 AND kind IN (SELECT kind FROM histories) GROUP BY kind'
        ).fetchall()
    )
    assert columns.keys() == {"clock_ahead", "clock_back", "delivered_late", "commune_divided", "number_of_another"}


@pytest.mark.slow
def test_without_these_kinds_all_other_people_and_rows_are_the_same(tmp_path, monkeypatch):
    make_world(tmp_path / "with", people=900, seed=5, days=2)
    monkeypatch.setattr(Profile, "history", lambda *_: 0)
    counts = make_world(tmp_path / "without", people=900, seed=5, days=2)
    assert counts["histories"] == {}
    with duckdb.connect() as con:
        for dataset in events.DATASETS:
            mine, theirs = (f"'{tmp_path}/{name}/registers/{dataset}/rows.parquet'" for name in ("with", "without"))
            touched = f"SELECT key FROM '{tmp_path}/with/truth/histories.parquet' WHERE dataset = '{dataset}'"
            kept = f"SELECT * EXCLUDE (_pos) FROM {theirs} WHERE _key NOT IN ({touched})"
            lost = f"SELECT count(*) FROM ({kept} EXCEPT ALL SELECT * EXCLUDE (_pos) FROM {mine})"
            assert con.execute(lost).fetchone() == (0,), dataset
        persons = (f"FROM '{tmp_path}/{name}/truth/persons.parquet'" for name in ("without", "with"))
        assert con.execute(f"SELECT count(*) FROM ({' EXCEPT ALL '.join(persons)})").fetchone() == (0,)
