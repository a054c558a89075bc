"""What changed since the last publication: golden versions, corrections and findings, each appended to its table.

Persons, and things beside them, are compared part by part in the order of their ids. Where nothing is published yet, there is
nothing to compare with: what the merge staged already is only counted, and other rows go from the scratch folder into the lake.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import duckdb

from motlan.engine import one, quote
from motlan.golden import conflicts, facets, guard
from motlan.golden.compared import Compared, compared, golden_table
from motlan.lake import changes, created, current, staging
from motlan.ledger import runs
from motlan.parts import Parts, cut, within
from motlan.registry import FacetEntity
from motlan.workspace import Workspace

CORRECTION_KEY = ("dataset", "_key", "field")
FINDING_KEY = ("dataset", "_key", "rule")
_OPS = ("created", "updated", "removed")
FINDING_COLUMNS = ("person_id", "_ref", "dimension", "severity", "field")


def corrections_table(entity: str) -> str:
    """Return the name of the lake's table of corrections: created is opened, updated refreshed, removed closed."""
    return f"corrections.{entity}"


def findings_table(entity: str) -> str:
    """Return the name of the lake's table of what the cross-register rules found."""
    return f"findings.{entity}"


def diff(work: Workspace, run: runs.Run, published: list[str]) -> runs.Counts:
    """Stage what turns the published state into this run's.

    Golden changes carry `_ordinal` (1, 2, ... in the order of the feed, null where no value changed): the feed's numbers
    are these, counted on from the last publication's. A removed person whose rows went over to others, and a created one whose
    rows were others', carry these persons' ids in `_others`: a merge and a split.

    Returns:
        Counts: `created`, `updated`, `removed` persons in the feed, `changes` (their sum), `merged` and `split` (those among the
        removed and the created that have others), `versions` (golden rows written),
        `corrections` and `findings` (changed), `facets` (of each entity beside it, changes in its feed and `versions`),
        `held` and `guard` (see `guard.judge`), `snapshots`.
    """
    beside = [golden_table(facet.name) for facet in work.registry.facets_of(run.subject)]
    tables = [golden_table(run.subject), corrections_table(run.subject), findings_table(run.subject), *beside]
    return work.staged(run.id, "diff", tables, lambda: _diff(work, run, published), resumes=True)


def _diff(work: Workspace, run: runs.Run, published: list[str]) -> runs.Counts:
    with work.bulk_engine(f"comparing {run.subject}") as engine:
        parts = cut(work, engine, run, run.steps["begin"]["inputs"])
        comparing = _Comparing(work, engine, run, published, parts)
        comparing.find_moved()
        golden = list(comparing.golden())
        guarded = _judged(work, engine, run, comparing, [counts["guard"] for counts in golden])
        written = {
            table: comparing.keyed(table, name, key, columns)
            for table, name, key, columns in (
                (corrections_table(run.subject), "conflicts", CORRECTION_KEY, conflicts.COLUMNS),
                (findings_table(run.subject), "findings", FINDING_KEY, FINDING_COLUMNS),
            )
        }
        beside = {facet.name: comparing.facet(facet) for facet in work.registry.facets_of(run.subject)}
    told = {name: sum(counts[name] for counts in golden) for name in (*_OPS, "merged", "split", "versions")}
    return {
        **told,
        "changes": sum(told[op] for op in _OPS),
        "corrections": written[corrections_table(run.subject)],
        "findings": written[findings_table(run.subject)],
        "facets": beside,
        **guarded,
    }


def _judged(
    work: Workspace, engine: duckdb.DuckDBPyConnection, run: runs.Run, comparing: _Comparing, counted: list[Any]
) -> runs.Counts:
    """Hold what the merge changes against its limits; nothing is a change of the first publication."""
    if not comparing.links:
        return {"held": 0}
    entity = work.registry.entity(run.subject)
    place = guard.place_of(entity, work.registry.scoring.province_field)
    persons = f"(select person_id, {place} as place from {current(comparing.files(golden_table(entity.name)), ('person_id',))})"
    links = current(comparing.links, ("dataset", "_key"))
    known = f"(select links.dataset, links.person_id, place from {links} as links left join {persons} as p using (person_id))"
    before = guard.recent(work.store, entity.name, entity.limits)
    return guard.judge(engine, entity.limits, [row for rows in counted for row in rows], known, before)


@dataclass(frozen=True)
class _Comparing:
    """The step's work on one engine session."""

    work: Workspace
    engine: duckdb.DuckDBPyConnection
    run: runs.Run
    published: list[str]
    parts: Parts

    @cached_property
    def links(self) -> list[str]:
        """Files of the published links; none before the first publication."""
        return self.files(f"links.{self.run.subject}")

    def files(self, table: str) -> list[str]:
        """Return the published files of a table."""
        return self.work.lake.files(table, set(self.published))

    def find_moved(self) -> None:
        """Make `moved`: rows that went over from an old person to a new one, and whether that one was known before."""
        if not self.links:
            columns = ", ".join(f"null::varchar as {name}" for name in ("dataset", "old", "new"))
            self.engine.execute(f"create temp table moved as select {columns}, false as known where false")
            return
        was = f"(select dataset, _key, person_id from {current(self.links, ('dataset', '_key'))})"
        now = self.work.kept(self.run.id, "links")
        self.engine.execute(
            f"""create temp table went as
                select was.dataset, was.person_id as old, now.person_id as new
                from {was} as was join {now} as now using (dataset, _key) where was.person_id != now.person_id;
                create temp table moved as
                select went.*, before.person_id is not null as known
                from went left join (select distinct person_id from {was} semi join
                    (select new as person_id from went) as met using (person_id)) as before on before.person_id = went.new"""
        )

    def golden(self) -> Iterator[runs.Counts]:
        """Compare persons, part by part."""
        entity = self.work.registry.entity(self.run.subject)
        province = self.work.registry.scoring.province_field

        def finish(part: int) -> runs.Counts:
            persons = within("old", part, self.parts.count)
            return {"guard": guard.count(self.engine, entity, province, persons) if self.links else []}

        yield from self._by_id(compared(entity), finish)

    def facet(self, facet: FacetEntity) -> runs.Counts:
        """Compare the things beside persons, part by part; return the changes in their feed, and the versions written."""
        counts = list(self._by_id(facets.compared(facet), lambda _: {}))
        return {
            "changes": sum(count[op] for count in counts for op in _OPS),
            "versions": sum(count["versions"] for count in counts),
        }

    def _by_id(self, what: Compared, finish: Callable[[int], runs.Counts]) -> Iterator[runs.Counts]:
        """Compare part by part; number what the feed tells in the order of the ids, from part to part."""

        def do(part: int, told: int) -> runs.Counts:
            if self.files(what.table):
                return {**self._compare(what, part, told), **finish(part)}
            return {**self._create(what, part, told), **finish(part)}

        yield from self.parts.each(f"diff_{what.name}", do, _OPS)

    def _create(self, what: Compared, part: int, told: int) -> runs.Counts:
        """Stage a part of which nothing is published."""
        counts = {**dict.fromkeys((*_OPS, "merged", "split", "versions"), 0)}
        if self.parts.files(what.name, part):
            fresh = self.parts.read(what.name, part)
            counts["created"] = counts["versions"] = one(self.engine, f"select count(*) from {fresh}")[0]
        if counts["created"] and what.table not in self.run.steps["merge"]["staged"]:
            placed = f"(from {fresh} join ({what.ordinals(fresh, told)}) using ({quote(what.key[0])}))"
            self._write(what.table, part, what.created(placed))
        return counts

    def _compare(self, what: Compared, part: int, told: int) -> runs.Counts:
        """Stage what turns a part of the published rows into the run's."""
        kept = ", ".join(map(quote, (*what.key, *what.columns)))
        old = current(self.files(what.table), what.key, within(quote(what.key[0]), part, self.parts.count))
        fresh = f"{self.parts.read(what.name, part)}" if self.parts.files(what.name, part) else "published where false"
        self.engine.execute(
            f"""create or replace temp table published as select {kept} from {old};
                create or replace temp view fresh as select {kept} from {fresh}"""
        )
        self.engine.execute(
            f"create or replace temp table difference as "
            f"{changes('fresh', 'published', what.key, what.columns, what.marked)}"
        )
        merged, split = self._name_others() if what.others else (0, 0)
        (key,) = map(quote, what.key)
        telling = "(_op != 'updated' or len(_changed) > 0)"
        ordered = (
            f"select *, case when {telling} then row_number() over (partition by {telling} order by {key}) + {told} end "
            "as _ordinal from difference"
        )
        ops = dict(self.engine.execute(f"select _op, count(*) from difference where {telling} group by _op").fetchall())
        versions = one(self.engine, "select count(*) from difference")[0]
        if versions:
            self._write(what.table, part, ordered)
        return {**{op: ops.get(op, 0) for op in _OPS}, "merged": merged, "split": split, "versions": versions}

    def _name_others(self) -> tuple[int, int]:
        """Give `difference` the column `_others`; return how many persons were merged into others, and split off from others."""
        self.engine.execute(
            """create or replace temp table told as
               select difference.*, _others from difference left join (
                   select 'removed' as _op, old as person_id, list(distinct new order by new) as _others from moved group by all
                   union all select 'created', new, list(distinct old order by old) from moved group by all)
               using (person_id, _op);
               drop table difference; alter table told rename to difference"""
        )
        merged, split = one(
            self.engine,
            """select count(*) filter (where _op = 'removed'), count(*) filter (where _op = 'created')
               from difference where _others is not null""",
        )
        return int(merged), int(split)

    def keyed(self, table: str, name: str, key: Sequence[str], columns: Sequence[str]) -> int:
        """Stage the changes of rows that may go over from a person to another of any part; return how many."""
        fresh, kept = self.parts.read(name), ", ".join(map(quote, (*key, *columns)))
        if files := self.files(table):
            self.engine.execute(f"create or replace temp view fresh as select {kept} from {fresh}")
            self.engine.execute(f"create or replace temp table published as select {kept} from {current(files, key)}")
            self.engine.execute(
                f"create or replace temp table difference as {changes('fresh', 'published', key, columns)}"
            )
            query = "from difference"
        else:
            query = created(fresh, key, columns)
        count = int(one(self.engine, f"select count(*) from ({query})")[0])
        if count:
            self._write(table, 0, query)
        return count

    def _write(self, table: str, part: int, query: str) -> None:
        """Write the changes of a part for the lake."""
        target = self.work.lake.staged_file(table, self.run.id, part)
        self.engine.execute(staging(query, self.run.id, target))
