"""Linking by numbers that records bore before, on tables alone: whose a row is, and what people are asked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import duckdb
import pytest

from motlan.config.matching import Matching
from motlan.config.registry import load
from motlan.expressions import connect, one
from motlan.identifier_history import former_query
from motlan.linking import former_rows, link_rows
from motlan.linking.linking_rows import ROW
from tests.conftest import ROOT

SPINE, CARDS = "zeta_people", "beta_cards"
OLD, NEW, THIRD = "001090000001", "001085000071", "001085000072"
FIELDS = (
    "personal_id", "old_identity_number", "full_name", "birth_date", "sex", "birth_province",
    "residence_commune", "residence_province",
)  # fmt: skip
MAN = {"personal_id": OLD, "full_name": "Nguyễn Văn An", "birth_date": "1990-02-03", "sex": "male"}
MENDED = {**MAN, "personal_id": NEW, "birth_date": "1985-02-03"}
WOMAN = {"personal_id": "001190000002", "full_name": "Trần Thị Bình", "birth_date": "1990-05-06", "sex": "female"}
Row = dict[str, str | None]
EARLIER = former_query("histories", ["personal_id", "old_identity_number"])


@pytest.fixture(scope="module")
def matching() -> Matching:
    return load(ROOT).entity("person").matching.model_copy(update={"spine": [SPINE]})


@pytest.fixture
def engine() -> Iterator[duckdb.DuckDBPyConnection]:
    with connect() as found:
        yield found


class Linked:
    """What came of a linking: card -> record; card -> (record, why) of what people are asked."""

    def __init__(self, engine: duckdb.DuckDBPyConnection, linking: link_rows.Linking) -> None:
        self.linking, self.model = linking, linking.model
        keys = f"(select {ROW} as n, dataset, _key from facts)"
        self.links = dict(
            engine.execute(
                f"select mine._key, theirs._key from row_links as links join {keys} as mine using (n) "
                f"join {keys} as theirs on theirs.n = links.person order by all"
            ).fetchall()
        )
        self.asked = {
            mine: (theirs, why)
            for mine, theirs, why in engine.execute(
                f"select mine._key, theirs._key, reason from review_pairs as asked join {keys} as mine using (n) "
                "left join (select n, record from former_rows) as former on former.n = asked.other "
                f"join {keys} as theirs on theirs.n = coalesce(former.record, asked.other) order by all"
            ).fetchall()
        }


def linked(
    engine: duckdb.DuckDBPyConnection,
    matching: Matching,
    records: dict[str, list[Row]],
    cards: dict[str, Row],
    gone: str = "",
    different: tuple[str, str] | None = None,
) -> Linked:
    """Link cards to records of which the versions are told, the oldest first; one may be gone, two decided apart."""
    told: list[tuple[Any, ...]] = []
    for dataset, rows in ((SPINE, records), (CARDS, {key: [row] for key, row in cards.items()})):
        for key, versions in rows.items():
            for number, row in enumerate(versions):
                values = (row.get(name) for name in FIELDS)
                told.append((dataset, key, f"{dataset}/{key}/{number}", len(versions) - number, *values))
    columns = ", ".join(f"{name} varchar" for name in FIELDS)
    engine.execute(
        f"create or replace table versions (dataset varchar, _key varchar, _ref varchar, _age int, {columns})"
    )
    engine.executemany(f"insert into versions values ({', '.join('?' * (4 + len(FIELDS)))})", told)
    engine.execute(f"create or replace table facts as from versions where _age = 1 and _key != '{gone}'")
    engine.execute(
        f"create or replace view histories as select *, _age = 1 and _key != '{gone}' as _stands from versions "
        f"where dataset = '{SPINE}'"
    )
    if different:
        keys = [f"(select {ROW} from facts where _key = '{key}')" for key in different]
        engine.execute(
            f"create or replace temp table decisions as select {keys[0]} as n, {keys[1]} as other, false as same"
        )
    done = link_rows.link_all(engine, matching, "facts", earlier=EARLIER, decided=different is not None)
    return Linked(engine, done)


KEPT = {
    "birth year": MENDED,
    "place": {**MAN, "personal_id": "079090000071"},
    "sex": {**MAN, "personal_id": "001190000071", "sex": "female"},
    "day and place": {**MAN, "personal_id": "079090000071", "birth_date": "1990-02-13"},
    "a slip of the name": {**MENDED, "full_name": "Nguyễn Văn Anh"},
}


@pytest.mark.parametrize("mended", KEPT.values(), ids=KEPT)
def test_a_row_with_the_cancelled_number_is_its_records(
    engine: duckdb.DuckDBPyConnection, matching: Matching, mended: Row
) -> None:
    found = linked(engine, matching, {"z1": [MAN, mended], "z2": [WOMAN]}, {"b1": MAN, "b2": WOMAN})
    assert found.links == {"b1": "z1", "b2": "z2"}
    assert found.asked == {}


def test_a_row_that_people_keep_apart_from_a_record_is_not_linked_by_a_number_that_it_bore(
    engine: duckdb.DuckDBPyConnection, matching: Matching
) -> None:
    found = linked(
        engine, matching, {"z1": [MAN, MENDED], "z2": [WOMAN]}, {"b1": MAN, "b2": WOMAN}, different=("b1", "z1")
    )
    assert found.links == {"b2": "z2"}
    assert found.asked == {}


HISTORIES = {
    "two changes in a row": [MAN, MENDED, {**MENDED, "personal_id": THIRD}],
    "changed and returned": [MAN, MENDED, MAN],
    "withdrawn": [MAN, {**MAN, "personal_id": None}],
    "an old card's number before the personal ID": [
        {**MAN, "personal_id": None, "old_identity_number": "012345678"},
        MENDED,
    ],
}


@pytest.mark.parametrize("versions", HISTORIES.values(), ids=HISTORIES)
def test_every_number_that_a_record_ever_bore_is_known(
    engine: duckdb.DuckDBPyConnection, matching: Matching, versions: list[Row]
) -> None:
    cards = {f"b{number}": row for number, row in enumerate(versions)}
    found = linked(engine, matching, {"z1": versions, "z2": [WOMAN]}, cards)
    assert found.links == dict.fromkeys(cards, "z1")
    assert found.asked == {}


def test_a_row_that_was_mended_but_for_its_number_is_its_records(
    engine: duckdb.DuckDBPyConnection, matching: Matching
) -> None:
    found = linked(engine, matching, {"z1": [MAN, MENDED], "z2": [WOMAN]}, {"b1": {**MENDED, "personal_id": OLD}})
    assert found.links == {"b1": "z1"}


THIN = {
    "another name": {**MAN, "full_name": "Phạm Quốc Dũng"},
    "another birth date": {**MAN, "birth_date": "1971-11-23"},
    "another family name": {**MAN, "full_name": "Trần Đình An"},
    "another of the family": {**MAN, "full_name": "Nguyễn Thị Lan", "birth_date": "1962-12-30", "sex": "female"},
}


@pytest.mark.parametrize("card", THIN.values(), ids=THIN)
def test_a_row_with_the_cancelled_number_that_disagrees_is_for_people(
    engine: duckdb.DuckDBPyConnection, matching: Matching, card: Row
) -> None:
    found = linked(engine, matching, {"z1": [MAN, MENDED], "z2": [WOMAN]}, {"b1": card})
    assert found.links == {}
    assert found.asked == {"b1": ("z1", former_rows.FORMER_NUMBER)}


def test_a_record_that_became_somebody_elses_keeps_no_number(
    engine: duckdb.DuckDBPyConnection, matching: Matching
) -> None:
    other = {"personal_id": NEW, "full_name": "Lê Thị Mai", "birth_date": "1985-07-19", "sex": "female"}
    found = linked(engine, matching, {"z1": [MAN, other], "z2": [WOMAN]}, {"b1": MAN})
    assert found.links == {}
    assert found.asked == {"b1": ("z1", former_rows.FORMER_NUMBER)}


def test_a_number_that_somebody_else_bears_now_is_theirs(engine: duckdb.DuckDBPyConnection, matching: Matching) -> None:
    heir = {"personal_id": OLD, "full_name": "Võ Minh Hải", "birth_date": "1990-08-17", "sex": "male"}
    found = linked(engine, matching, {"z1": [MAN, MENDED], "z2": [heir]}, {"b1": heir, "b2": MAN})
    assert found.links == {"b1": "z2"}
    assert found.asked == {"b2": ("z1", former_rows.FORMER_NUMBER)}


def test_a_number_that_two_records_bore_is_whose_the_rest_says(
    engine: duckdb.DuckDBPyConnection, matching: Matching
) -> None:
    records = {"z1": [MAN, MENDED], "z2": [{**WOMAN, "personal_id": OLD}, WOMAN]}
    found = linked(engine, matching, records, {"b1": MAN, "b2": {**WOMAN, "personal_id": OLD}})
    assert found.links == {"b1": "z1", "b2": "z2"}


def test_a_slip_in_the_cancelled_number_is_seen_for_one(engine: duckdb.DuckDBPyConnection, matching: Matching) -> None:
    card = {**MAN, "personal_id": "001090000010", "residence_commune": "00118"}
    records = {"z1": [{**MAN, "residence_commune": "00118"}, {**MENDED, "residence_commune": "00118"}], "z2": [WOMAN]}
    assert linked(engine, matching, records, {"b1": card}).links == {"b1": "z1"}


TWINS = {
    "An and Ân": "Nguyễn Văn Ân",
    "tones only": "Nguyễn Văn Ẩn",
    "a middle name": "Nguyễn Vân An",
}


@pytest.mark.parametrize("name", TWINS.values(), ids=TWINS)
@pytest.mark.parametrize("number", [None, "001090000777"])
def test_a_twin_whose_name_has_other_marks_is_for_people(
    engine: duckdb.DuckDBPyConnection, matching: Matching, name: str, number: str | None
) -> None:
    places = {"residence_commune": "00118", "residence_province": "01"}
    twin = {**MAN, **places, "full_name": name, "personal_id": number}
    found = linked(engine, matching, {"z1": [{**MAN, **places}], "z2": [WOMAN]}, {"b1": twin})
    assert found.links == {}
    assert found.asked == {"b1": ("z1", "other_marks")}


def test_twins_of_whom_the_spine_has_none_stay_two(engine: duckdb.DuckDBPyConnection, matching: Matching) -> None:
    man = {**MAN, "personal_id": None, "residence_commune": "00118"}
    twins = {"b1": man, "b2": {**man, "full_name": "Nguyễn Văn Ân"}}
    found = linked(engine, matching, {"z2": [WOMAN]}, twins)
    assert found.links == {}
    assert {why for _, why in found.asked.values()} == {"other_marks"}


@pytest.mark.parametrize("name", ["NGUYEN VAN AN", "Nguyễn Văn An", "nguyen van an"])
def test_a_name_without_any_marks_may_have_lost_them(
    engine: duckdb.DuckDBPyConnection, matching: Matching, name: str
) -> None:
    card = {**MAN, "personal_id": None, "full_name": name}
    assert linked(engine, matching, {"z1": [MAN], "z2": [WOMAN]}, {"b1": card}).links == {"b1": "z1"}


def test_a_common_number_outweighs_other_marks(engine: duckdb.DuckDBPyConnection, matching: Matching) -> None:
    card = {**MAN, "full_name": "Nguyễn Văn Ân"}
    assert linked(engine, matching, {"z1": [MAN], "z2": [WOMAN]}, {"b1": card}).links == {"b1": "z1"}


HEIRS = {
    "place": ({**MAN, "personal_id": "079090000071"}, True),
    "sex": ({**MAN, "personal_id": "001190000071", "sex": "female"}, True),
    "day": ({**MAN, "personal_id": "079090000071", "birth_date": "1990-02-13"}, True),
    "birth year": (MENDED, True),
    "somebody else": ({**MAN, "personal_id": NEW, "full_name": "Lê Thị Mai", "birth_date": "1962-12-30"}, False),
}


@pytest.mark.parametrize(("mended", "same"), HEIRS.values(), ids=HEIRS)
def test_a_record_that_came_after_one_that_is_gone_has_its_number(
    engine: duckdb.DuckDBPyConnection, matching: Matching, mended: Row, same: bool
) -> None:
    places = {"residence_commune": "00118", "residence_province": "01"}
    records = {"z1": [{**MAN, **places}], "z9": [{**mended, **places}], "z2": [WOMAN]}
    found = linked(engine, matching, records, {"b1": MAN}, gone="z1")
    assert (found.links, found.asked) == (({"b1": "z9"}, {}) if same else ({}, {}))


def test_what_was_weighed_before_is_not_weighed_again_and_nothing_differs(
    engine: duckdb.DuckDBPyConnection, matching: Matching
) -> None:
    """A pair's weight is of its two rows as they stand; what numbers a record bore is looked at anew each time."""
    records = {"z1": [MAN, MENDED], "z2": [WOMAN], "z3": [{**MAN, "personal_id": THIRD, "full_name": "Võ Minh Hải"}]}
    cards = {
        "b1": MAN,
        "b2": WOMAN,
        "b3": {**MAN, "full_name": "Phạm Quốc Dũng"},
        "b4": {**MENDED, "personal_id": None},
        "b5": {**MAN, "personal_id": "001090000010"},
    }
    before = linked(engine, matching, {**records, "z1": [MAN]}, cards)
    assert before.links["b1"] == "z1"
    model, told = (
        before.model,
        "from row_links union all from (select n, other, null, reason, match_weight, probability, 0 from review_pairs)",
    )
    engine.execute("create temp table weighed as from scored_pairs")
    before.linking.close()
    engine.execute("drop table frequencies")
    linked(engine, matching, records, cards).linking.close()
    frozen = link_rows.link_all(engine, matching, "facts", model, earlier=EARLIER)
    whole = engine.execute(f"{told} order by all").fetchall()
    weighed = one(engine, "select count(*) from scored_pairs")[0]
    same = f"(select {ROW} as n from facts where _key != 'z1')"
    frozen.close()
    engine.execute(
        f"""create temp table remembered as select n, other, match_weight from weighed semi join {same} using (n)
            semi join (select n as other from {same}) using (other)"""
    )
    again = link_rows.link_all(engine, matching, "facts", model, earlier=EARLIER, remembered=True)
    assert engine.execute(f"{told} order by all").fetchall() == whole
    assert one(engine, "select count(*) from scored_pairs")[0] < weighed
    assert Linked(engine, again).asked["b3"] == ("z1", former_rows.FORMER_NUMBER)
