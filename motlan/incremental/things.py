"""Things beside persons that several rows name: of those that a touched person's rows name, all others' rows are needed too."""

from __future__ import annotations

from pathlib import Path

import duckdb

from motlan import identifier_history
from motlan.config.registry import RelatedEntity
from motlan.expressions import literal, one, quote
from motlan.lake.iceberg import SCRATCH, current, read_parquet
from motlan.lake.narrow import write_narrow
from motlan.lake.newest import MOMENT
from motlan.lake.tables import golden_table, key_of, links_table
from motlan.ledger import runs
from motlan.ledger.results import Begun
from motlan.merge import related_entities
from motlan.partitioning import PersonRanges, fields_of_rows, rows_beside
from motlan.workspace import Workspace


def take(work: Workspace, run: runs.Run, before: PersonRanges, now: PersonRanges) -> runs.Counts:
    """Leave, beside the touched persons, the rows of others that name a thing which theirs name, or named, and what is
    published of these things.

    Others' rows are the same on either side, for nobody of them is touched.

    Returns:
        How many rows these are.
    """
    keyed = [related for related in work.registry.related_to(run.subject) if related.declared.key]
    if not (before.columns or now.columns):
        return {"rows": 0}
    with work.bulk_engine(f"taking out what is beside {run.subject}") as engine:
        taking = _Taking(work, run, before, now, engine)
        return {"rows": sum(taking.take(related) for related in keyed)}


class _Taking:
    """The step's work on one engine session."""

    def __init__(
        self, work: Workspace, run: runs.Run, before: PersonRanges, now: PersonRanges, engine: duckdb.DuckDBPyConnection
    ) -> None:
        self.work, self.run, self.before, self.now, self.engine = work, run, before, now, engine
        self.began = run.result(Begun)
        self.published = set(self.began.published)
        sides = " union all ".join(f"select entity_id from {side.rows([])}" for side in (before, now))
        engine.execute(f"create temp table touched as select distinct entity_id from ({sides})")

    def take(self, related: RelatedEntity) -> int:
        """Do it for the things of one entity; return how many rows of others name one."""
        name = related.name
        self._find_keys(related)
        rows = sum(self._take_rows(related, dataset) for dataset in related.declared.authority)
        if related.declared.person:
            self._take_persons(related)
        self._take_published(related)
        for table in ("keys", "values"):
            self.engine.execute(f"drop table {table}_of_{name}")
        return rows

    def _find_keys(self, related: RelatedEntity) -> None:
        """Make `keys_of_<name>` (`key`), of things that are touched, and `values_of_<name>` (`value`), what rows name them by."""
        name, key = related.name, quote(related.declared.key or "")
        queries = [
            f"select {key} as key from ({related_entities.rows_of(related, side)})" for side in (self.before, self.now)
        ]
        names = self._names(related)
        if related.declared.person:
            field = quote(related.declared.person)
            codes = [
                f"select {field} as code from {side.rows([related.declared.person])}"
                for side in (self.before, self.now)
            ]
            golden = self._golden()
            if golden:
                codes.append(f"select {field} from {golden} semi join touched using (entity_id)")
            queries.append(f"select code as key from ({' union all '.join(codes)})")
            if names:
                queries.append(
                    f"select first from {names} where last in (select code from ({' union all '.join(codes)}))"
                )
        if names:
            differs = "count(*) = 1 or min(first) != max(first) or min(last) != max(last)"
            changed = f"select value from {names} group by value having {differs}"
            queries.append(f"select first from {names} where value in ({changed})")
            queries.append(changed)
        self.engine.execute(
            f"create temp table keys_of_{name} as select distinct key from ({' union all '.join(queries)}) as found(key) "
            "where key is not null"
        )
        values = f"select key as value from keys_of_{name}"
        if names:
            values += f" union select value from {names} where first in (select key from keys_of_{name})"
        self.engine.execute(f"create temp table values_of_{name} as select distinct value from ({values})")

    def _names(self, related: RelatedEntity) -> str | None:
        """Return the relation of what numbers were and are called, of either side; None where no number changed."""
        field = related.numbers.get(related.declared.key or "")
        if field is None:
            return None
        found = [
            f"select value, first, last from {read_parquet(files)} where field = {literal(field)}"
            for side in (self.before, self.now)
            if (files := sorted(map(str, (side.scratch / identifier_history.NAMES).glob("*.parquet"))))
        ]
        return f"({' union all '.join(found)})" if found else None

    def _golden(self) -> str | None:
        files = self.work.lake.base_and_deltas(golden_table(self.run.subject), self.published)
        return current(files, key_of(golden_table(self.run.subject))) if files else None

    def _take_rows(self, related: RelatedEntity, dataset: str) -> int:
        """Leave the rows of others, of a dataset, that name a touched thing; return how many they are."""
        files = self.work.clean_files(dataset, self.began.inputs)
        key = related.declared.key or ""
        if not files or key not in (fields := fields_of_rows(self.work, self.engine, self.run.subject, dataset, files)):
            return 0
        links = self.work.lake.base_and_deltas(links_table(self.run.subject), self.published)
        kept = ", ".join(f"rows.{quote(name)}" for name in ("_key", "_ref", *fields)) + f", {MOMENT} as _moment"
        standing = current(links, key_of(links_table(self.run.subject)))
        mine = f"(select _ref, entity_id from {standing} where dataset = {literal(dataset)})"
        query = f"""
            select links.entity_id, {kept} from {read_parquet(files)} as rows
            semi join values_of_{related.name} as v on v.value = rows.{quote(key)}
            join {mine} as links using (_ref) anti join touched on touched.entity_id = links.entity_id"""
        target = self._copy(query, rows_beside(related.name, dataset))
        return int(one(self.engine, f"select count(*) from {read_parquet([str(target)])}")[0])

    def _take_persons(self, related: RelatedEntity) -> None:
        """Leave the golden persons, of others, whose code names a touched thing."""
        if golden := self._golden():
            field = quote(related.declared.person or "")
            values = f"select value from values_of_{related.name}"
            if names := self._names(related):
                values += f" union select last from {names} where first in (select key from keys_of_{related.name})"
            query = f"select * from {golden} as g anti join touched using (entity_id) where {field} in ({values})"
            self._copy(query, related_entities.golden_beside(related.name))

    def _copy(self, query: str, name: str) -> Path:
        """Leave rows on either side."""
        targets = [side.scratch / name / "part=0" / "0.parquet" for side in (self.now, self.before)]
        for target in targets:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
        self.engine.execute(f"copy ({query}) to {literal(str(targets[0]))} ({SCRATCH})")
        targets[1].symlink_to(targets[0])
        return targets[0]

    def _take_published(self, related: RelatedEntity) -> None:
        """Narrow what is published of the things to those that are touched."""
        table = golden_table(related.name)
        if files := self.work.lake.files(table, self.published):
            secret = self.work.store.secret(related_entities.SECRET)
            mine = related_entities.thing_ids(related, secret, f"keys_of_{related.name}")
            write_narrow(
                self.engine,
                self.work.scratch(self.run.id) / "narrow",
                table,
                files,
                f"semi join (select distinct {related_entities.KEY} from ({mine})) as wanted using ({related_entities.KEY})",
            )
