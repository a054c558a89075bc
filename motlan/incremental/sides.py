"""The touched persons as they were at the previous run, and as they are now: a small country each, for the steps after linking.

A person is touched whose link or row changed, of whom people set a value aside or took that back, or whose rows answer a rule
otherwise for what changed elsewhere. All accepted rows of the touched persons' records, and what is published of them, are taken
out of the lake once.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import sqlalchemy as sa

from motlan import identifier_history
from motlan.expressions import literal, one, quote
from motlan.incremental import things
from motlan.lake.iceberg import SCRATCH, Versions, current, read_parquet
from motlan.lake.narrow import NarrowLake, write_narrow
from motlan.lake.tables import (
    KEYS,
    NAMES,
    ROW_KEYS,
    clean_table,
    corrections_table,
    findings_table,
    golden_table,
    key_of,
    links_table,
    names_table,
    row_keys_table,
)
from motlan.ledger import runs
from motlan.ledger.results import Begun, Linked, Merged
from motlan.linking.persist_changed import TOUCHED
from motlan.partitioning import fields_of_rows, write_ranges
from motlan.quality import check_state
from motlan.quality.changed_check import newest_told
from motlan.quality.check_state import CheckState
from motlan.quality.cross_register import Side, newest_day
from motlan.quality.flipped_persons import find_flipped
from motlan.store import tables
from motlan.workspace import Workspace, run_once

NARROW = "narrow"
"""Folder, in a run's scratch folder, of the tables that are narrowed."""


@dataclass(frozen=True)
class Sides:
    """The touched persons.

    Attributes:
        before: As they were.
        now: As they are.
        previous: The run before.
        state: What its cross-check left.
        keys: Relation of all current rows (`row_keys.<entity>`).
        touched: How many persons are touched, before and now together, and records changed.
    """

    before: Side
    now: Side
    previous: runs.Run
    state: CheckState
    keys: str
    touched: int


def row_keys(work: Workspace, entity: str, base: str, published: Sequence[str]) -> str:
    """Return the SQL of all current rows as some runs left them (see `motlan.linking.row_keys`)."""
    files = work.lake.base_and_deltas(row_keys_table(entity), {base, *(run for run in published if run > base)})
    return current(files, KEYS[ROW_KEYS])


def open_sides(work: Workspace, run: runs.Run) -> Sides:
    """Take the touched persons out of the lake, unless that was done, and return them."""
    began, linked = run.result(Begun), run.result(Linked)
    previous = runs.get(work.store, began.previous or "")
    state = check_state.read(work, run.subject, previous.id)
    assert state is not None, "an incremental run has what the check before left"
    opening = _Opening(work, run, previous, state)
    counts = run_once(work.scratch(run.id) / "sides.json", opening.take)
    lake = NarrowLake(work.lake, work.scratch(run.id) / NARROW, opening.narrowed())
    narrow = replace(work, lake=lake)
    was = replace(
        run, id=opening.before, steps={**run.steps, "begin": previous.steps["begin"] | {"published": began.published}}
    )
    sides = {}
    for name, side, inputs in (("before", was, previous.result(Begun).inputs), ("now", run, began.inputs)):
        of_side = replace(side, steps={**side.steps, "link": {**linked.counts(), "persons": counts[name]}})
        with work.bulk_engine(f"taking out {run.subject}") as engine:
            sides[name] = Side(narrow, of_side, inputs, write_ranges(narrow, engine, of_side, inputs))
    found = Sides(sides["before"], sides["now"], previous, state, opening.keys, counts["touched"])
    run_once(work.scratch(run.id) / "things.json", lambda: things.take(work, run, found.before.parts, found.now.parts))
    return found


@dataclass(frozen=True)
class _Opening:
    """The taking out of the lake."""

    work: Workspace
    run: runs.Run
    previous: runs.Run
    state: CheckState

    @property
    def before(self) -> str:
        """The name of the scratch folder of the persons as they were."""
        return f"{self.run.id}/before"

    @property
    def entity(self) -> str:
        """The entity's name."""
        return self.run.subject

    @property
    def published(self) -> list[str]:
        """The published runs."""
        return self.run.result(Begun).published

    @property
    def keys(self) -> str:
        """The SQL of all current rows."""
        base = self.run.result(Linked).base or ""
        return row_keys(self.work, self.entity, base, [*self.published, self.run.id])

    def narrowed(self) -> list[str]:
        """Return the tables of which only the touched persons' rows are shown."""
        registry = self.work.registry
        names = [clean_table(dataset.name) for dataset in registry.datasets_of(self.entity)]
        names += [name(self.entity) for name in (links_table, golden_table, findings_table, corrections_table)]
        names += [golden_table(related.name) for related in registry.related_to(self.entity)]
        return [name for name in names if self.work.lake.files(name, self._runs(name))]

    def _runs(self, table: str) -> set[str]:
        datasets = {clean_table(dataset.name): dataset.name for dataset in self.work.registry.datasets_of(self.entity)}
        if table in datasets:  # of what either side reads
            sides = (self.run, self.previous)
            return {read for side in sides for read in side.result(Begun).inputs.get(datasets[table], ())}
        return set(self.published)

    def take(self) -> runs.Counts:
        """Take the touched persons' rows out of the lake; return how many persons are touched, and there are on either side."""
        work, run = self.work, self.run
        shutil.rmtree(work.scratch(run.id) / NARROW, ignore_errors=True)
        with work.bulk_engine(f"taking out what changed of {run.subject}") as engine:
            changed = self._find_changed(engine)
            self._find_touched(engine)
            touched = changed + int(one(engine, "select count(*) from touched_persons")[0])
            if touched:
                self._take_links(engine)
                self._take_rows(engine)
                self._take_published(engine)
            self._take_names(engine)
            counts = {name: self._count(engine, links) for name, links in self._links().items()}
        return {"touched": touched, **counts}

    def _links(self) -> dict[str, Path]:
        return {"before": self.work.scratch(self.before) / "links", "now": self.work.scratch(self.run.id) / "links"}

    def _count(self, engine: duckdb.DuckDBPyConnection, folder: Path) -> int:
        files = sorted(map(str, folder.glob("*.parquet")))
        query = f"select count(distinct entity_id) from {read_parquet(files)}"
        return int(one(engine, query)[0]) if files else 0

    def _find_touched(self, engine: duckdb.DuckDBPyConnection) -> None:
        """Make `touched_persons` (`entity_id`).

        A late version of a record may not stand, and tells all the same since when a value was said: its person is touched.
        """
        linked = sorted(map(str, (self.work.scratch(self.run.id) / TOUCHED).glob("*.parquet")))
        queries = [f"select entity_id from {read_parquet(linked)}"] if linked else []
        if one(engine, "select count(*) from changed_records")[0]:
            links = self._published_links("dataset, _key, entity_id")
            queries.append(f"select entity_id from {links} as l semi join changed_records using (dataset, _key)")
        queries += self._decided_on(engine)
        queries += self._renamed(engine)
        if flipped := self._flipped(engine):
            queries.append(f"select entity_id from {flipped}")
        nobody = "select null::varchar as entity_id where false"
        engine.execute(
            f"create temp table touched_persons as select distinct entity_id from ({' union all '.join(queries) or nobody})"
        )

    def _find_changed(self, engine: duckdb.DuckDBPyConnection) -> int:
        """Make `changed_records` (`dataset`, `_key`), of a sync run that just one of this run and the previous one reads."""
        inputs, known = self.run.result(Begun).inputs, self.previous.result(Begun).inputs
        parts = []
        for name, read in inputs.items():
            new = {name: sorted({*read} ^ {*known.get(name, ())})}
            told = (self.work.clean_files(name, new), self.work.gone_files(name, new))
            parts += [f"select {literal(name)} as dataset, _key from {read_parquet(some)}" for some in told if some]
        none = "select null::varchar as dataset, null::varchar as _key where false"
        engine.execute(
            f"create temp table changed_records as select distinct dataset, _key from ({' union all '.join(parts) or none})"
        )
        return int(one(engine, "select count(*) from changed_records")[0])

    def _published_links(self, columns: str) -> str:
        files = self.work.lake.base_and_deltas(links_table(self.entity), set(self.published))
        return f"(select {columns} from {current(files, key_of(links_table(self.entity)))})"

    def _decided_on(self, engine: duckdb.DuckDBPyConnection) -> Iterator[str]:
        """Give the queries of the persons of whom people set a value aside, or took that back, since the previous run."""
        table, until = tables.value_decisions.c, self.previous.result(Merged).decided_until
        query = sa.select(table.dataset, table.key).where(table.entity == self.entity, table.id > until).distinct()
        with self.work.store.engine.connect() as connection:
            records = connection.execute(query).all()
        if records:
            engine.execute("create temp table decided_records (dataset varchar, _key varchar)")
            engine.executemany("insert into decided_records values (?, ?)", [list(row) for row in records])
            yield (
                f"select entity_id from {self._published_links('dataset, _key, entity_id')} as l "
                "semi join decided_records using (dataset, _key)"
            )

    def _renamed(self, engine: duckdb.DuckDBPyConnection) -> Iterator[str]:
        """Give the queries of the persons whose rows name somebody, for a thing of their own, by a number that is another now."""
        work, changed = self.work, self.work.lake.files(names_table(self.entity), {self.run.id})
        if not changed:
            return
        for related in work.registry.related_to(self.entity):
            for dataset in () if related.declared.key else related.declared.authority:
                files = work.clean_files(dataset, self.run.result(Begun).inputs)
                known = fields_of_rows(work, engine, self.entity, dataset, files) if files and related.numbers else ()
                for name, told in related.numbers.items():
                    if name in known:
                        values = f"select value from {read_parquet(changed)} where field = {literal(told)}"
                        rows = f"select _ref from {read_parquet(files)} where {quote(name)} in ({values})"
                        links = self._published_links("_ref, dataset, entity_id")
                        yield (
                            f"select entity_id from {links} as l semi join ({rows}) as mine using (_ref) "
                            f"where dataset = {literal(dataset)}"
                        )

    def _flipped(self, engine: duckdb.DuckDBPyConnection) -> str | None:
        """Make the table of persons of whom nothing changed and whose rules may answer otherwise; None where nobody's can."""
        base, own = self.run.result(Linked).base or "", {self.run.id}
        added = self.work.lake.files(row_keys_table(self.entity), own)
        if added:
            before = row_keys(self.work, self.entity, base, self.published)
            columns = ", ".join(quote(row[0]) for row in engine.execute(f"describe from {before}").fetchall())
            engine.execute(
                f"""create temp table changed_rows as
                    select {columns} from {read_parquet(added)} where _op = 'updated'
                    union all select {columns} from {before} semi join (
                        select n from {read_parquet(added)}) as mine using (n)"""
            )
        else:
            engine.execute(f"create temp table changed_rows as select * from {self.keys} limit 0")
        told = newest_told(engine, self.state, "changed_rows", self.keys)
        as_of = newest_day(self.work.registry, self.run, told)
        if not added and as_of == self.state.as_of:
            return None
        golden = self.work.lake.base_and_deltas(golden_table(self.entity), set(self.published))
        return find_flipped(
            self.work,
            engine,
            self.entity,
            previous=self.state,
            keys=self.keys,
            changed="changed_rows",
            published_golden=current(golden, key_of(golden_table(self.entity))),
            published_links=self._published_links("dataset, _key, entity_id"),
            as_of=as_of,
        )

    def _take_links(self, engine: duckdb.DuckDBPyConnection) -> None:
        """Leave the touched persons' links of either side, and make `touched_records` (`dataset`, `_key`).

        These are the persons' records, those that were theirs when their register still had them, and all changed ones.
        """
        folders = self._links()
        engine.execute(
            f"create temp table links_before as select * from {self._published_links('*')} as l "
            "semi join touched_persons using (entity_id)"
        )
        for folder in folders.values():
            folder.mkdir(parents=True, exist_ok=True)
        _copy(engine, "from links_before", folders["before"] / "links.parquet")
        linked = self.work.scratch(self.run.id) / TOUCHED
        others = "from links_before"
        if files := sorted(map(str, linked.glob("*.parquet"))):
            others += f" anti join (select entity_id from {read_parquet(files)}) as mine using (entity_id)"
        _copy(engine, others, folders["now"] / "others.parquet")
        now = read_parquet(sorted(map(str, folders["now"].glob("*.parquet"))))
        table = links_table(self.entity)
        newest = Versions.of(self.work.lake.base_and_deltas(table, set(self.published))).newest(key_of(table))
        engine.execute(
            f"""create temp table touched_records as
                select dataset, _key from {newest} as l semi join touched_persons using (entity_id)
                union select dataset, _key from {now} union select dataset, _key from changed_records"""
        )

    def _take_rows(self, engine: duckdb.DuckDBPyConnection) -> None:
        """Narrow the datasets' accepted rows to those of the touched records."""
        folder = self.work.scratch(self.run.id) / NARROW
        for dataset in self.work.registry.datasets_of(self.entity):
            table = clean_table(dataset.name)
            if files := self.work.lake.files(table, self._runs(table)):
                mine = f"(select _key as mine from touched_records where dataset = {literal(dataset.name)})"
                write_narrow(engine, folder, table, files, f"semi join {mine} as wanted on wanted.mine = rows._key")

    def _take_published(self, engine: duckdb.DuckDBPyConnection) -> None:
        """Narrow what is published to what is of the touched persons, all versions of it."""
        lake, folder = self.work.lake, self.work.scratch(self.run.id) / NARROW
        persons = "entity_id in (select entity_id from touched_persons)"
        records = "(dataset, _key) in (select (dataset, _key) from touched_records)"
        asked = [(golden_table(self.entity), persons)]
        asked += [
            (name(self.entity), f"{persons} or {records}") for name in (links_table, findings_table, corrections_table)
        ]
        asked += [
            (golden_table(related.name), persons)
            for related in self.work.registry.related_to(self.entity)
            if not related.declared.key
        ]
        for table, where in asked:
            if files := lake.files(table, set(self.published)):
                key = ("id",) if table != golden_table(self.entity) and table.startswith("golden.") else key_of(table)
                names = ", ".join(map(quote, key))
                newest = Versions.of(lake.base_and_deltas(table, set(self.published))).newest(key)
                write_narrow(
                    engine,
                    folder,
                    table,
                    files,
                    f"semi join (select {names} from {newest} where {where}) as wanted using ({names})",
                )

    def _take_names(self, engine: duckdb.DuckDBPyConnection) -> None:
        """Leave on either side what a thing beside a person may be named by, as it was and as it is."""
        own = self.work.scratch(self.run.id) / identifier_history.NAMES
        for folder, published in (
            (self.work.scratch(self.before) / identifier_history.NAMES, self.published),
            (own, [*self.published, self.run.id]),
        ):
            if folder == own and any(own.glob("*.parquet")):
                continue
            if files := self.work.lake.base_and_deltas(names_table(self.entity), set(published)):
                folder.mkdir(parents=True, exist_ok=True)
                _copy(engine, f"select * from {current(files, KEYS[NAMES])}", folder / "names.parquet")


def _copy(engine: duckdb.DuckDBPyConnection, query: str, target: Path) -> None:
    engine.execute(f"copy ({query}) to {literal(str(target))} ({SCRATCH})")
