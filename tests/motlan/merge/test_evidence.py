"""Survivorship by kinds: guesses, rows that ended, refinements, words that stand, places; and what no history may break."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from motlan.config import registry
from motlan.expressions import connect, one
from motlan.merge import value_ages
from motlan.merge.conflicts import losing_values_query
from motlan.merge.provenance import pointed
from motlan.merge.survivorship import merge_query
from tests.motlan.merge.rows import HISTORIES, REGISTERS, SEED, Row, by_each_path, entity_of, load


@pytest.fixture(scope="module")
def engine() -> Iterator[duckdb.DuckDBPyConnection]:
    with connect(threads=1) as con:
        yield con


def declared() -> Any:
    return registry.load().entity("person")


_QUERIES: dict[int, tuple[Any, str]] = {}
"""Queries of entities, which are kept so that their ids stay theirs."""


def golden(engine: duckdb.DuckDBPyConnection, entity: Any, rows: Sequence[Row]) -> dict[str, Any]:
    """Merge rows; give each person's golden row, with `_corrections`: (register, key, field, from, to)."""
    load(engine, entity, rows)
    if id(entity) not in _QUERIES:
        _QUERIES[id(entity)] = entity, merge_query(entity, "linked_rows", since=value_ages.SINCE)
    query = _QUERIES[id(entity)][1]
    engine.execute(f"create or replace temp table golden as {query}")
    lost = engine.sql(losing_values_query(entity, "linked_rows", "golden", "withheld")).to_arrow_table().to_pylist()
    found = {row["entity_id"]: row for row in engine.sql(f"from {pointed('golden')}").to_arrow_table().to_pylist()}
    for row in found.values():
        row["_pointers"] = {pointer["field"]: pointer for pointer in row["_pointers"]}
        row["_corrections"] = set()
    for row in lost:
        correction = (row["dataset"], row["_key"], row["field"], row["value"], row["golden_value"])
        found[row["entity_id"]]["_corrections"].add(correction)
    return found


def of(engine: duckdb.DuckDBPyConnection, entity: Any, *rows: Row) -> dict[str, Any]:
    return golden(engine, entity, rows)["p"]


# --- guesses ----------------------------------------------------------------------------------------------------------
PLACE = {"place": {"authority": ["alpha", "beta", ["gamma", "delta"]], "candidates": "among", "correct": True}}


@pytest.mark.parametrize(
    ("rows", "value", "corrected"),
    [
        ([("alpha", "97", "97;118"), ("beta", "118", None), ("gamma", "118", None)], "118", set()),
        ([("beta", "97", "97;118"), ("delta", "118", None)], "118", set()),
        ([("alpha", "97", "97;118"), ("beta", "97", "97;118")], "97", set()),
        ([("alpha", "97", "97;118"), ("beta", "500", None), ("gamma", "118", None)], "118", {"beta"}),
        ([("alpha", "97", "97;118"), ("gamma", "500", None)], "500", set()),
        ([("alpha", "500", None), ("beta", "97", "97;118")], "500", {"beta"}),
        ([("alpha", "118", None), ("beta", "97", "97;118"), ("gamma", "97", "97;118")], "118", set()),
    ],
    ids=[
        "who is certain decides among an authority's candidates",
        "whoever is certain",
        "a guess stands where nobody is certain",
        "of what is certain first what the authority's guess allows",
        "a guess never beats what is certain, and its authority is not corrected",
        "what no candidate allows is a conflict",
        "guesses of others do not outvote what is certain",
    ],
)
def test_certain_beats_guessed(
    engine: duckdb.DuckDBPyConnection, rows: list[tuple[str, str, str | None]], value: str, corrected: set[str]
) -> None:
    said = [{"dataset": dataset, "place": place, "among": among} for dataset, place, among in rows]
    for crowd in ([], [{"dataset": rows[0][0], "key": "z", "place": rows[0][1], "among": rows[0][2]}]):
        found = of(engine, entity_of(PLACE, "among"), *said, *crowd)
        assert found["place"] == value
        assert {dataset for dataset, *_ in found["_corrections"]} == corrected


# --- rows that ended --------------------------------------------------------------------------------------------------
CARD = {
    field: {"authority": ["beta", "gamma"], "together": "membership", "in_force": "state == 'active'"}
    for field in ("card", "code", "state")
}


def test_a_row_in_force_beats_one_that_ended_and_is_taken_whole(engine: duckdb.DuckDBPyConnection) -> None:
    active = {"dataset": "beta", "key": "1", "moment": "2020", "card": None, "code": "A", "state": "active"}
    closed = {"dataset": "beta", "key": "2", "moment": "2024", "card": "X", "code": "B", "state": "closed"}
    for rows in ([active, closed], [closed, active]):
        found = of(engine, entity_of(CARD), *rows)
        assert (found["card"], found["code"], found["state"]) == (None, "A", "active"), (
            "no card of one with another's code"
        )
    both = of(engine, entity_of(CARD), active, closed | {"state": "active"})
    assert (both["card"], both["code"]) == ("X", "B"), "of two in force the newer"
    ended = of(engine, entity_of(CARD), active | {"state": "closed"}, closed)
    assert (ended["card"], ended["code"]) == ("X", "B")


def test_a_touch_does_not_make_another_of_two_records_in_force_stand(engine: duckdb.DuckDBPyConnection) -> None:
    began = {"card": "2019", "code": "2019", "state": "2019"}
    touched = {"dataset": "beta", "key": "1", "moment": "2025", "code": "A", "state": "active", "since": began}
    newer = {"dataset": "beta", "key": "2", "moment": "2024", "code": "B", "state": "active"}
    assert of(engine, entity_of(CARD), touched, newer)["code"] == "B"


def test_a_field_alone_is_in_force_across_registers(engine: duckdb.DuckDBPyConnection) -> None:
    rule = {"school": {"authority": ["alpha", "beta"], "in_force": "state == 'in'"}}
    rows = [{"dataset": "alpha", "school": "OLD", "state": "out"}, {"dataset": "beta", "school": "NEW", "state": "in"}]
    assert of(engine, entity_of(rule, "state"), *rows)["school"] == "NEW"
    assert of(engine, entity_of(rule, "state"), rows[0])["school"] == "OLD"


def test_a_pupil_who_moved_is_where_he_is_enrolled(engine: duckdb.DuckDBPyConnection) -> None:
    new = {
        "dataset": "education_pupils",
        "key": "n",
        "moment": "2026-09-01",
        "school": "NEW",
        "school_class": "5A",
        "enrolment_status": "enrolled",
    }
    old = {
        "dataset": "education_pupils",
        "key": "o",
        "moment": "2026-09-02",
        "school": "OLD",
        "school_year": "2025-2026",
        "enrolment_status": "transferred",
    }
    found = of(engine, declared(), new, old)
    assert [found[name] for name in ("school", "school_class", "school_year", "enrolment_status")] == [
        "NEW",
        "5A",
        None,
        "enrolled",
    ]


# --- refinements ------------------------------------------------------------------------------------------------------
def test_the_refinement_is_what_most_equals_say(engine: duckdb.DuckDBPyConnection) -> None:
    rows = [
        {"dataset": "population_citizens", "birth_date": "1990"},
        {"dataset": "insurance_members", "birth_date": "1990-03-04", "moment": "2026"},
        {"dataset": "tax_taxpayers", "birth_date": "1990-05-06", "moment": "2021"},
        {"dataset": "education_staff", "birth_date": "1990-05-06", "moment": "2022"},
    ]
    found = of(engine, declared(), *rows)
    assert found["birth_date"] == "1990-05-06"
    assert found["_pointers"]["birth_date"]["disputed"], "one who refines it otherwise disagrees"
    assert {dataset for dataset, *_ in found["_corrections"]} == {"insurance_members"}
    agreed = of(engine, declared(), *rows[:1], *rows[2:])
    assert not agreed["_pointers"]["birth_date"]["disputed"]


def test_a_refinement_is_refined_itself_so_that_who_agrees_with_it_changes_nothing(
    engine: duckdb.DuckDBPyConnection,
) -> None:
    month = {"dataset": "alpha", "key": "month", "born": "1990-03", "moment": "2020"}
    year = {"dataset": "alpha", "key": "year", "born": "1990", "moment": "2022"}
    day = {"dataset": "beta", "born": "1990-03-04"}
    for ties in ("agreement", "freshness"):
        entity = entity_of({"born": RULES["born"] | {"ties": ties}})
        assert of(engine, entity, month, year)["born"] == "1990-03"
        assert of(engine, entity, month, year, day)["born"] == "1990-03-04", "the newest says least"
        again = month | {"key": "again", "moment": "2024"}
        assert of(engine, entity, month, year, day, again)["born"] == "1990-03-04"
        other = day | {"dataset": "gamma", "born": "1990-05-06"}
        assert of(engine, entity, month, year, other)["born"] == "1990-03", (
            "a day of another month refines the year alone"
        )


# --- words that stand -------------------------------------------------------------------------------------------------
def test_of_equals_the_newest_word_counts_and_not_the_newest_touch(engine: duckdb.DuckDBPyConnection) -> None:
    rule = {"name": {"authority": [["alpha", "beta"]], "correct": True}}
    alpha = {"dataset": "alpha", "name": "Lan", "moment": "2025", "since": {"name": "2020"}}
    beta = {"dataset": "beta", "name": "Mai", "moment": "2021"}
    assert of(engine, entity_of(rule), alpha, beta)["name"] == "Mai"
    assert of(engine, entity_of(rule), alpha | {"since": {}}, beta)["name"] == "Lan"


def test_an_authoritys_newer_word_is_not_overruled_by_its_older_number(engine: duckdb.DuckDBPyConnection) -> None:
    number = "001190000001"  # a woman's
    mended = {"dataset": "population_citizens", "personal_id": number, "birth_date": "1990-01-02", "sex": "male"}
    others = [
        {"dataset": name, "personal_id": number, "birth_date": "1990-01-02", "sex": "female", "moment": "2026"}
        for name in ("insurance_members", "tax_taxpayers", "education_staff")
    ]
    found = of(engine, declared(), mended | {"said": {"sex": 1}}, *others)
    assert found["sex"] == "male"
    assert all(dataset != "population_citizens" for dataset, *_ in found["_corrections"])
    year = mended | {"sex": "female", "birth_date": "1985-01-02", "said": {"birth_date": 2, "sex": 1}}
    assert of(engine, declared(), year, *others)["birth_date"] == "1985-01-02"
    assert of(engine, declared(), mended, *others)["sex"] == "female", "what never fitted may be a slip of the pen"
    issued = mended | {"said": {"sex": 1, "personal_id": 2}}
    assert of(engine, declared(), issued, *others)["sex"] == "female", "the number is newer than the sex"


def test_since_when_a_record_says_a_value_is_told_from_its_versions(tmp_path: Path) -> None:
    entity = entity_of({"name": {"authority": ["alpha"]}, "born": {"authority": ["alpha"]}})
    versions = [
        ("a", "r1/0/0", "2020", "Lan", "1990"), ("a", "r2/0/9", "2021", "Mai", "1990"), ("a", "r2/0/10", "2022", "Lan", "1990"),
        ("a", "r3/0/0", "2019", "Lan", None), ("b", "r1/0/1", "2020", "An", None), ("b", "r3/0/1", "2023", "An", None),
        ("c", "r1/0/2", "2020", "Hoa", "1980"),
    ]  # fmt: skip
    names = ("_key", "_ref", "_moment", "name", "born")
    path = tmp_path / "rows.parquet"
    columns = {name: [row[n] for row in versions] for n, name in enumerate(names)}
    pq.write_table(pa.table({**columns, "_pulled": pa.nulls(len(versions), pa.string())}), path)
    of_rows = "(from (values ('a', 'r3/0/0'), ('b', 'r3/0/1'), ('c', 'r1/0/2')) as t (_key, _ref))"
    asked = "_ref, _since_name, _said_name, _since_born, _said_born"
    by_arrival, by_moment = (
        SimpleNamespace(name="alpha", fields=entity.fields, succession=order) for order in ("arrival", "moment")
    )
    with connect(threads=1, allowed=[tmp_path]) as con:
        query = value_ages.since_query(entity, by_arrival, [str(path)], names, of_rows)  # type: ignore[arg-type]
        told = con.execute(f"select {asked} from ({query}) order by 1").fetchall()
        assert told == [("r3/0/0", "2022", 2, None, 3), ("r3/0/1", "2020", 0, "2020", 0)], "c has one version"
        newest = "(select 'a' as _key, 'r2/0/10' as _ref)"
        query = value_ages.since_query(entity, by_moment, [str(path)], names, newest)  # type: ignore[arg-type]
        assert con.execute(f"select {asked} from ({query})").fetchall() == [("r2/0/10", None, 3, "2020", 1)]


# --- places -----------------------------------------------------------------------------------------------------------
def test_a_province_is_that_of_the_commune(engine: duckdb.DuckDBPyConnection) -> None:
    rows = [
        {"dataset": "population_citizens", "residence_province": "01"},
        {"dataset": "insurance_members", "residence_commune": "26734", "residence_province": "79"},
        {"dataset": "tax_taxpayers", "residence_commune": "00097", "residence_province": "01"},
    ]
    for crowd in ([], [{"dataset": "tax_taxpayers", "key": "z"}]):
        found = of(engine, declared(), *rows, *crowd)
        assert (found["residence_commune"], found["residence_province"]) == ("26734", "79")
        assert found["_pointers"]["residence_province"]["dataset"] == "insurance_members"
        assert found["_pointers"]["residence_province"]["disputed"]
        alone = of(engine, declared(), rows[0], *crowd)
        assert (alone["residence_commune"], alone["residence_province"]) == (None, "01")


# --- what no history may break ----------------------------------------------------------------------------------------
RULES = {
    "name": {"authority": [["alpha", "beta", "gamma"], "delta"], "correct": True},
    "born": {
        "authority": ["alpha", ["beta", "gamma", "delta"]], "ties": "agreement", "correct": True,
        "precision": "date_precision(value)", "agrees": "dates_agree(left, right)",
    },
    "place": {"authority": ["alpha", ["beta", "gamma"], "delta"], "candidates": "among", "correct": True, "ties": "agreement"},
    "card": {"authority": ["beta", "gamma"], "together": "membership", "in_force": "state == 'on'"},
    "state": {"authority": ["beta", "gamma"], "together": "membership", "in_force": "state == 'on'"},
}  # fmt: skip
ENTITY = entity_of(RULES, "among")
VALUES: dict[str, list[Any]] = {
    "name": ["Lan", "Mai", None],
    "born": ["1990", "1990-03", "1990-03-04", "1990-05-06", "1991-01-02", None],
    "place": ["97", "118", "500", None],
    "card": ["X", "Y", None],
    "state": ["on", "off", None],
}
WON = ("name", "born", "place")


def thrown(dice: random.Random, person: str) -> list[Row]:
    """Rows about a person, by dice: of one register or several, each with its candidates where its place is a guess."""
    rows = []
    for register in dice.sample(REGISTERS, dice.randint(1, 4)):
        for copy in range(dice.choice([1, 1, 1, 2])):
            row = {name: dice.choice(values) for name, values in VALUES.items()}
            guessed = row["place"] in ("97", "118") and dice.random() < 0.5
            among = ("97;118" if row["place"] == "97" else "118;97") if guessed else None
            since = {name: str(dice.randint(2010, 2019)) for name in WON if dice.random() < 0.3}
            rows.append(
                {**row, "dataset": register, "key": f"{register}{copy}", "moment": str(dice.randint(2020, 2024)),
                 "person": person, "among": among, "since": since}
            )  # fmt: skip
    return rows


def worlds(seed: int, count: int) -> dict[str, list[Row]]:
    dice = random.Random(f"{SEED} {seed}")
    return {f"p{number}": thrown(dice, f"p{number}") for number in range(count)}


def everybody(engine: duckdb.DuckDBPyConnection, people: Mapping[str, Sequence[Row]]) -> dict[str, Any]:
    return golden(engine, ENTITY, [row for rows in people.values() for row in rows])


def test_every_fast_path_gives_what_the_plain_definition_gives(engine: duckdb.DuckDBPyConnection) -> None:
    people = worlds(10, HISTORIES)
    plain, *paths = by_each_path(engine, ENTITY, [row for rows in people.values() for row in rows])
    assert all(one(engine, f"select count(*) from {name}")[0] for name in ("agreed", "differing", "crowded"))
    assert sum(map(len, paths)) == len(plain) == len(people)
    assert {person: row for path in paths for person, row in path.items()} == plain


def test_a_touch_of_another_field_never_changes_a_value(engine: duckdb.DuckDBPyConnection) -> None:
    people = worlds(1, HISTORIES)
    before = everybody(engine, people)
    dice = random.Random(2)
    touched = {
        person: [
            row | {"moment": "2026", "since": {name: row["since"].get(name, row["moment"]) for name in ENTITY.fields}}
            if dice.random() < 0.5 else row
            for row in rows
        ]
        for person, rows in people.items()
    }  # fmt: skip
    after = everybody(engine, touched)
    for person, found in before.items():
        assert {name: found[name] for name in ENTITY.fields} == {name: after[person][name] for name in ENTITY.fields}
        assert found["_corrections"] == after[person]["_corrections"]


def test_a_row_that_agrees_with_the_winner_never_changes_it(engine: duckdb.DuckDBPyConnection) -> None:
    people, dice = worlds(3, HISTORIES), random.Random(4)
    before = everybody(engine, people)
    for field in WON:
        more = {}
        for person, rows in people.items():
            (row,) = [
                found
                for found in rows
                if found["key"] == (before[person]["_pointers"].get(field) or rows[0] | {}).get("key")
            ][:1]
            agreeing = dict.fromkeys(ENTITY.fields) | {field: before[person][field]}
            same = (
                {"among": row["among"]}
                if field == "place" and dice.random() < 0.3 and row["place"] == before[person][field]
                else {}
            )
            added = {
                "dataset": dice.choice(REGISTERS),
                "key": "zz",
                "moment": str(dice.randint(2015, 2030)),
                "person": person,
            }
            more[person] = [*rows, {**agreeing, **same, **added}]
        after = everybody(engine, more)
        for person in people:
            assert after[person][field] == before[person][field], (field, more[person])


def test_the_order_in_which_registers_are_read_changes_nothing(engine: duckdb.DuckDBPyConnection) -> None:
    people, dice = worlds(5, HISTORIES), random.Random(6)
    assert everybody(engine, people) == everybody(
        engine, {p: dice.sample(people[p], len(people[p])) for p in sorted(people, key=hash)}
    )


def test_nobody_is_asked_to_correct_a_value_to_itself_or_a_guess_to_its_candidate(
    engine: duckdb.DuckDBPyConnection,
) -> None:
    people = worlds(7, HISTORIES)
    for person, found in everybody(engine, people).items():
        by_key = {row["key"]: row for row in people[person]}
        for _, key, field, value, wanted in found["_corrections"]:
            assert value != wanted
            assert field != "place" or wanted not in (by_key[key]["among"] or "").split(";")


def test_a_guess_stands_only_where_nobody_is_certain(engine: duckdb.DuckDBPyConnection) -> None:
    people = worlds(8, HISTORIES)
    for person, found in everybody(engine, people).items():
        certain = {row["place"] for row in people[person] if row["place"] and not row["among"]}
        assert not certain or found["place"] in certain


def test_a_group_is_what_one_record_of_a_register_says(engine: duckdb.DuckDBPyConnection) -> None:
    people = worlds(9, HISTORIES)
    for person, found in everybody(engine, people).items():
        told = {name: found["_pointers"].get(name) for name in ("card", "state")}
        if all(told.values()) and told["card"]["dataset"] == told["state"]["dataset"]:  # type: ignore[index]
            assert told["card"]["key"] == told["state"]["key"]  # type: ignore[index]
        mine = [row for row in people[person] if told["state"] and row["dataset"] == told["state"]["dataset"]]
        assert found["state"] != "off" or all(row["state"] != "on" for row in mine)


def plainly(rows: Sequence[Row], field: str) -> str | None:
    """Whose value wins, read by a person, of fields whose words are certain and need no refinement."""
    ranks = {
        entry.dataset: place
        for place, entries in enumerate(reversed(ENTITY.authority[field].ranks))
        for entry in entries
    }
    said = [row for row in rows if row["dataset"] in ranks and row[field] is not None]
    by_place = sorted(rows, key=lambda row: (row["dataset"], row["key"]))

    def order(row: Row) -> tuple[Any, ...]:
        return (ranks[row["dataset"]], row["since"].get(field, row["moment"]), by_place.index(row))

    return max(said, key=order)[field] if said else None


def test_all_ways_of_the_query_tell_the_newest_word_of_the_most_believed(engine: duckdb.DuckDBPyConnection) -> None:
    people = worlds(10, HISTORIES)
    for person, found in everybody(engine, people).items():
        assert found["name"] == plainly(people[person], "name"), people[person]
