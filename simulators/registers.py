"""What each register holds about its people, undamaged: views with a row for each version of a record.

Columns that start with `_` are for the makers and the servers; the others are the raw columns of the wire, all text.
"""

from __future__ import annotations

import duckdb

from simulators.events import MEMBERS, SEEN

KEY_PREFIX = {
    "population_citizens": "DC",
    "insurance_members": "BH",
    "tax_taxpayers": "NT",
    "education_pupils": "HS",
    "education_staff": "GV",
}
_LATER = ("death", "move", "name", "job", "school", "id")

_CLASS = "greatest(1, least(12, 2021 - birth_year))::VARCHAR"
_SCHOOL = "province || digits(below({of}, 'school', 900) + 100, 6)"
_STREET = (
    "'Số ' || (1 + below(household, 'house', 380)) || if(u(household, 'country') < 0.55, ', thôn ', ', tổ dân phố ') "
    "|| (1 + below(household, 'hamlet', 24))"
)
_DMY = "strftime(birth_date, '%d/%m/%Y')"

_PUPIL_OR_TEACHER = {
    "ma_dinh_danh": "education_id",
    "so_dinh_danh": "personal_id",
    "ho_ten": "full_name",
    "ngay_sinh": _DMY,
    "gioi_tinh": "if(sex = 'male', '1', '0')",
    "ma_tinh": "province",
    "ma_xa": "commune",
}

COLUMNS: dict[str, dict[str, str]] = {
    "population_citizens": {
        "SoDinhDanh": "personal_id",
        "SoCMND": "cmnd",
        "HoVaTen_Ho": "string_split(full_name, ' ')[1]",
        "HoVaTen_ChuDem": "nullif(array_to_string(string_split(full_name, ' ')[2:-2], ' '), '')",
        "HoVaTen_Ten": "string_split(full_name, ' ')[-1]",
        "GioiTinh": "if(sex = 'male', '1', '2')",
        "DanToc_MaDanToc": "ethnicity",
        "DanToc_TenGoi": "ethnic_name",
        "TinhTrangHonNhan": "CASE WHEN age < 18 OR role = 'child' AND age < 30 THEN '1' "
        "WHEN role = 'spouse' OR household_size > 1 AND role = 'head' THEN '2' WHEN role = 'grandparent' THEN '3' ELSE '0' END",
        "NgayThangNamSinh_NgayThangNam": "strftime(birth_date, '%Y%m%d')",
        "NoiDangKyKhaiSinh_MaDonViHanhChinh": "birth_commune",
        "QueQuan_MaDonViHanhChinh": "origin_commune",
        "ThuongTru_MaDonViHanhChinh": "commune",
        "ThuongTru_ChiTiet": _STREET,
        "NoiDangKyKhaiSinh_MaTinhThanh": "birth_province[2:]",
        "QueQuan_MaTinhThanh": "birth_province[2:]",
        "ThuongTru_MaTinhThanh": "province",
        "Cha_SoDinhDanh": "if(role = 'child', father_id, NULL)",
        "Cha_HoVaTen": "if(role = 'child', father_name, NULL)",
        "Me_SoDinhDanh": "if(role = 'child', mother_id, NULL)",
        "Me_HoVaTen": "if(role = 'child', mother_name, NULL)",
        "ChuHo_SoDinhDanh": "head_id",
        "NgayMat": "if(dead, strftime(coalesce(death_date, DATE '2026-10-01' + death_day::INTEGER), '%Y%m%d'), NULL)",
    },
    "insurance_members": {
        "maSoBhxh": "social_insurance_code",
        "soDinhDanh": "personal_id",
        "soCmnd": "if(card_roll < 0.4, cmnd, NULL)",
        "hoTen": "full_name",
        "ngaySinh": _DMY,
        "gioiTinh": "if(sex = 'male', 'Nam', 'Nữ')",
        "maTinh": "province",
        "maXa": "commune",
        "soTheBhyt": "health_card",
        "trangThai": "CASE WHEN dead THEN 'closed' WHEN u(true_id, 'insurance state') < 0.9 THEN 'active' "
        "WHEN u(true_id, 'insurance state') < 0.97 THEN 'paused' ELSE 'closed' END",
        "maDonVi": "employer_code(employer)",
        "tuNgay": "strftime(greatest(birth_date, DATE '2010-01-01' + below(true_id, 'insured since', 6000)::INTEGER), "
        "'%Y-%m-%d')",
    },
    "tax_taxpayers": {
        "MST": "tax_code",
        "SoDinhDanh": "personal_id",
        "SoCMND": "if(card_roll < 0.5, cmnd, NULL)",
        "HoTen": "full_name",
        "NgaySinh": "strftime(birth_date, '%Y-%m-%d')",
        "GioiTinh": "if(sex = 'male', 'M', 'F')",
        "MaTinh": "province",
        "MaXa": "commune",
        "DiaChi": f"{_STREET} || ', ' || commune_name",
        "TrangThai": "CASE WHEN dead THEN '03' WHEN u(true_id, 'tax state') < 0.92 THEN '00' "
        "WHEN u(true_id, 'tax state') < 0.95 THEN '03' ELSE '10' END",
        "CoQuanChiTra": "employer_code(employer)",
    },
    "education_pupils": {
        **_PUPIL_OR_TEACHER,
        "ma_truong": f"if(changed_school, {_SCHOOL.format(of='true_id')}, {_SCHOOL.format(of='household')})",
        "lop": _CLASS,
        "nam_hoc": "'2026-2027'",
        "trang_thai": "CASE WHEN dead THEN 'thoi_hoc' WHEN changed_school AND u(true_id, 'leaves') < 0.2 THEN 'thoi_hoc' "
        "WHEN u(true_id, 'pupil state') < 0.97 THEN 'dang_hoc' WHEN u(true_id, 'pupil state') < 0.985 "
        f"THEN 'chuyen_truong' WHEN {_CLASS} = '12' THEN 'tot_nghiep' ELSE 'thoi_hoc' END",
    },
    "education_staff": {
        **_PUPIL_OR_TEACHER,
        "ma_truong": f"if(changed_job, {_SCHOOL.format(of='true_id + 7')}, {_SCHOOL.format(of='true_id')})",
        "chuc_vu": "CASE WHEN u(true_id, 'post') < 0.82 THEN 'Giáo viên' WHEN u(true_id, 'post') < 0.95 THEN 'Nhân viên' "
        "WHEN u(true_id, 'post') < 0.98 THEN 'Phó hiệu trưởng' ELSE 'Hiệu trưởng' END",
        "trang_thai": "CASE WHEN dead THEN 'nghi_viec' WHEN age > 60 THEN 'nghi_huu' WHEN u(true_id, 'staff state') < 0.97 "
        "THEN 'dang_lam' ELSE 'nghi_viec' END",
    },
}
"""Dataset to raw column (key and moment aside) to its SQL over `state`."""


def make_relatives(con: duckdb.DuckDBPyConnection) -> None:
    """Create `relatives`: what the people of a household are to each other, on day 0."""
    con.execute(_RELATIVES)


def define_versions(con: duckdb.DuckDBPyConnection, dataset: str, days: int, duplicates: float) -> None:
    """Create view `version`: `life` with a row for each day on which a record of the register is new or changed.

    Besides the columns of `life` it has `_row`, the number of the record; `_copy`, 1 if it is a second one of the same
    person; `_day` and `_until`, the first day it is served and the day a newer version replaces it; and what the
    register has seen by then: `changed_home`, `changed_job`, `changed_school`, `changed_name`, `dead`, `has_number`.

    Args:
        con: connection with `life` and the macros.
        dataset: which register.
        days: days after day 0.
        duplicates: share of its people who have a second row there.
    """
    seen = SEEN[dataset]
    columns = []
    for kind in _LATER:
        lag, share = seen.get(kind, (0, 0))
        day = f"CASE WHEN u(true_id, '{dataset} sees {kind}') < {share} AND {kind}_day > 0 THEN {kind}_day + {lag} END"
        columns.append(f"{day} AS {kind}_seen")
    lag, share = seen.get("birth", (0, 0))
    con.execute(
        _VERSION.format(
            member=MEMBERS[dataset],
            born=f"birth_day = 0 OR u(true_id, '{dataset} sees birth') < {share}",
            entry=f"if(birth_day > 0, birth_day + {lag}, 0)",
            columns=", ".join(columns),
            copied=f"birth_day = 0 AND u(true_id, '{dataset} duplicate') < {duplicates}",
            dated=_DATED.format(later=", ".join(f"{kind}_seen" for kind in _LATER), days=days) if days else _DAY_0,
        )
    )


def define_records(con: duckdb.DuckDBPyConnection, dataset: str) -> None:
    """Create view `record`: the rows of `turn` in its order, with the columns of `life` as they are then, and the raw ones.

    `turn` has chosen columns of `version` (`TURNED`) in the order of the register; `_pos` counts them from 1. Joins to
    numbers that occur once keep the order.
    """
    columns = ",\n".join(f"({sql})::VARCHAR AS {name}" for name, sql in COLUMNS[dataset].items())
    relatives = "JOIN relatives USING (household)" if dataset == "population_citizens" else ""
    con.execute(_RECORD.format(columns=columns, relatives=relatives, member=MEMBERS[dataset]))


TURNED = (
    "true_id", "_row", "_copy", "_day", "_until", "changed_home", "changed_job", "changed_school", "changed_name", "dead",
    "has_number",
)  # fmt: skip
"""Columns of `version` that `record` reads from `turn`."""


def key_text(dataset: str, number: str) -> str:
    """SQL of a record's key, of its 64-bit number."""
    return f"'{KEY_PREFIX[dataset]}' || lpad(lower(to_hex({number})), 16, '0')"


_RELATIVES = """
CREATE TABLE relatives AS
  SELECT household, count(*) AS household_size, max(personal_id) FILTER (role = 'head') AS head_id,
    max(personal_id) FILTER (role IN ('head', 'spouse') AND sex = 'male') AS father_id,
    max(full_name) FILTER (role IN ('head', 'spouse') AND sex = 'male') AS father_name,
    max(personal_id) FILTER (role IN ('head', 'spouse') AND sex = 'female') AS mother_id,
    max(full_name) FILTER (role IN ('head', 'spouse') AND sex = 'female') AS mother_name
  FROM life WHERE birth_day = 0 GROUP BY household;
"""

_VERSION = """
CREATE VIEW version AS
WITH member AS (
  SELECT *, 0 AS _copy, {entry} AS entry, {columns} FROM life WHERE {member} AND ({born})
  UNION ALL BY NAME
  SELECT *, 1 AS _copy, 0 AS entry FROM life WHERE {member} AND {copied}
), dated AS ({dated})
SELECT *, true_id * 2 + _copy AS _row, coalesce(move_seen <= _day, false) AS changed_home,
  coalesce(job_seen <= _day, false) AS changed_job, coalesce(school_seen <= _day, false) AS changed_school,
  coalesce(name_seen <= _day, false) AS changed_name,
  death_date IS NOT NULL OR coalesce(death_seen <= _day, false) AS dead,
  coalesce(id_day = 0 OR id_seen <= _day, false) AS has_number
FROM dated
"""

_DAY_0 = "SELECT *, 0::INTEGER AS _day, 32767::INTEGER AS _until FROM member"

_DATED = """
SELECT * EXCLUDE (served), served[turn]::INTEGER AS _day, coalesce(served[turn + 1], 32767)::INTEGER AS _until
FROM (
  SELECT *, unnest(range(1, len(served) + 1)) AS turn FROM (
    SELECT *, list_sort(list_distinct(list_filter([entry, {later}], lambda d: d >= entry AND d <= {days}))) AS served
    FROM member WHERE entry <= {days}
  )
)
"""

_RECORD = """
CREATE VIEW record AS
WITH state AS (
  SELECT turn.*, turn.rowid + 1 AS _pos,
    life.* EXCLUDE (true_id) REPLACE (
      if(has_number, personal_id, NULL) AS personal_id, if(changed_name, new_name, full_name) AS full_name,
      if(changed_home, new_commune, commune) AS commune, if(changed_home, new_province, province) AS province,
      if(changed_home, new_commune_name, commune_name) AS commune_name,
      if(changed_home, NULL, former_commune) AS former_commune,
      if(changed_job, next_employer, employer) AS employer)
  FROM turn JOIN (FROM life WHERE {member}) life USING (true_id)
)
SELECT *,
  {columns}
FROM state {relatives};
"""
