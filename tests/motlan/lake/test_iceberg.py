"""The lake's tables, and runs that make them at the same time."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.catalog.sql import SqlCatalog

from motlan.lake.iceberg import Versions, created, current, read_parquet, staging
from tests.conftest import ROOT, Country


def test_two_runs_make_the_first_tables_of_a_namespace_at_one_moment(
    country: Country, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = country.open().lake
    asked, exists = threading.Barrier(2, timeout=600), SqlCatalog.namespace_exists

    def both(catalog: SqlCatalog, namespace: Any) -> bool:
        found = exists(catalog, namespace)
        if not found:
            asked.wait()  # neither goes on before the other has looked
        return found

    def commit(table: str) -> int | None:
        duckdb.connect().sql("select 1 as one").write_parquet(str(lake.folder(table, "run-1") / "0.parquet"))
        return lake.commit(table, "run-1")

    tables = ["fresh.left", "fresh.right"]
    with monkeypatch.context() as patch, ThreadPoolExecutor(2) as pool:
        patch.setattr(SqlCatalog, "namespace_exists", both)
        snapshots = list(pool.map(commit, tables))
    assert all(snapshots)
    assert [len(lake.files(table, {"run-1"})) for table in tables] == [1, 1]


def test_what_all_rows_have_is_plain_text_in_files_of_which_some_lack_a_column(country: Country) -> None:
    lake, run = country.open().lake, "run-it's"
    folder = lake.folder("fresh.texts", run)
    for number, rows in enumerate(
        ("(select 'a' as one, 1 as two)", "(select 'b' as one)", "(select 'c' as one, 3 as two)")
    ):
        columns = ["two"] if "two" in rows else []
        duckdb.execute(staging(created(rows, ["one"], columns), run, folder / f"{number}.parquet"))
    lake.commit("fresh.texts", run)
    files = lake.files("fresh.texts", {run})
    assert [pq.read_schema(path).field(name).type for path in files for name in ("_op", "_run")] == [pa.string()] * 6
    told = duckdb.sql(f"select one, two, _op, _changed, _run from {read_parquet(files)} order by one").fetchall()
    assert told == [(one, two, "created", [], run) for one, two in (("a", 1), ("b", None), ("c", 3))]


@pytest.mark.parametrize("seed", range(25))
def test_a_base_and_its_deltas_say_what_all_versions_say(seed: int, tmp_path: Path) -> None:
    table = _Appended(tmp_path, random.Random(seed))
    for number in range(table.random.randint(2, 12)):
        table.add(f"r{number:02d}")
        if table.random.random() < 0.3:
            table.rewrite(f"r{number:02d}")
    everything = read_parquet(table.files)
    for where in ("true", "key >= 'k05'", "dataset = 'a'"):
        newest = f"""(select * from {everything} where {where}
                      qualify row_number() over (partition by dataset, key order by _run desc) = 1)"""
        since = f"""(select dataset, key, max(_run) filter (_op = 'created') as _since, arg_max(_op, _run) as _op
                     from {everything} where {where} group by dataset, key)"""
        named = "dataset, key, one, two"
        for files in (table.files, table.read):
            versions = Versions.of(files)
            held = {
                f"(select {named} from {newest} where _op != 'removed')": f"(select {named} from {current(files, KEY, where)})",
                f"(select {named}, _op, _run from {newest})": f"(select {named}, _op, _run from {versions.newest(KEY, where)})",
                since: f"(select dataset, key, _since, _op from {versions.since(KEY, where)})",
            }
            for wanted, found in held.items():
                rows = [duckdb.sql(f"from {side} order by all").fetchall() for side in (wanted, found)]
                assert rows[0] == rows[1], (seed, where)
        columns = {row[0] for row in duckdb.sql(f"describe from {current(table.read, KEY)}").fetchall()}
        assert not columns & {"_op", "_run", "_changed", "_since", "_newest"}


@pytest.mark.slow
def test_spark_reads_a_base_and_its_deltas_alike(spark: object, tmp_path: Path) -> None:
    from motlan.expressions.spark.session import SparkEngine

    with SparkEngine("local[2]", tmp_path / "scratch", ROOT / "mapping" / "codes", "a test", debug=True) as engine:
        for seed in range(3):
            table = _Appended(tmp_path / str(seed), random.Random(seed))
            for number in range(6):
                table.add(f"r{number:02d}")
                if number == 3 and seed:
                    table.rewrite("r03")
            versions, where = Versions.of(table.read), "dataset = 'a'"
            for query in (
                f"select dataset, key, one, two from {current(table.read, KEY, where)}",
                f"select dataset, key, one, two, _op, _run from {versions.newest(KEY)}",
                f"select dataset, key, _op, _since from {versions.since(KEY)}",
                f"select dataset, key, one, two, _op, _run, _since from {versions.rewritten(KEY)}",
            ):
                ours = duckdb.sql(query).fetchall()
                theirs = [tuple(row) for row in engine.execute(query).fetchall()]
                assert sorted(theirs, key=repr) == sorted(ours, key=repr), query


KEY = ("dataset", "key")


class _Appended:
    """A table of appended versions with random changes: rows come, change, go and come back; a column is added on the way."""

    def __init__(self, folder: Path, random: random.Random) -> None:
        self.folder, self.random, self.alive, self.files = folder, random, set[tuple[str, str]](), list[str]()
        self.read = self.files

    def add(self, run: str) -> None:
        keys = [(dataset, f"k{number:02d}") for dataset in "ab" for number in range(10)]
        rows = []
        for key in self.random.sample(keys, self.random.randint(1, len(keys))):
            op = self.random.choice(["updated", "removed"]) if key in self.alive else "created"
            self.alive ^= {key} if op != "updated" else set()
            two = self.random.choice([None, self.random.randint(0, 5)])
            rows.append(
                {"dataset": key[0], "key": key[1], "one": str(self.random.randint(0, 9)), "two": two, "_op": op}
            )
        table = pa.Table.from_pylist(
            [{**row, "_changed": [], "_run": run} for row in rows],
            schema=pa.schema(
                [(name, pa.string()) for name in ("dataset", "key", "one", "_op", "_run")]
                + [("two", pa.int32()), ("_changed", pa.list_(pa.string()))]
            ),
        )
        self._write(table if run > "r00" else table.drop_columns(["two"]), "golden/person", run)

    def _write(self, table: pa.Table, place: str, run: str) -> str:
        path = self.folder / place / f"run={run}" / "000000.parquet"
        path.parent.mkdir(parents=True)
        pq.write_table(table, path)
        if place == "golden/person":
            self.files = [*self.files, str(path)]
            self.read = [*self.read, str(path)]
        return str(path)

    def rewrite(self, run: str) -> None:
        base = duckdb.sql(f"from {Versions.of(self.read).rewritten(KEY)}").to_arrow_table()
        self.read = [self._write(base, "bases/golden_person", run)]


def test_files_that_a_killed_try_recorded_are_recorded_as_they_are_now(
    country: Country, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = country.open().lake
    target = lake.staged_file("links.person", "r1")

    def stage(value: int) -> None:
        names = ("_ref", "_key", "_run", "dataset", "entity_id")
        pq.write_table(pa.table({name: [f"{name} {value}"] for name in names}), target)

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    stage(1)
    with monkeypatch.context() as patch:
        patch.setattr(lake, "_table", killed)
        with pytest.raises(KeyboardInterrupt):
            lake.commit("links.person", "r1")
    stage(2)
    lake.commit("links.person", "r1")
    assert lake.files("links.person", {"r1"}) == [str(target)]
