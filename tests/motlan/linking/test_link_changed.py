"""Linking what changed comes to the links that linking everything does."""

import os
import random
from typing import Any

import duckdb
import pytest

from motlan import pipeline
from motlan.lake import tables
from motlan.lake.iceberg import current, read_parquet
from motlan.ledger import runs
from motlan.workspace import open_workspace
from tests.conftest import Country, card_record, spine_record

SEEDS = [int(seed) for seed in os.environ.get("MOTLAN_SEEDS", "1").split(",")]
DAYS = int(os.environ.get("MOTLAN_DAYS", "4"))
PEOPLE = int(os.environ.get("MOTLAN_PEOPLE", "30"))
LIFTED = "person: {minimum: 100000, window_days: 0}\n"
"""Limits of change that no world of a few people passes."""
FAMILY = ["Nguyễn Văn", "Trần Thị", "Lê Văn", "Phạm Thị"]
GIVEN = ["An", "Bình", "Ân", "Cường", "Dũng", "Hòa", "Hoa", "Mai"]
CHANGES = (tables.LINKS, tables.IDENTITIES, tables.REVIEWS, tables.IDENTIFIERS, tables.FORMER, tables.NAMES)
"""Namespaces of the tables of which both ways write the same changes."""


class World:
    """Two registers of a few people with much in common, who change from day to day."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.people = [self.person(number) for number in range(PEOPLE)]
        self.spine = {f"a{n}": dict(person) for n, person in enumerate(self.people) if n % 8}
        self.cards = {f"b{n}": self.dirty(self.random.choice(self.people)) for n in range(int(PEOPLE * 1.3))}
        self.day = 0

    def person(self, number: int) -> dict[str, Any]:
        name = f"{self.random.choice(FAMILY)} {self.random.choice(GIVEN)}"
        born = f"{self.random.choice([1980, 1990])}-0{self.random.randint(1, 3)}-0{self.random.randint(1, 4)}"
        sex = "female" if "Thị" in name else "male"
        return {"number": self.number(number, sex, born), "name": name, "born": born, "sex": sex}

    def number(self, number: int, sex: str, born: str) -> str:
        return f"001{int(sex == 'female')}{born[2:4]}{number:06d}"

    def dirty(self, person: dict[str, Any]) -> dict[str, Any]:
        found = dict(person)
        dice = self.random.random()
        if dice < 0.35:
            found["number"] = None
        elif dice < 0.45:
            found["number"] = self.random.choice(self.people)["number"]
        if self.random.random() < 0.3:
            found |= {key: self.person(0)[key] for key in self.random.sample(["name", "born"], 1)}
        return found

    def change(self) -> None:
        self.day += 1
        for register in (self.spine, self.cards):
            for key in self.random.sample(sorted(register), k=min(3, len(register))):
                dice = self.random.random()
                if dice < 0.2:
                    del register[key]
                elif dice < 0.4:
                    register[key] = self.dirty(register[key])
                elif dice < 0.6:
                    register[key] = self.dirty(self.random.choice(self.people))
                elif dice < 0.75:
                    new = self.person(self.random.randint(500, 999))
                    register[key] = register[key] | {"number": new["number"]}
                else:
                    other = self.random.choice(sorted(register))
                    register[key], register[other] = dict(register[other]), dict(register[key])
        person = self.person(self.random.randint(100, 400))
        self.people.append(person)
        self.spine[f"a{self.random.randint(0, 200)}"] = dict(person)
        self.cards[f"b{self.random.randint(0, 200)}"] = self.dirty(person)

    def write(self, country: Country, known: dict[str, dict[str, Any]]) -> None:
        moment = f"2026-09-{self.day + 1:02d}T00:00:00.000000Z"
        for name, register, make, last in (
            ("alpha_people", self.spine, spine_record, None),
            ("beta_cards", self.cards, card_record, "GD4010000000001"),
        ):
            records = []
            for key, person in register.items():
                born = person["born"] if last is None else "/".join(reversed(person["born"].split("-")))
                row = (key, person["number"], person["name"], born, person["sex"], last)
                before = known.setdefault(name, {}).get(key)
                if before is None or before[0] != row:
                    known[name][key] = (row, moment)
                records.append(make(*known[name][key]))
            country.write(name, records)


def changes(run: str) -> dict[str, list[tuple[Any, ...]]]:
    """Return what a run's linking wrote, without what differs by design."""
    work = open_workspace()
    with duckdb.connect() as engine:
        found = {}
        for namespace in CHANGES:
            files = work.lake.files(f"{namespace}.person", {run})
            if files:
                relation = read_parquet(files)
                names = sorted(row[0] for row in engine.execute(f"describe from {relation}").fetchall())
                kept = [name for name in names if name not in ("_run",)]
                rounded = [f"round({n}, 9) as {n}" if n in ("match_weight", "probability") else n for n in kept]
                found[namespace] = engine.execute(
                    f"select {', '.join(rounded)} from {relation} order by all"
                ).fetchall()
        return found


def row_keys(run: str, base: str, published: list[str]) -> list[tuple[Any, ...]]:
    work = open_workspace()
    with duckdb.connect() as engine:
        files = work.lake.files("row_keys.person", {run, base, *(one for one in published if one > base)})
        rows = current(files, ("n",))
        names = sorted(row[0] for row in engine.execute(f"describe from {rows}").fetchall())
        kept = ", ".join(
            name for name in names if name not in ("_run", "_op", "_changed") and not name.startswith("rare_")
        )
        return engine.execute(f"select {kept} from {rows} order by all").fetchall()


def sync_all() -> None:
    for dataset in ("alpha_people", "beta_cards"):
        pipeline.sync(dataset)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_changed_is_linked_as_everything_would_be(
    country: Country, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOTLAN_CHANGED_PERCENT", "1000")
    country.declare(
        "mapping/matching.yaml", lambda told: told["person"].update(min_training_pairs=1, histories=["personal_id"])
    )
    (country.home / "mapping" / "breakers.yaml").write_text(LIFTED, encoding="utf-8")
    world, known = World(seed), {}
    world.write(country, known)
    sync_all()
    pipeline.reconcile()
    pipeline.publish()
    work = open_workspace()
    for day in range(DAYS):
        world.change()
        world.write(country, known)
        sync_all()
        run = pipeline.begin_reconcile()["run"]
        done = pipeline.link(run)
        assert done["scope"] == "changed", done
        published = runs.get(work.store, run).steps["begin"]["published"]
        mine, keys = changes(run), row_keys(run, done["base"], published)
        pipeline.fail(run, ValueError("given up"))
        full = pipeline.reconcile(full=True)
        theirs = changes(full["run"])
        for namespace in CHANGES:
            left, right = mine.get(namespace, []), theirs.get(namespace, [])
            assert left == right, (day, namespace, set(map(str, left)) ^ set(map(str, right)))
        for name in ("rows", "persons", "by_rule", "changed", "reviews"):
            assert done[name] == full["link"][name], (day, name)
        assert keys == row_keys(full["run"], full["run"], [])
        pipeline.publish(full["run"])


@pytest.mark.parametrize(("percent", "found_by"), [(1, "what changed"), (20, "whom that affects")])
def test_everything_is_linked_where_too_much_is_affected(
    country: Country, percent: int, found_by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOTLAN_CHANGED_PERCENT", str(percent))
    country.declare("mapping/matching.yaml", lambda told: told["person"].update(min_training_pairs=1))
    (country.home / "mapping" / "breakers.yaml").write_text(LIFTED, encoding="utf-8")
    world, known = World(1), {}
    world.write(country, known)
    sync_all()
    pipeline.publish(pipeline.reconcile()["run"])
    world.change()
    world.write(country, known)
    sync_all()
    counts = pipeline.reconcile()
    assert counts["link"]["scope"] == "full", found_by
    assert f"rows are affected, {percent} % of all or more" in counts["link"]["why"]
    pipeline.publish(counts["run"])
    assert pipeline.reconcile()["link"]["scope"] == "changed", "the full run left what the next one starts from"
