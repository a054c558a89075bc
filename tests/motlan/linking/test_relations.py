"""Every relation of a linking is made once and changed by nothing, and goes when no later step reads it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import duckdb
import pytest

from motlan.config.matching import Matching
from motlan.config.registry import load
from motlan.errors import InternalError
from motlan.expressions import connect
from motlan.identifier_history import former_query
from motlan.linking import link_rows
from motlan.linking.linking_rows import ROW
from motlan.linking.relations import Relations, Step
from tests.conftest import ROOT

SPINE, CARDS = "zeta_people", "beta_cards"
MADE = re.compile(r"create temp (?:table|view) (\w+) as", re.IGNORECASE)
FILLED = re.compile(r"insert into (\w+)", re.IGNORECASE)
CHANGES = re.compile(r"\b(or replace|delete|update|alter|truncate)\b", re.IGNORECASE)
NAMES = ("An", "Bình", "Chi", "Dũng", "Em", "Giang")


class Recorder:
    """An engine session that writes down its statements."""

    def __init__(self, engine: duckdb.DuckDBPyConnection) -> None:
        self.engine, self.statements = engine, list[str]()

    def execute(self, query: str, *given: Any) -> Any:
        self.statements.append(query)
        return self.engine.execute(query, *given)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)

    def relations(self) -> set[str]:
        query = """select table_name from duckdb_tables() where temporary
                   union select view_name from duckdb_views() where temporary and not internal"""
        return {name for (name,) in self.engine.execute(query).fetchall()} - {"versions", "decisions", "remembered"}


@pytest.fixture
def engine() -> Iterator[Recorder]:
    with connect(threads=1) as session:
        yield Recorder(session)


@pytest.fixture(scope="module")
def matching() -> Matching:
    found = load(ROOT).entity("person").matching
    return found.model_copy(update={"spine": [SPINE]})


def fill(engine: duckdb.DuckDBPyConnection, matching: Matching) -> None:
    """Make `versions`, with two versions of some records of the spine and one that is gone, and `decisions` on a few of them."""
    rows = []
    for number, name in enumerate(NAMES * 3):
        born = f"19{60 + number}-03-04"
        for version in (0, 1):
            id_ = f"0010{60 + number}{version if number % 4 == 0 else 0:06d}"
            rows.append((SPINE, f"z{number}", f"r{number}/z/{version}", 2 - version, id_, f"Nguyễn Văn {name}", born))
        rows.append(
            (CARDS, f"b{number}", f"r{number}/b/0", 1, rows[-2][4] if number % 3 else None, f"Nguyễn Văn {name}", born)
        )
    rows += [(CARDS, f"c{number}", f"r/c/{number}", 1, None, "Lê Thị Xuân", "1950-01-02") for number in range(3)]
    others = {*matching.fields} - {"personal_id", "full_name", "birth_date"}
    nulls = "".join(f", null::varchar as {name}" for name in sorted(others))
    values = ", ".join(str(row).replace("None", "null") for row in rows)
    engine.execute(
        f"""create temp table versions as select *{nulls}
            from (values {values}) as v(dataset, _key, _ref, _age, personal_id, full_name, birth_date)"""
    )
    keys = [f"(select {ROW} from versions where _key = '{key}' and _age = 1)" for key in ("c0", "c1", "b2", "z2")]
    engine.execute(
        f"""create temp table decisions as select {keys[0]} as n, {keys[1]} as other, true as same
            union all select {keys[2]}, {keys[3]}, false"""
    )


FACTS = "(from versions where _age = 1 and _key != 'z5')"
HISTORIES = f"(select *, _age = 1 and _key != 'z5' as _stands from versions where dataset = '{SPINE}')"
RUNS: dict[str, dict[str, Any]] = {
    "learned": {},
    "with former rows": {"earlier": former_query(HISTORIES, ["personal_id"])},
    "with decisions": {"decided": True},
    "with both": {"earlier": former_query(HISTORIES, ["personal_id"]), "decided": True},
}


@pytest.mark.parametrize(
    ("given", "spine"), [*((given, True) for given in RUNS.values()), ({}, False)], ids=[*RUNS, "no spine"]
)
def test_a_linking_makes_each_relation_once_and_changes_none(
    engine: Recorder, matching: Matching, given: dict[str, Any], spine: bool
) -> None:
    fill(engine.engine, matching)
    declared = matching if spine else matching.model_copy(update={"spine": []})
    linking = link_rows.link_all(engine, declared, FACTS, **given)  # type: ignore[arg-type]
    made = [name for statement in engine.statements for name in MADE.findall(statement)]
    assert sorted(made) == sorted(set(made))
    assert not [statement for statement in engine.statements if CHANGES.search(statement)]
    for place, statement in enumerate(engine.statements):
        for name in FILLED.findall(statement):
            begun = [p for p, other in enumerate(engine.statements) if name in MADE.findall(other)]
            assert begun[0] < place
            between = engine.statements[begun[0] + 1 : place]
            assert not [other for other in between if re.search(rf"(from|join) {name}\b", other)], (
                "read before it was whole"
            )
    shown = {name for name in made if name in engine.relations()}
    assert {*linking.results} <= shown
    behind = {name for name in shown if name.startswith(("links_", "reviews_", "scored_", "settled_", "rows_decided"))}
    rest = shown - behind - {*linking.results}
    assert rest <= {"spine_rows", "left_rows", "earlier_rows", "frequencies", "found_duplicates"}
    linking.close()
    assert engine.relations() <= {"frequencies"}


def step(name: str, reads: tuple[str, ...], makes: tuple[str, ...], run: Any) -> Step:
    return Step(name, reads, makes, run)


def test_a_second_relation_of_one_name_is_refused(engine: Recorder) -> None:
    relations = Relations(engine)  # type: ignore[arg-type]
    relations.make("links", "select 1 as n")
    with pytest.raises(InternalError, match="links is made a second time"):
        relations.make("links", "select 2 as n")
    relations.drop("links")
    with pytest.raises(InternalError, match="links is made a second time"):
        relations.show("links", "select 2 as n")


def test_a_relation_goes_when_no_later_step_reads_it_and_a_view_keeps_what_it_shows(engine: Recorder) -> None:
    relations = Relations(engine)  # type: ignore[arg-type]
    seen: list[set[str]] = []

    def first() -> None:
        relations.make("pairs", "select 1 as n")
        relations.make("scratch", "select 1 as n")

    def second() -> None:
        seen.append(engine.relations())
        relations.make("weighed", "from pairs")
        relations.show("best", "from weighed")

    def third() -> None:
        seen.append(engine.relations())
        relations.show("result", "from best")

    steps = [
        step("find pairs", (), ("pairs",), first),
        step("weigh them", ("pairs",), ("best",), second),
        step("show the best", ("best",), ("result",), third),
    ]
    relations.run(steps, ["result"])
    assert seen == [{"pairs"}, {"weighed", "best"}]
    assert engine.relations() == {"weighed", "best", "result"}
    relations.close()
    assert engine.relations() == set()


def test_a_step_that_reads_what_it_does_not_declare_or_makes_less_is_refused(engine: Recorder) -> None:
    relations = Relations(engine)  # type: ignore[arg-type]
    first = step("find pairs", (), ("pairs",), lambda: relations.make("pairs", "select 1 as n"))
    reader = step("weigh them", (), ("weighed",), lambda: relations.make("weighed", "from pairs"))
    with pytest.raises(InternalError, match="reads pairs undeclared"):
        relations.run([first, reader], ["pairs", "weighed"])
    words = "select 1 as pairs, 'pairs' as what"
    same_words = step("weigh them", (), ("weights",), lambda: relations.make("weights", words))
    relations.run([same_words], ["pairs", "weights"])
    with pytest.raises(InternalError, match="does not make clusters"):
        Relations(engine).run([step("cluster", (), ("clusters",), lambda: None)], [])  # type: ignore[arg-type]
