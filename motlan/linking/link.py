"""The step that links every current row to a person, and gives persons ids that stay.

Rows are compared with rows, never with golden values, under one frozen version of model, frequencies and thresholds. What a
pair weighs depends on its two rows alone, and is remembered: a later run weighs only pairs of which a row changed, and comes
to the same clusters as if it had weighed all (see `motlan.linking.link_rows`). What comes of it is written by
`motlan.linking.persist`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import duckdb

from motlan import identifier_history
from motlan.config.matching import Matching
from motlan.errors import ConfigurationError, InternalError
from motlan.expressions import literal, one
from motlan.expressions.duckdb.named import named_calls
from motlan.lake.iceberg import read_parquet
from motlan.lake.tables import (
    frequencies_table,
    identifiers_table,
    identities_table,
    links_table,
    pairs_table,
    reviews_table,
)
from motlan.ledger import runs, versions
from motlan.ledger.results import Linked
from motlan.linking import linking_rows, valid_decisions
from motlan.linking import model as models
from motlan.linking import stored_models as kept
from motlan.linking.link_rows import Linking, load_all
from motlan.linking.model import Model
from motlan.linking.persist import Files, Results
from motlan.linking.relations import Relations
from motlan.partitioning import hash_number, make_buckets
from motlan.workspace import Workspace

FREQUENCY = "comparison || '/' || value || '/' || floor(share * 1e15)::bigint"
"""A frequency as a text that is the same on every engine."""


def link(work: Workspace, run: runs.Run, inputs: dict[str, list[str]], published: list[str]) -> Linked:
    """Link all current rows of an entity and stage what changed.

    Args:
        work: The open installation.
        run: A reconcile run.
        inputs: Dataset -> the sync runs to read.
        published: The reconcile runs published before.

    Returns:
        What was linked. All rows with their persons are kept in the run's scratch folder as `links`.
    """
    named = (
        links_table,
        identities_table,
        reviews_table,
        pairs_table,
        frequencies_table,
        identifiers_table,
    )
    tables = [table(run.subject) for table in named]
    counts = work.staged(run.id, "link", tables, lambda: _LinkStep(work, run, published, inputs).run_all())
    learned = work.scratch(run.id) / "model.json"
    if learned.exists():
        model = Model.model_validate_json(learned.read_text(encoding="utf-8"))
        kept.release_first(work.store, run.subject, counts["model"], model, run.id)
    return Linked(**counts)


def load_frequencies(work: Workspace, engine: duckdb.DuckDBPyConnection, entity: str, model: str) -> None:
    """Make the table `frequencies` that a model (by its id) was learned with; empty where it is as declared."""
    files = work.lake.files(frequencies_table(entity), {kept.run_of(work.store, model) or ""})
    relation = read_parquet(files) if files else "(select '' as comparison, '' as value, 0.0 as share where false)"
    engine.execute(f"create temp table frequencies as select comparison, value, share from {relation}")


def arrived(work: Workspace, matching: Matching, inputs: Mapping[str, Sequence[str]]) -> str:
    """Return the SQL of every accepted row of the spine: `n`, `_ref`."""
    rows = " union all ".join(
        f"select {literal(name)} as dataset, _key, _ref from {read_parquet(files)}"
        for name in matching.spine
        if (files := work.clean_files(name, inputs))
    )
    return f"(select {linking_rows.ROW} as n, _ref from ({rows}))"


class _LinkStep:
    """The step's work on one engine session."""

    def __init__(self, work: Workspace, run: runs.Run, published: list[str], inputs: dict[str, list[str]]) -> None:
        self.work, self.run, self.published, self.inputs = work, run, set(published), inputs
        self.entity = run.subject
        self.matching: Matching = work.registry.entity(run.subject).matching
        self.rows, self.buckets, self.former = 0, 1, False

    def run_all(self) -> runs.Counts:
        with self.work.bulk_engine(f"linking {self.entity}") as engine:
            self.relations = Relations(engine)
            self.files = Files(self.work, self.run.id, self.relations)
            known, released = self._find_released() or (None, None)
            if known:
                load_frequencies(self.work, engine, self.entity, known)
            model = self._load(released)
            decisions = valid_decisions.read(self.work, engine, self.entity, self.inputs, "current_rows", released)
            decided = valid_decisions.load(self.relations, decisions)
            version = self._record_version(model) if known else ""
            linking = Linking(
                engine,
                self.matching,
                model,
                buckets=self.buckets,
                former=self.former,
                arrived=arrived(self.work, self.matching, self.inputs) if self.former else None,
                remembered=known is not None and self._remember(version),
                decided=decided,
            )
            model = linking.run(calibrate=known is None)
            if known is None:
                known, version = kept.record(self.work.store, self.entity, model), self._record_version(model)
                self._leave(model)
            contradicted = valid_decisions.note(self.work.store, engine, self.run.id, decisions, linked=decided)
            counts = Results(self.work, self.run, self.published, self.inputs, linking, self.files).write(version)
            if counts["rows"] != self.rows:
                raise InternalError(
                    f"{self.rows:,} rows have {counts['rows']:,} links, not one each",
                    where=self.entity,
                    next_step="report this: no row may be lost, and none may be linked twice.",
                )
            return {**counts, "contradicted": contradicted, "version": version, "model": known}

    def _leave(self, model: Model) -> None:
        """Leave a model that was learned now, to be released, with its frequencies."""
        (self.work.scratch(self.run.id) / "model.json").write_text(model.model_dump_json(), encoding="utf-8")
        if self.relations.fetch_one("select count(*) from frequencies")[0]:
            self.files.write(frequencies_table(self.entity), "from frequencies")

    def _find_released(self) -> tuple[str, Model] | None:
        """Return the model to link by; None where this run has to learn one."""
        found = kept.standing(self.work.store, self.entity)
        if found and not kept.fits(self.matching, found[1]):
            raise ConfigurationError(
                "the released model does not have the declared comparisons and levels",
                where=f"matching.yaml, {self.entity}",
                next_step="run `motlan model fit` and release what it proposes, or declare them as they were.",
            )
        return found

    def _load(self, model: Model | None) -> Model:
        """Keep the current rows for this step, as linking reads them; return the model to link them by."""
        facts, values = self.work.facts(self.entity, self.inputs), self.work.values(self.entity, self.inputs)
        self.buckets = self.files.buckets = len(
            make_buckets(self.relations.fetch_one(f"select count(*) from {values}")[0])
        )
        keep = self.files.keep_in_buckets
        rows = linking_rows.Kept(self.relations, self.matching, facts, values, keep, self.buckets, self._follow)
        learned = load_all(rows, model)
        self.rows = self.relations.fetch_one("select count(*) from current_rows")[0]
        numbers = (f"select count(distinct n) from current_rows where {part('n')}" for part in make_buckets(self.rows))
        if self.rows != sum(self.relations.fetch_one(query)[0] for query in numbers):
            raise InternalError(
                "two rows have one number", where=self.entity, next_step="report this: no row may be lost."
            )
        return learned

    def _follow(self) -> str | None:
        """Make `histories` of the spine's records that bore other numbers; return the SQL of their earlier rows."""
        records = self.relations.fetch_one("select count(*) from kept_spine")[0]
        if found := identifier_history.histories(self.work, self.entity, self.inputs, records, "kept_spine"):
            self.relations.make("histories", f"from {found}")
            self.former = bool(self.relations.fetch_one("select count(*) from histories")[0])
        return identifier_history.former_query("histories", self.matching.followed) if self.former else None

    def _record_version(self, model: Model) -> str:
        digest = one(
            self.relations.engine,
            f"select coalesce(sum({hash_number(FREQUENCY)}::decimal(38, 0)), 0)::varchar from frequencies",
        )
        with named_calls(False):
            weighing = models.body(self.matching, model)
        body = {**weighing, "frequencies": digest[0], **self.work.engine_version()}
        return versions.record(self.work.store, "link", self.entity, json.loads(json.dumps(body)))

    def _remember(self, version: str) -> bool:
        """Make `remembered`: pairs weighed before under this version, of rows that are as they were."""
        files = self.work.lake.files(pairs_table(self.entity), self.published)
        if not files:
            return False
        self.relations.make(
            "remembered",
            f"""select distinct pairs.n, pairs.other, pairs.match_weight from {read_parquet(files)} as pairs
                join current_rows as l on l.n = pairs.n and l.version = pairs.row_version
                join current_rows as r on r.n = pairs.other and r.version = pairs.other_version
                where _link_version = {literal(version)}""",
        )
        return True
