"""What each register holds about its people, undamaged: one table `clean_<dataset>` with a row for each version.

Columns that start with `_` are for the makers and the servers; the others are the raw columns of the wire, all text.
"""

from __future__ import annotations

import duckdb

from simulators.events import DATASETS, MEMBERS, SEEN

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
        "ThuongTru_ChiTiet": "street",
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
        "maDonVi": "employer_code",
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
        "DiaChi": "street || ', ' || commune_name",
        "TrangThai": "CASE WHEN dead THEN '03' WHEN u(true_id, 'tax state') < 0.92 THEN '00' "
        "WHEN u(true_id, 'tax state') < 0.95 THEN '03' ELSE '10' END",
        "CoQuanChiTra": "employer_code",
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


def make_registers(con: duckdb.DuckDBPyConnection, days: int, duplicates: dict[str, float]) -> None:
    """Create `clean_<dataset>` for every dataset.

    Args:
        con: connection with `life`, `moved` and the macros.
        days: days after day 0.
        duplicates: dataset to the share of its people who have a second row there.
    """
    con.execute(_RELATIVES)
    for dataset in DATASETS:
        _versions(con, dataset, days, duplicates[dataset])
        columns = ",\n".join(f"({sql})::VARCHAR AS {name}" for name, sql in COLUMNS[dataset].items())
        con.execute(_CLEAN.format(dataset=dataset, columns=columns, prefix=KEY_PREFIX[dataset]))
        con.execute("DROP TABLE version")


def _versions(con: duckdb.DuckDBPyConnection, dataset: str, days: int, duplicates: float) -> None:
    """Create `version`: a row for each day on which a row of the register is new or changed."""
    seen = SEEN[dataset]
    columns = []
    for kind in _LATER:
        lag, share = seen.get(kind, (0, 0))
        day = f"CASE WHEN u(true_id, '{dataset} sees {kind}') < {share} AND {kind}_day > 0 THEN {kind}_day + {lag} END"
        columns.append(f"{day} AS {kind}_seen")
    lag, share = seen.get("birth", (0, 0))
    later = ", ".join(f"{kind}_seen" for kind in _LATER)
    con.execute(
        f"""
        CREATE TABLE version AS
        WITH member AS (
          SELECT true_id, 0 AS copy, if(birth_day > 0, birth_day + {lag}, 0) AS entry, {", ".join(columns)} FROM life
          WHERE {MEMBERS[dataset]} AND (birth_day = 0 OR u(true_id, '{dataset} sees birth') < {share})
          UNION ALL BY NAME
          SELECT true_id, 1 AS copy, 0 AS entry FROM life
          WHERE {MEMBERS[dataset]} AND birth_day = 0 AND u(true_id, '{dataset} duplicate') < {duplicates}
        )
        SELECT *, unnest(list_distinct(list_filter([entry, {later}], lambda d: d >= entry AND d <= {days}))) AS day
        FROM member WHERE entry <= {days}
        """
    )


_RELATIVES = """
CREATE TABLE relatives AS
  SELECT household, count(*) AS household_size, max(personal_id) FILTER (role = 'head') AS head_id,
    max(personal_id) FILTER (role IN ('head', 'spouse') AND sex = 'male') AS father_id,
    max(full_name) FILTER (role IN ('head', 'spouse') AND sex = 'male') AS father_name,
    max(personal_id) FILTER (role IN ('head', 'spouse') AND sex = 'female') AS mother_id,
    max(full_name) FILTER (role IN ('head', 'spouse') AND sex = 'female') AS mother_name,
    'Số ' || (1 + below(household, 'house', 380)) || if(u(household, 'country') < 0.55, ', thôn ', ', tổ dân phố ')
      || (1 + below(household, 'hamlet', 24)) AS street
  FROM life WHERE birth_day = 0 GROUP BY household;
"""

_CLEAN = """
CREATE TABLE clean_{dataset} AS
WITH seen AS (
  SELECT version.*, life.* EXCLUDE (true_id), moved.* EXCLUDE (true_id), relatives.* EXCLUDE (household),
    coalesce(move_seen <= day, false) AS changed_home, coalesce(job_seen <= day, false) AS changed_job,
    coalesce(school_seen <= day, false) AS changed_school, ethnic_group.name AS ethnic_name,
    death_date IS NOT NULL OR coalesce(death_seen <= day, false) AS dead
  FROM version JOIN life USING (true_id) LEFT JOIN moved USING (true_id) LEFT JOIN relatives USING (household)
  JOIN ethnic_group ON ethnic_group.code = life.ethnicity
), state AS (
  SELECT seen.* REPLACE (
      if(id_day = 0 OR id_seen <= day, personal_id, NULL) AS personal_id,
      if(name_seen <= day, new_name, full_name) AS full_name,
      if(changed_home, new_commune, commune) AS commune, if(changed_home, new_province, seen.province) AS province,
      if(changed_job, next_employer_code, employer_code) AS employer_code),
    commune_now.name AS commune_name
  FROM seen JOIN commune_now ON commune_now.code = if(changed_home, new_commune, commune)
)
SELECT true_id AS _true_id, copy AS _copy, true_id * 2 + copy AS _row, day::INTEGER AS _day,
  '{prefix}' || lpad(lower(to_hex(h(true_id * 2 + copy, '{dataset} key'))), 16, '0') AS _key,
  u(true_id * 2 + copy, '{dataset} age of record') AS _age_roll, copy = 1 AS _is_copy,
  birth_date AS _birth, coalesce(death_date + 1, birth_date) AS _known_since,
  cancelled_id AS _cancelled_id, cmnd AS _cmnd, household AS _household,
  commune AS _commune, commune_name AS _commune_name, if(changed_home, NULL, former_commune) AS _former_commune,
  dead AND death_date IS NOT NULL AS _long_dead,
  {columns}
FROM state;
"""
