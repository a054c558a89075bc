"""The step that links every current row to a person, and gives persons ids that stay.

Rows are compared with rows, never with golden values, under one frozen version of model, frequencies and thresholds. What a
pair weighs depends on its two rows alone, and is remembered: a later run weighs only pairs of which a row changed, and comes
to the same clusters as if it had weighed all (see `motlan.linking.link_rows`). What comes of it is written by
`motlan.linking.persist`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from motlan import identifier_history
from motlan.config.matching import Matching
from motlan.errors import ConfigurationError, InternalError
from motlan.expressions import literal
from motlan.lake.iceberg import read_parquet
from motlan.lake.tables import (
    former_table,
    frequencies_table,
    identifiers_table,
    identities_table,
    links_table,
    names_table,
    pairs_table,
    reviews_table,
    row_keys_table,
)
from motlan.ledger import runs
from motlan.ledger.results import Begun, Linked
from motlan.linking import link_changed, linking_rows, persist_changed, row_keys, scope, valid_decisions
from motlan.linking import stored_models as kept
from motlan.linking.link_rows import Linking, load_all
from motlan.linking.model import Model
from motlan.linking.persist import Files, Results
from motlan.linking.relations import Relations
from motlan.partitioning import make_buckets
from motlan.settings import sizes
from motlan.workspace import Workspace


def link(
    work: Workspace,
    run: runs.Run,
    keys: Mapping[str, str] = MappingProxyType({}),
    why_full: str = "",
    *,
    releases: bool = True,
) -> Linked:
    """Link an entity's current rows and stage what changed: those that a change can affect, or all of them (see `scope`).

    Args:
        work: The open installation.
        run: A reconcile run.
        keys: Columns by which later steps find rows -> their SQL over the fields of a current row.
        why_full: Why later steps need that all rows are linked; empty where they do not.
        releases: Whether a model that is learned now is released.

    Returns:
        What was linked. In the run's scratch folder, `links` has all rows with their persons; of a run of what changed, those of
        the touched persons, and `touched_ids` their ids, before and now.
    """
    named = (
        links_table,
        identities_table,
        reviews_table,
        pairs_table,
        frequencies_table,
        identifiers_table,
        former_table,
        names_table,
        row_keys_table,
    )
    tables = [table(run.subject) for table in named]
    began = run.result(Begun)

    def link_rows() -> runs.Counts:
        previous = runs.get(work.store, began.previous) if began.previous else None
        why = why_full or scope.why_full(work, run, previous)
        if not why and previous is not None:
            try:
                return _ChangedStep(work, run, began, previous, keys).run_all()
            except link_changed.TooMuchError as error:
                why = f"{error}, {sizes().changed_percent} % of all or more"
        return {**_LinkStep(work, run, began, keys, previous).run_all(), "why": why}

    counts = work.staged(run.id, "link", tables, link_rows)
    learned = work.scratch(run.id) / "model.json"
    if releases and learned.exists():
        model = Model.model_validate_json(learned.read_text(encoding="utf-8"))
        kept.release_first(work.store, run.subject, counts["model"], model, run.id)
    return Linked(**counts)


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

    def __init__(
        self, work: Workspace, run: runs.Run, began: Begun, keys: Mapping[str, str], previous: runs.Run | None
    ) -> None:
        self.work, self.run, self.published, self.inputs = work, run, set(began.published), began.inputs
        self.keys, self.entity, self.began = keys, run.subject, began
        self.previous = previous
        self.matching: Matching = work.registry.entity(run.subject).matching
        self.rows, self.buckets, self.former = 0, 1, False

    def run_all(self) -> runs.Counts:
        with self.work.bulk_engine(f"linking {self.entity}") as engine:
            self.relations = Relations(engine)
            self.files = Files(self.work, self.run.id, self.relations)
            known, released = self._find_released() or (None, None)
            if known:
                scope.load_frequencies(self.work, engine, self.entity, known)
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
            base = self._find_base(counts["changed"], version) or self._write_row_keys()
            told = {"contradicted": contradicted, "version": version, "model": known, "anew": self.rows, "base": base}
            return {**counts, **told, "scope": "full"}

    def _find_base(self, changed: int, version: str) -> str | None:
        """Return the run whose rows the previous one started from, where they are the same still."""
        if changed or self.previous is None:
            return None
        linked, before = self.previous.find_result(Linked), self.previous.find_result(Begun)
        same = linked and before and linked.version == version and before.versions == self.began.versions
        return linked.base if linked and same else None

    def _write_row_keys(self) -> str | None:
        """Write all rows for the lake, as later runs find them; return this run, or None where no later run links a part.

        Without a spine a row's outcome depends on all others. Another engine's hashes are others, and it links all rows.
        """
        if not self.matching.spine or self.work.settings.engine != "duckdb":
            return None
        also = {"kept_spine": False, "kept_left": True}
        self.files.write(row_keys_table(self.entity), row_keys.row_keys_query(self.matching, also, list(self.keys)))
        return self.run.id

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
        also = {"_moment": "_moment", **self.keys}
        rows = linking_rows.Kept(self.relations, self.matching, facts, values, keep, self.buckets, also, self._follow)
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
        return scope.record_version(self.work, self.relations.engine, self.entity, model)

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


class _ChangedStep:
    """The step's work where what changed alone is linked."""

    def __init__(
        self, work: Workspace, run: runs.Run, began: Begun, previous: runs.Run, keys: Mapping[str, str]
    ) -> None:
        self.work, self.run, self.began, self.keys = work, run, began, keys
        self.linked, self.inputs, self.previous = previous.result(Linked), previous.result(Begun).inputs, previous.id
        self.most = self.linked.rows * sizes().changed_percent // 100

    def run_all(self) -> runs.Counts:
        """Link what changed; where nothing did, carry the counts of the previous run on.

        Raises:
            TooMuchError: Linking everything costs less.
        """
        work, entity = self.work, self.run.subject
        before = link_changed.Before(self.previous, self.inputs, self.linked.base or "", self.began.published)
        with work.bulk_engine(f"linking {entity}") as engine:
            scope.load_frequencies(work, engine, entity, self.linked.model)
            model = kept.standing(work.store, entity)
            if model is None:
                raise InternalError("the released model went while a run began", where=entity, next_step="report this.")
            relations = Relations(engine)
            step = link_changed.ChangedLinking(
                work,
                entity,
                self.began.inputs,
                before,
                relations,
                model[1],
                self.keys,
                self.most,
                work.scratch(self.run.id) / "changed",
            )
            changed = step.find_changed()
            if changed > self.most:
                raise link_changed.TooMuchError(changed)
            if not changed and not valid_decisions.changed_since(work.store, entity, self.previous):
                valid_decisions.carry(work.store, self.previous, self.run.id)
                return {**self.linked.counts(), "snapshots": {}, **self._carried(), "changed": 0, "pairs": 0, "anew": 0}
            step.link()
            contradicted = valid_decisions.note(work.store, engine, self.run.id, step.standing, linked=step.decided)
            files = Files(work, self.run.id, relations)
            counts = persist_changed.ChangedResults(step, self.run, files, self.linked).write(self.linked.version)
        return {**counts, **self._carried(), "contradicted": contradicted, "anew": step.anew}

    def _carried(self) -> runs.Counts:
        carried = {name: getattr(self.linked, name) for name in ("version", "model", "base")}
        return {**carried, "scope": "changed", "why": ""}
