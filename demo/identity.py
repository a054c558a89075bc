"""Whether an id of the bus means one person over the days, against the truth of a synthetic world.

Three figures, which are all 0 where the bus does what it says, and a fourth beside them. `docs/reference/agencies.md` says what
happens to the records.

- `ids_shared`: persons of the newest publication that hold rows of two true people although the bus could know: a row that
  was corrected from one person's into another's beside a row of the person whose it was, or two rows that people decided,
  rightly and in force, to be of different people. Wrong links that nothing contradicts are the precision's business.
- `ids_reused`: ids that meant one true person in one publication and another in a later one. An id means the true person of
  the row that founded it, as that row is in this publication; where that row is another id's, the one of most of its rows.
- `persons_lost`: true people of whom a row was accepted and none is with a golden person; and those whom an id meant that
  was golden in one publication and is not in the next, without an event of its end in the feed.
- `persons_absorbed`: true people whose rows are all with ids that mean others in the newest publication: what wrong links cost
  that nothing contradicts, those of spine rows included, which precision leaves out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import sqlalchemy as sa

from motlan.expressions import one
from motlan.lake.iceberg import current, read_parquet
from motlan.lake.tables import golden_table, links_table
from motlan.ledger import runs
from motlan.linking import stored_models as decisions
from motlan.linking.persist import KEY
from motlan.workspace import Workspace

_ENDS = ("removed", "merged", "dissolved")
"""Events of the feed after which an id is no person's any more."""
_TEXTS = pa.schema([(name, pa.string()) for name in ("dataset", "_key", "entity_id", "founder")])


@dataclass(frozen=True)
class Publication:
    """What one publication said.

    Attributes:
        day: The day that the agencies had reached.
        links: `dataset`, `_key`, `entity_id`, `founder` (`dataset/key`) of every row.
        golden: `entity_id` of every golden person.
        ended: `entity_id` of every id of whose end the feed has told so far.
    """

    day: int
    links: pa.Table
    golden: pa.Table
    ended: pa.Table


def published(work: Workspace, day: int, entity: str = "person") -> Publication:
    """Take down what is published now."""
    with work.store.engine.connect() as connection:
        seen = set(runs.visible(connection, "reconcile", entity))
        feed = sa.table(f"feed_{entity}", sa.column("person_id"), sa.column("event"))
        query = sa.select(feed.c.person_id).where(feed.c.event.in_(_ENDS)).distinct()
        ended = [str(person) for person in connection.scalars(query)]
    links = current(work.lake.files(links_table(entity), seen), KEY)
    golden = current(work.lake.files(golden_table(entity), seen), ("entity_id",))
    with work.engine("taking down a publication") as engine:
        columns = ", ".join(f"{name}::varchar as {name}" for name in _TEXTS.names)
        return Publication(
            day,
            engine.sql(f"select {columns} from {links}").to_arrow_table(),
            engine.sql(f"select entity_id::varchar as entity_id from {golden}").to_arrow_table(),
            pa.table({"entity_id": ended}, pa.schema([("entity_id", pa.string())])),
        )


def score(work: Workspace, world: Path, publications: Sequence[Publication], entity: str = "person") -> dict[str, int]:
    """Return `ids_shared`, `ids_reused`, `persons_lost` and `persons_absorbed` of all publications of a demo."""
    accepted = []
    with work.store.engine.connect() as connection:
        for dataset in work.registry.datasets_of(entity):
            synced = runs.visible(connection, "sync", dataset.name)
            if files := work.clean_files(dataset.name, {dataset.name: synced}):
                accepted.append(f"select '{dataset.name}' as dataset, _key from {read_parquet(files)}")
    decided = decisions.decided(work.store, entity)
    apart = decided.filter(pc.invert(decided["same"]))
    with work.engine("scoring identity") as engine:
        return figures(
            engine,
            publications,
            pq.read_table(world / "truth" / "rows.parquet"),
            engine.sql(f"select distinct * from ({' union all '.join(accepted)})").to_arrow_table(),
            apart,
        )


def figures(
    engine: duckdb.DuckDBPyConnection,
    publications: Sequence[Publication],
    truth: pa.Table,
    accepted: pa.Table,
    apart: pa.Table,
) -> dict[str, int]:
    """Return the figures.

    Args:
        engine: Where it is counted.
        publications: In their order; one at least.
        truth: `dataset`, `key`, `true_id`, `valid_from_day`: of whom a record is from a day on.
        accepted: `dataset`, `_key` of every record of which a version was accepted.
        apart: Pairs of records of which a decision holds that they are of different people, by the columns of `tables.PAIR`.
    """
    engine.register("truth", truth)
    engine.register("accepted", accepted)
    engine.register("apart", apart)
    for name in ("links", "golden", "ended"):
        # One table of all publications, with their number: they are small.
        every = [
            getattr(said, name).append_column("n", pa.array([n] * getattr(said, name).num_rows, pa.int64()))
            for n, said in enumerate(publications)
        ]
        engine.register(f"{name}_of", pa.concat_tables(every))
    engine.register("days", pa.table({"n": list(range(len(publications))), "day": [p.day for p in publications]}))
    engine.execute(_MEANING)
    last = len(publications) - 1
    return {name: int(one(engine, sql, {"last": last})[0]) for name, sql in _FIGURES.items()}


_MEANING = """
create or replace temp table linked as
    select n, links_of.dataset, _key, entity_id, founder, true_id
    from links_of join days using (n) join truth on truth.dataset = links_of.dataset and key = _key and valid_from_day <= day
    qualify row_number() over (partition by n, links_of.dataset, _key order by valid_from_day desc) = 1;
create or replace temp table meaning as
    select n, entity_id, true_id from (
        select n, entity_id, true_id, bool_or(dataset || '/' || _key = founder) as founded, count(*) as rows
        from linked group by all)
    qualify row_number() over (partition by n, entity_id order by founded desc, rows desc, true_id) = 1
"""

_FIGURES = {
    "ids_shared": """
        with latest as (from linked where n = $last),
        former as (
            select latest.entity_id, was.true_id
            from latest join truth as was on was.dataset = latest.dataset and was.key = latest._key
            join days on days.n = $last
            where was.valid_from_day <= day and was.true_id != latest.true_id)
        select count(distinct entity_id) from (
            select entity_id from former semi join latest using (entity_id, true_id)
            union all
            select l.entity_id from apart
            join latest as l on l.dataset = left_dataset and l._key = left_key
            join latest as r on r.dataset = right_dataset and r._key = right_key
            where l.entity_id = r.entity_id and l.true_id != r.true_id)""",
    "ids_reused": """
        select count(*) from (
            select entity_id from meaning where n <= $last group by entity_id having count(distinct true_id) > 1)""",
    "persons_lost": """
        with latest as (
            select dataset, key as _key, true_id from truth join days on n = $last where valid_from_day <= day
            qualify row_number() over (partition by dataset, key order by valid_from_day desc) = 1),
        present as (
            select dataset, _key from linked semi join golden_of using (n, entity_id) where n = $last),
        without as (
            select true_id from latest semi join accepted using (dataset, _key)
            left join present using (dataset, _key)
            group by true_id having count(present._key) = 0),
        vanished as (
            select before.n, before.entity_id from golden_of as before
            anti join golden_of as after on after.n = before.n + 1 and after.entity_id = before.entity_id
            anti join ended_of as ended on ended.n = before.n + 1 and ended.entity_id = before.entity_id
            where before.n < $last)
        select count(distinct who) from (
            select true_id::varchar as who from without
            union all
            select coalesce(true_id::varchar, entity_id) from vanished left join meaning using (n, entity_id))""",
    "persons_absorbed": """
        with present as (from linked semi join golden_of using (n, entity_id) where n = $last),
        own as (select true_id from meaning semi join golden_of using (n, entity_id) where n = $last)
        select count(distinct true_id) from present anti join own using (true_id)""",
}
