"""Linking on a dense simulated country: the same groups whatever the threads, the order of arrival, or what is remembered."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench import linking as bench
from motlan.config.matching import Matching
from motlan.config.registry import load
from motlan.expressions import connect, one
from motlan.lake.iceberg import read_parquet
from motlan.linking import link_rows, model_training
from motlan.linking.linking_rows import ROW, Kept
from motlan.linking.model import Model, declared
from motlan.linking.relations import Relations
from simulators import make_ranges
from tests.conftest import ROOT

PEOPLE = 2500
LINKED = "select n, person, compared, rule, round(match_weight, 6), round(probability, 6) from row_links order by all"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("linking")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOTLAN_HOME", str(ROOT))
        patch.setenv("MOTLAN_VAR", str(folder / "var"))
        make_ranges(folder / "world", people=PEOPLE, seed=4, dirt="heavy", dense=True, people_a_range=1200)
        bench.clean(folder)
        yield folder


@pytest.fixture(scope="module")
def matching() -> Matching:
    return load(ROOT).entity("person").matching


def session(work: Path, threads: int = 2) -> duckdb.DuckDBPyConnection:
    engine = connect(temp_dir=work / "spill", allowed=[work], threads=threads)
    files = read_parquet([str(path) for path in sorted((work / "facts").glob("*.parquet"))])
    engine.execute(f"create table everyone as select {ROW} as row_n, * from {files}")
    return engine


@dataclass(frozen=True)
class Learned:
    model: Model
    linked: list[tuple]
    scored: pa.Table
    frequencies: pa.Table


def learn(engine: duckdb.DuckDBPyConnection, matching: Matching, facts: str = "everyone") -> Learned:
    model = link_rows.link_all(engine, matching, facts).model
    tables = (engine.sql(f"from {name}").to_arrow_table() for name in ("scored_pairs", "frequencies"))
    return Learned(model, engine.execute(LINKED).fetchall(), *tables)


@pytest.fixture(scope="module")
def learned(work: Path, matching: Matching) -> Learned:
    with session(work) as engine:
        return learn(engine, matching)


def frozen(engine: duckdb.DuckDBPyConnection, learned: Learned) -> Model:
    """Bring the frozen frequencies and the remembered pairs into a session."""
    for name, table in (("frequencies", learned.frequencies), ("weighed", learned.scored)):
        engine.register("told", table)
        engine.execute(f"create temp table {name} as from told")
        engine.unregister("told")
    return learned.model


def test_the_model_is_learned_and_the_same_on_any_number_of_threads(
    work: Path, matching: Matching, learned: Learned
) -> None:
    with session(work, threads=1) as engine:
        alone = learn(engine, matching)
    assert (alone.model.model_dump_json(), alone.linked) == (learned.model.model_dump_json(), learned.linked)
    assert learned.model.pairs > matching.min_training_pairs, "learned, not declared"


def test_the_order_of_the_rows_does_not_matter(work: Path, matching: Matching, learned: Learned) -> None:
    with session(work) as engine:
        engine.execute("create table turned as from everyone order by hash(_key || 'x')")
        back = learn(engine, matching, "turned")
    assert (back.model.model_dump(), back.linked) == (learned.model.model_dump(), learned.linked)


def test_rows_kept_in_several_buckets_are_linked_as_those_in_tables_are(
    work: Path, matching: Matching, learned: Learned
) -> None:
    with session(work) as engine:
        relations = Relations(engine)
        facts = "(select *, _key || ' 7' as _ref from everyone)"
        model = link_rows.load_all(Kept(relations, matching, facts, "everyone", relations.make, buckets=3))
        linking = link_rows.Linking(engine, matching, model, buckets=3)
        linking.run(calibrate=True)
        kept = engine.execute(LINKED).fetchall()
        buckets, in_none = one(engine, "select count(distinct bucket), count(*) filter (bucket is null) from row_links")
        in_one, joined = one(
            engine,
            """select (select count(*) from row_links where bucket is not null), count(*) from row_links as links
               join kept_left as mine using (n) join kept_spine as theirs on theirs.n = compared
               where mine.bucket = links.bucket and theirs.bucket = links.bucket""",
        )
        pairs, versions = one(
            engine,
            """select (select count(*) from scored_pairs), count(*) from scored_pairs as scored
               join current_rows as l on l.n = scored.n and l.version = row_version
               join current_rows as r on r.n = other and r.version = other_version""",
        )
    assert (linking.model.model_dump_json(), kept) == (learned.model.model_dump_json(), learned.linked)
    assert buckets == 3
    assert in_one == joined > 0
    assert in_none
    assert pairs == versions == learned.scored.num_rows


def test_most_rows_find_their_person_and_hardly_any_another(work: Path, matching: Matching, learned: Learned) -> None:
    with session(work) as engine:
        link_rows.link_all(engine, matching, "everyone", frozen(engine, learned))
        know(engine, work)
        links, right = one(
            engine,
            """select count(*), count(*) filter (mine.true_id = theirs.true_id)
               from row_links as links join truth as mine using (n) join truth as theirs on theirs.n = links.compared""",
        )
        rows = one(engine, "select count(*) from left_rows")[0]
    assert links / rows > 0.85
    assert right / links > 0.998


def test_a_person_whom_a_register_has_several_times_is_linked_with_each_row_once(
    work: Path, matching: Matching
) -> None:
    """The first of them claims the person by its identifier, the second without one claims it again."""
    with session(work) as engine:
        for copy in (1, 2, 3):
            engine.execute(
                f"""insert into everyone
                    select * replace (row_n + {copy} as row_n, _key || ' {copy}' as _key, null as personal_id) from everyone
                    where dataset = 'insurance_members' and personal_id is not null and _key not like '% %'"""
            )
        link_rows.link_all(engine, matching, "everyone")
        rows, once, probable = one(
            engine, "select count(*), count(distinct n), count(*) filter (rule = 'probable') from row_links"
        )
    assert rows == once
    assert probable > 100


def know(engine: duckdb.DuckDBPyConnection, work: Path) -> None:
    """Make `truth` (`n`, `true_id`)."""
    engine.register("told", pq.read_table(work / "world" / "truth" / "rows"))
    engine.execute(f"create table truth as select {ROW} as n, true_id from (select *, key as _key from told)")


@settings(max_examples=5, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 10**6), late=st.floats(0.001, 0.5))
def test_incremental_and_full_linking_group_rows_alike(
    work: Path, matching: Matching, learned: Learned, seed: int, late: float
) -> None:
    """Some rows arrive late, some change, some vanish: what was weighed before is not weighed again, and nothing differs."""
    chance = random.Random(seed)
    limit = int(late * 1000)
    salt = chance.randrange(10**6)
    with session(work) as engine:
        model = frozen(engine, learned)
        engine.execute(
            f"""create table before as select * replace (
                    case when hash(row_n + {salt + 1}) % 1000 < {limit} then null else residence_commune end as residence_commune,
                    case when hash(row_n + {salt + 2}) % 1000 < {limit} then null else personal_id end as personal_id)
                from everyone where hash(row_n + {salt}) % 1000 >= {limit}"""
        )
        before = link_rows.link_all(engine, matching, "before", model)
        engine.execute(
            """create table same as select row_n as n from everyone join before using (row_n)
               where everyone.residence_commune is not distinct from before.residence_commune
                 and everyone.personal_id is not distinct from before.personal_id;
               create temp table remembered as
               from scored_pairs semi join same using (n) semi join (select n as other from same) using (other)"""
        )
        before.close()
        link_rows.link_all(engine, matching, "everyone", model, remembered=True)
        assert engine.execute(LINKED).fetchall() == learned.linked
        assert one(engine, "select count(*) from scored_pairs")[0] < learned.scored.num_rows


def test_few_changes_weigh_few_pairs(work: Path, matching: Matching, learned: Learned) -> None:
    with session(work) as engine:
        model = frozen(engine, learned)
        engine.execute("create temp table remembered as select * from weighed where hash(n) % 1000 != 0")
        link_rows.link_all(engine, matching, "everyone", model, remembered=True)
        assert one(engine, "select count(*) from scored_pairs")[0] <= learned.scored.num_rows / 100
        assert engine.execute(LINKED).fetchall() == learned.linked


def test_what_people_decided_stands(work: Path, matching: Matching, learned: Learned) -> None:
    with session(work) as engine:
        model = frozen(engine, learned)
        machine = link_rows.link_all(engine, matching, "everyone", model)
        apart = one(engine, "select n, compared from row_links where rule = 'exact' order by n limit 1")
        together = one(
            engine,
            """select l.n, r.n from left_rows as l, spine_rows as r
               where l.n not in (select n from row_links) and l.name != r.name order by l.n, r.n limit 1""",
        )
        machine.close()
        engine.execute("create temp table decisions (n bigint, other bigint, same boolean)")
        engine.execute("insert into decisions values (?, ?, false), (?, ?, true)", [*apart, *together])
        link_rows.link_all(engine, matching, "everyone", model, decided=True)
        told = {
            n: (compared, rule)
            for n, compared, rule in engine.execute("select n, compared, rule from row_links").fetchall()
        }
    assert told.get(apart[0], (None,))[0] != apart[1]
    assert told[together[0]] == (together[1], "decided")


def test_pairs_with_one_identifier_have_weights_of_their_own() -> None:
    """Where numbers are borrowed in households, an equal address says little of whose number it is."""
    registered = load(ROOT).entity("person").matching
    model = declared(registered).model_copy(update={"persons": 1_000_000})
    usual, borrowed = (
        model.weights("residence"),
        model.model_copy(update={"borrowed": {"residence": [0.0, 0.5, 0.1, 0.4]}}).weights("residence", borrowed=True),
    )
    assert usual[1] > 9 > 1 > borrowed[1]


def test_the_shares_of_two_classes_are_found() -> None:
    truth = {"a": [0.9, 0.1], "b": [0.8, 0.2]}, {"a": [0.1, 0.9], "b": [0.05, 0.95]}
    patterns = []
    for a in (0, 1):
        for b in (0, 1):
            share = 0.7 * truth[0]["a"][a] * truth[0]["b"][b] + 0.3 * truth[1]["a"][a] * truth[1]["b"][b]
            patterns.append(((a, b), 1e6 * share))
    start = {"a": [0.8, 0.2], "b": [0.7, 0.3]}
    found = model_training.maximise(patterns, ["a", "b"], truth[1], start)
    assert found.true == pytest.approx(0.7, abs=0.01)
    assert found.m["a"][0] == pytest.approx(0.9, abs=0.01)
    assert found.m["b"][0] == pytest.approx(0.8, abs=0.01)
