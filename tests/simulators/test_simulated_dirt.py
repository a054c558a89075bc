from __future__ import annotations

import codecs
import shutil
import subprocess
import unicodedata

import duckdb
import pytest
import yaml

from simulators import make_world
from simulators.dirt import DIRT_FILE, Profile
from simulators.lettering import NEW_TONE, TABLES, letters

OTHERS = ("insurance_members", "tax_taxpayers", "education_pupils", "education_staff")
NOT_RIGHT = ("id_typo", "id_transposed", "id_missing", "id_cmnd", "id_reissued", "id_other")


def share(world, kinds, datasets):
    counts = world[1]
    hit = sum(counts["dirty_rows_day0"][d].get(k, 0) for d in datasets for k in kinds)
    return hit / sum(counts["rows"][d]["0"] for d in datasets)


@pytest.mark.parametrize(
    ("kinds", "expected", "within"),
    [
        (NOT_RIGHT, 0.08, 0.02),
        (("id_typo", "id_transposed"), 0.025, 0.012),
        (("id_missing",), 0.04, 0.015),
        (("duplicate_row",), 0.01, 0.006),
        (tuple(k for k in Profile("default").rates("name", "tax_taxpayers")), 0.10, 0.025),
        (tuple(k for k in Profile("default").rates("date", "tax_taxpayers")), 0.045, 0.02),
    ],
)
def test_realised_rates_are_near_the_profile(world, kinds, expected, within):
    assert share(world, kinds, OTHERS) == pytest.approx(expected, abs=within)


def test_the_population_register_is_much_cleaner_than_the_others(world):
    for field in ("id", "name", "date"):
        kinds = tuple(Profile("default").rates(field, "insurance_members"))
        assert share(world, kinds, ("population_citizens",)) < share(world, kinds, OTHERS) / 2


def test_three_in_a_hundred_people_are_in_no_population_record(world):
    assert world[1]["world"]["no_population_record"] / world[1]["people"] == pytest.approx(0.03, abs=0.01)


def test_every_kind_of_damage_is_described_with_a_rate_for_each_dataset(world):
    profile = Profile("default")
    for field in ("id", "name", "date", "sex", "place", "status", "row"):
        for dataset in world[1]["rows"]:
            assert sum(profile.rates(field, dataset).values()) < 0.34, "the heavy profile must fit"


def test_heavy_is_three_times_default():
    heavy, default = Profile("heavy"), Profile("default")
    assert heavy.rate("id_typo", "tax_taxpayers") == pytest.approx(3 * default.rate("id_typo", "tax_taxpayers"))


def test_one_value_has_one_kind_of_damage(sql):
    query = 'SELECT count(*) FROM dirt GROUP BY dataset, key, day, "column" HAVING count(*) > 1'
    assert sql.execute(query).fetchall() == []


def test_damage_stays_from_version_to_version_of_a_row(sql):
    query = """SELECT count(*), count(later.key) FROM dirt first
        JOIN insurance_members row ON row._key = first.key AND row._day > 0
        LEFT JOIN dirt later ON later.key = first.key AND later.day = row._day AND later.kind = first.kind
        WHERE first.day = 0 AND first.dataset = 'insurance_members' AND first.kind IN ('id_typo', 'name_upper', 'sex_wrong')"""
    rows, kept = sql.execute(query).fetchone()
    assert rows == kept


def test_no_served_text_holds_a_character_that_xml_forbids(sql):
    query = "SELECT damaged FROM dirt WHERE regexp_matches(damaged, '[\\x00-\\x08\\x0B\\x0C\\x0E-\\x1F]')"
    assert sql.execute(query).fetchall() == []


def decode(text: str, table: dict[str, str]) -> str:
    """Undo a letter table, longest codes first, small letters before capitals that share their code."""
    codes: dict[str, str] = {}
    for letter, code in table.items():
        if code not in codes or letter.islower():
            codes[code] = letter
    out, at = "", 0
    while at < len(text):
        size = next((n for n in (5, 4, 3, 2, 1) if text[at : at + n] in codes), 0)
        out += codes[text[at : at + size]] if size else text[at]
        at += size or 1
    return out


@pytest.mark.parametrize("kind", ["name_tcvn3", "name_vni", "name_viqr", "name_mojibake", "name_nfd"])
def test_encoded_names_can_be_decoded_up_to_letter_case(sql, kind):
    rows = sql.execute("SELECT truth, damaged FROM dirt WHERE kind = ?", [kind]).fetchall()
    rows += [("Đặng Ánh Ngọc Ưng Thúy Ổn", "".join(TABLES[kind].get(c, c) for c in "Đặng Ánh Ngọc Ưng Thúy Ổn"))]
    for truth, damaged in rows:
        assert decode(damaged, TABLES[kind]).lower() == truth.lower()


def test_mojibake_is_utf8_read_as_cp1252():
    assert "".join(TABLES["name_mojibake"].get(c, c) for c in "Nguyễn") == "Nguyá»…n"


def test_misread_letters_turn_back_into_their_bytes():
    for letter, text in TABLES["name_mojibake"].items():
        raw = b"".join(c.encode("cp1252") if not 0x80 <= ord(c) < 0xA0 else bytes([ord(c)]) for c in text)
        assert raw.decode("utf-8") == letter


@pytest.mark.skipif(shutil.which("iconv") is None, reason="iconv is the reference for TCVN")
def test_tcvn3_small_letters_agree_with_iconv():
    small = [letter for letter in letters() if letter.islower()]
    ours = "".join(TABLES["name_tcvn3"][letter] for letter in small).encode("latin-1")
    read = subprocess.run(["iconv", "-f", "TCVN5712-1", "-t", "UTF-8"], input=ours, capture_output=True, check=True)
    assert unicodedata.normalize("NFC", read.stdout.decode()) == "".join(small)


def test_the_tone_of_an_open_syllable_moves_to_its_second_vowel():
    assert (NEW_TONE["òa"], NEW_TONE["úy"], NEW_TONE["ỏe"]) == ("oà", "uý", "oẻ")
    assert codecs.encode(NEW_TONE["òa"], "utf-8") == "oà".encode()


@pytest.fixture(scope="module")
def heavy(tmp_path_factory):
    """A larger world with three times the dirt: its folder and counts."""
    folder = tmp_path_factory.mktemp("heavy")
    return folder, make_world(folder, people=12000, seed=2, dirt="heavy")


@pytest.mark.slow
def test_every_kind_of_dirt_happens_in_a_larger_world(heavy):
    kinds = {kind for hit in heavy[1]["dirt"].values() for kind in hit}
    assert kinds == set(yaml.safe_load(DIRT_FILE.read_text(encoding="utf-8"))["kinds"])


@pytest.mark.slow
def test_a_row_that_lost_its_identity_has_nothing_left_to_link_by(heavy):
    folder, _ = heavy
    with duckdb.connect() as con:
        rows, left, readable = con.execute(
            f"""SELECT count(*), count(coalesce(soDinhDanh, soCmnd, ngaySinh)),
                  count(*) FILTER (regexp_full_match(hoTen, '[^?\ufffd]*') AND hoTen <> strip_accents(hoTen))
                FROM '{folder}/registers/insurance_members/rows.parquet' WHERE _key IN (
                  SELECT key FROM '{folder}/truth/dirt.parquet' WHERE kind = 'identity_lost')"""
        ).fetchone()
    assert (rows > 3, left, readable) == (True, 0, 0)


@pytest.mark.slow
def test_a_spreadsheet_keeps_three_digits_of_a_personal_id(heavy):
    folder, _ = heavy
    with duckdb.connect() as con:
        pairs = con.execute(
            f"SELECT truth, damaged FROM '{folder}/truth/dirt.parquet' WHERE kind = 'id_spreadsheet'"
        ).fetchall()
    assert pairs and all(damaged == f"{int(truth):.2E}" for truth, damaged in pairs)
