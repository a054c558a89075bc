"""Dirt on the registers: which value of which row is damaged how, and the log that scoring reads.

Each field of a row rolls once, by hash of the row's number, so a record keeps its damage from version to version and
the kinds of one field exclude each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import yaml

from simulators import damage
from simulators.registers import COLUMNS

DIRT_FILE = Path(__file__).with_name("dirt.yaml")


@dataclass(frozen=True)
class Fields:
    """The raw columns of a dataset that dirt can hit.

    `date` is a pattern of {y}, {m} and {d}; `alive` is the status of the living (None: the column is simply empty).
    """

    key: str
    moment: str
    number: str
    names: tuple[str, ...]
    birth: str
    date: str
    sex: str
    sexes: tuple[str, str]
    province: str
    commune: str
    status: str
    alive: str | None
    code: str | None = None
    second_code: str = ""


FIELDS: dict[str, Fields] = {
    "population_citizens": Fields(
        "MaHoSo", "ThoiDiemCapNhat", "SoDinhDanh", ("HoVaTen_Ho", "HoVaTen_ChuDem", "HoVaTen_Ten"),
        "NgayThangNamSinh_NgayThangNam", "{y} || {m} || {d}", "GioiTinh", ("1", "2"),
        "ThuongTru_MaTinhThanh", "ThuongTru_MaDonViHanhChinh", "NgayMat", None,
    ),
    "insurance_members": Fields(
        "id", "updatedAt", "soDinhDanh", ("hoTen",), "ngaySinh", "{d} || '/' || {m} || '/' || {y}", "gioiTinh",
        ("Nam", "Nữ"), "maTinh", "maXa", "trangThai", "active",
        "maSoBhxh", "scatter(_true_id + 500000000, 'social insurance', 10)",
    ),
    "tax_taxpayers": Fields(
        "MaHoSo", "NgayCapNhat", "SoDinhDanh", ("HoTen",), "NgaySinh", "{y} || '-' || {m} || '-' || {d}", "GioiTinh",
        ("M", "F"), "MaTinh", "MaXa", "TrangThai", "00", "MST", "tax_code(_true_id + 40000000)",
    ),
    "education_pupils": Fields(
        "ma_ho_so", "updated_at", "so_dinh_danh", ("ho_ten",), "ngay_sinh", "{d} || '/' || {m} || '/' || {y}", "gioi_tinh",
        ("1", "0"), "ma_tinh", "ma_xa", "trang_thai", "dang_hoc",
        "ma_dinh_danh", "scatter(_true_id + 500000000, 'education', 10)",
    ),
    "education_staff": Fields(
        "ma_ho_so", "updated_at", "so_dinh_danh", ("ho_ten",), "ngay_sinh", "{d} || '/' || {m} || '/' || {y}", "gioi_tinh",
        ("1", "0"), "ma_tinh", "ma_xa", "trang_thai", "dang_lam",
        "ma_dinh_danh", "scatter(_true_id + 500000000, 'education', 10)",
    ),
}  # fmt: skip

ROLLED = ("id", "name", "date", "sex", "place", "status")
"""Fields that roll for a kind of damage."""


class Profile:
    """The rates of a dirt profile, read from `dirt.yaml`."""

    def __init__(self, name: str) -> None:
        text: dict[str, Any] = yaml.safe_load(DIRT_FILE.read_text(encoding="utf-8"))
        if name not in text["profiles"]:
            raise ValueError(f"unknown dirt profile {name!r}; dirt.yaml has {', '.join(text['profiles'])}")
        self._factor = float(text["profiles"][name])
        self._kinds: dict[str, Any] = text["kinds"]
        self._world: dict[str, Any] = text["world"]

    def world(self, kind: str) -> float:
        """Share of people hit by a kind of the whole world."""
        return self._factor * float(self._world[kind]["rate"])

    def rate(self, kind: str, dataset: str) -> float:
        """Share of a dataset's values that `kind` is rolled for."""
        return self._factor * float(self._kinds[kind]["rate"][dataset])

    def rates(self, field: str, dataset: str) -> dict[str, float]:
        """Rates of all kinds of a field, zero ones left out."""
        kinds = [kind for kind, spec in self._kinds.items() if spec["field"] == field]
        return {kind: rate for kind in kinds if (rate := self.rate(kind, dataset)) > 0}


def make_dirt(con: duckdb.DuckDBPyConnection, dataset: str, profile: Profile) -> None:
    """Create `served_<dataset>` from `clean_<dataset>` and add its damaged values to table `dirt`.

    Args:
        con: connection with `clean_<dataset>`, `life`, the code tables and `dirt`.
        dataset: which register.
        profile: how often.
    """
    fields = FIELDS[dataset]
    rolls = ",\n".join(f"{_kind(profile.rates(field, dataset), dataset, field)} AS _{field}_kind" for field in ROLLED)
    changed = _changes(fields)
    con.execute(
        f"""
        CREATE TABLE damaged AS
        WITH rolled AS (SELECT *, h(_row, '{dataset} how') AS _how, {rolls} FROM clean_{dataset}),
        informed AS (
          SELECT rolled.*, other.personal_id AS _other_id, whole, split, reused, here.province AS _province,
            former.province AS _former_province
          FROM rolled
          LEFT JOIN life other ON _id_kind = 'id_other' AND other.id_day = 0 AND other.true_id = CASE
            WHEN _how % 2 = 1 THEN below(_row, 'other', (SELECT count(*) FROM life))
            WHEN _household <> _true_id THEN _household ELSE _true_id + 1 END
          LEFT JOIN commune_alternatives alternatives ON alternatives.code = _commune AND _place_kind IS NOT NULL
          LEFT JOIN commune_now here ON here.code = _commune
          LEFT JOIN commune_now former ON former.code = _former_commune
        ), placed AS (
          SELECT *, CASE _place_kind {_cases(damage.PLACE)} END AS _unit FROM informed
        ), started AS (
          SELECT *, {_START} AS _start FROM placed
        )
        SELECT *, {_MOMENT} AS _moment, {", ".join(f"{sql} AS served_{name}" for name, sql in changed.items())}
        FROM started
        """
    )
    _log(con, dataset, fields, list(changed))
    replaced = ", ".join(f"served_{name} AS {name}" for name in changed)
    con.execute(
        f"""
        CREATE TABLE served_{dataset} AS
        SELECT row_number() OVER (ORDER BY _moment, _key, _day) AS _pos, _key, _moment, _day,
          coalesce(lead(_day) OVER (PARTITION BY _key ORDER BY _day), 32767) AS _until, _true_id, {", ".join(COLUMNS[dataset])}
        FROM (SELECT * REPLACE ({replaced}) FROM damaged)
        ORDER BY _pos;
        DROP TABLE damaged;
        DROP TABLE clean_{dataset};
        """
    )


def _kind(rates: dict[str, float], dataset: str, field: str) -> str:
    """Roll for a kind: one interval of [0, 1) each; a duplicate rolls with half the number."""
    if not rates:
        return "NULL::VARCHAR"
    roll = f"u(_row, '{dataset} {field}') / if(_is_copy, 2, 1)"
    cases, reached = "", 0.0
    for kind, rate in rates.items():
        reached += rate
        cases += f" WHEN {roll} < {reached:.9f} THEN '{kind}'"
    return f"CASE{cases} END"


def _cases(kinds: dict[str, str], value: str = "") -> str:
    return " ".join(f"WHEN '{kind}' THEN {sql.format(v=value)}" for kind, sql in kinds.items())


def _changes(fields: Fields) -> dict[str, str]:
    """Raw column to the SQL of what is served in it, for every column that dirt can hit."""
    number = fields.number
    out = {
        number: f"CASE WHEN {number} IS NULL THEN NULL ELSE CASE _id_kind {_cases(damage.NUMBER, number)} ELSE {number} END END"
    }
    out |= _names(fields.names)
    out[fields.birth] = _date(fields)
    one, two = fields.sexes
    out[fields.sex] = f"if(_sex_kind IS NULL, {fields.sex}, if({fields.sex} = '{one}', '{two}', '{one}'))"
    out[fields.commune] = f"coalesce(_unit.code, {fields.commune})"
    out[fields.province] = f"coalesce(_unit.province, {fields.province})"
    alive = f"'{fields.alive}'" if fields.alive else "NULL"
    out[fields.status] = f"if(_status_kind IS NOT NULL AND _long_dead, {alive}, {fields.status})"
    if fields.code:
        out[fields.code] = f"if(_is_copy AND _how % 2 = 0, {fields.second_code}, {fields.code})"
    return out


def _names(columns: tuple[str, ...]) -> dict[str, str]:
    """Damage a name served whole, or in its parts: some kinds hit the given name alone, an order swap moves the parts."""
    last = columns[-1]
    out = {}
    for column in columns:
        kinds = {k: sql for k, sql in damage.NAME.items() if column == last or k not in damage.LAST_PART_ONLY}
        if len(columns) > 1:
            kinds["name_swapped"] = {columns[0]: last, last: columns[0]}.get(column, column)
        out[column] = f"CASE _name_kind {_cases(kinds, column)} ELSE {column} END"
    return out


def _date(fields: Fields) -> str:
    year = "year(_birth)::VARCHAR"
    cases = ""
    for kind, (condition, month, day) in damage.DATE.items():
        text = fields.date.format(y=year, m=month, d=day) if month else year
        cases += f" WHEN _date_kind = '{kind}' AND {condition} THEN {text}"
    wrong = fields.date.format(y=f"({damage.WRONG_YEAR})", m="strftime(_birth, '%m')", d="strftime(_birth, '%d')")
    return f"CASE{cases} WHEN _date_kind = 'date_wrong_year' THEN {wrong} ELSE {fields.birth} END"


_START = """
CASE WHEN (_age_roll < 0.12 OR _place_kind = 'stale_record' AND _unit IS NOT NULL) AND _known_since < DATE '2025-06-01'
  THEN greatest(_known_since, DATE '2015-01-01') ELSE greatest(_known_since, DATE '2025-07-01') END
"""
"""Earliest day of a row's moment: an eighth of the rows, and stale ones, are from before the communes of July 2025."""

_MOMENT = """
CASE WHEN _day > 0
  THEN TIMESTAMP '2026-10-01' + to_days(_day) + to_microseconds(below(_row * 512 + _day, 'moment', 86400000000))
  ELSE _start + to_microseconds((u(_row, 'moment') * 86400000000
    * date_diff('day', _start, if(_start < DATE '2025-07-01', DATE '2025-07-01', DATE '2026-10-01')))::BIGINT) END
"""


def _log(con: duckdb.DuckDBPyConnection, dataset: str, fields: Fields, columns: list[str]) -> None:
    """Add every value of `damaged` that is not served as it is to `dirt`, and every duplicate row by its key."""
    kind_of = {
        fields.number: "id",
        fields.birth: "date",
        fields.sex: "sex",
        fields.commune: "place",
        fields.status: "status",
    }
    kind_of |= dict.fromkeys(fields.names, "name") | {fields.province: "place"}
    for column in columns:
        kind = f"_{kind_of[column]}_kind" if column in kind_of else "'duplicate_row'"
        con.execute(
            f"""
            INSERT INTO dirt SELECT '{dataset}', _key, _day, '{column}', {kind}, {column}, served_{column} FROM damaged
            WHERE {column} IS DISTINCT FROM served_{column}
            """
        )
    con.execute(
        f"""
        INSERT INTO dirt SELECT '{dataset}', copy._key, copy._day, '{fields.key}', 'duplicate_row', first._key, copy._key
        FROM damaged copy JOIN damaged first ON first._true_id = copy._true_id AND NOT first._is_copy AND first._day = 0
        WHERE copy._is_copy
        """
    )
