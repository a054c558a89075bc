"""What if: a changed mapping, authority, matching or quality file, run against landed data without publishing.

The rows that the newest publication read are cleaned again where what cleans or checks them is another, linked, merged, checked
and compared with what is published, by the very steps of a full run. What the trial writes lies in a folder of its own and goes
with it (see `motlan.lake.trial`): nothing is visible, and nothing is in the feed. The log gets an entry where that is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import sqlalchemy as sa

from motlan.config.registry import Dataset
from motlan.config.replaced import digests_of, load_replaced
from motlan.errors import DataError
from motlan.expressions import literal, one
from motlan.ingest.clean import select_canonical
from motlan.lake.iceberg import read_parquet
from motlan.lake.newest import pull_moment
from motlan.lake.tables import clean_table, corrections_table, findings_table, golden_table, quarantine_table, raw_table
from motlan.lake.trial import TrialLake
from motlan.ledger import log, runs
from motlan.ledger.results import Begun, Compared, Landed, Linked
from motlan.linking import link as linking
from motlan.merge import merge as merging
from motlan.publication import change_guard
from motlan.publication import diff as differences
from motlan.quality import cross_register, exceptions, row_rules
from motlan.quality.flipped_persons import key_columns
from motlan.store import tables
from motlan.workspace import Workspace

KIND = "what if"
"""The kind of a trial's run, and of the log's entry about it."""
Watch = Callable[[str], None]
Found = dict[str, Any]


def try_out(work: Workspace, entity: str, replaced: Mapping[str, Path], *, limit: int = 20, watch: Watch) -> Found:
    """Run changed declarations against landed data; count what would change against what is published.

    Args:
        work: The open installation.
        entity: The linked entity.
        replaced: Name in `mapping/` -> the changed file.
        limit: Persons that are listed at the most.
        watch: Is given what is begun.

    Returns:
        `changed` (file -> SHA-256), `cleaned` (dataset -> `rows`, `accepted`, `was_accepted`; of those that were cleaned again),
        `persons` (how many by what would happen to them), `fields` (of persons who stay), `areas`, `beside` (entity -> changes),
        `corrections` and `findings` (`opened`, `changed`, `closed`, and by what), `held` (limits of change that it would pass),
        `unread` (sync runs that no publication read yet: they are left out), `sample`.

    Raises:
        DataError: Nothing is published to compare with.
        ConfigurationError: A changed file is wrong.
    """
    with work.own_folder() as folder:
        registry = load_replaced(work.settings.home, replaced, folder / "home")
        registry.linked(entity)
        with runs.alone(work.store, KIND, entity):
            trial = _Trial.begin(work, entity, folder)
            try:
                trial = replace(trial, work=replace(trial.work, registry=registry))
                found = trial.run_all(limit, watch)
            except BaseException as error:
                runs.fail(work.store, trial.run.id, runs.words(error))
                raise
            finally:
                trial.forget()
        with work.store.engine.begin() as connection:
            runs.set_state(connection, trial.run.id, "unchanged")
    return {"entity": entity, "run": trial.run.id, "changed": digests_of(replaced), **found}


def attach(work: Workspace, found: Found, principal: str) -> int:
    """Append what a trial found to the log: the digests of the changed declarations and the counts; return the entry's index."""
    kept = ("entity", "run", "changed", "cleaned", "persons", "fields", "beside", "corrections", "findings", "held")
    with work.store.publishing() as connection:
        return log.append(connection, KIND, {**{name: found[name] for name in kept}, "principal": principal})


@dataclass(frozen=True)
class _Trial:
    """A trial: the installation as it sees it, the installation as it is, its run, and the lake that it writes."""

    work: Workspace
    real: Workspace
    run: runs.Run
    lake: TrialLake

    @classmethod
    def begin(cls, work: Workspace, entity: str, folder: Path) -> _Trial:
        """Begin the run, which reads what the newest publication read."""
        with work.store.engine.connect() as connection:
            published = runs.visible(connection, "reconcile", entity)
        if not published:
            raise DataError(
                f"no {entity} is published yet", next_step="run `motlan reconcile` and `motlan publish` first."
            )
        before = runs.get(work.store, published[-1]).result(Begun)
        run = runs.begin(work.store, KIND, entity)
        begun = Begun(before.inputs, published, before.after_publication, None, True)
        run = replace(run, steps={**run.steps, Begun.step: begun.counts()})
        lake = TrialLake(work.lake, folder / "lake", run.id)
        return cls(replace(work, lake=lake), work, run, lake)

    def run_all(self, limit: int, watch: Watch) -> Found:
        cleaned = {}
        for dataset in self._changed():
            watch(f"cleaning {dataset.name} again")
            cleaned[dataset.name] = self._clean(dataset)
        entity, run = self.run.subject, self.run
        inputs = run.result(Begun).inputs
        steps: dict[str, Callable[[runs.Run], Any]] = {
            "linking": lambda now: linking.link(
                self.work, now, key_columns(self.work.registry, entity, self.work.dialect), "a trial", releases=False
            ),
            "merging": lambda now: merging.merge(self.work, now, inputs),
            "checking": lambda now: cross_register.check(self.work, now, inputs),
            "comparing": lambda now: differences.diff(self.work, now, now.result(Begun).published),
        }
        for name, step in steps.items():
            watch(f"{name} {entity}")
            found = step(run)
            run = replace(run, steps={**run.steps, found.step: found.counts()})
        return {"cleaned": cleaned, **self._count(run, limit)}

    def _changed(self) -> Iterable[Dataset]:
        """Give the datasets of the entity whose rows are cleaned or checked otherwise."""
        for dataset in self.work.registry.datasets_of(self.run.subject):
            if dataset.name in self.real.registry.datasets:
                before = self.real.registry.dataset(dataset.name)
                was = row_rules.version_of(self.real, before, partial(select_canonical, before))
                now = row_rules.version_of(self.work, dataset, partial(select_canonical, dataset))
                if was != now:
                    yield dataset

    def _clean(self, dataset: Dataset) -> dict[str, int]:
        """Clean what was landed of a dataset again, into the trial's folder; return `rows`, `accepted`, `was_accepted`."""
        name, canonical = dataset.name, partial(select_canonical, dataset)
        counts = {"rows": 0, "accepted": 0, "was_accepted": 0}
        read = self.run.result(Begun).inputs.get(name, [])
        before = {run: self.real.lake.files(clean_table(name), {run}) for run in read}
        for table in (clean_table(name), quarantine_table(name)):
            self.lake.replace(table)
        version = row_rules.record_version(self.work, dataset, canonical)
        query = row_rules.tag(self.work.registry.row_rules_of(dataset), canonical(self.work.dialect), self.work.dialect)
        for run in read:
            for key, number in self._clean_run(dataset, query, version, run, before[run]).items():
                counts[key] += number
        return counts

    def _clean_run(self, dataset: Dataset, query: str, version: str, run: str, before: Sequence[str]) -> dict[str, int]:
        """Clean what one run landed again, as that run would: drift and waivers hold."""
        landed = runs.get(self.work.store, run).result(Landed)
        rules, moment = self.work.registry.row_rules_of(dataset), pull_moment(run, landed.source_as_of)
        held = landed.drift.get("chunks", ()) if dataset.contract == "quarantine" else ()
        known = exceptions.Exceptions(frozenset(held), self._find_waived(run, before))
        amended = exceptions.amended(query, known)

        def clean(engine: duckdb.DuckDBPyConnection, numbered: tuple[int, list[str]]) -> row_rules.Checked:
            number, files = numbered
            kept, left = (
                self.lake.staged_file(table, run, number)
                for table in (clean_table(dataset.name), quarantine_table(dataset.name))
            )
            return row_rules.check_chunk(engine, dataset, rules, amended, version, files, kept, left, moment)

        files = self.real.lake.files(raw_table(dataset.name), {run})
        tasks = list(enumerate(row_rules.chunks(files)))
        where = f"cleaning {dataset.name} again"
        checked = list(self.work.side_by_side(where, tasks, clean, need=row_rules.CHUNK_BYTES))
        accepted = sum(chunk.accepted for chunk in checked)
        whole = accepted + sum(chunk.quarantined for chunk in checked)
        was = sum(pq.read_metadata(path).num_rows for path in before)
        return {"rows": whole, "accepted": accepted, "was_accepted": was}

    def _find_waived(self, run: str, before: Sequence[str]) -> Path | None:
        """Write which rows of a run are accepted because a person waived them; None where there are none."""
        if not before:
            return None
        target = exceptions.waived_file(self.work, self.run.id).with_name(f"waived-{run}.parquet")
        blocked = "list_contains(list_transform(_errors, lambda error: error.severity), 'blocking')"
        with self.work.engine("looking for waived rows") as engine:
            rows = f"select _ref from {read_parquet(before)} where {blocked}"
            if not one(engine, f"select count(*) from ({rows})")[0]:
                return None
            engine.execute(f"copy ({rows}) to {literal(str(target))} (format parquet)")
        return target

    def _count(self, run: runs.Run, limit: int) -> Found:
        """Count what the trial came to."""
        entity, compared = self.work.registry.entity(run.subject), run.result(Compared)
        place = change_guard.place_of(entity, self.work.registry.scoring.area)
        with self.work.engine(f"counting changes of {entity.name}") as engine:
            self._show(engine, "golden", golden_table(entity.name), ("entity_id", "_op", "_changed", "_event"), place)
            self._show(engine, "corrections", corrections_table(entity.name), ("dataset", "field", "_op"))
            self._show(engine, "findings", findings_table(entity.name), ("dataset", "rule", "_op"))
            counted = _pairs(engine, "select event, count(*) from golden group by event order by event")
            fields = "select unnest(changed) as field from golden"
            areas = "select coalesce(area, ''), count(*) from golden group by area order by count(*) desc, area"
            sample = engine.execute(
                f"select entity_id, event, changed from golden order by entity_id limit {int(limit)}"
            ).fetchall()
            found = {
                "persons": {"all": run.result(Linked).persons, "changed": sum(counted.values()), **counted},
                "fields": _pairs(engine, f"select field, count(*) from ({fields}) group by field order by field"),
                "areas": _pairs(engine, areas),
                "corrections": _turned(engine, "corrections", "field"),
                "findings": _turned(engine, "findings", "rule"),
            }
        return {
            **found,
            "beside": {name: counts["changes"] for name, counts in compared.related_entities.items()},
            "held": compared.held,
            "unread": self._unread(run),
            "sample": [dict(zip(("person", "event", "changed"), row, strict=True)) for row in sample],
        }

    def _show(
        self, engine: duckdb.DuckDBPyConnection, name: str, table: str, columns: Sequence[str], place: str = ""
    ) -> None:
        """Show what the trial staged of a table, under names without underscores; of golden rows what a feed would tell."""
        files, area = self.lake.files(table, {self.run.id}), f", {place} as area" if place else ""
        if not files:
            kinds = {"_changed": "varchar[]"}
            none = ", ".join(f"null::{kinds.get(column, 'varchar')} as {column.strip('_')}" for column in columns)
            engine.execute(f"create temp view {name} as select {none}{', null as area' if place else ''} where false")
            return
        chosen = ", ".join(f"{column} as {column.strip('_')}" for column in columns)
        told = " where _ordinal is not null" if place else ""
        engine.execute(f"create temp view {name} as select {chosen}{area} from {read_parquet(files)}{told}")

    def _unread(self, run: runs.Run) -> int:
        """Return how many visible sync runs the publication that the trial is compared with had not read."""
        inputs = run.result(Begun).inputs
        with self.work.store.engine.connect() as connection:
            return sum(len(set(runs.visible(connection, "sync", name)) - set(read)) for name, read in inputs.items())

    def forget(self) -> None:
        """Remove what the steps left beside the trial's folder: scratch files, and notes about decisions not honoured."""
        self.work.sweep(self.run.id)
        table = tables.link_contradictions
        with self.work.store.engine.begin() as connection:
            connection.execute(sa.delete(table).where(table.c.run == self.run.id))


def _pairs(engine: duckdb.DuckDBPyConnection, query: str) -> dict[str, int]:
    return dict(engine.execute(query).fetchall())


def _turned(engine: duckdb.DuckDBPyConnection, relation: str, by: str) -> Found:
    """Count rows that a trial would open, change and close, and by dataset and what they are about."""
    words = {"created": "opened", "updated": "changed", "removed": "closed"}
    counted = _pairs(engine, f"select op, count(*) from {relation} group by op")
    rows = engine.execute(f"select dataset, {by}, op, count(*) from {relation} group by all order by all").fetchall()
    listed = [{"dataset": dataset, by: name, "what": words[op], "number": number} for dataset, name, op, number in rows]
    return {**{word: counted.get(op, 0) for op, word in words.items()}, f"by_{by}": listed}
