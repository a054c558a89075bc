"""The floor of the national benchmark: the least that anyone would do by hand with bare DuckDB on the same landed Parquet.

It reads each register's own words, repairs nothing, keeps no findings, no pointers and no history, and leaves its tables as
Parquet so that memory stays within the same limit as ours. Five steps:

1. `copy`: every register as it is, to zstd Parquet.
2. `normalise`: distinct names in lower case without accents and with single spaces, joined back to the rows.
3. `identify`: the agencies' rows joined with the first register on the identifier; linked where two of name, birth date and
   sex agree.
4. `second_pass`: those left, on exactly the same name, birth date and sex, where one person alone has them.
5. `golden`: of each person and field the newest value.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from bench.national.pipeline import Setting
from bench.national.watch import Steps


@dataclass(frozen=True)
class Register:
    """SQL of the identity fields over a register's raw columns."""

    personal_id: str
    full_name: str
    birth_date: str
    sex: str
    commune: str


def _day(column: str, form: str) -> str:
    return f"try_strptime({column}, '{form}')::date"


REGISTERS = {
    "population_citizens": Register(
        "SoDinhDanh",
        "concat_ws(' ', HoVaTen_Ho, HoVaTen_ChuDem, HoVaTen_Ten)",
        _day("NgayThangNamSinh_NgayThangNam", "%Y%m%d"),
        "GioiTinh = '1'",
        "ThuongTru_MaDonViHanhChinh",
    ),
    "insurance_members": Register(
        "soDinhDanh", "hoTen", _day("ngaySinh", "%d/%m/%Y"), "lower(gioiTinh) = 'nam'", "maXa"
    ),
    "tax_taxpayers": Register("SoDinhDanh", "HoTen", _day("NgaySinh", "%Y-%m-%d"), "GioiTinh = 'M'", "MaXa"),
    "education_pupils": Register("so_dinh_danh", "ho_ten", _day("ngay_sinh", "%d/%m/%Y"), "gioi_tinh = '1'", "ma_xa"),
    "education_staff": Register("so_dinh_danh", "ho_ten", _day("ngay_sinh", "%d/%m/%Y"), "gioi_tinh = '1'", "ma_xa"),
}
"""The first is the one that the others are joined with."""
SPINE = next(iter(REGISTERS))
FIELDS = ("personal_id", "full_name", "birth_date", "male", "commune")


def run(steps: Steps, setting: Setting) -> dict[str, int]:
    """Run the floor in a folder of its own, removed afterwards.

    Returns:
        `rows`, and how many agency rows it `linked`.
    """
    floor = setting.folder / "floor"
    shutil.rmtree(floor, ignore_errors=True)
    (floor / "rows").mkdir(parents=True)
    limits: dict[str, Any] = {
        "memory_limit": setting.memory_limit,
        "threads": setting.threads,
        "temp_directory": str(floor),
    }
    rows = sum(sum(setting.rows(name)) for name in REGISTERS)
    with duckdb.connect(config=limits) as con:
        con.execute("set enable_progress_bar = false")
        calls: dict[str, Callable[[], None]] = {
            "copy": lambda: copy(con, setting, floor),
            "normalise": lambda: normalise(con, setting, floor),
            "identify": lambda: identify(con, floor),
            "second_pass": lambda: second_pass(con, floor),
            "golden": lambda: golden(con, floor),
        }
        for name, call in calls.items():
            with steps.step(name, rows=rows):
                call()
        linked = con.execute(f"select count(*) from '{floor}/linked_*.parquet'").fetchall()[0][0]
    shutil.rmtree(floor)
    return {"rows": rows, "linked": linked}


def _source(setting: Setting, register: str) -> str:
    return f"read_parquet('{setting.landed / register}/*.parquet')"


def _write(con: duckdb.DuckDBPyConnection, query: str, target: Path) -> None:
    con.execute(f"copy ({query}) to '{target}' (format parquet, compression zstd)")


def copy(con: duckdb.DuckDBPyConnection, setting: Setting, floor: Path) -> None:
    """Write every register again."""
    for name in REGISTERS:
        target = floor / "copy.parquet"
        _write(con, f"from {_source(setting, name)}", target)
        target.unlink()


def normalise(con: duckdb.DuckDBPyConnection, setting: Setting, floor: Path) -> None:
    """Write the identity fields of every register, names normalised once each."""
    said = " union ".join(f"select {r.full_name} as said from {_source(setting, n)}" for n, r in REGISTERS.items())
    con.execute(
        f"""create temp table names as
            select said, strip_accents(lower(trim(regexp_replace(said, '\\s+', ' ', 'g')))) as name from ({said})"""
    )
    for name, register in REGISTERS.items():
        _write(
            con,
            f"""select _key, _moment, personal_id, said as full_name, name, birth_date, male, commune
                from (select _key, _moment, {register.personal_id} as personal_id, {register.full_name} as said,
                             {register.birth_date} as birth_date, {register.sex} as male, {register.commune} as commune
                      from {_source(setting, name)}) left join names using (said)""",
            floor / "rows" / f"{name}.parquet",
        )
    con.execute("drop table names")


def _rows(floor: Path, spine: bool) -> str:
    names = [name for name in REGISTERS if (name == SPINE) is spine]
    return f"read_parquet([{', '.join(repr(str(floor / 'rows' / f'{name}.parquet')) for name in names)}])"


def identify(con: duckdb.DuckDBPyConnection, floor: Path) -> None:
    """Join on the identifier and compare."""
    agree = " + ".join(f"coalesce((mine.{f} = theirs.{f})::int, 0)" for f in ("name", "birth_date", "male"))
    _write(
        con,
        f"""select _key, any_value(person) as person from (
                select mine._key, theirs._key as person, {agree} as agree
                from {_rows(floor, False)} as mine join {_rows(floor, True)} as theirs using (personal_id))
            where agree >= 2 group by _key""",
        floor / "linked_1.parquet",
    )


def second_pass(con: duckdb.DuckDBPyConnection, floor: Path) -> None:
    """Join those left on exactly the same name, birth date and sex."""
    _write(
        con,
        f"""select _key, person
            from (from {_rows(floor, False)} anti join '{floor}/linked_1.parquet' using (_key))
            join (select name, birth_date, male, any_value(_key) as person from {_rows(floor, True)}
                  group by all having count(*) = 1) using (name, birth_date, male)""",
        floor / "linked_2.parquet",
    )


def golden(con: duckdb.DuckDBPyConnection, floor: Path) -> None:
    """Take of each person and field the newest value."""
    newest = ", ".join(f"arg_max({field}, _moment) as {field}" for field in FIELDS)
    columns = ", ".join(("_moment", *FIELDS))
    _write(
        con,
        f"""select person, {newest} from (
                select _key as person, {columns} from {_rows(floor, True)}
                union all
                select coalesce(person, _key), {columns} from {_rows(floor, False)}
                left join '{floor}/linked_*.parquet' using (_key)) group by person""",
        floor / "golden.parquet",
    )
