"""The code lists agree with their sources and with each other."""

from __future__ import annotations

import csv
import importlib.util
from pathlib import Path

import pytest

from mapping.functions.identifier_cleaning import BIRTH_PROVINCES
from motlan.expressions import DUCKDB, connect, fill, load_code_lists

CODES = Path(__file__).parents[2] / "mapping" / "codes"


def rows(name: str) -> list[dict[str, str]]:
    with (CODES / f"{name}.csv").open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def test_all_lists_load() -> None:
    with connect(threads=1) as con:
        load_code_lists(con, CODES)
        counted = con.execute("SELECT cl_list, count(*) FROM motlan_codes GROUP BY ALL").fetchall()
    assert dict(counted) == {path.stem: len(rows(path.stem)) for path in CODES.glob("*.csv")}


def test_units_are_as_many_as_published() -> None:
    new = [row for row in rows("communes") if not row["valid_to"]]
    assert len(new) == 3321
    kinds = {kind: sum(row["name"].startswith(kind) for row in new) for kind in ("Xã", "Phường", "Đặc khu")}
    assert kinds == {"Xã": 2621, "Phường": 687, "Đặc khu": 13}
    provinces = rows("provinces")
    assert sum(not row["valid_to"] for row in provinces) == 34
    assert sum(bool(row["valid_to"]) for row in provinces) == 63


@pytest.mark.parametrize("name", ["communes", "provinces"])
def test_every_former_unit_has_a_successor_that_exists(name: str) -> None:
    new = {row["code"] for row in rows(name) if not row["valid_to"]}
    for row in rows(name):
        successors = row["successors"].split(";") if row["successors"] else []
        assert bool(successors) == bool(row["valid_to"]), row
        assert set(successors) <= new, row


def test_the_lists_of_units_equal_a_rebuild(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip(
        "vietnamadminunits", reason="install the extra `codes` to rebuild the lists", exc_type=ImportError
    )
    spec = importlib.util.spec_from_file_location("rebuild", CODES / "build_administrative_units.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "HERE", tmp_path)
    module.main()
    for name in ("communes.csv", "provinces.csv"):
        assert (tmp_path / name).read_bytes() == (CODES / name).read_bytes(), name


def test_place_codes_of_personal_ids_are_the_63_former_provinces() -> None:
    former = {row["code"]: row["name"] for row in rows("provinces") if row["valid_to"]}
    places = {row["code"]: row["name"] for row in rows("birth_provinces")}
    assert places == {f"0{code}": name for code, name in former.items()}
    assert set(BIRTH_PROVINCES.split()) == set(former)


UNITS = """select c.cl_value as value, c.cl_candidates as candidates, c.cl_valid_from as since, c.cl_name as name,
    c.cl_district as district, p.cl_name as within from motlan_codes c join motlan_codes p
    on p.cl_list = 'provinces' and p.cl_code = c.cl_province and p.cl_valid_from = c.cl_valid_from where c.cl_list = 'communes'"""


@pytest.mark.parametrize(
    ("address", "condition", "found"),
    [
        ("'Số 5, ' || name || ', ' || within", "since <> ''", 3321),
        ("lower(strip_accents(replace(replace(name || ', ' || within, 'đ', 'd'), 'Đ', 'D')))", "since <> ''", 3305),
        ("name || ', ' || district || ', ' || within", "since = '' and name <> district", 9564),
    ],
    ids=["new", "new, without marks", "old"],
)
def test_every_undivided_unit_is_found_by_its_address_and_none_is_taken_for_another(
    address: str, condition: str, found: int
) -> None:
    relation, key, answer = (
        fill(part, ("address", "null", "null"))
        for part in (lambda look: (look.relation, look.key, look.answer))(DUCKDB.lookups["address_commune"])
    )
    with connect(threads=2) as con:
        load_code_lists(con, CODES)
        con.execute(f"create temp table units as select *, {address} as address from ({UNITS}) where {condition}")
        query = f"""select count(got), count(*) filter (got <> value), count(*) filter (got is null and candidates = '')
            from (select value, candidates, {answer.replace("@found", "l.found")} as got
                  from units left join ({relation}) as l on l.code = {key})"""
        read, wrong, missed = con.execute(query).fetchall()[0]
    assert (read, wrong) == (found, 0)
    assert missed == (16 if "strip" in address else 0)


def test_ethnic_groups_are_54_and_foreigners_by_code_and_by_name() -> None:
    listed = rows("ethnicities")
    by_code = {row["code"]: row["name"] for row in listed if row["code"].isdigit()}
    assert sorted(by_code) == [f"{n:02d}" for n in range(1, 56)]
    assert {row["code"]: row["value"] for row in listed if not row["code"].isdigit()} == {
        name: code for code, name in by_code.items()
    }
