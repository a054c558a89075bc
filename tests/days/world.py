"""A small world behind the real declared half: every register a JSON file that a test writes, and the bus pulls."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
import sqlalchemy as sa
import yaml

from motlan.config import registry as declared
from motlan.config.registry import Registry
from motlan.merge import related_entities, value_overrides
from motlan.stewardship import control_pairs
from motlan.store import tables
from motlan.workspace import open_workspace
from simulators import make_world
from tests.conftest import ROOT, Databases

Record = dict[str, str | None]
DAY0 = datetime(2026, 10, 1, tzinfo=UTC)
SECRETS = ("person ids", "quarantine", related_entities.SECRET, value_overrides.SECRET, control_pairs.SECRET)
SPARE = 0.3
"""Share of people who are in no register on the first day: newcomers are taken from them."""
PERSON_COLUMNS = {
    "name": ("HoVaTen_Ten", "hoTen", "HoTen", "ho_ten"),
    "number": ("SoDinhDanh", "soDinhDanh", "so_dinh_danh"),
    "old_number": ("SoCMND", "soCmnd"),
    "birth": ("NgayThangNamSinh_NgayThangNam", "ngaySinh", "NgaySinh", "ngay_sinh"),
    "sex": ("GioiTinh", "gioiTinh", "gioi_tinh"),
    "place": ("ThuongTru_MaDonViHanhChinh", "maXa", "MaXa", "ma_xa"),
    "own_number": ("maSoBhxh", "MST", "ma_dinh_danh"),
    "card": ("soTheBhyt",),
    "death": ("NgayMat",),
    "thing": ("ChuHo_SoDinhDanh", "maDonVi", "CoQuanChiTra", "ma_truong", "trangThai", "TrangThai"),
}
"""What a column is about -> its names in the registers."""


def moment(day: int, second: int = 0) -> str:
    """Return a moment of a day, as the registers write it."""
    return (DAY0 + timedelta(days=day, seconds=second)).strftime("%Y-%m-%dT%H:%M:%S.000000Z")


@dataclass
class Register:
    """What a register has.

    Attributes:
        name: The dataset.
        key, cursor, moment: Names of these columns.
        columns: Its other columns.
        records: Key -> record.
        spare: Records of people who are not there yet.
        gone: Records that went.
        moved: Whether something changed since the last day.
    """

    name: str
    key: str
    cursor: str
    moment: str
    columns: list[str]
    records: dict[str, Record]
    spare: list[Record]
    gone: list[Record] = field(default_factory=list)
    moved: bool = True

    def column(self, about: str) -> str | None:
        """Return the column that is about something; None where the register has none."""
        return next((name for name in PERSON_COLUMNS[about] if name in self.columns), None)

    def put(self, record: Record, day: int, second: int = 0) -> None:
        """Let the register have a record, as changed on a day."""
        record[self.moment] = moment(day, second)
        record[self.cursor] = moment(day, second) if self.cursor == self.moment else f"drop-{day:03d}"
        self.records[str(record[self.key])] = record
        self.moved = True


class World:
    """The registers of one seed, and the folder that declares them."""

    def __init__(self, home: Path, people: int, seed: int) -> None:
        self.home, self.random, self.day = home, random.Random(f"world {seed}"), 0
        self.registers = {one.name: one for one in _registers(home, people, seed, declare(home))}
        self.story: list[str] = []
        self._shown: dict[str, dict[str, Record]] = {}

    def show(self) -> list[str]:
        """Let the bus see the registers as they are; return the datasets that changed since."""
        changed = []
        for register in self.registers.values():
            self._tell(register)
            told: dict[str, Any] = {"as_of": moment(self.day, 86_399), "records": list(register.records.values())}
            path = self.home / "registers" / f"{register.name}.json"
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps(told, ensure_ascii=False), encoding="utf-8")
            if register.moved:
                changed.append(register.name)
            register.moved = False
        return changed

    def _tell(self, register: Register) -> None:
        """Write down what changed in a register since it was shown, for who looks for the cause of a difference."""
        before, now = self._shown.get(register.name), register.records
        for key in {*before, *now} if before is not None else ():
            old, new = before.get(key), now.get(key)
            if old != new:
                differs = (
                    {name: (old.get(name), new.get(name)) for name in new if old.get(name) != new.get(name)}
                    if old and new
                    else {}
                )
                what = str(differs) if differs else "came" if new else "went"
                self.story.append(f"day {self.day}: {register.name} {key} {what}")
        self._shown[register.name] = {key: dict(record) for key, record in now.items()}


def declare(home: Path) -> Registry:
    """Make the real declared half in a folder, every dataset behind the adapter of this package."""
    (home / "adapters").mkdir(parents=True)
    shutil.copytree(ROOT / "mapping", home / "mapping", ignore=shutil.ignore_patterns("__pycache__"))
    content = yaml.safe_load((ROOT / "adapters" / "agencies.yaml").read_text(encoding="utf-8"))
    for agency in content["agencies"].values():
        agency.update({"endpoint": f"file://{home / 'registers'}", "credential": None})
        for dataset in agency["datasets"].values():
            dataset.update({"adapter": "tests.days.adapter:RowsAdapter", "page_rows": 500})
            dataset.pop("options", None)
    (home / "adapters" / "agencies.yaml").write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    breakers = home / "mapping" / "breakers.yaml"
    limits = yaml.safe_load(breakers.read_text(encoding="utf-8"))
    limits["person"]["minimum"] = 1_000_000  # a small world changes much at once
    breakers.write_text(yaml.safe_dump(limits, allow_unicode=True), encoding="utf-8")
    matching = home / "mapping" / "matching.yaml"
    entities = yaml.safe_load(matching.read_text(encoding="utf-8"))
    entities["person"]["min_training_pairs"] = 1  # or a model would be learned of so few people by no run
    matching.write_text(yaml.safe_dump(entities, allow_unicode=True), encoding="utf-8")
    return declared.load(home)


def _registers(home: Path, people: int, seed: int, registry: Registry) -> Iterator[Register]:
    made = home.with_name(f"{home.name}-people")
    make_world(made, people=people, seed=seed, dirt="heavy")
    for dataset in registry.datasets.values():
        found = duckdb.sql(f"from read_parquet('{made}/registers/{dataset.name}/rows.parquet') order by _pos")
        hidden = ("_pos", "_key", "_moment", "_day", "_until")
        columns = [name for name in found.columns if name not in hidden]
        names = [dataset.key, *columns]
        rows = found.project(", ".join(f'"{name}"' for name in ("_key", *columns))).fetchall()
        records = [dict(zip(names, row, strict=True)) for row in rows]
        apart = max(2, round(len(records) * SPARE))
        register = Register(dataset.name, dataset.key, dataset.cursor, dataset.moment, columns, {}, records[-apart:])
        for place, record in enumerate(records[:-apart]):
            register.put(record, -30, place)
        yield register


@contextmanager
def bus(home: Path, databases: Databases) -> Iterator[None]:
    """Let a bus of its own serve the declared half in a folder."""
    url = databases.make()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "MOTLAN_HOME": str(home),
            "MOTLAN_VAR": str(home / "var"),
            "MOTLAN_DATABASE_URL": url,
            "MOTLAN_THREADS": os.environ.get("MOTLAN_THREADS", "1"),
            "MOTLAN_RANDOM_ROWS": "100",
            "MOTLAN_REBASE_PERCENT": "1",
            "MOTLAN_CHANGED_PERCENT": "100",  # of a small world, much changes on any day
        }.items():
            patch.setenv(name, value)
        store = open_workspace().store
        with (
            store.engine.begin() as connection
        ):  # a seed is the same world, and the same ids, whenever it is lived through
            for name in SECRETS:
                connection.execute(sa.insert(tables.secrets).values(name=name, value=name.encode().ljust(32, b".")))
        yield
    databases.drop(url)
