"""What people decided about pairs holds in every linking, whatever the identifiers and the order; contradictions are told."""

import os
import random
from collections import defaultdict
from collections.abc import Iterable, Sequence

import duckdb
import pyarrow as pa
import pytest

from motlan.config.matching import Matching
from motlan.config.registry import load
from motlan.expressions import connect
from motlan.linking import link_rows
from motlan.linking.apply_decisions import Edge, settle
from motlan.linking.decision_constraints import consistent, ways_between
from motlan.linking.linking_rows import ROW
from motlan.linking.model import declared
from tests.conftest import ROOT

HISTORIES = int(os.environ.get("MOTLAN_HISTORIES", "200"))
AT_ONCE = 100
"""Histories of one linking: their people have nothing in common."""
SPINE, CARDS, TAXES = "zeta_people", "beta_cards", "alpha_taxes"
FIELDS = ("dataset", "_key", "personal_id", "full_name", "birth_date", "sex")
Row = tuple[str | None, ...]
Decision = tuple[str, str, bool]


@pytest.fixture(scope="module")
def matching() -> Matching:
    found = load(ROOT).entity("person").matching
    return found.model_copy(update={"spine": [SPINE], "identifiers": ["personal_id"]})


def linked(
    matching: Matching, rows: Sequence[Row], decisions: Iterable[Decision]
) -> tuple[dict[str, str], set[tuple[str, str]], dict[str, str], dict[str, str]]:
    """Link rows; return of each row its person's founder, the contradicted pairs, the pairs for review, and the rules."""
    with connect(threads=1) as engine:
        empty = dict.fromkeys(set(matching.fields) - set(FIELDS), pa.array([None] * len(rows), pa.string()))
        columns = dict(zip(FIELDS, zip(*rows, strict=True), strict=True))
        engine.register("told", pa.table({n: pa.array(c, pa.string()) for n, c in columns.items()} | empty))
        engine.execute("create table facts as from told")
        engine.execute("create table frequencies (comparison varchar, value varchar, share double)")
        engine.execute(f"create table names as select {ROW} as n, _key from facts")
        engine.execute("create table said (one varchar, two varchar, same boolean)")
        if decisions := list(decisions):
            engine.executemany("insert into said values (?, ?, ?)", decisions)
        engine.execute(
            """create temp table decisions as select a.n, b.n as other, same from said
               join names as a on a._key = one join names as b on b._key = two"""
        )
        model = declared(matching).model_copy(update={"persons": 1000, "pairs": 1})
        link_rows.link_all(engine, matching, "facts", model, decided=bool(decisions))
        return told(engine, decided=bool(decisions))


def told(
    engine: duckdb.DuckDBPyConnection, *, decided: bool
) -> tuple[dict[str, str], set[tuple[str, str]], dict[str, str], dict[str, str]]:
    everyone = [key for (key,) in engine.execute("select _key from names").fetchall()]
    founders = "(select n from spine_rows anti join duplicates using (n) union all from provisional_founders)"
    found = engine.execute(
        f"""select mine._key, theirs._key, rule from (
                select n, person, rule from row_links union all select n, person, 'duplicate' from duplicates
                union all select n, n, 'founder' from {founders}) as told
            join names as mine using (n) join names as theirs on theirs.n = told.person"""
    ).fetchall()
    assert sorted(row[0] for row in found) == sorted(everyone), "every row has one person, and no row is lost"
    persons = {row: person for row, person, _ in found}
    assert all(persons[person] == person for person in persons.values()), "a person is founded by a row of its own"
    compared = engine.execute(
        """select mine._key, theirs._key from row_links as links join names as mine using (n)
           join names as theirs on theirs.n = links.compared"""
    ).fetchall()
    assert all(persons[row] == persons[other] for row, other in compared), "a row was compared with one of its person"
    pairs = "select a._key, b._key from {} as p join names as a on a.n = p.n join names as b on b.n = p.other"
    contradicted = {
        (min(pair), max(pair))
        for pair in (engine.execute(pairs.format("contradicted_pairs")).fetchall() if decided else [])
    }
    reviews = dict(engine.execute(pairs.format("review_pairs")).fetchall())
    return persons, contradicted, reviews, {row: rule for row, _, rule in found}


def person(key: str, number: str | None, name: str, born: str = "1980-05-06", dataset: str = SPINE) -> Row:
    return dataset, key, number, name, born, "male"


AN, BINH = "Nguyễn Văn An", "Trần Đức Bình"
PEOPLE = [person("a", "001080000001", AN), person("b", "001080000002", BINH, "1984-03-02")]


def card(
    key: str, of: int | None = None, name: str | None = None, born: str | None = None, dataset: str = CARDS
) -> Row:
    """A card of one of `PEOPLE`, or of somebody without a number."""
    if of is None:
        return person(key, None, name or "Lê Thị Xuân", born or "1950-01-02", dataset)
    return person(key, PEOPLE[of][2], name or str(PEOPLE[of][3]), born or str(PEOPLE[of][4]), dataset)


def test_different_keeps_rows_of_one_number_apart_and_asks_whose_the_other_is(matching: Matching) -> None:
    rows = [*PEOPLE, card("c", 0), card("d", 0, "Nguyen An")]
    assert len(set(linked(matching, rows, [])[0].values())) == 2
    persons, contradicted, reviews, _ = linked(matching, rows, [("c", "d", False)])
    assert (persons["c"], persons["d"], contradicted) == ("a", "d", set())
    assert reviews["d"] == "a"


def test_different_holds_against_the_spines_own_row_and_against_two_rows_of_the_spine(matching: Matching) -> None:
    twice = [*PEOPLE, person("a2", "001080000001", AN), card("c", 0)]
    persons = linked(matching, twice, [])[0]
    assert len({persons["a"], persons["a2"], persons["c"]}) == 1
    persons = linked(matching, twice, [("a", "a2", False)])[0]
    assert persons["a"] != persons["a2"]
    persons = linked(matching, twice, [("c", "a", False)])[0]
    assert persons["c"] != persons["a"]
    assert persons["a"] == persons["a2"], "one of the spine is not parted by it"


def test_different_holds_of_rows_that_come_together_through_a_third(matching: Matching) -> None:
    """Nobody on the spine: three rows alike, of which two are said to be different."""
    rows = [*PEOPLE, card("x"), card("y"), card("z")]
    assert len(set(linked(matching, rows, [])[0].values())) == 3
    persons = linked(matching, rows, [("x", "y", False)])[0]
    assert persons["x"] != persons["y"]
    assert persons["z"] in (persons["x"], persons["y"])


def test_different_carries_over_what_is_the_same(matching: Matching) -> None:
    rows = [
        *PEOPLE,
        card("c", 0),
        card("x", name="Lý Xa", born="1911-01-01"),
        card("y", name="Võ Yên", born="1922-02-02"),
    ]
    persons, contradicted, _, _ = linked(matching, rows, [("x", "y", True), ("y", "c", False), ("x", "a", True)])
    assert contradicted == set()
    assert persons["x"] == persons["y"] == "a"
    assert persons["c"] != "a", "the card bears the number, and is said to be of somebody else than who that is"


def test_same_holds_against_numbers_and_takes_a_whole_group_along(matching: Matching) -> None:
    rows = [*PEOPLE, card("c", 0), card("x", name="Lý Xa", born="1911-01-01")]
    persons, contradicted, _, rules = linked(matching, rows, [("c", "b", True), ("x", "c", True)])
    assert (persons["c"], persons["x"], contradicted) == ("b", "b", set())
    assert (rules["c"], rules["x"]) == ("decided", "decided")


def test_same_of_two_citizens_cards_holds_and_people_are_asked_about_the_other_citizen(matching: Matching) -> None:
    rows = [*PEOPLE, card("c", 0), card("d", 1)]
    persons, _, reviews, _ = linked(matching, rows, [("c", "d", True)])
    assert persons["c"] == persons["d"] in ("a", "b")
    left = "b" if persons["c"] == "a" else "a"
    assert left in reviews.values()


def test_same_for_one_row_with_two_citizens_is_a_contradiction(matching: Matching) -> None:
    rows = [*PEOPLE, card("c", 0), card("x", name="Lý Xa", born="1911-01-01")]
    alone = linked(matching, rows, [])[0]
    for way in ([("x", "a", True), ("x", "b", True)], [("c", "x", True), ("a", "c", True), ("x", "b", True)]):
        persons, contradicted, _, _ = linked(matching, rows, way)
        assert persons == alone, "neither is picked"
        assert contradicted == {(min(pair), max(pair)) for *pair, _ in way}


def test_same_of_two_rows_of_the_spine_makes_them_one(matching: Matching) -> None:
    rows = [*PEOPLE, card("c", 0), card("d", 1), card("x")]
    persons, contradicted, _, _ = linked(matching, rows, [("a", "b", True), ("x", "a", True), ("x", "b", True)])
    assert (len(set(persons.values())), contradicted) == (1, set())


def test_same_and_different_that_contradict_are_told_and_not_chosen_from(matching: Matching) -> None:
    rows = [*PEOPLE, card("x", name="Lý Xa", born="1911-01-01"), card("y", name="Võ Yên", born="1922-02-02"),
            card("z", name="Hồ Zi", born="1933-03-03"), card("w", name="Đỗ Oanh", born="1944-04-04")]  # fmt: skip
    alone = linked(matching, rows, [])[0]
    decisions = [("x", "y", True), ("y", "z", True), ("x", "z", False)]
    persons, contradicted, _, _ = linked(matching, rows, decisions)
    assert persons == alone
    assert contradicted == {("x", "y"), ("y", "z"), ("x", "z")}
    persons, contradicted, _, _ = linked(matching, rows, [*decisions, ("z", "w", True)])
    assert persons["z"] == persons["w"], "what is no part of it holds"
    assert contradicted == {("x", "y"), ("y", "z"), ("x", "z")}


def test_taking_a_decision_back_is_as_if_it_never_was(matching: Matching) -> None:
    rows = [*PEOPLE, card("c", 0), card("d", 0, "Nguyen An"), card("x")]
    for decision in (("c", "d", False), ("x", "b", True), ("a", "b", True), ("c", "a", False)):
        assert linked(matching, rows, [decision])[0] != linked(matching, rows, [])[0]
    before = linked(matching, rows, [("c", "d", False)])
    assert linked(matching, rows, [("c", "d", False)]) == before


def test_ways_between_two_rows_pass_none_twice() -> None:
    near: dict[int, set[int]] = defaultdict(set)
    for one, other in ((1, 2), (2, 3), (3, 4), (2, 5), (5, 6), (6, 2), (4, 7), (3, 8), (8, 4)):
        near[one].add(other)
        near[other].add(one)
    assert ways_between(near, 1, 4) == {(1, 2), (2, 3), (3, 4), (3, 8), (4, 8)}
    assert ways_between(near, 1, 9) == set()


def test_a_group_of_thousands_is_settled_at_once() -> None:
    many = [(row, row + 1) for row in range(1, 5000)]
    found = consistent(many, [(1, 5001)])
    assert found.same == frozenset(many)
    done = settle(found, set(), [], range(1, 5002), [], [Edge(5000, 5001, "pair", 30.0, 1.0)])
    assert [edge.pair for edge in done.refused] == [(5000, 5001)]
    assert consistent(many, [(1, 5000)]).same == frozenset()


def history(chance: random.Random, place: int) -> tuple[list[Row], list[Decision]]:
    """A few people, their rows with numbers and namesakes mixed up, and random decisions about them."""
    year, start = 1900 + place % 100, f"{place:05d}"
    names = [f"{family} {start} An".replace("0", "Ơ") for family in ("Nguyễn", "Trần", "Lê")]
    born = [f"{year}-{month:02d}-{1 + place % 28:02d}" for month in (3, 4, 3)]
    rows = [person(f"{start}s{who}", f"00{who}0{start}0{who:02d}", names[who], born[who]) for who in range(3)]
    if chance.random() < 0.4:
        rows.append(person(f"{start}s3", *map(str, rows[0][2:5])))
    for number in range(chance.randrange(2, 7)):
        who, borne = chance.randrange(4), chance.randrange(4)
        id_ = rows[borne][2] if borne < 3 and chance.random() < 0.8 else None
        name, day = (names[who], born[who]) if who < 3 else (f"Vũ {start} Mai", f"{year}-12-24")
        rows.append(person(f"{start}r{number}", id_, name, day, chance.choice((CARDS, TAXES))))
    keys = [str(row[1]) for row in rows]
    pairs = {tuple(sorted(chance.sample(keys, 2))) for _ in range(chance.randrange(1, 8))}
    return rows, [(*pair, chance.random() < 0.5) for pair in sorted(pairs)]


def groups_of(decisions: Iterable[Decision]) -> dict[str, str]:
    over: dict[str, str] = {}
    for one, other, same in decisions:
        mine, theirs = over.setdefault(one, one), over.setdefault(other, other)
        if same:
            over = {row: mine if top == theirs else top for row, top in over.items()}
    return over


def check(decisions: Sequence[Decision], persons: dict[str, str], contradicted: set[tuple[str, str]]) -> None:
    groups = groups_of(decisions)
    wrong = {groups[one] for one, other, same in decisions if not same and groups[one] == groups[other]}
    several = defaultdict(set)
    for row, group in groups.items():
        several[group].add(row) if row[5] == "s" else None
    wrong |= {group for group, spine in several.items() if len(spine) > 1}
    for one, other, same in decisions:
        assert same or persons[one] != persons[other], "different, and one person"
        if same and (one, other) not in contradicted:
            assert persons[one] == persons[other], "the same, uncontradicted, and two persons"
        if (one, other) in contradicted:
            assert groups[one] in wrong, "nothing contradicts it"
    for one, other, same in decisions:
        if not same and groups[one] == groups[other]:
            assert (one, other) in contradicted, "a contradiction that nobody is told of"


@pytest.mark.slow
def test_decisions_in_any_order_bind_and_contradictions_are_told(matching: Matching) -> None:
    seed = int(os.environ["MOTLAN_SEED"]) if "MOTLAN_SEED" in os.environ else 7
    for start in range(0, HISTORIES, AT_ONCE):
        chance = random.Random(f"{seed} {start}")
        worlds = [history(chance, start + place) for place in range(min(AT_ONCE, HISTORIES - start))]
        rows, decisions = ([one for world in worlds for one in world[side]] for side in (0, 1))
        persons, contradicted, reviews, rules = linked(matching, rows, decisions)
        for _, mine in worlds:
            check(mine, persons, contradicted)
        turned = [(other, one, same) if chance.random() < 0.5 else (one, other, same) for one, other, same in decisions]
        again = linked(matching, chance.sample(rows, len(rows)), chance.sample(turned, len(turned)))
        assert again == (persons, contradicted, reviews, rules), "the order decides nothing"
