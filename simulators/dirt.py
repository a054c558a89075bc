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
from simulators.registers import COLUMNS, TURNED, define_records, key_text

DIRT_FILE = Path(__file__).with_name("dirt.yaml")


@dataclass(frozen=True)
class Fields:
    """The raw columns of a dataset that dirt can hit.

    `date` is a pattern of {y}, {m} and {d}; `alive` is the status of the living (None: the column is simply empty);
    `address` ends in the name of the commune, `card` holds the old card number.
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
    address: str | None = None
    card: str | None = None


FIELDS: dict[str, Fields] = {
    "population_citizens": Fields(
        "MaHoSo", "ThoiDiemCapNhat", "SoDinhDanh", ("HoVaTen_Ho", "HoVaTen_ChuDem", "HoVaTen_Ten"),
        "NgayThangNamSinh_NgayThangNam", "{y} || {m} || {d}", "GioiTinh", ("1", "2"),
        "ThuongTru_MaTinhThanh", "ThuongTru_MaDonViHanhChinh", "NgayMat", None, card="SoCMND",
    ),
    "insurance_members": Fields(
        "id", "updatedAt", "soDinhDanh", ("hoTen",), "ngaySinh", "{d} || '/' || {m} || '/' || {y}", "gioiTinh",
        ("Nam", "Nữ"), "maTinh", "maXa", "trangThai", "active",
        "maSoBhxh", "scatter(true_id + 500000000, 'social insurance', 10)", card="soCmnd",
    ),
    "tax_taxpayers": Fields(
        "MaHoSo", "NgayCapNhat", "SoDinhDanh", ("HoTen",), "NgaySinh", "{y} || '-' || {m} || '-' || {d}", "GioiTinh",
        ("M", "F"), "MaTinh", "MaXa", "TrangThai", "00", "MST", "second_tax_code(true_id)", "DiaChi", "SoCMND",
    ),
    "education_pupils": Fields(
        "ma_ho_so", "updated_at", "so_dinh_danh", ("ho_ten",), "ngay_sinh", "{d} || '/' || {m} || '/' || {y}", "gioi_tinh",
        ("1", "0"), "ma_tinh", "ma_xa", "trang_thai", "dang_hoc",
        "ma_dinh_danh", "scatter(true_id + 500000000, 'education', 10)",
    ),
    "education_staff": Fields(
        "ma_ho_so", "updated_at", "so_dinh_danh", ("ho_ten",), "ngay_sinh", "{d} || '/' || {m} || '/' || {y}", "gioi_tinh",
        ("1", "0"), "ma_tinh", "ma_xa", "trang_thai", "dang_lam",
        "ma_dinh_danh", "scatter(true_id + 500000000, 'education', 10)",
    ),
}  # fmt: skip

ROLLED = ("id", "name", "date", "sex", "place", "status", "identity")
"""Fields that roll for a kind of damage; what `identity` rolls stands for number, card, name and birth date."""


class Profile:
    """The rates of a dirt profile, read from `dirt.yaml`."""

    def __init__(self, name: str) -> None:
        text: dict[str, Any] = yaml.safe_load(DIRT_FILE.read_text(encoding="utf-8"))
        if name not in text["profiles"]:
            raise ValueError(f"unknown dirt profile {name!r}; dirt.yaml has {', '.join(text['profiles'])}")
        self._factor = float(text["profiles"][name])
        self._kinds: dict[str, Any] = text["kinds"]
        self._world: dict[str, Any] = text["world"]
        self._histories: dict[str, Any] = text["histories"]

    def world(self, kind: str) -> float:
        """Share of people hit by a kind of the whole world."""
        return self._factor * float(self._world[kind]["rate"])

    def history(self, kind: str, people: int) -> int:
        """To how many people a day a kind of history happens: one at least in `default`, however small the world."""
        return max(round(self._factor), round(self._factor * float(self._histories[kind]["rate"]) * people))

    def rate(self, kind: str, dataset: str) -> float:
        """Share of a dataset's values that `kind` is rolled for."""
        return self._factor * float(self._kinds[kind]["rate"][dataset])

    def rates(self, field: str, dataset: str) -> dict[str, float]:
        """Rates of all kinds of a field, zero ones left out."""
        kinds = [kind for kind, spec in self._kinds.items() if spec["field"] == field]
        return {kind: rate for kind in kinds if (rate := self.rate(kind, dataset)) > 0}


def make_dirt(con: duckdb.DuckDBPyConnection, dataset: str, profile: Profile, first: int) -> None:
    """Create `turn` and view `served` from view `version`, and add the damaged values to table `dirt`.

    `turn` has a narrow row for each row of the register, in its order. Rows that damage or time can have changed are
    worked out in table `hit`; the others are served as they are.

    Args:
        con: connection with `version`, `life`, the code tables and `dirt`.
        dataset: which register.
        profile: how often.
        first: number of the first person of `life`.
    """
    fields = FIELDS[dataset]
    rolled = _rolled(profile, dataset)
    con.execute(_TURN.format(rolled=rolled.format(rows="version"), dataset=dataset, turned=", ".join(TURNED)))
    define_records(con, dataset)
    changed = _changes(fields) | {name: name for name in fields.names}
    written = _written_then(fields)
    con.execute(
        _HIT.format(
            rolled=rolled.format(rows="record WHERE _hit"),
            first=first,
            here=_place("here"),
            formerly=_place("formerly"),
            written=", ".join(f"{sql} AS {column}" for column, sql in written.items()),
            unit=f"CASE _place_kind {_cases(damage.PLACE)} END",
            kinds=", ".join(f"_{field}_kind" for field in ROLLED),
            truths=", ".join(changed),
            served=", ".join(f"{sql} AS served_{name}" for name, sql in ({n: n for n in written} | changed).items()),
        )
    )
    names = _names(fields.names)
    con.execute(
        _HIT_NAMES.format(
            names=", ".join(names),
            damaged=", ".join(f"{sql} AS new_{name}" for name, sql in names.items()),
            served=", ".join(f"served_{name} = new_{name}" for name in names),
        )
    )
    _log(con, dataset, fields, list(changed))
    hit = changed.keys() | written.keys()
    columns = (
        f"if(_hit, served_{name}, record.{name}) AS {name}" if name in hit else name for name in COLUMNS[dataset]
    )
    con.execute(
        f"""
        CREATE VIEW served AS
        SELECT _pos, {key_text(dataset, "record._number")} AS _key, _moment, record._day, _until, {", ".join(columns)}
        FROM record JOIN hit ON place = if(_hit, _pos, 0)
        """
    )


def _rolled(profile: Profile, dataset: str) -> str:
    """SQL of `{rows}` with the kind of damage of each field, and what else chance decides of a record."""
    kinds = {field: _kind(profile.rates(field, dataset), dataset, field) for field in ROLLED}
    kinds["status"] = f"if(death_date IS NOT NULL, {kinds['status']}, NULL)"
    rolls = ",\n".join(f"{kind} AS _{field}_kind" for field, kind in kinds.items())
    return f"""
        SELECT * REPLACE ({_LOST}) FROM (
          SELECT *, _copy = 1 AS _is_copy, h(_row, '{dataset} how') AS _how, u(_row, '{dataset} age of record') AS _age_roll,
            {rolls} FROM {{rows}})"""


def _kind(rates: dict[str, float], dataset: str, field: str) -> str:
    """Roll for a kind: one interval of [0, 1) each; a duplicate rolls with half the number."""
    if not rates:
        return "NULL::VARCHAR"
    roll = f"u(_row, '{dataset} {field}') / if(_copy = 1, 2, 1)"
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
    if fields.card:
        out[fields.card] = f"if(_identity_kind IS NULL, {fields.card}, NULL)"
    out[fields.birth] = _date(fields)
    one, two = fields.sexes
    out[fields.sex] = f"if(_sex_kind IS NULL, {fields.sex}, if({fields.sex} = '{one}', '{two}', '{one}'))"
    out[fields.commune] = f"coalesce(_unit.code, {fields.commune})"
    out[fields.province] = f"coalesce(_unit.province, {fields.province})"
    alive = f"'{fields.alive}'" if fields.alive else "NULL"
    out[fields.status] = f"if(_status_kind IS NOT NULL, {alive}, {fields.status})"
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


def _place(alternatives: str) -> str:
    """The unit of a row's moment: of before the reform, a former commune, the same one for a whole household."""
    now = ", ".join(f"'{name}': {alternatives}.{name}" for name in ("code", "province", "name"))
    return f"if(_past, one_of({alternatives}.former, h(household, 'former unit')), {{{now}}})"


def _written_then(fields: Fields) -> dict[str, str]:
    """Raw column to the SQL of the undamaged place of a record of before the reform."""
    then = {fields.commune: "_place.code", fields.province: "_place.province"}
    if fields.address:
        then[fields.address] = f"replace({fields.address}, commune_name, _place.name)"
    return {column: f"if(_past, {sql}, {column})" for column, sql in then.items()}


def _date(fields: Fields) -> str:
    year = "year(birth_date)::VARCHAR"
    cases = ""
    for kind, (condition, month, day) in damage.DATE.items():
        text = fields.date.format(y=year, m=month, d=day) if month else year
        cases += f" WHEN _date_kind = '{kind}' AND {condition} THEN {text}"
    for kind, year in (("date_wrong_year", damage.WRONG_YEAR), ("date_impossible", damage.IMPOSSIBLE_YEAR)):
        text = fields.date.format(y=f"({year})", m="strftime(birth_date, '%m')", d="strftime(birth_date, '%d')")
        cases += f" WHEN _date_kind = '{kind}' THEN {text}"
    return f"CASE{cases} WHEN _date_kind = 'identity_lost' THEN NULL ELSE {fields.birth} END"


_LOST = ", ".join(f"coalesce(_identity_kind, _{field}_kind) AS _{field}_kind" for field in ("id", "name", "date"))

_REFORM = "DATE '2025-07-01'"
"""The day from which records carry the communes of July 2025; those of before keep the code that held then."""

_KNOWN_SINCE = "coalesce(death_date + 1, birth_date)"

_START = f"""
CASE WHEN (_age_roll < 0.12 OR _place_kind = 'stale_record' AND NOT changed_home AND former_commune <> commune)
    AND {_KNOWN_SINCE} < DATE '2025-06-01'
  THEN greatest({_KNOWN_SINCE}, DATE '2015-01-01') ELSE greatest({_KNOWN_SINCE}, {_REFORM}) END
"""
"""Earliest day of a row's moment: an eighth of the rows, and stale ones, are from before the communes of July 2025."""

_MOMENT = f"""
CASE WHEN _day > 0
  THEN TIMESTAMP '2026-10-01' + to_days(_day) + to_microseconds(below(_row * 512 + _day, 'moment', 86400000000))
  ELSE _start + to_microseconds((u(_row, 'moment') * 86400000000
    * date_diff('day', _start, if(_start < {_REFORM}, {_REFORM}, DATE '2026-10-01')))::BIGINT) END
"""

_ANY_KIND = f"coalesce({', '.join(f'_{field}_kind' for field in ROLLED)}) IS NOT NULL"

_TURN = f"""
CREATE TABLE turn AS
WITH rolled AS ({{rolled}}), started AS (
  SELECT *, {_START} AS _start FROM rolled
), timed AS (
  SELECT *, {_MOMENT} AS _moment FROM started
)
SELECT {{turned}}, h(_row, '{{dataset}} key') AS _number, _moment, _moment < {_REFORM} AS _past,
  _moment < {_REFORM} OR _is_copy OR {_ANY_KIND} AS _hit
FROM timed ORDER BY _moment, _number, _day;
"""

_HIT = """
CREATE TABLE hit AS
WITH rolled AS NOT MATERIALIZED ({rolled}), asked AS (
  SELECT _pos, CASE WHEN _how % 2 = 1 THEN {first} + below(_row, 'other', (SELECT count(*) FROM life WHERE twin_of IS NULL))
    WHEN household <> true_id THEN household ELSE true_id + 1 END AS other
  FROM rolled WHERE _id_kind = 'id_other'
), other AS (
  SELECT _pos, life.personal_id AS _other_id FROM life JOIN asked ON life.true_id = other WHERE life.id_day = 0
), informed AS (
  SELECT rolled.*, _other_id, here.whole, here.split, here.reused, {here} AS _place, {formerly} AS _former_place
  FROM rolled LEFT JOIN other USING (_pos)
  LEFT JOIN commune_alternatives here ON here.code = commune AND (_past OR _place_kind IS NOT NULL)
  LEFT JOIN commune_alternatives formerly ON formerly.code = former_commune AND _place_kind = 'stale_record'
), placed AS (
  SELECT * REPLACE ({written}), {unit} AS _unit FROM informed
)
SELECT _pos AS place, _number, _day, _how, {kinds}, {truths}, {served} FROM placed;
-- What rows that are not hit are joined to.
INSERT INTO hit (place) VALUES (0);
"""

_HIT_NAMES = """
-- Names by themselves, kind by kind: every chunk that holds a name of a kind pays for the whole table of its letters.
UPDATE hit SET {served}
FROM (SELECT place, {damaged} FROM (
  SELECT place, _how, _name_kind, {names} FROM hit WHERE _name_kind IS NOT NULL ORDER BY _name_kind, place)) named
WHERE hit.place = named.place;
"""


def _log(con: duckdb.DuckDBPyConnection, dataset: str, fields: Fields, columns: list[str]) -> None:
    """Add every value of `hit` that is not served as it is to `dirt`, and every duplicate row by its key."""
    kind_of = {
        fields.number: "id",
        fields.birth: "date",
        fields.sex: "sex",
        fields.commune: "place",
        fields.status: "status",
    }
    kind_of |= dict.fromkeys(fields.names, "name") | {fields.province: "place"}
    kind_of |= {fields.card: "identity"} if fields.card else {}
    for column in columns:
        kind = f"_{kind_of[column]}_kind" if column in kind_of else "'duplicate_row'"
        con.execute(
            f"""
            INSERT INTO dirt SELECT '{dataset}', _number, _day, '{column}', {kind}, {column}, served_{column} FROM hit
            WHERE {column} IS DISTINCT FROM served_{column}
            """
        )
    con.execute(
        f"""
        INSERT INTO dirt SELECT '{dataset}', copy._number, copy._day, '{fields.key}', 'duplicate_row',
          {key_text(dataset, "first._number")}, {key_text(dataset, "copy._number")}
        FROM turn copy JOIN turn first ON first.true_id = copy.true_id AND first._copy = 0 AND first._day = 0
        WHERE copy._copy = 1
        """
    )
