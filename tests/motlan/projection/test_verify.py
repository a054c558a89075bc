"""The check of the projection: what was altered, removed or added in PostgreSQL, behind the bus's back, is found by its key."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bench.store import ENTITY, FIELDS, make_rows, publish
from motlan.projection import load
from motlan.projection.verify import Mismatch, mismatches
from motlan.workspace import Workspace, open_workspace
from tests.conftest import ROOT, SPINE, Country, spine_record
from tests.motlan.test_pipeline import LATER, whole_job

PERSON = "(select person_id from golden_person order by person_id limit 1)"


def do(country: Country, statement: str) -> None:
    with country.open().store.engine.begin() as connection:
        connection.exec_driver_sql(statement)


def found(country: Country) -> list[tuple[str, str]]:
    return [(one.table, one.what) for one in mismatches(country.open(), "person")]


def test_what_nobody_touched_is_found_right_after_several_publications(country: Country) -> None:
    country.after(whole_job)
    assert found(country) == []
    spine = [row for row in SPINE if row[0] not in ("a3", "a4")]
    renamed = ("a3", "001080000003", "Lê Văn Hùng", "1980-07-08", "male", "2026-09-01")
    country.write("alpha_people", [*map(spine_record, spine), spine_record(renamed, LATER)])
    whole_job()
    assert found(country) == []
    for change in ("golden_value = 'x'", "opened = 9", 'evidence = evidence || \'{"rule": "x"}\''):
        do(country, f"create table kept as table corrections_person; update corrections_person set {change}")
        assert set(found(country)) == {("corrections_person", "altered")}, change
        do(country, "delete from corrections_person")
        assert set(found(country)) == {("corrections_person", "removed")}
        do(country, "insert into corrections_person table kept; drop table kept")
    assert found(country) == []


@pytest.mark.parametrize(
    ("statement", "where"),
    [
        (f"update golden_person set birth_date = '1900-01-01' where person_id = {PERSON}", ("golden_person", "altered")),
        (f"update golden_person set publication = 7 where person_id = {PERSON}", ("golden_person", "altered")),
        (f"delete from golden_person where person_id = {PERSON}", ("golden_person", "removed")),
        ("update feed_person set full_name = 'x' where seq = 2", ("feed_person", "altered")),
        ("update feed_person set sex = death_date, death_date = sex where seq = 1", ("feed_person", "altered")),
        ("update golden_person set tax_code = '' where tax_code is null", ("golden_person", "altered")),
        ("update feed_person set others = array[person_id] where seq = 2", ("feed_person", "altered")),
        ("update feed_person set changed = array['']::text[] where seq = 2", ("feed_person", "altered")),
        ("update feed_person set changed = array[null]::text[] where seq = 2", ("feed_person", "altered")),
        ("delete from feed_person where seq = 3", ("feed_person", "removed")),
        ("update feed_person set digest = null where seq = 3", ("feed_person", "digest")),
        ("insert into feed_person (seq, publication, person_id, event, changed) "
         "select 900000, publication, person_id, event, changed from feed_person where seq = 1", ("feed_person", "added")),
    ],
)  # fmt: skip
def test_a_change_behind_the_buss_back_is_found(country: Country, statement: str, where: tuple[str, str]) -> None:
    country.after(whole_job)
    do(country, statement)
    assert set(found(country)) == {where}


def test_each_row_is_named_by_its_key_publication_and_day(country: Country) -> None:
    country.after(whole_job)
    do(country, "update feed_person set full_name = 'x' where seq in (2, 4)")
    one, other = mismatches(country.open(), "person")
    assert (one.key, one.publication, other.key) == ("2", 1, "4")
    assert len(one.day) == len("2026-12-01")
    assert len(list(mismatches(country.open(), "person", limit=1))) == 1


@pytest.mark.slow
def test_changed_removed_and_mended_persons_are_as_the_lake_has_them(
    tmp_path: Path, store_server: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOTLAN_HOME", str(ROOT))
    monkeypatch.setenv("MOTLAN_VAR", str(tmp_path / "var"))
    monkeypatch.setenv("MOTLAN_DATABASE_URL", store_server("t_verify"))
    monkeypatch.setitem(FIELDS, "school", (26, 34, "'79' || chr(0) || 'x'"))
    work: Workspace = open_workspace()
    make_rows(work, tmp_path, 5_000)
    for number in (1, 2):
        publish(work, number)
    load.project(work, ENTITY, mend=True)
    assert list(mismatches(work, ENTITY)) == []
    with work.store.engine.begin() as connection:
        connection.exec_driver_sql("update golden_person set tax_code = null where tax_code is not null")
    assert {(one.table, one.what) for one in mismatches(work, ENTITY)} == {("golden_person", "altered")}
    assert isinstance(next(mismatches(work, ENTITY)), Mismatch)
