"""A country's days: what changes in its registers, made from its own rows by the engine, each record at the most once.

Who changes, and how, follows from a hash of the record's key and the seed. Values that a record is given are those of another one
that changes on the same day. Records that appear on a day are kept back on the first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

import duckdb

from motlan.errors import ConfigurationError
from motlan.expressions import literal, one, quote

FIRST = date(2026, 10, 1)


@dataclass(frozen=True)
class Kind:
    """What happens to records.

    Attributes:
        dataset: Of which register.
        share: Share of a day's changes.
        given: Columns that the record gets from another one.
        made: Column -> SQL of its new value; `{day}` is the day (YYYYMMDD), `other_<column>` another record's value.
    """

    dataset: str
    share: float
    given: tuple[str, ...] = ()
    made: Mapping[str, str] = field(default_factory=dict)


KINDS = (
    # moves
    Kind("population_citizens", 0.10, ("ThuongTru_MaDonViHanhChinh", "ThuongTru_MaTinhThanh", "ThuongTru_ChiTiet")),
    Kind("insurance_members", 0.04, ("maXa", "maTinh")),
    Kind("tax_taxpayers", 0.03, ("MaXa", "MaTinh", "DiaChi")),
    Kind("education_pupils", 0.02, ("ma_xa", "ma_tinh")),
    # marriages
    Kind("population_citizens", 0.06, ("TinhTrangHonNhan",)),
    # names and birth dates corrected
    Kind("population_citizens", 0.02, made={"HoVaTen_Ten": "strip_accents(HoVaTen_Ten)"}),
    Kind("insurance_members", 0.02, made={"hoTen": "upper(hoTen)"}),
    Kind("population_citizens", 0.01, made={
        "NgayThangNamSinh_NgayThangNam": "NgayThangNamSinh_NgayThangNam[1:6] || other_NgayThangNamSinh_NgayThangNam[7:8]",
    }),
    # deaths
    Kind("population_citizens", 0.02, made={"NgayMat": "{day}"}),
    # another job, its insurance and its tax
    Kind("insurance_members", 0.24, ("maDonVi", "tuNgay")),
    Kind("tax_taxpayers", 0.06, ("CoQuanChiTra",)),
    Kind("education_staff", 0.02, ("ma_truong", "chuc_vu")),
    # new cards, and insurances that begin or end
    Kind("insurance_members", 0.10, made={"soTheBhyt": "other_soTheBhyt[1:5] || soTheBhyt[6:]"}),
    Kind("insurance_members", 0.05, ("trangThai",)),
    # school years
    Kind("education_pupils", 0.08, ("ma_truong", "lop")),
    # sent again as they were
    Kind("population_citizens", 0.02),
    Kind("tax_taxpayers", 0.01),
)  # fmt: skip
"""What changes on a day."""
NEW = {"population_citizens": 0.04, "insurance_members": 0.04, "tax_taxpayers": 0.01, "education_pupils": 0.01}
"""Dataset -> share of a day's changes that are new records: births, newly insured, newly registered, enrolled."""


def files_of(folder: Path, dataset: str, day: int) -> list[Path]:
    """Return the files with the rows that a register sends on a day; all that it has on day 0."""
    return sorted((folder / "days" / f"{day:03d}" / dataset).glob("*.parquet"))


def make(folder: Path, days: int, changes: int, seed: int) -> None:
    """Make the days' files of a country that is in `world/landed`, where they are not made yet.

    Args:
        folder: The benchmark's folder.
        days: How many days there are after day 0.
        changes: Rows that change on a day.
        seed: The seed.

    Raises:
        ConfigurationError: The registers have too few records for so many changes.
    """
    done = folder / "days" / "made"
    if done.exists():
        return
    with duckdb.connect(config={"threads": 2}) as con:
        for landed in sorted((folder / "world" / "landed").iterdir()):
            _make_register(con, folder, landed, days, changes, seed)
    done.touch()


def _make_register(
    con: duckdb.DuckDBPyConnection, folder: Path, landed: Path, days: int, changes: int, seed: int
) -> None:
    name, rows = landed.name, f"read_parquet({literal(str(landed / '*.parquet'))})"
    count = int(one(con, f"select count(*) from {rows}")[0])
    kinds = [kind for kind in KINDS if kind.dataset == name]
    changed = sum(kind.share for kind in kinds) * changes / max(count, 1)
    new = NEW.get(name, 0.0) * changes / max(count, 1)
    if (changed + new) * days > 0.9:
        raise ConfigurationError(
            f"{count:,} records of {name} are too few for so many changes",
            next_step="give more --people, fewer --days or a smaller --share.",
        )
    place = f"(hash(_key, {seed}) / 18446744073709551616)"
    held = 1 - days * new
    for number, path in enumerate(sorted(landed.glob("*.parquet"))):
        query = f"select * from read_parquet({literal(str(path))}) where {place} < {held}"
        _copy(con, query, _target(folder, name, 0, number))
    for day in range(1, days + 1):
        clock = "strftime(timestamp '2000-01-01' + to_seconds((hash(_key) % 80000)::int), '%H:%M:%S')"
        moment = f"'{FIRST + timedelta(days=day)}T' || {clock} || '.000000Z'"
        picked = f"select * from {rows} where {place} >= {(day - 1) * changed} and {place} < {day * changed}"
        told = FIRST + timedelta(days=day)
        query = _changed(con, picked, kinds, seed, f"{told:%Y%m%d}")
        fresh = f"select * from {rows} where {place} >= {1 - day * new} and {place} < {1 - (day - 1) * new}"
        both = f"select * replace ({moment} as _moment) from ({query} union all by name {fresh})"
        _copy(con, both, _target(folder, name, day, 0))


def _changed(con: duckdb.DuckDBPyConnection, picked: str, kinds: list[Kind], seed: int, day: str) -> str:
    """Return the SQL of picked records as they are after what happened to each."""
    columns = [row[0] for row in con.execute(f"describe {picked}").fetchall()]
    whole = sum(kind.share for kind in kinds) or 1.0
    cases: dict[str, list[str]] = {}
    low = 0.0
    for kind in kinds:
        high = low + kind.share / whole
        here = f"roll >= {low} and roll < {high}"
        for column in kind.given:
            cases.setdefault(column, []).append(f"when {here} then {quote('other_' + column)}")
        for column, value in kind.made.items():
            cases.setdefault(column, []).append(f"when {here} then {value.format(day=literal(day))}")
        low = high
    others = ", ".join(
        f"coalesce(lead({quote(name)}) over (order by hash(_key, {seed} + 1)), {quote(name)}) as {quote('other_' + name)}"
        for name in columns
    )
    kept = ", ".join(
        f"case {' '.join(cases[name])} else {quote(name)} end as {quote(name)}" if name in cases else quote(name)
        for name in columns
    )
    roll = f"hash(_key, {seed} + 2) / 18446744073709551616 as roll"
    return f"select {kept} from (select *, {roll}, {others} from ({picked}))"


def _target(folder: Path, dataset: str, day: int, number: int) -> Path:
    target = folder / "days" / f"{day:03d}" / dataset / f"{number:06d}.parquet"
    target.parent.mkdir(parents=True, exist_ok=True)
    return target


def _copy(con: duckdb.DuckDBPyConnection, query: str, target: Path) -> None:
    con.execute(f"copy ({query}) to {literal(str(target))} (format parquet)")
