"""A cross-check of what changed ends where one of everything ends: counts by area, open findings, what is known of registers."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest

from motlan import pipeline
from motlan.expressions import literal, make, quote
from motlan.lake.iceberg import Lake, read_parquet
from motlan.lake.tables import (
    corrections_table,
    findings_table,
    golden_table,
    key_of,
    links_table,
    published,
)
from motlan.ledger import runs
from motlan.ledger.results import Begun
from motlan.merge import conflicts
from motlan.partitioning import PersonRanges, hash_number, linked
from motlan.quality import changed_check, check_state, cross_register, set_rules
from motlan.quality.check_state import CheckState
from motlan.quality.cross_register import Side
from motlan.quality.dated_rules import dated_fields, values_name
from motlan.quality.flipped_persons import find_flipped, key_columns
from motlan.quality.rule_counts import Tally
from motlan.workspace import Workspace
from tests.conftest import Country, card_record, spine_record

MESSAGE = {"vi": "Sai", "en": "Wrong"}
COMMON = {"field": "personal_id", "dimension": "validity", "severity": "error", "message": MESSAGE}
RULES: dict[str, list[dict[str, Any]]] = {
    "set_rules": [
        {"name": "number_unique", "unique": ["personal_id"]},
        {
            "name": "card_unique",
            "datasets": ["beta_cards"],
            "unique": ["health_card_number", "sex"],
            "when": "sex != 'x'",
        }
        | {"field": "health_card_number"},
        {"name": "citizen_is_known", "datasets": ["beta_cards"]}
        | {"refers": {"dataset": "alpha_people", "field": "personal_id"}},
    ],
    "cross_rules": [
        {"name": "name_agrees", "field": "full_name", "dimension": "accuracy"}
        | {"expression": "name_key(row_full_name) == name_key(golden_full_name)"},
        {"name": "death_not_to_come", "field": "death_date", "expression": "row_death_date <= as_of"},
        {"name": "of_age", "datasets": ["beta_cards"]}
        | {"expression": "days_between(golden_birth_date, as_of) >= 6570 if row_sex == 'female' else None"},
        {"name": "heard_of", "field": "_moment"}
        | {"expression": "days_between(substring(row_moment, 1, 10), as_of) <= 2"},
    ],
    "person_rules": [
        {"name": "has_a_card", "datasets": ["beta_cards"], "field": "health_card_number"}
        | {
            "expression": "rows > 0 if golden_death_date is None and days_between(golden_birth_date, as_of) >= 6573 else None"
        },
        {"name": "one_card", "datasets": ["beta_cards"], "expression": "rows == 1 if rows > 0 else None"},
    ],
    "register_rules": [
        {"name": "all_here", "expression": "records >= source_total", "field": "_key"}
        | {"share": {"have": "records", "of": "source_total"}},
        {"name": "fresh", "field": "_moment", "expression": "age <= freshness if expected >= 1 else None"},
    ],
}
PEOPLE = 40


def declare(country: Country) -> None:
    def change(content: Any) -> None:
        for section, rules in RULES.items():
            content.setdefault(section, []).extend({**COMMON, **rule} for rule in rules)

    country.declare("mapping/quality.yaml", change)
    scoring = "area: sex\nbreaker: {minimum_rows: 100000}\n"
    (country.home / "mapping" / "scoring.yaml").write_text(scoring, encoding="utf-8")
    (country.home / "mapping" / "breakers.yaml").write_text("person: {minimum: 100000}\n", encoding="utf-8")


class Registers:
    """Two small registers with much dirt, which change from day to day."""

    def __init__(self, country: Country, seed: int) -> None:
        self.country, self.chance, self.day = country, random.Random(seed), 0
        self.spine = {f"a{n}": self.citizen(n) for n in range(PEOPLE)}
        self.cards = {f"b{n}": self.card(n) for n in range(PEOPLE)}

    @property
    def updated(self) -> str:
        return f"2026-10-{self.day + 1:02d}T0{self.chance.randrange(9)}:00:00.000000Z"

    def number(self, n: int) -> str:
        return f"00109000{n:04d}"

    def name(self, n: int) -> str:
        return f"Nguyễn Văn {'AĂÂBCDĐEÊGHIKLMNOÔƠPQRSTUƯVXY'[n % 29]}{'anbinhcuongdunghoamai'[n % 19 : n % 19 + 4]}"

    def born(self, n: int) -> tuple[int, int, int]:
        return (2008, 9 + n % 3, 1 + n % 28) if n % 4 == 0 else (1950 + n, 1 + n % 12, 1 + n % 28)

    def citizen(self, n: int) -> dict[str, str | None]:
        year, month, day = self.born(n)
        died = f"2026-10-{2 + n % 5:02d}" if n % 9 == 0 else None
        sex = ("male", "female")[n % 2]
        row = (f"a{n}", self.number(n), self.name(n), f"{year}-{month:02d}-{day:02d}", sex, died)
        return spine_record(row, self.updated)

    def card(self, n: int) -> dict[str, str | None]:
        year, month, day = self.born(n)
        of, name = self.chance.choice([n, n, n, n - 1]), self.chance.choice([n, n, n, n + 1])
        number = self.chance.choice([self.number(of), self.number(of), None, "001190009999", "001190000000"])
        sex = ("male", "female")[n % 2]
        named = self.chance.choice([*[self.name(name)] * 9, None])
        born = f"{day:02d}/{month:02d}/{year}"
        return card_record(
            (f"b{n}", number, named, born, sex, f"GD40100000{self.chance.randrange(30):05d}"), self.updated
        )

    def write(self) -> None:
        self.country.write("alpha_people", [*self.spine.values()])
        self.country.write("beta_cards", [*self.cards.values()])

    def pass_day(self) -> None:
        """Some records come, change, go, and come back."""
        self.day += 1
        for n in self.chance.sample(range(PEOPLE + 5), 4):
            self.cards[f"b{n}"] = self.card(n)
        for n in self.chance.sample(range(PEOPLE + 5), 2):
            self.spine[f"a{n}"] = self.citizen(n)
            self.spine[f"a{n}"]["number"] = self.number(self.chance.choice([n, n + 1, 9_999]))
        for register in (self.spine, self.cards):
            register.pop(self.chance.choice([*register]))


class NarrowLake(Lake):
    """The rows of some persons alone.

    Args:
        lake: All rows.
        engine: Reads them.
        folder: Where the files go.
        keys: Relation of the persons' records: `dataset`, `_key`.
        persons: Relation of the persons: `entity_id`.
    """

    def __init__(self, lake: Lake, engine: duckdb.DuckDBPyConnection, folder: Path, keys: str, persons: str) -> None:
        self._of = lake, engine, folder, keys, persons

    def base_and_deltas(self, table: str, runs: Collection[str]) -> list[str]:
        return self.files(table, runs)

    def files(self, table: str, runs: Collection[str]) -> list[str]:
        lake, engine, folder, keys, persons = self._of
        files = []
        for run in sorted(runs):
            if not (read := lake.files(table, {run})):
                continue
            kind, _, name = table.partition(".")
            target = folder / table / f"run={run}" / "0.parquet"
            target.parent.mkdir(parents=True, exist_ok=True)
            if kind == "clean":
                where = f"semi join (from {keys} where dataset = {literal(name)}) as k using (_key)"
            elif kind == "golden":
                where = f"semi join {persons} as p using (entity_id)"
            elif kind in ("links", "findings", "corrections"):
                where = f"where (dataset, _key) in (select (dataset, _key) from {keys})"
                where += f" or entity_id in (from {persons})" if kind == "findings" else ""
            else:
                where = ""
            engine.execute(f"copy (from {read_parquet(read)} {where}) to {literal(str(target))} (format parquet)")
            files.append(str(target))
        return files


def facts(work: Workspace, inputs: dict[str, list[str]]) -> str:
    columns = "".join(f", {sql} as {quote(name)}" for name, sql in key_columns(work.registry, "person").items())
    return f"(select {hash_number('_ref')} as n, dataset, _key, _ref, _moment{columns} from {work.facts('person', inputs)})"


class Day:
    """What a run found of everything, and what of what changed alone.

    Args:
        work: The installation.
        run: The run, linked, merged and checked.
        before: The run before, and a copy of its scratch folder.
    """

    def __init__(self, work: Workspace, run: runs.Run, before: tuple[runs.Run, Path]) -> None:
        self.work, self.run, (self.old_run, self.old_scratch) = work, run, before
        self.scratch = work.scratch(run.id)

    def whole(self, scratch: Path) -> PersonRanges:
        return PersonRanges(scratch, **json.loads((scratch / "linked.json").read_text()))

    def find_touched(self, engine: duckdb.DuckDBPyConnection, previous: CheckState) -> int:
        """Make `touched` by comparing everything, and `touched_keys`; return how many persons they are."""
        work, old_inputs, inputs = self.work, self.old_run.result(Begun).inputs, self.run.result(Begun).inputs
        sides = [self.whole(self.old_scratch), self.whole(self.scratch)]
        differing = []
        for columns, relations in (
            ("dataset, _key, _ref, entity_id", [side.rows([]) for side in sides]),
            (
                ", ".join(map(quote, ("entity_id", *work.registry.entity("person").fields))),
                [side.read("golden") for side in sides],
            ),
            (
                ", ".join(map(quote, (*key_of(corrections_table("person")), *conflicts.COLUMNS))),
                [side.read("conflicts") for side in sides],
            ),
        ):
            for one, other in (relations, relations[::-1]):
                differing.append(
                    f"select entity_id from (select {columns} from {one} except all select {columns} from {other})"
                )
        make(engine, "differing", [f"select distinct entity_id from ({' union all '.join(differing)})"])
        make(engine, "keys", [f"from {facts(work, inputs)}"])
        make(engine, "old_keys", [f"from {facts(work, old_inputs)}"])
        make(
            engine,
            "changed",
            ["from keys anti join old_keys using (_ref)", "from old_keys anti join keys using (_ref)"],
        )
        published_runs = self.run.result(Begun).published
        golden = read_parquet(work.lake.files(golden_table("person"), set(published_runs)))
        links = published(work.lake, links_table("person"), published_runs)
        state = check_state.read(work, "person", self.run.id)
        assert links and state
        told = changed_check.newest_told(engine, previous, "changed", "keys")
        as_of = cross_register.newest_day(work.registry, self.run, told)
        assert as_of == state.as_of
        flipped = find_flipped(
            work, engine, "person", previous=previous, keys="keys", changed="changed",
            published_golden=golden, published_links=links, as_of=as_of,
        )  # fmt: skip
        make(engine, "touched", ["from differing union from " + flipped])
        records = [f"select dataset, _key from {side.rows([])} semi join touched using (entity_id)" for side in sides]
        ever = read_parquet(work.lake.files(links_table("person"), set(published_runs)))
        last = f"(select dataset, _key, arg_max(entity_id, _run) as entity_id from {ever} group by all)"
        records.append(f"select dataset, _key from {last} semi join touched using (entity_id)")
        make(engine, "touched_keys", [" union ".join(["select dataset, _key from changed", *records])])
        return int(engine.execute("select count(*) from touched").fetchall()[0][0])

    def side(self, engine: duckdb.DuckDBPyConnection, name: str, run: runs.Run, scratch: Path) -> Side:
        """Take the touched persons out of what a run left."""
        own, whole = self.work.scratch(f"{self.run.id}/{name}"), self.whole(scratch)
        parts = PersonRanges(own, 1, whole.columns)
        for what in (*(linked(dataset) for dataset in whole.columns), "golden", "taken", "conflicts"):
            if whole.files(what):
                rows = f"from {whole.read(what)} semi join touched using (entity_id)"
                engine.execute(f"copy ({rows}) to {parts.target(what, 0)} (format parquet)")
        links = read_parquet(sorted(map(str, (scratch / "links").rglob("*.parquet"))))
        (own / "links").mkdir(exist_ok=True)
        target = literal(str(own / "links" / "0.parquet"))
        engine.execute(f"copy (from {links} semi join touched using (entity_id)) to {target} (format parquet)")
        lake = NarrowLake(self.work.lake, engine, own / "lake", "touched_keys", "touched")
        small = replace(run, id=f"{self.run.id}/{name}", steps=self.run.steps)
        return Side(replace(self.work, lake=lake), small, run.result(Begun).inputs, parts)


def told(work: Workspace, run: runs.Run, state: CheckState, engine: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    """Return what a cross-check left, in a form that can be compared."""
    tally = Tally.load(work.scratch(run.id) / cross_register.TALLY)
    rules = work.registry.rules_of("person")
    relations = [check_state.GONE, *map(set_rules.failing_name, rules.sets)]
    return {
        "counts": tally.some(),
        "open": check_state.counts_by_day(tally),
        "kept": (state.counts, state.open, state.registers, state.as_of),
        **{name: sorted(engine.execute(f"from {state.relation(name)}").fetchall()) for name in relations},
    }


def check_day(work: Workspace, run: runs.Run, before: tuple[runs.Run, Path], whole: Any) -> tuple[int, int]:
    """Hold the check of what changed against the check of everything; return the numbers of persons touched, and of all."""
    day = Day(work, run, before)
    previous, full = (check_state.read(work, "person", of.id) for of in (before[0], run))
    assert previous and full
    with work.engine("comparing") as engine:
        touched = day.find_touched(engine, previous)
        expected = told(work, run, full, engine)
        values = {
            field: set(engine.execute(f"from {full.relation(values_name(field))}").fetchall())
            for field in dated_fields(work.registry.rules_of("person"))
        }
        old = day.side(engine, "before", *before)
        now = day.side(engine, "now", run, day.scratch)
        keys = work.scratch(run.id) / "keys.parquet"
        engine.execute(f"copy keys to {literal(str(keys))} (format parquet)")
        checked = changed_check.check(work, run, old, now, previous, read_parquet([str(keys)]))
        state = check_state.read(work, "person", run.id)
        assert state
        found = told(work, run, state, engine)
        for name, value in expected.items():
            assert found[name] == value, name
        assert checked.counts() == whole
        for field, wanted in values.items():
            assert wanted <= set(engine.execute(f"from {state.relation(values_name(field))}").fetchall())
        kept = "dataset, _key, rule, entity_id, _ref, dimension, severity, field"
        other = published(work.lake, findings_table("person"), run.result(Begun).published)
        untouched = f"select {kept} from {other} anti join touched using (entity_id) anti join touched_keys using (dataset, _key)"
        small = engine.execute(
            f"{untouched} union all select {kept} from {now.parts.read('findings')} order by all"
        ).fetchall()
        all_of_them = engine.execute(
            f"select {kept} from {day.whole(day.scratch).read('findings')} order by all"
        ).fetchall()
        assert small == all_of_them
        persons = engine.execute(f"select count(*) from {day.whole(day.scratch).read('golden')}").fetchall()[0][0]
    return touched, persons


def check_nobody(work: Workspace, run: runs.Run) -> None:
    """Hold the check of nobody against what it starts from."""
    previous = check_state.read(work, "person", run.id)
    assert previous
    folder = previous.folder.with_name("run=before")
    shutil.copytree(previous.folder, folder)
    expected = replace(previous, folder=folder)
    parts = PersonRanges(work.scratch(f"{run.id}/nobody"), 1, {})
    with work.engine("comparing") as engine:
        engine.execute("create temp table nobody as select '' as dataset, '' as _key, '' as entity_id where false")
        lake = NarrowLake(work.lake, engine, parts.scratch / "lake", "nobody", "(select entity_id from nobody)")
        side = Side(replace(work, lake=lake), run, run.result(Begun).inputs, parts)
        keys = read_parquet([str(work.scratch(run.id) / "keys.parquet")])
        changed_check.check(work, run, side, side, expected, keys)
        assert replace(check_state.read(work, "person", run.id) or expected, folder=folder) == expected
        assert engine.execute(f"from {parts.read('findings')}").fetchall() == []
    shutil.rmtree(folder)


@pytest.mark.parametrize("seed", [2])
def test_what_changed_alone_is_checked_as_everything_is(country: Country, seed: int) -> None:
    declare(country)
    registers, work = Registers(country, seed), country.open()
    before: tuple[runs.Run, Path] | None = None
    shares = []
    for number in range(3):
        registers.write()
        for dataset in ("alpha_people", "beta_cards"):
            pipeline.sync(dataset)
        done = pipeline.reconcile()
        run = runs.get(work.store, done["run"])
        kept = work.settings.scratch / f"kept-{number}"
        shutil.copytree(work.scratch(run.id), kept)
        if before:
            whole = {name: value for name, value in done["cross_check"].items() if name in ("findings", "rules")}
            touched, persons = check_day(work, run, before, whole)
            shares.append(touched / persons)
            check_nobody(work, run)
        pipeline.publish(run.id)
        before = run, kept
        registers.pass_day()
    assert min(shares) < 0.7, "not everybody is touched each day"
