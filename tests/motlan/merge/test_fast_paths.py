"""The fast paths of the merge give what its plain definition gives, whatever is declared of the fields."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

import duckdb
import pytest

from motlan.expressions import connect
from tests.motlan.merge.rows import HISTORIES, REGISTERS, SEED, Row, by_each_path, entity_of

PERSONS = 60
"""Of one set of rules: to compile its queries costs as much as to merge some hundred."""
VALUES: dict[str, list[str | None]] = {
    "name": ["Lan", "Mai", None],
    "born": ["1990", "1990-03", "1990-03-04", "1990-05-06", "1991-01-02", None],
    "place": ["97", "118", "500", None],
    "area": ["01", "79", None],
    "card": ["X", "Y", None],
    "state": ["on", "off", None],
}
CONDITIONS = ("state == 'on'", "name == 'Lan' or place is None", "born is not None")


@pytest.fixture(scope="module")
def engine() -> Iterator[duckdb.DuckDBPyConnection]:
    with connect(threads=1) as con:
        yield con


def merged(engine: duckdb.DuckDBPyConnection, entity: Any, rows: Sequence[Row]) -> dict[str, Row]:
    """Merge rows by the plain definition and by the fast paths, which must agree."""
    plain, *paths = by_each_path(engine, entity, rows)
    assert sum(map(len, paths)) == len(plain) == len({row.get("person", "p") for row in rows})
    assert {person: row for path in paths for person, row in path.items()} == plain
    return plain


def pointers(row: Row) -> dict[str, Any]:
    return {pointer["field"]: pointer for pointer in row["_pointers"]}


def test_of_equals_that_say_the_same_the_value_is_of_the_one_that_began_to_say_it_last(
    engine: duckdb.DuckDBPyConnection,
) -> None:
    entity = entity_of({"name": {"authority": [["alpha", "beta"]]}, "born": {"authority": ["alpha"]}})
    alpha = {"dataset": "alpha", "name": "Lan", "born": "1990", "moment": "2021"}
    beta = {"dataset": "beta", "name": "Lan", "moment": "2023", "since": {"name": "2012"}}
    (found,) = merged(engine, entity, [alpha, beta]).values()
    assert pointers(found)["name"]["dataset"] == "alpha", "the other was touched later, and said nothing new"


@pytest.mark.parametrize("second", ["beta", "delta"])
def test_a_newer_word_is_believed_wherever_its_row_stands(engine: duckdb.DuckDBPyConnection, second: str) -> None:
    rule = {"dataset": "beta", "when": "born is None", "changed": ["name"], "after": "born"}
    entity = entity_of({"name": {"authority": [rule]}, "born": {"authority": []}, "card": {"authority": ["alpha"]}})
    rows = [
        {"dataset": "alpha", "card": "X"},
        {"dataset": "beta", "name": "Lan", "born": "1990", "said": {"name": 2, "born": 1}},
        {"dataset": second, "key": "z"},
    ]
    (found,) = merged(engine, entity, rows).values()
    assert found["name"] == "Lan", "though nobody is believed on what it is newer than"


@pytest.mark.parametrize("areas", [["beta"], ["alpha", "beta"], [["beta", "gamma"]], []])
def test_a_field_that_follows_is_of_the_others_row_whoever_is_believed_on_it(
    engine: duckdb.DuckDBPyConnection, areas: list[Any]
) -> None:
    entity = entity_of(
        {
            "place": {"authority": [["alpha", "gamma"], "beta"]},
            "area": {"authority": areas, "follows": "place"},
            "name": {"authority": ["alpha"]},
        }
    )
    rows = [
        {"dataset": "alpha", "place": "97", "name": "Lan", "moment": "2020"},
        {"dataset": "gamma", "place": "97", "area": "79", "moment": "2021"},
        {"dataset": "beta", "place": "97", "area": "79", "moment": "2022"},
    ]
    (found,) = merged(engine, entity, rows).values()
    assert (found["area"], pointers(found)["area"]["dataset"]) == ("79", "gamma")


def ranks(dice: random.Random) -> list[Any]:
    """Who is believed on a field: some registers, some of them equals, some under a condition, perhaps the last without it."""

    def entry(register: str) -> Any:
        when = {"dataset": register, "when": dice.choice(CONDITIONS)}
        period = {"dataset": register, dice.choice(["since", "until"]): "2022"}
        newer = {**when, "changed": dice.sample(sorted(VALUES), 2), "after": dice.choice(sorted(VALUES))}
        return dice.choices([register, when, period, newer], [7, 1, 1, 1])[0]

    registers, found = dice.sample(REGISTERS, dice.choice([0, 1, 2, 3, 4, 4, 4])), []
    while registers:
        equals, registers = registers[: (size := dice.randint(1, len(registers)))], registers[size:]
        found.append([entry(register) for register in equals])
    conditional = [entry["dataset"] for equals in found for entry in equals if isinstance(entry, dict)]
    return [*found, conditional] if conditional and dice.random() < 0.5 else found


def rules(dice: random.Random) -> dict[str, dict[str, Any]]:
    """Rules of all fields, by dice."""
    found = {
        field: {
            "authority": ranks(dice),
            "ties": dice.choice(["freshness", "agreement"]),
            "correct": dice.random() < 0.5,
        }
        for field in VALUES
    }
    kinds: list[dict[str, dict[str, str]]] = [
        {"born": {"precision": "date_precision(value)", "agrees": "dates_agree(left, right)"}},
        {"place": {"candidates": "among"}},
        {"area": {"follows": "place"}},
        {field: {"together": "membership", "in_force": "state == 'on'"} for field in ("card", "state")},
    ]
    for kind in kinds:
        if dice.random() < 0.7:
            for field, more in kind.items():
                found[field] |= more
    return found


def rows_of(dice: random.Random, person: str) -> list[Row]:
    """Rows about a person, by dice; of many persons all say the same, or nothing."""
    same, crowded = {field: dice.choice(values) for field, values in VALUES.items()}, dice.random() < 0.5
    alike = dice.choice([1, 0.5])
    rows = []
    for register in dice.sample(REGISTERS, dice.randint(1, 4)):
        for copy in range(dice.choice([1, 1, 2]) if crowded else 1):
            said = {
                field: dice.choice([same[field], same[field], None] if dice.random() < alike else values)
                for field, values in VALUES.items()
            }
            guessed = said["place"] in ("97", "118") and dice.random() < 0.5
            rows.append(
                {**said, "among": ("97;118" if said["place"] == "97" else "118;97") if guessed else None,
                 "dataset": register, "key": f"{register}{copy}", "person": person, "moment": str(dice.randint(2020, 2024)),
                 "since": {field: str(dice.randint(2010, 2019)) for field in VALUES if dice.random() < 0.3},
                 "said": {field: dice.randint(0, 2) for field in VALUES if dice.random() < 0.3}}
            )  # fmt: skip
    return rows


@pytest.mark.parametrize("number", range(max(3, HISTORIES // 200)))
def test_whatever_is_declared_every_fast_path_gives_what_the_plain_definition_gives(
    engine: duckdb.DuckDBPyConnection, number: int
) -> None:
    dice = random.Random(f"{SEED} {number}")
    people = [row for person in range(PERSONS) for row in rows_of(dice, f"p{person}")]
    merged(engine, entity_of(rules(dice), "among"), people)
