"""What changed since the last publication: golden versions, corrections and findings, each appended to its table.

Persons, and things beside them, are compared part by part in the order of their ids. Where nothing is published yet, there is
nothing to compare with: what the merge staged already is only counted, and other rows go from the scratch folder into the lake.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import duckdb

from motlan.config.registry import RelatedEntity
from motlan.expressions import literal, one, quote
from motlan.lake.iceberg import changes, created, current, staging
from motlan.lake.tables import corrections_table, findings_table, golden_table, key_of, links_table, salts_table
from motlan.lake.tables import published as published_rows
from motlan.ledger import results, runs
from motlan.merge import conflicts, related_entities
from motlan.merge.golden_rows import Compared, compared
from motlan.merge.provenance import SOURCES
from motlan.partitioning import PersonRanges, in_range, write_ranges
from motlan.publication import change_guard
from motlan.publication.golden_commitments import stage_salts
from motlan.workspace import Workspace

_OPS = ("created", "updated", "removed")
_EVENTS_OF = {"removed": "merged", "created": "split", "updated": "moved"}
"""What happened to persons whose rows went over to others or were others', by what became of their golden rows."""
_EVENTS = tuple(_EVENTS_OF.values())
_EVENT = """case when len(_others) > 0 and _op = 'removed' then case when len(_others) = 1 then 'merged' else 'dissolved' end
    when len(_others) > 0 and _op = 'created' then 'split' when len(_others) > 0 then 'moved'
    when _op = 'updated' and _standing is distinct from stood then coalesce(_standing, 'restored') else _op end"""
"""What the feed calls a change: see `motlan.projection.tables.Mirror.feed`."""
FINDING_COLUMNS = ("entity_id", "_ref", "dimension", "severity", "field")


def diff(work: Workspace, run: runs.Run, published: list[str], touched: Shown | None = None) -> results.Compared:
    """Stage what turns the published state into this run's; of an incremental run, of the persons that it touches.

    Golden changes carry `_ordinal` (1, 2, ... in the order of the feed, null where no value changed): the feed's numbers
    are these, counted on from the last publication's. A removed person whose rows went over to others, a created one whose rows
    were others', and one that won rows of others or lost some to them carry these persons' ids in `_others`: a merge, a split,
    a move.
    """
    beside = [golden_table(related.name) for related in work.registry.related_to(run.subject)]
    golden = [golden_table(run.subject), *beside]
    tables = [*golden, *map(salts_table, golden), corrections_table(run.subject), findings_table(run.subject)]
    name = results.Compared.step
    counts = work.staged(run.id, name, tables, lambda: _diff(work, run, published, touched), resumes=True)
    return results.Compared.read(counts)


def _diff(work: Workspace, run: runs.Run, published: list[str], touched: Shown | None) -> runs.Counts:
    shown = touched.work if touched else work
    with work.bulk_engine(f"comparing {run.subject}") as engine:
        parts = touched.parts if touched else write_ranges(work, engine, run, run.result(results.Begun).inputs)
        comparing = _Comparing(shown, engine, run, published, parts)
        comparing.find_moved()
        comparing.find_unsettled()
        golden = list(comparing.golden())
        guarded = _judged(work, engine, run, comparing, [counts["guard"] for counts in golden])
        written = {
            table: comparing.keyed(table, name, columns)
            for table, name, columns in (
                (corrections_table(run.subject), "conflicts", conflicts.COLUMNS),
                (findings_table(run.subject), "findings", FINDING_COLUMNS),
            )
        }
        beside = {related.name: comparing.related(related) for related in work.registry.related_to(run.subject)}
    told = {name: sum(counts[name] for counts in golden) for name in (*_OPS, *_EVENTS, "versions")}
    return {
        **told,
        "changes": sum(told[op] for op in _OPS),
        "corrections": written[corrections_table(run.subject)],
        "findings": written[findings_table(run.subject)],
        "related_entities": beside,
        "rows": stage_salts(work, run.id, [golden_table(run.subject), *map(golden_table, beside)]),
        **guarded,
    }


def _judged(
    work: Workspace, engine: duckdb.DuckDBPyConnection, run: runs.Run, comparing: _Comparing, counted: list[Any]
) -> runs.Counts:
    """Hold what the merge changes against its limits; nothing is a change of the first publication."""
    if not comparing.links:
        return {"held": 0}
    entity = work.registry.entity(run.subject)
    place = change_guard.place_of(entity, work.registry.scoring.area)
    golden, links = (
        published_rows(work.lake, table(entity.name), comparing.published) for table in (golden_table, links_table)
    )
    persons = f"(select entity_id, {place} as place from {golden})"
    known = f"(select links.dataset, links.entity_id, place from {links} as links left join {persons} as p using (entity_id))"
    before = change_guard.recent(work.store, entity.name, entity.limits)
    return change_guard.judge(engine, entity.limits, [row for rows in counted for row in rows], known, before)


class Shown(Protocol):
    """Some persons: an installation whose lake shows what is published of them, and their rows."""

    @property
    def work(self) -> Workspace:
        """The installation."""

    @property
    def parts(self) -> PersonRanges:
        """Their rows, and what the steps before made of them."""


@dataclass(frozen=True)
class _Comparing:
    """The step's work on one engine session; `work` shows the published rows that are compared."""

    work: Workspace
    engine: duckdb.DuckDBPyConnection
    run: runs.Run
    published: list[str]
    parts: PersonRanges

    @cached_property
    def links(self) -> list[str]:
        """Files of the published links; none before the first publication."""
        return self.files(links_table(self.run.subject))

    def files(self, table: str) -> list[str]:
        """Return the files of what is published of a table: a base and its deltas."""
        return self.work.lake.base_and_deltas(table, set(self.published))

    def find_moved(self) -> None:
        """Make `moved`: rows that went over from an old person to a new one, and whether that one was known before.

        Linking left them. A row that is about somebody else now (`turned`) is no part of what became of its old person.
        """
        if not self.links:
            columns = ", ".join(f"null::varchar as {name}" for name in ("dataset", "old", "new"))
            self.engine.execute(
                f"create temp table moved as select {columns}, false as known, false as turned where false"
            )
            return
        went = self.work.kept(self.run.id, "went")
        self.engine.execute(f"create temp table moved as select dataset, old, new, known, turned from {went}")

    def find_unsettled(self) -> None:
        """Make `unsettled`: persons one of whose records is gone from a register that is asked for it by an end rule."""
        names = ", ".join(literal(rule.name) for rule in self.work.registry.rules_of(self.run.subject).ends) or "null"
        self.engine.execute(
            f"create temp table unsettled as select distinct entity_id from {self.parts.read('findings')} where rule in ({names})"
        )

    def golden(self) -> Iterator[runs.Counts]:
        """Compare persons, part by part."""
        entity = self.work.registry.entity(self.run.subject)
        area = self.work.registry.scoring.area

        def finish(part: int) -> runs.Counts:
            persons = in_range("old", part, self.parts.count)
            return {"guard": change_guard.count(self.engine, entity, area, persons) if self.links else []}

        yield from self._by_id(compared(entity), finish)

    def related(self, related: RelatedEntity) -> runs.Counts:
        """Compare the things beside persons, part by part; return the changes in their feed, and the versions written."""
        counts = list(self._by_id(related_entities.compared(related), lambda _: {}))
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
        counts = {**dict.fromkeys((*_OPS, *_EVENTS, "versions"), 0)}
        if self.parts.files(what.name, part):
            fresh = self.parts.read(what.name, part)
            counts["created"] = counts["versions"] = one(self.engine, f"select count(*) from {fresh}")[0]
        if counts["created"] and what.table not in self.run.result(results.Merged).staged:
            placed = f"(from {fresh} join ({what.ordinals(fresh, told)}) using ({quote(what.key[0])}))"
            self._write(what.table, part, what.created(placed))
        return counts

    def _compare(self, what: Compared, part: int, told: int) -> runs.Counts:
        """Stage what turns a part of the published rows into the run's."""
        kept = ", ".join(map(quote, (*what.key, *what.columns)))
        old = current(self.files(what.table), what.key, in_range(quote(what.key[0]), part, self.parts.count))
        fresh = f"{self.parts.read(what.name, part)}" if self.parts.files(what.name, part) else "published where false"
        if what.others:  # Publications from before there were standings lack the column.
            old = f"(from {old} union all by name select null::varchar as _standing where false)"
        self.engine.execute(
            f"""create or replace temp table published as select {kept}{", _standing" if what.others else ""} from {old};
                create or replace temp view fresh as select {kept} from {fresh}"""
        )
        self.engine.execute(
            f"create or replace temp table difference as "
            f"{changes('fresh', 'published', what.key, what.columns, what.marked)}"
        )
        told_of = self._name_others() if what.others else {}
        (key,) = map(quote, what.key)
        telling = "(_op != 'updated' or len(_changed) > 0" + (" or _event != 'updated')" if what.others else ")")
        ordered = (
            f"select *, case when {telling} then row_number() over (partition by {telling} order by {key}) + {told} end "
            "as _ordinal from difference"
        )
        ops = dict(self.engine.execute(f"select _op, count(*) from difference where {telling} group by _op").fetchall())
        versions = one(self.engine, "select count(*) from difference")[0]
        if versions:
            self._write(what.table, part, ordered)
        counts = dict.fromkeys(_EVENTS, 0) | told_of
        return {**{op: ops.get(op, 0) for op in _OPS}, **counts, "versions": versions}

    def _name_others(self) -> dict[str, int]:
        """Give `difference` the columns `_others`, `_standing` and `_event`; return how many persons were merged into others,
        split off from others, and won rows of others or lost some to them.

        A removed person names where its rows went, a created one whose rows it has; one that stays both. One whose record is gone
        from the spine while others have the person is disputed, until the spine has it again.
        """
        spine = ", ".join(map(literal, self.work.registry.entity(self.run.subject).matching.spine)) or "null"
        on_spine = f"len(list_filter(d.{SOURCES}, lambda source: source.dataset in ({spine}))) > 0"
        self.engine.execute(
            f"""create or replace temp table others as
               select entity_id, _op, list(distinct other order by other) as _others from (
                       select 'removed' as _op, old as entity_id, new as other from moved where not turned
                       union all select 'created', new, old from moved
                       union all select 'updated', new, old from moved
                       union all select 'updated', old, new from moved) group by entity_id, _op;
               create or replace temp table told as
               select d.*, _others, case when u.entity_id is not null and _op != 'removed' and not {on_spine} then 'disputed' end
                      as _standing, p._standing as stood
               from difference as d left join others using (entity_id, _op)
               left join unsettled as u on u.entity_id = d.entity_id left join published as p on p.entity_id = d.entity_id;
               create or replace temp table difference as select * exclude (stood), {_EVENT} as _event from told;
               drop table told; drop table others"""
        )
        found = self.engine.execute(
            "select _op, count(*) from difference where len(_others) > 0 group by _op"
        ).fetchall()
        return {_EVENTS_OF[op]: int(count) for op, count in found}

    def keyed(self, table: str, name: str, columns: Sequence[str]) -> int:
        """Stage the changes of rows that may go over from a person to another of any part; return how many."""
        key = key_of(table)
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
