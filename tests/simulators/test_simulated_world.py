from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import duckdb
import pytest
from stdnum.vn import mst

from simulators import make_world
from simulators.codes import CODES
from simulators.dirt import FIELDS
from simulators.world import AGENCIES, take_credentials


def content(folder: Path) -> dict[str, list[tuple]]:
    """Every row of every Parquet file of a world."""
    files = sorted(folder.rglob("*.parquet"))
    return {str(file.relative_to(folder)): duckdb.sql(f"FROM '{file}'").fetchall() for file in files}


def one(con: duckdb.DuckDBPyConnection, query: str) -> tuple:
    row = con.execute(query).fetchone()
    assert row is not None
    return row


@pytest.mark.slow
def test_the_same_seed_makes_the_same_world_whatever_the_number_of_threads(tmp_path):
    for name, threads in (("a", 1), ("b", 2)):
        make_world(tmp_path / name, people=1000, seed=5, days=1, threads=threads)
    assert content(tmp_path / "a") == content(tmp_path / "b")


@pytest.mark.slow
def test_another_seed_makes_another_world(tmp_path, world):
    make_world(tmp_path / "other", people=1000, seed=6)
    assert content(tmp_path / "other")["truth/persons.parquet"] != content(world[0])["truth/persons.parquet"][:1000]


@pytest.mark.slow
def test_a_clean_world_has_no_dirt_and_nobody_outside_the_population_register(tmp_path):
    counts = make_world(tmp_path / "clean", people=1000, seed=1, days=1, dirt="clean")
    assert not any(counts["dirt"].values())
    assert counts["world"]["no_population_record"] == 0


@pytest.mark.slow
def test_a_dense_world_has_few_birth_dates_the_same_ages_and_unique_personal_ids(tmp_path):
    make_world(tmp_path / "dense", people=6000, seed=3, dense=True)
    make_world(tmp_path / "plain", people=6000, seed=3)
    with duckdb.connect() as con:
        for name in ("dense", "plain"):
            con.execute(
                f"CREATE VIEW {name} AS FROM '{tmp_path}/{name}/truth/persons.parquet' WHERE valid_from_day = 0"
            )
        dates, people, numbers = one(
            con, "SELECT count(DISTINCT birth_date), count(personal_id), count(DISTINCT personal_id) FROM dense"
        )
        off = "abs(dense.birth_date - plain.birth_date) / 365.25"
        moved, furthest = one(
            con, f"SELECT count(*) FILTER ({off} > 0), max({off}) FROM dense JOIN plain USING (true_id, full_name, sex)"
        )
        last = one(con, "SELECT max(birth_date) < DATE '2026-10-01' FROM dense")
    assert (dates <= 25, people, last) == (True, numbers, (True,))
    assert moved > 5000 and furthest < 4


@pytest.mark.parametrize("arguments", [{"people": 3}, {"people": 100, "days": -1}, {"people": 100, "dirt": "filthy"}])
def test_a_world_that_cannot_be_is_refused(tmp_path, arguments):
    with pytest.raises(ValueError):
        make_world(tmp_path, seed=1, **arguments)


def test_personal_ids_are_unique_and_agree_with_birth_year_sex_and_birth_province(sql):
    right = "regexp_full_match(personal_id, '0\\d{11}') AND starts_with(personal_id, birth_province)"
    century = "(year(birth_date) - 1900) // 100 * 2 + if(sex = 'male', 0, 1)"
    wrong, people, numbers = one(
        sql,
        f"""SELECT count(*) FILTER (NOT ({right} AND personal_id[4]::INT = {century}
              AND personal_id[5:6]::INT = year(birth_date) % 100)),
            count(DISTINCT (true_id, personal_id)), count(DISTINCT personal_id)
            FROM persons WHERE personal_id IS NOT NULL""",
    )
    assert (wrong, people) == (0, numbers)


@pytest.mark.parametrize("code", ["tax_code", "social_insurance_code", "education_id", "cmnd"])
def test_codes_are_unique(sql, code):
    people, codes = one(
        sql,
        f"""SELECT count(DISTINCT true_id), count(DISTINCT {code}) FROM persons
            WHERE {code} IS NOT NULL AND true_id NOT IN (SELECT true_id FROM histories)""",
    )
    assert people == codes > 0


def test_tax_codes_obey_their_check_digit(sql):
    assert all(
        mst.is_valid(code) for (code,) in sql.execute("SELECT tax_code FROM persons WHERE tax_code NOT NULL").fetchall()
    )


def test_health_cards_have_their_form(sql):
    assert one(sql, "SELECT bool_and(regexp_full_match(health_card, '[A-Z]{2}[1-5]\\d{2}\\d{10}')) FROM persons") == (
        True,
    )


def test_true_names_are_composed_and_skewed_to_the_family_name_nguyen(sql):
    names = [name for (name,) in sql.execute("SELECT full_name FROM persons").fetchall()]
    assert all(unicodedata.is_normalized("NFC", name) for name in names)
    assert 0.27 < sum(name.startswith("Nguyễn ") for name in names) / len(names) < 0.42


def test_registers_have_their_share_of_people(world):
    _, counts = world
    shares = {dataset: rows["0"] / counts["people"] for dataset, rows in counts["rows"].items()}
    assert shares["population_citizens"] == pytest.approx(0.97, abs=0.02)
    assert shares["insurance_members"] == pytest.approx(0.68, abs=0.04)
    assert shares["tax_taxpayers"] == pytest.approx(0.28, abs=0.04)
    assert shares["education_pupils"] + shares["education_staff"] == pytest.approx(0.26, abs=0.04)


def test_pupils_are_of_school_age_and_staff_are_adults(sql):
    ages = """SELECT min(2026 - year(birth_date)), max(2026 - year(birth_date)) FROM persons JOIN truth_rows
        USING (true_id) WHERE dataset = '{}'"""
    low, high = one(sql, ages.format("education_pupils"))
    assert (low, high) == (6, 18)
    assert one(sql, ages.format("education_staff"))[0] >= 21


def test_children_are_younger_than_their_recorded_mother(sql):
    younger = """SELECT count(*), count(*) FILTER (child.birth_date > mother.birth_date + INTERVAL 14 YEAR)
        FROM population_citizens row JOIN truth_rows link ON link.key = row._key AND link.valid_from_day = row._day
        JOIN persons child ON child.true_id = link.true_id AND child.valid_from_day = 0
        JOIN persons mother ON mother.personal_id = row.Me_SoDinhDanh AND mother.valid_from_day = 0"""
    children, right = one(sql, younger)
    assert children == right > 100


def test_each_kind_of_event_happens_on_each_day(world):
    _, counts = world
    for kind in ("birth", "death", "move", "name", "job", "school"):
        assert all(counts["events"][kind][day] >= 3 for day in ("1", "2")), kind


def test_newborns_have_no_personal_id_on_the_day_of_their_birth_record(sql):
    query = (
        "SELECT count(*), count(personal_id) FROM persons WHERE birth_date >= DATE '2026-10-01' AND valid_from_day = {}"
    )
    assert one(sql, query.format(1))[1] == 0
    assert (
        one(sql, "SELECT count(*) FROM persons WHERE birth_date >= DATE '2026-09-30' AND personal_id IS NOT NULL")[0]
        > 0
    )


def test_every_served_row_is_in_the_truth_and_nothing_else(sql, world):
    for dataset in world[1]["rows"]:
        served = f"SELECT '{dataset}', _key, _day FROM {dataset}"
        truth = f"SELECT dataset, key, valid_from_day FROM truth_rows WHERE dataset = '{dataset}'"
        assert sql.execute(f"({served} EXCEPT {truth}) UNION ALL ({truth} EXCEPT {served})").fetchall() == []


def test_moments_of_day_0_are_before_it_and_moments_of_a_change_within_its_day(sql, world):
    for dataset in world[1]["rows"]:
        query = f"""SELECT count(*) FROM {dataset} WHERE NOT CASE _day WHEN 0
            THEN _moment BETWEEN '2015-01-01' AND '2026-10-01'
            ELSE _moment[:10] = (DATE '2026-10-01' + _day)::VARCHAR END
            AND (_key, _day) NOT IN (SELECT (key, day) FROM histories
              WHERE kind IN ('clock_ahead', 'clock_back', 'delivered_late'))"""
        assert one(sql, query) == (0,)


def test_every_logged_damage_is_what_is_served(sql):
    for dataset, fields in FIELDS.items():
        columns = {
            c for (c,) in sql.execute('SELECT DISTINCT "column" FROM dirt WHERE dataset = ?', [dataset]).fetchall()
        }
        for column in columns - {fields.key}:
            query = f"""SELECT count(*) FROM dirt JOIN {dataset} ON _key = key AND _day = day
                WHERE dataset = '{dataset}' AND "column" = '{column}'
                AND (damaged IS DISTINCT FROM {column} OR truth IS NOT DISTINCT FROM damaged)"""
            assert one(sql, query) == (0,), (dataset, column)


def test_a_value_without_logged_damage_is_the_truth(sql):
    truth = {
        "soDinhDanh": "personal_id",
        "hoTen": "full_name",
        "ngaySinh": "strftime(birth_date, '%d/%m/%Y')",
        "gioiTinh": "if(sex = 'male', 'Nam', 'Nữ')",
        "maXa": "if(_moment < '2025-07-01', coalesce(dirt.truth, maXa), residence_commune)",
        "maTinh": "if(_moment < '2025-07-01', coalesce(dirt.truth, maTinh), residence_province)",
        "maSoBhxh": "social_insurance_code",
    }
    for column, expected in truth.items():
        query = f"""SELECT count(*) FROM insurance_members row
            JOIN truth_rows ON key = _key AND valid_from_day = 0 AND dataset = 'insurance_members'
            JOIN persons ON persons.true_id = truth_rows.true_id AND persons.valid_from_day = 0
            LEFT JOIN dirt ON dirt.key = _key AND dirt.day = 0 AND dirt."column" = '{column}'
            WHERE _day = 0 AND coalesce(dirt.truth, {column}) IS DISTINCT FROM {expected}"""
        assert one(sql, query) == (0,), column


@pytest.mark.parametrize(
    ("dataset", "commune", "province"),
    [
        ("population_citizens", "ThuongTru_MaDonViHanhChinh", "ThuongTru_MaTinhThanh"),
        ("tax_taxpayers", "MaXa", "MaTinh"),
    ],
)
def test_records_of_before_the_reform_hold_a_former_commune_of_their_place(sql, dataset, commune, province):
    written = f"""SELECT coalesce(dirt.truth, {commune}) AS code, {province} AS province, residence_commune AS lived, kind
        FROM {dataset} row JOIN truth_rows ON truth_rows.key = _key AND valid_from_day = 0
        JOIN persons ON persons.true_id = truth_rows.true_id AND persons.valid_from_day = 0
        LEFT JOIN dirt ON dirt.key = _key AND dirt.day = 0 AND dirt."column" = '{commune}'
        WHERE _day = 0 AND _moment < '2025-07-01'"""
    old = f"SELECT * FROM read_csv('{CODES}/communes.csv', all_varchar = true) WHERE valid_to = '2025-07-01'"
    right = "contains(';' || successors || ';', ';' || lived || ';')"
    rows, of_place, of_province, moved = one(
        sql,
        f"""SELECT count(*), count(*) FILTER ({right}), count(*) FILTER (kind IS NULL AND old.province = written.province),
              count(*) FILTER (kind IS NOT NULL)
            FROM ({written}) written LEFT JOIN ({old}) old USING (code)""",
    )
    assert rows == of_place == of_province + moved > 50


def test_a_world_takes_the_credentials_that_others_made_for_their_owner_alone(tmp_path):
    for name in AGENCIES:
        (tmp_path / f"credential_{name}").write_text(f"reader:{name}-secret\n", encoding="utf-8")
    (tmp_path / "world").mkdir()
    take_credentials(tmp_path / "world", tmp_path)
    file = tmp_path / "world" / "credentials.json"
    assert json.loads(file.read_text(encoding="utf-8")) == {name: f"reader:{name}-secret" for name in AGENCIES}
    assert file.stat().st_mode & 0o777 == 0o600
