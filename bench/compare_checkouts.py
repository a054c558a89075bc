"""Hold two checkouts against each other: does the same world give the same rows, links, golden values, corrections and scores?

    python -m bench.compare_checkouts OLD NEW --people 20000 --seed 3 --dirt heavy --renamed names.json

Each checkout, with its own `.venv`, takes the country from landed rows to a publication by its own `motlan bench national`. What
came of it is read from the files of the lake, not by either checkout's code, and compared without what differs by design: ids,
references, runs and versions. A person is known by the record that founded it.

`--renamed` names a JSON file with `tables`, `columns` and `values` (name -> name), for names that changed in between; it is
applied to both checkouts. Prints one JSON object: for each relation its rows, how many only one checkout has, and the columns of
one only. Exits 1 where rows or scores differ.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

NOT_COMPARED = ("id", "entity_id", "person_id", "run", "ref", "other_ref", "compared_ref", "evidence")
"""Columns that differ by design; so do most that begin with `_`."""
COMPARED = ("_key", "_decided", "_errors")
PERSON = "entity_id"
NUMBERED = "pairs"
"""A table of nothing but numbers of rows."""
_DRAWN = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d{8}T\d{12}-[0-9a-f]{4}"
"""Ids and runs, which each installation draws anew."""

Renamed = dict[str, dict[str, str]]


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="bench.compare_checkouts", description=str(__doc__).split("\n", 1)[0])
    parser.add_argument("old", type=Path, help="a checkout, set up with `make dev`")
    parser.add_argument("new", type=Path, help="another one")
    parser.add_argument("--people", type=int, default=20_000, help="people of the simulated country")
    parser.add_argument("--seed", type=int, default=3, help="its seed")
    parser.add_argument("--dirt", default="heavy", help="a profile of simulators/dirt.yaml")
    parser.add_argument("--renamed", type=Path, help="JSON file of the names that changed")
    return parser.parse_args()


def publish(checkout: Path, work: Path, args: argparse.Namespace) -> Any:
    """Take the country to a publication by a checkout's own code; return the scores that its command line prints.

    Raises:
        subprocess.CalledProcessError: It failed; why stands on standard error.
    """
    people = str(args.people)
    country = ["--people", people, "--people-a-range", people, "--seed", str(args.seed), "--dirt", args.dirt]
    motlan = str(checkout.resolve() / ".venv" / "bin" / "motlan")
    command = [motlan, "bench", "national", *country, "--peer-people", "0", "--no-load", "--work", str(work), "--json"]
    subprocess.run(command, cwd=checkout, check=True, stdout=subprocess.DEVNULL)
    surroundings = {**os.environ, "MOTLAN_VAR": str(work / "var"), "MOTLAN_HOME": str(checkout.resolve())}
    scored = subprocess.run(
        [motlan, "quality", "--json"], check=False, capture_output=True, text=True, env=surroundings
    )
    subprocess.run([motlan, "store", "stop"], check=False, capture_output=True, env=surroundings)
    return json.loads(scored.stdout)


@dataclass(frozen=True)
class Lake:
    """The lake of one checkout.

    Attributes:
        con: A connection.
        folder: Where its tables are.
        renamed: Names that changed.
    """

    con: duckdb.DuckDBPyConnection
    folder: Path
    renamed: Renamed

    def tables(self) -> dict[str, Path]:
        """Return the tables that have rows, under their new names."""
        found = {f"{one.parent.name}/{one.name}": one for one in self.folder.glob("*/*") if any(one.rglob("*.parquet"))}
        return {self._new("tables", name): path for name, path in found.items() if not name.startswith(NUMBERED)}

    def query(self, table: str) -> str:
        """Return the query of a table's rows: values as text, the founder's record in place of a person's id."""
        files = f"read_parquet('{self.tables()[table]}/**/*.parquet', union_by_name = true)"
        made = {}
        for column, kind, *_ in self.con.execute(f"describe from {files}").fetchall():
            made[self._new("columns", column)] = self._text(f'"{column}"', kind)
        person = made.get(PERSON)
        kept = {name: sql for name, sql in made.items() if self._is_compared(name)}
        if person and not table.startswith("links/"):
            kept["founder"] = f"(select any_value(l.founder) from ({self._persons()}) as l where l.person = {person})"
        columns = ", ".join(f'{sql} as "{name}"' for name, sql in kept.items())
        return f"select {columns} from {files}"

    def columns(self, table: str) -> set[str]:
        """Return the names of the query's columns."""
        return {row[0] for row in self.con.execute(f"describe {self.query(table)}").fetchall()}

    def _persons(self) -> str:
        entity = next(name for name in self.tables() if name.startswith("links/"))
        files = f"read_parquet('{self.tables()[entity]}/**/*.parquet', union_by_name = true)"
        names = {self._new("columns", row[0]): row[0] for row in self.con.execute(f"describe from {files}").fetchall()}
        return f'select distinct "{names[PERSON]}" as person, "{names["founder"]}" as founder from {files}'

    def _is_compared(self, column: str) -> bool:
        return column in COMPARED or not (column in NOT_COMPARED or column.startswith("_"))

    def _text(self, column: str, kind: str) -> str:
        if kind.startswith("DOUBLE"):
            return f"round({column}, 6)::varchar"
        if kind.startswith("STRUCT") and kind.endswith("[]") and "rule" in kind:
            return f"list_sort(list_transform({column}, lambda one: {self._renamed('one.rule')}))::varchar"
        return self._renamed(f"regexp_replace({column}::varchar, '{_DRAWN}', '', 'g')")

    def _renamed(self, text: str) -> str:
        cases = "".join(f" when '{old}' then '{new}'" for old, new in self.renamed.get("values", {}).items())
        return f"(case {text}{cases} else {text} end)" if cases else text

    def _new(self, kind: str, name: str) -> str:
        return self.renamed.get(kind, {}).get(name, name)


def compare(con: duckdb.DuckDBPyConnection, old: Lake, new: Lake) -> dict[str, Any]:
    """Return, for each table of either: `rows`, `only_old`, `only_new`, and `columns` that only one has."""
    found: dict[str, Any] = {}
    for table in sorted({*old.tables(), *new.tables()}):
        if table not in old.tables() or table not in new.tables():
            found[table] = {"missing": "old" if table in new.tables() else "new"}
            continue
        columns = old.columns(table) & new.columns(table)
        names = ", ".join(f'"{name}"' for name in sorted(columns))
        for side, lake in (("old", old), ("new", new)):
            con.execute(f"create or replace temp table {side}_rows as select {names} from ({lake.query(table)})")
        counts = [
            con.execute(f"select count(*) from ({query})").fetchall()[0][0]
            for query in (
                "from old_rows",
                "from old_rows except all from new_rows",
                "from new_rows except all from old_rows",
            )
        ]
        found[table] = dict(zip(("rows", "only_old", "only_new"), counts, strict=True))
        found[table]["columns"] = sorted(old.columns(table) ^ new.columns(table))
    return found


def scores(told: Any, renamed: Renamed) -> dict[tuple[str, str], tuple[int, int]]:
    """Return how many values were assessed and passed, by agency and dimension."""
    values, found = renamed.get("values", {}), dict[tuple[str, str], tuple[int, int]]()
    for line in told["lines"]:
        name = line["agency"], values.get(line["name"], line["name"])
        assessed, passed = found.get(name, (0, 0))
        found[name] = assessed + line["assessed"], passed + line["passed"]
    return found


def main() -> int:
    """Compare; return how it ends for the shell."""
    args = arguments()
    renamed: Renamed = json.loads(args.renamed.read_text(encoding="utf-8")) if args.renamed else {}
    with tempfile.TemporaryDirectory(prefix="motlan-compare-") as folder, duckdb.connect() as con:
        works = [Path(folder) / side for side in ("old", "new")]
        printed = [publish(checkout, work, args) for checkout, work in zip((args.old, args.new), works, strict=True)]
        lakes = [Lake(con, work / "var" / "lake", renamed) for work in works]
        tables = compare(con, *lakes)
    alike = scores(printed[0], renamed) == scores(printed[1], renamed)
    same = alike and not any(table.get("only_old", 1) or table.get("only_new", 1) for table in tables.values())
    told = {"people": args.people, "seed": args.seed, "dirt": args.dirt, "same": same, "scores_alike": alike}
    sys.stdout.write(json.dumps({**told, "tables": tables}, indent=2) + "\n")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
