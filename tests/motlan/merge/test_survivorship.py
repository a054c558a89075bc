"""Survivorship: whom to believe, field by field. Checked against a plain reading of the rules."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from pydantic import ValidationError

from motlan.config.authority import Authority
from motlan.expressions import connect
from motlan.merge.conflicts import conflicts_query, losing_values_query
from motlan.merge.merge import merge_closely
from motlan.merge.provenance import pointed
from motlan.merge.survivorship import AGREED, merge_query, merge_ways

REGISTERS = ("alpha", "beta", "gamma", "delta")
FIELDS = ("name", "born", "note")


@dataclass
class Row:
    dataset: str
    key: str
    moment: str
    name: str | None = None
    born: str | None = None
    note: str | None = None
    person: str = "p"


@pytest.fixture(scope="module")
def engine() -> Iterator[duckdb.DuckDBPyConnection]:
    with connect(threads=2) as con:
        yield con


def golden(engine: duckdb.DuckDBPyConnection, rows: Sequence[Row], **rules: Any) -> dict[str, dict[str, Any]]:
    """Merge rows; give each person's fields as (value, register, rule, disputed)."""
    entity = _entity(rules)
    _load(engine, rows)
    query = merge_query(entity, "linked_rows")  # type: ignore[arg-type]  # only its fields and authority are read
    found = {}
    for row in engine.sql(f"from {pointed(f'({query})')}").to_arrow_table().to_pylist():
        pointers = {pointer["field"]: pointer for pointer in row["_pointers"]}
        found[row["entity_id"]] = {
            field: (row[field], *(pointers[field][name] for name in ("dataset", "key", "rule", "disputed")))
            for field in FIELDS
            if row[field] is not None
        }
        assert set(pointers) == set(found[row["entity_id"]]), "a value without a pointer, or the other way round"
    return found


def _entity(rules: dict[str, Any]) -> SimpleNamespace:
    authority = {field: Authority.model_validate(rules.get(field, {"authority": []})) for field in FIELDS}
    return SimpleNamespace(fields=FIELDS, authority=authority)


def _load(engine: duckdb.DuckDBPyConnection, rows: Sequence[Row]) -> None:
    columns = {
        "entity_id": [row.person for row in rows],
        "dataset": [row.dataset for row in rows],
        "_key": [row.key for row in rows],
        "_ref": [f"run/0/{number}" for number in range(len(rows))],
        "_moment": [row.moment for row in rows],
        **{field: [getattr(row, field) for row in rows] for field in FIELDS},
    }
    table = pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})
    engine.register("given", table)
    engine.execute("create or replace temp table linked_rows as from given")
    engine.unregister("given")


NAMED = {"authority": ["alpha", "beta", "gamma"]}
EQUALS = {"authority": ["alpha", ["beta", "gamma", "delta"]]}
TWICE = [Row("alpha", "a1", "2020", "Lan"), Row("alpha", "a2", "2021", "Mai"), Row("beta", "b", "2019", "Lan")]


@pytest.mark.parametrize(
    ("rows", "rule", "expected"),
    [
        (
            [Row("beta", "b", "2021", "Lan"), Row("alpha", "a", "2020", "Mai")],
            NAMED,
            ("Mai", "alpha", "a", "authority", True),
        ),
        (
            [Row("alpha", "a", "2021", None), Row("gamma", "g", "2020", "Mai")],
            NAMED,
            ("Mai", "gamma", "g", "authority", False),
        ),
        ([Row("delta", "d", "2021", "Lan")], NAMED, None),
        (TWICE, NAMED, ("Mai", "alpha", "a2", "freshness", True)),
        (TWICE, {**NAMED, "ties": "agreement"}, ("Lan", "alpha", "a1", "agreement", True)),
        (
            [Row("beta", "b", "2020", "Lan"), Row("gamma", "g", "2019", "Lan"), Row("delta", "d", "2022", "Mai")],
            EQUALS,
            ("Mai", "delta", "d", "freshness", True),
        ),
        (
            [Row("beta", "b", "2020", "Lan"), Row("gamma", "g", "2019", "Lan"), Row("delta", "d", "2022", "Mai")],
            {**EQUALS, "ties": "agreement"},
            ("Lan", "beta", "b", "agreement", True),
        ),
        (
            [Row("alpha", "a", "2020", "Lan"), Row("beta", "b", "2019", "Mai")],
            {"authority": [{"dataset": "alpha", "until": "2015"}, "beta", {"dataset": "alpha", "since": "2015"}]},
            ("Mai", "beta", "b", "authority", True),
        ),
        (
            [Row("alpha", "a", "2020", "Lan", note="draft"), Row("beta", "b", "2019", "Mai")],
            {"authority": [{"dataset": "alpha", "when": "note != 'draft'"}, "beta"]},
            ("Mai", "beta", "b", "authority", False),
        ),
        (
            [Row("alpha", "a", "2020", "1990"), Row("beta", "b", "2019", "1990-05-06")],
            {**NAMED, "precision": "date_precision(value)", "agrees": "dates_agree(left, right)"},
            ("1990-05-06", "beta", "b", "refined", False),
        ),
        (
            [Row("alpha", "a", "2020", "1990"), Row("beta", "b", "2019", "1991-05-06")],
            {**NAMED, "precision": "date_precision(value)", "agrees": "dates_agree(left, right)"},
            ("1990", "alpha", "a", "authority", True),
        ),
    ],
    ids=[
        "the authority wins whatever is newer",
        "unknown never beats known",
        "who is not believed says nothing",
        "of one register the newest",
        "or the row that others agree with",
        "of equals the newest",
        "or what most registers say",
        "an authority that has ended is not one",
        "a condition that does not hold takes the row out",
        "who agrees more precisely refines",
        "who disagrees does not, however precise",
    ],
)
def test_a_field_is_decided(
    engine: duckdb.DuckDBPyConnection, rows: list[Row], rule: dict[str, Any], expected: tuple[Any, ...] | None
) -> None:
    assert golden(engine, rows, name=rule)["p"].get("name") == expected


def test_a_pointer_carries_the_records_own_moment(engine: duckdb.DuckDBPyConnection) -> None:
    _load(engine, [Row("alpha", "a", "2020-01-02", "Lan")])
    query = merge_query(_entity({"name": NAMED}), "linked_rows")  # type: ignore[arg-type]
    ((pointers,),) = engine.execute(f"select _pointers from {pointed(f'({query})')}").fetchall()
    assert [(p["field"], p["as_of"], p["ref"]) for p in pointers] == [("name", "2020-01-02", "run/0/0")]


def plainly(rows: Sequence[Row], field: str, rule: Authority) -> tuple[Any, ...] | None:
    """The rules again, read by a person: no SQL, no two ways."""
    ranks = {entry.dataset: place for place, entries in enumerate(reversed(rule.ranks)) for entry in entries}
    said = [row for row in rows if row.dataset in ranks and getattr(row, field) is not None]
    if not said:
        return None

    def votes(row: Row) -> int:
        return len({other.dataset for other in said if getattr(other, field) == getattr(row, field)})

    def order(row: Row) -> tuple[Any, ...]:
        tie = votes(row) if rule.ties == "agreement" else 0
        return (ranks[row.dataset], tie, row.moment, row.dataset, row.key)

    best = max(said, key=order)
    equals = {getattr(row, field) for row in said if ranks[row.dataset] == ranks[best.dataset]}
    how = rule.ties if len(equals) > 1 else "authority"
    disputed = len({getattr(row, field) for row in said}) > 1
    return (getattr(best, field), best.dataset, best.key, how, disputed)


def thrown(values: Sequence[str | None]) -> list[Row]:
    """Rows of 400 persons, by dice."""
    dice = random.Random(5)
    return [
        Row(register, f"{register}{number}{copy}", str(dice.randint(2018, 2021)),
            *(dice.choice(values) for _ in FIELDS), person=f"p{number}")
        for number in range(400)
        for register in dice.sample(REGISTERS, dice.randint(1, 4))
        for copy in range(dice.choice([1, 1, 1, 1, 2, 3]))
    ]  # fmt: skip


@pytest.mark.parametrize("ties", ["freshness", "agreement"])
def test_both_ways_of_the_query_say_what_the_rules_say(engine: duckdb.DuckDBPyConnection, ties: str) -> None:
    rules = {
        "name": {**NAMED, "ties": ties},
        "born": {**EQUALS, "ties": ties},
        "note": {"authority": ["delta"], "ties": ties},
    }
    rows = thrown(["x", "y", "z", None])
    found = golden(engine, rows, **rules)
    for person in {row.person for row in rows}:
        mine = [row for row in rows if row.person == person]
        for field, rule in rules.items():
            expected = plainly(mine, field, Authority.model_validate(rule))
            assert found[person].get(field) == expected, (field, mine)


def lose(engine: duckdb.DuckDBPyConnection, entity: Any) -> None:
    """Make `lost`, what lost against golden values where nobody set a value aside."""
    engine.execute(f"create or replace temp table golden as {merge_query(entity, 'linked_rows')}")
    engine.execute(
        "create or replace temp table withheld as select dataset, _key, 'name' as field, entity_id, _ref, name as value "
        "from linked_rows where false"
    )
    lost = losing_values_query(entity, "linked_rows", "golden", "withheld")
    engine.execute(f"create or replace temp table lost as {lost}")


def test_a_conflict_tells_its_evidence_and_how_grave_it_is(engine: duckdb.DuckDBPyConnection) -> None:
    rules = {"name": {**NAMED, "correct": True, "severity": "error"}}
    rows = [Row("alpha", "a", "2020", "Lan"), Row("beta", "b", "2021", "Mai"), Row("gamma", "g", "2021", "Lan")]
    golden(engine, rows, **rules)
    entity = _entity(rules)
    lose(engine, entity)
    (conflict,) = engine.sql(conflicts_query(entity, "linked_rows", "lost")).to_arrow_table().to_pylist()  # type: ignore[arg-type]
    evidence = '{"ref":"run/0/0","as_of":"2020","rule":"authority","for":2,"against":1}'
    assert conflict == {
        "dataset": "beta", "_key": "b", "field": "name", "entity_id": "p", "_ref": "run/0/1", "value": "Mai",
        "golden_value": "Lan", "authority": "alpha", "severity": "error", "evidence": evidence,
    }  # fmt: skip


def test_who_lost_something_is_looked_at_closely(engine: duckdb.DuckDBPyConnection) -> None:
    rules = {
        "name": {**NAMED, "correct": True},
        "born": {"authority": [{"dataset": "alpha", "when": "note != 'x'"}, "beta"], "correct": True},
        "note": {"authority": ["alpha"], "correct": True},
    }
    _load(engine, thrown(["x", "x", "x", "x", "x", "x", "y", None]))
    entity = _entity(rules)
    lose(engine, entity)
    losing = {row[0] for row in engine.execute("select entity_id from lost").fetchall()}
    everyone = {f"p{number}" for number in range(400)}
    merge_closely(engine, merge_ways(entity, "linked_rows", close="close_rows"))  # type: ignore[arg-type]
    closely, agreeing = (
        {row[0] for row in engine.execute(f"select distinct {person} from {rows}").fetchall()}
        for person, rows in (("entity_id", "close_rows"), ("id", AGREED))
    )
    assert losing
    assert losing <= closely < everyone
    assert agreeing == everyone - closely


def test_a_register_may_not_be_believed_in_words_that_mean_nothing() -> None:
    with pytest.raises(ValidationError):
        Authority.model_validate({"authority": ["alpha"], "ties": "luck"})
