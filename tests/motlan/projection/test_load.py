"""The projection: PostgreSQL's golden tables and feed, filled in bulk, changed by publications, and built anew without a reader's
noticing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from bench.store import ENTITY, make_rows, publish
from motlan.lake.iceberg import current
from motlan.projection import load, tables
from motlan.workspace import Workspace, open_workspace
from tests.conftest import ROOT

ROWS = 5_000
CHANGES = 5
EARLIER = """
    create table golden_person (person_id uuid primary key, publication bigint not null);
    create table feed_person (seq bigint primary key, publication bigint not null, person_id uuid not null, event text not null,
        changed text[] not null, others uuid[]);
    create table corrections_person (dataset text, key text, field text, person_id uuid not null, ref text not null, value text,
        golden_value text, authority text, opened bigint not null, refreshed bigint not null, severity text, evidence jsonb,
        primary key (dataset, key, field))"""
"""The tables as they were before they had partitions; the fields were added as text."""


@pytest.fixture
def work(
    tmp_path: Path, store_server: Callable[[str], str], monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Workspace:
    """An installation whose lake holds two runs' golden persons, and whose partitions are small."""
    monkeypatch.setenv("MOTLAN_HOME", str(ROOT))
    monkeypatch.setenv("MOTLAN_VAR", str(tmp_path / "var"))
    monkeypatch.setenv("MOTLAN_DATABASE_URL", store_server(f"t_project_{abs(hash(request.node.name)):x}"))
    monkeypatch.setenv("MOTLAN_GOLDEN_PARTITION_ROWS", str(ROWS // 4))
    monkeypatch.setenv("MOTLAN_FEED_PARTITION_ROWS", str(ROWS + 2))
    opened = open_workspace()
    make_rows(opened, tmp_path, ROWS)
    return opened


def rows(work: Workspace, query: str) -> list[tuple[Any, ...]]:
    with work.store.engine.connect() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(query)]


def lake(work: Workspace) -> list[tuple[Any, ...]]:
    """The persons as the lake has them now, in the order of their ids."""
    published = {run for (run,) in rows(work, "select run from publications")}
    fields = ", ".join(work.registry.entity(ENTITY).fields)
    with work.engine("reading") as engine:
        files = work.lake.files("golden.person", published)
        return engine.execute(
            f"select entity_id, {fields} from {current(files, ('entity_id',))} order by all"
        ).fetchall()


def golden(work: Workspace) -> list[tuple[Any, ...]]:
    fields = ", ".join(work.registry.entity(ENTITY).fields)
    return rows(work, f"select person_id::text, {fields} from golden_person order by person_id")


def parts(work: Workspace, table: str) -> int:
    return rows(work, f"select count(*) from pg_inherits where inhparent = '{table}'::regclass")[0][0]


@pytest.mark.parametrize(
    ("expected", "made"), [(0, 1), (1, 1), (8_000_000, 1), (8_000_001, 2), (24_000_001, 4), (100_000_000, 16)]
)
def test_golden_has_as_many_partitions_as_its_rows_need(expected: int, made: int) -> None:
    assert len(person_mirror().golden_parts(expected)) == made


def test_the_feeds_partitions_follow_each_other_without_gaps() -> None:
    made = person_mirror().feed_parts(9_999_999, 20_000_001)
    assert [statement.split("values ")[1] for statement in made] == [
        "from (1) to (10000001)",
        "from (10000001) to (20000001)",
        "from (20000001) to (30000001)",
    ]


def person_mirror() -> tables.Mirror:
    return tables.Mirror("person", "person_id", "person_id", (), {}, {}, ())


@pytest.mark.slow
def test_a_first_publication_and_a_further_one_make_what_the_lake_has(work: Workspace) -> None:
    publish(work, 1)
    assert load.project(work, ENTITY) == 1
    assert (parts(work, "golden_person"), parts(work, "feed_person")) == (4, 1)
    assert golden(work) == lake(work)
    assert load.project(work, ENTITY) == 0
    publish(work, 2)
    assert load.project(work, ENTITY) == 1
    assert golden(work) == lake(work)
    assert parts(work, "feed_person") == 2
    assert rows(work, "select count(*), min(seq), max(seq) from feed_person") == [(ROWS + CHANGES, 1, ROWS + CHANGES)]
    told = rows(work, f"select event, changed from feed_person where seq > {ROWS} order by event")
    assert told == [("created", []), ("removed", []), *[("updated", ["residence_commune"])] * (CHANGES - 2)]


@pytest.mark.slow
def test_a_look_up_by_id_or_identifier_uses_an_index(work: Workspace) -> None:
    publish(work, 1)
    load.project(work, ENTITY)
    ((person_id, personal_id),) = rows(
        work, "select person_id::text, personal_id from golden_person where personal_id is not null limit 1"
    )
    for asked in (f"person_id = '{person_id}'", f"personal_id = '{personal_id}'"):
        plan = rows(work, f"explain select * from golden_person where {asked}")
        assert any("Index" in line for (line,) in plan)
        assert not any("Seq Scan" in line for (line,) in plan)


@pytest.mark.slow
def test_a_database_made_before_there_were_partitions_is_built_anew_from_the_lake(work: Workspace) -> None:
    for number in (1, 2):
        publish(work, number)
    with work.store.engine.begin() as connection:
        connection.exec_driver_sql(EARLIER)
        for field in work.registry.entity(ENTITY).fields:
            for table in ("golden_person", "feed_person"):
                connection.exec_driver_sql(f"alter table {table} add column {field} text")
        connection.exec_driver_sql("insert into golden_person values (gen_random_uuid(), 1)")
        connection.exec_driver_sql("update publications set projected_at = now()")
    assert load.project(work, ENTITY) == 2
    assert golden(work) == lake(work)
    assert (parts(work, "golden_person"), parts(work, "feed_person")) == (4, 2)
    assert load.project(work, ENTITY) == 0


@pytest.mark.slow
def test_readers_wait_for_no_load_and_a_kill_leaves_them_what_they_had(
    work: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(work, 1)
    load.project(work, ENTITY)
    with work.store.engine.begin() as connection:
        connection.exec_driver_sql(
            "create table kept as table golden_person; drop table golden_person; alter table kept rename to golden_person"
        )
    before = golden(work)

    def read_and_die(*_: object) -> None:
        with work.store.engine.begin() as reader:
            reader.execute(sa.text("set local lock_timeout = '1s'"))
            assert reader.execute(sa.text("select count(*) from golden_person")).scalar_one() == ROWS
            assert reader.execute(sa.text("select count(*) from feed_person")).scalar_one() == ROWS
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(load, "_take_place", read_and_die)
        with pytest.raises(KeyboardInterrupt):
            load.project(work, ENTITY)
    assert golden(work) == before
    assert rows(work, f"select to_regnamespace('{load.ASIDE}')") == [(None,)]
    assert load.project(work, ENTITY) == 1
    assert (parts(work, "golden_person"), golden(work)) == (4, before)


@pytest.mark.slow
def test_an_entity_declared_later_is_filled_by_the_publication_that_first_has_it(work: Workspace) -> None:
    publish(work, 1)
    load.project(work, ENTITY)
    ((run,),) = rows(work, "select max(id) from runs")
    fields = ", ".join(f"'x' as {field}" for field in work.registry.related_entities["membership"].fields)
    target = work.lake.staged_file("golden.membership", run)
    with work.engine("making rows") as engine:
        engine.execute(
            f"""copy (select uuid()::varchar as id, uuid()::varchar as entity_id, 'cards' as dataset, i::varchar as _key,
                             'ref' as _ref, null::varchar as _moment, 'created' as _op, ['x'] as _changed, i as _ordinal,
                             {fields}, '{run}' as _run
                      from range(1, 11) as numbers(i)) to '{target}' (format parquet)"""
        )
    work.lake.commit("golden.membership", run)
    publish(work, 2)
    with work.store.engine.begin() as connection:
        connection.exec_driver_sql("insert into related_publications values (2, 'membership', 1, 10)")
    assert load.project(work, ENTITY) == 1
    assert rows(work, "select count(*), min(publication) from golden_membership") == [(10, 2)]
    assert rows(work, "select min(seq), max(seq), count(distinct id) from feed_membership") == [(1, 10, 10)]
    assert golden(work) == lake(work)
