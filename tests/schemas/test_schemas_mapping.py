"""Every mapping compiles, and turns a raw record of its dataset into canonical fields of the right form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import duckdb
import pytest
import yaml

from motlan.expressions import DUCKDB, code_lists, connect, literal, load_code_lists, parse, quote
from schemas import Person

MAPPING = Path(__file__).parents[2] / "mapping"
FILES = ("population", "insurance", "tax", "education")
DATASETS: dict[str, dict[str, str]] = {
    name: declared["fields"]
    for file in FILES
    for name, declared in yaml.safe_load((MAPPING / f"{file}.yaml").read_text(encoding="utf-8")).items()
}
SAME = {
    "personal_id": "001090000001",
    "full_name": "Nguyễn Thị Thúy",
    "residence_commune": "00004",
    "residence_province": "01",
}

CASES = {
    "whole form": (
        "population_citizens",
        {
            "SoDinhDanh": "001 090 000 001", "SoCMND": "012345678", "HoVaTen_Ho": "NGUYỄN", "HoVaTen_ChuDem": "THỊ",
            "HoVaTen_Ten": "THUÝ", "GioiTinh": "2", "DanToc_MaDanToc": "01", "TinhTrangHonNhan": "2",
            "NgayThangNamSinh_NgayThangNam": "19900201", "NoiDangKyKhaiSinh_MaDonViHanhChinh": "00001",
            "ThuongTru_MaDonViHanhChinh": "00004", "NgayMat": "20260102",
            "ThoiDiemCapNhat": "2026-01-03T00:00:00.000000Z",
        },
        {
            **SAME, "old_identity_number": "012345678", "birth_date": "1990-02-01", "sex": "female", "ethnicity": "01",
            "marital_status": "married", "birth_place": "00097", "birth_province": "01", "death_date": "2026-01-02",
        },
    ),
    "flat form, old card in the place of the ID, year alone, unknown sex": (
        "population_citizens",
        {
            "SoDinhDanh": "012345678", "HoVaTen_Ten": "Nguyễn Thị Thuý", "GioiTinh": "0", "DanToc": "Ê-đê",
            "NgayThangNamSinh_Nam": "1945", "ThuongTru_MaTinhThanh": "02", "ThuongTru_MaPhuongXa": "99999",
            "ThoiDiemCapNhat": "2020-01-03T00:00:00.000000Z",
        },
        {
            "old_identity_number": "012345678", "full_name": "Nguyễn Thị Thúy", "ethnicity": "12", "birth_date": "1945",
            "residence_province": "08",
        },
    ),
    "member": (
        "insurance_members",
        {
            "soDinhDanh": "1090000001", "soCmnd": None, "hoTen": "NguyÔn ThÞ Thuý", "ngaySinh": "00/00/1945",
            "gioiTinh": "Nữ", "maTinh": "01", "maXa": "00004", "maSoBhxh": "0123456789", "soTheBhyt": "gd4010123456789",
            "trangThai": "paused", "maDonVi": "0100109106", "updatedAt": "2026-01-03T00:00:00.000000Z",
        },
        {
            **SAME, "personal_id": None, "birth_date": "1945", "sex": "female", "social_insurance_code": "0123456789",
            "health_card_number": "GD4010123456789", "insurance_status": "paused", "employer_tax_code": "0100109106",
        },
    ),
    "taxpayer with a lost zero": (
        "tax_taxpayers",
        {
            "SoDinhDanh": "01090000001", "HoTen": "Nguyá»…n Thá»‹ ThÃºy", "NgaySinh": "1990-02-01", "GioiTinh": "F",
            "MaXa": "00004", "MaTinh": "01", "MST": "0100109106", "TrangThai": "10", "CoQuanChiTra": "0100109106",
            "NgayCapNhat": "2026-01-03T00:00:00.000000Z",
        },
        {
            **SAME, "birth_date": "1990-02-01", "sex": "female", "tax_code": "0100109106",
            "taxpayer_status": "awaiting_verification", "employer_tax_code": "0100109106",
        },
    ),
    "taxpayer with an address in the place of a code": (
        "tax_taxpayers",
        {
            "SoDinhDanh": "001090000001", "HoTen": "Nguyễn Thị Thúy", "MaTinh": "01", "MaXa": " ",
            "DiaChi": "Số 5, tổ dân phố 3, Phường Ba Đình", "NgayCapNhat": "2026-01-03T00:00:00.000000Z",
        },
        SAME,
    ),
    "taxpayer with a code that no list has: the address does not hide it": (
        "tax_taxpayers",
        {
            "SoDinhDanh": "1.09E+11", "HoTen": "Nguyễn Thị Thúy", "MaTinh": "01", "MaXa": "99999",
            "DiaChi": "Số 5, Phường Ba Đình", "NgayCapNhat": "2026-01-03T00:00:00.000000Z",
        },
        {"full_name": "Nguyễn Thị Thúy", "residence_province": "01"},
    ),
    "member in a unit that was divided": (
        "insurance_members",
        {"hoTen": "Nguyễn Thị Thúy", "maTinh": "01", "maXa": "00016", "updatedAt": "2026-01-03T00:00:00.000000Z"},
        {
            "full_name": "Nguyễn Thị Thúy", "residence_commune": "00004", "residence_candidates": "00004;00008",
            "residence_province": "01",
        },
    ),
    "pupil": (
        "education_pupils",
        {
            "so_dinh_danh": "001090000001", "ho_ten": "Nguyeãn Thò Thuùy", "ngay_sinh": "01/02/1990", "gioi_tinh": "0",
            "ma_tinh": "01", "ma_xa": "00004", "ma_dinh_danh": "0123456789", "ma_truong": "01000123", "lop": "12",
            "nam_hoc": "2026-2027", "trang_thai": "dang_hoc", "updated_at": "2026-01-03T00:00:00.000000Z",
        },
        {
            **SAME, "birth_date": "1990-02-01", "sex": "female", "education_id": "0123456789", "school": "01000123",
            "school_class": "12", "school_year": "2026-2027", "enrolment_status": "enrolled",
        },
    ),
    "staff": (
        "education_staff",
        {
            "so_dinh_danh": "001090000001", "ho_ten": "nguyễn thị thúy", "ngay_sinh": "1990", "gioi_tinh": "1",
            "ma_tinh": "01", "ma_xa": "00004", "ma_dinh_danh": "0123456789", "ma_truong": "01000123",
            "chuc_vu": " Giáo  viên ", "trang_thai": "nghi_huu", "updated_at": "2026-01-03T00:00:00.000000Z",
        },
        {
            **SAME, "birth_date": "1990", "sex": "male", "education_id": "0123456789", "school": "01000123",
            "staff_position": "Giáo viên", "staff_status": "retired",
        },
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def engine() -> Iterator[duckdb.DuckDBPyConnection]:
    with connect(threads=1) as con:
        load_code_lists(con, MAPPING / "codes")
        yield con


def clean(engine: duckdb.DuckDBPyConnection, dataset: str, raw: Mapping[str, str | None]) -> dict[str, str]:
    """Apply a mapping as the bus does: fields made from raw columns, then fields made from those."""
    expressions = {field: parse(text, where=dataset) for field, text in DATASETS[dataset].items()}
    columns = set().union(*(expression.fields for expression in expressions.values())) - set(expressions)
    assert set(raw) <= columns
    values = ", ".join(
        f"{DUCKDB.typed_null() if raw.get(c) is None else literal(str(raw[c]))} AS {quote(c)}" for c in sorted(columns)
    )
    first = {field for field, expression in expressions.items() if expression.fields <= columns}
    stage = ", ".join(f"{e.sql(DUCKDB)} AS {quote(f)}" for f, e in expressions.items() if f in first)
    query = f"SELECT *, {stage} FROM (SELECT {values})"
    selected = ", ".join(quote(f) if f in first else e.sql(DUCKDB) for f, e in expressions.items())
    row = engine.execute(f"SELECT {selected} FROM ({query})").fetchall()[0]
    return {field: value for field, value in zip(expressions, row, strict=True) if value is not None}


@pytest.mark.parametrize("case", CASES)
def test_a_raw_record_becomes_canonical(engine: duckdb.DuckDBPyConnection, case: str) -> None:
    dataset, raw, expected = CASES[case]
    found = clean(engine, dataset, raw)
    assert found == {field: value for field, value in expected.items() if value is not None}
    Person(**found)


@pytest.mark.parametrize("dataset", DATASETS)
def test_an_empty_record_is_all_null(engine: duckdb.DuckDBPyConnection, dataset: str) -> None:
    assert clean(engine, dataset, {}) == {}


@pytest.mark.parametrize("dataset", DATASETS)
def test_a_mapping_names_fields_of_the_person_and_code_lists_that_exist(dataset: str) -> None:
    assert set(DATASETS[dataset]) <= set(Person.model_fields)
    for field, text in DATASETS[dataset].items():
        assert parse(text, where=f"{dataset}.{field}").code_lists <= code_lists(MAPPING / "codes")


def test_every_value_of_a_code_list_is_one_that_the_model_allows(engine: duckdb.DuckDBPyConnection) -> None:
    fields = {
        "sex": "sexes_%", "ethnicity": "ethnicities", "marital_status": "marital_statuses",
        "taxpayer_status": "taxpayer_statuses", "insurance_status": "insurance_statuses",
        "enrolment_status": "enrolment_statuses", "staff_status": "staff_statuses",
        "residence_commune": "communes", "residence_province": "provinces",
    }  # fmt: skip
    for field, pattern in fields.items():
        query = f"SELECT DISTINCT cl_value FROM motlan_codes WHERE cl_list LIKE {literal(pattern)}"
        values = [value for (value,) in engine.execute(query).fetchall()]
        assert values, field
        for value in values:
            Person(**{field: value})
