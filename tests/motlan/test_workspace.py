"""The newest row of each record, which every later step reads."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb

from motlan.lake.newest import newest

ROWS = [
    ("a1", "r/0/1", "2026-01-01"),
    ("a1", "r/0/2", "2026-02-01"),
    ("a1", "r/0/3", "2026-02-01"),
    ("b1", "r/0/4", "2026-01-05"),
    ("c22", "r/0/5", "2026-01-06"),
    ("d22", "r/0/6", None),
    ("d22", "r/0/7", None),
]
NEWEST = [("a1", "r/0/3"), ("b1", "r/0/4"), ("c22", "r/0/5"), ("d22", "r/0/7")]


def test_the_newest_row_of_each_record_is_found_whatever_its_key_is_hashed_to(tmp_path: Path) -> None:
    landed = str(tmp_path / "rows.parquet")
    cards: Any = SimpleNamespace(name="cards", succession="moment")
    with duckdb.connect() as con:
        con.execute("create table rows (_key varchar, _ref varchar, _moment varchar, _pulled varchar)")
        con.executemany("insert into rows values (?, ?, ?, null)", ROWS)
        con.execute(f"copy rows to '{landed}' (format parquet)")
        query = f"select _key, _ref from ({newest(cards, [landed], '')}) order by all"
        assert con.execute(query).fetchall() == NEWEST
        con.execute("create macro hash(key) as length(key)")  # keys of one length share their hash
        assert con.execute("select hash('a1') = hash('b1')").fetchall() == [(True,)]
        assert con.execute(query).fetchall() == NEWEST
