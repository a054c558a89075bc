"""The code lists agree with their sources and with each other."""

from __future__ import annotations

import csv
import importlib.util
from pathlib import Path

import pytest

from motlan.engine import connect, load_code_lists
from motlan.engine.duckdb_dialect import BIRTH_PROVINCES

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


def test_ethnic_groups_are_54_and_foreigners_by_code_and_by_name() -> None:
    listed = rows("ethnicities")
    by_code = {row["code"]: row["name"] for row in listed if row["code"].isdigit()}
    assert sorted(by_code) == [f"{n:02d}" for n in range(1, 56)]
    assert {row["code"]: row["value"] for row in listed if not row["code"].isdigit()} == {
        name: code for code, name in by_code.items()
    }
