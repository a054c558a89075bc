"""The step that links every current row to a person, and gives persons ids that stay.

Rows are compared with rows, never with golden values, under one frozen version of model, frequencies and thresholds. What a
pair weighs depends on its two rows alone, and is remembered: a later run weighs only pairs of which a row changed, and comes
to the same groups as if it had weighed all (see `motlan.linking.stages`).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import duckdb

from motlan import identifier_history, ids
from motlan.config.matching import Matching
from motlan.errors import ConfigurationError, InternalError
from motlan.expressions import constant, literal, one, quote
from motlan.expressions.duckdb.named import named_calls
from motlan.lake.iceberg import SCRATCH, changes, created, current, read_parquet, staging
from motlan.ledger import runs, versions
from motlan.linking import linking_rows, person_ids, repurposed_records, stages, valid_decisions
from motlan.linking import model as models
from motlan.linking import stored_models as kept
from motlan.linking.model import Model
from motlan.slices import number, slices
from motlan.workspace import Workspace

KEY = ("dataset", "_key")
COLUMNS = (
    "_ref",
    "person_id",
    "founder",
    "compared",
    "compared_ref",
    "rule",
    "weight",
    "probability",
    "_link_version",
)
"""Columns of `links.<entity>` beside its key. `founder` is `dataset/key` of the row that founded the person, `compared` of
the row that this one was compared with (itself, of a founder)."""
FREQUENCY = "comparison || '/' || value || '/' || floor(share * 1e15)::bigint"
"""A frequency as a text that is the same on every engine."""
REVIEW_COLUMNS = ("_ref", "other_dataset", "other_key", "other_ref", "weight", "probability", "reason")
"""Columns of `reviews.<entity>` beside its key. `reason` is a declared doubt, or `stages.FORMER_NUMBER`; null of a pair that is
merely not probable enough."""


def links_table(entity: str) -> str:
    """Return the name of the lake's table of an entity's links."""
    return f"links.{entity}"


def pairs_table(entity: str) -> str:
    """Return the name of the lake's table of weighed pairs: rows by number, a hash of each one's `_ref`, weight, version."""
    return f"pairs.{entity}"


def link(work: Workspace, run: runs.Run, inputs: dict[str, list[str]], published: list[str]) -> runs.Counts:
    """Link all current rows of an entity and stage what changed.

    Args:
        work: The open installation.
        run: A reconcile run.
        inputs: Dataset -> the sync runs to read.
        published: The reconcile runs published before.

    Returns:
        Counts: `rows`, `persons`, `changed`, `by_rule`, `reviews`, `pairs` (weighed now), `expected_wrong` (links),
        `contradicted` (decisions of people that could not be heeded), `version`, `model`, `snapshots`. All rows with their
        persons are kept in the run's scratch folder as `links`.
    """
    named = (
        links_table,
        person_ids.identities_table,
        kept.reviews_table,
        pairs_table,
        kept.frequencies_table,
        identifier_history.identifiers_table,
    )
    tables = [table(run.subject) for table in named]
    counts = work.staged(run.id, "link", tables, lambda: _Step(work, run, published).do(inputs))
    learned = work.scratch(run.id) / "model.json"
    if learned.exists():
        model = Model.model_validate_json(learned.read_text(encoding="utf-8"))
        kept.release_first(work.store, run.subject, counts["model"], model, run.id)
    return counts


def load_frequencies(work: Workspace, engine: duckdb.DuckDBPyConnection, entity: str, model: str) -> None:
    """Make the table `frequencies` that a model (by its id) was learned with; empty where it is as declared."""
    files = work.lake.files(kept.frequencies_table(entity), {kept.run_of(work.store, model) or ""})
    relation = read_parquet(files) if files else "(select '' as comparison, '' as value, 0.0 as share where false)"
    engine.execute(f"create or replace temp table frequencies as select comparison, value, share from {relation}")


class _Step:
    """The step's work on one engine session."""

    def __init__(self, work: Workspace, run: runs.Run, published: list[str]) -> None:
        self.work, self.run, self.published = work, run, set(published)
        self.entity = run.subject
        self.matching: Matching = work.registry.entity(run.subject).matching
        self.rows, self.homes = 0, 1
        self.former = False
        self.inputs: dict[str, list[str]] = {}
        self.model: Model

    def do(self, inputs: dict[str, list[str]]) -> runs.Counts:
        self.inputs = inputs
        with self.work.bulk_engine(f"linking {self.entity}") as engine:
            known, found = self._released() or (None, None)
            if known:
                load_frequencies(self.work, engine, self.entity, known)
            model = self._load(engine, inputs, found)
            told = valid_decisions.read(self.work, engine, self.entity, inputs, "facts", found)
            decided = valid_decisions.load(engine, told)
            version = self._version(engine, model) if known else ""
            remembered = known is not None and self._remember(engine, version)
            linking = stages.Linking(
                engine,
                self.matching,
                model,
                homes=self.homes,
                former=self.former,
                arrived=self._arrived(inputs) if self.former else None,
                remembered=remembered,
                decided=decided,
            )
            model = linking.run(calibrate=known is None)
            if known is None:
                known, version = kept.record(self.work.store, self.entity, model), self._version(engine, model)
                self._leave(engine, model)
            self.model = model
            contradicted = valid_decisions.note(self.work.store, engine, self.run.id, told, linked=decided)
            staged = self._stage(engine, version)
            return {**staged, "contradicted": contradicted, "version": version, "model": known}

    def _leave(self, engine: duckdb.DuckDBPyConnection, model: Model) -> None:
        """Leave a model that was learned now, to be released, with its frequencies."""
        (self.work.scratch(self.run.id) / "model.json").write_text(model.model_dump_json(), encoding="utf-8")
        if one(engine, "select count(*) from frequencies")[0]:
            self._write(engine, kept.frequencies_table(self.entity), "from frequencies")

    def _released(self) -> tuple[str, Model] | None:
        """Return the model to link by; None where this run has to learn one."""
        found = kept.standing(self.work.store, self.entity)
        if found and not kept.fits(self.matching, found[1]):
            raise ConfigurationError(
                "the released model does not have the declared comparisons and levels",
                where=f"matching.yaml, {self.entity}",
                next_step="run `motlan model fit` and release what it proposes, or declare them as they were.",
            )
        return found

    def _load(self, engine: duckdb.DuckDBPyConnection, inputs: dict[str, list[str]], model: Model | None) -> Model:
        """Keep the current rows for this step, as linking reads them; return the model to link them by."""
        facts, values = self.work.facts(self.entity, inputs), self.work.values(self.entity, inputs)
        self.homes = len(slices(one(engine, f"select count(*) from {values}")[0]))
        keep = partial(self._keep_at_home, engine)
        former = partial(self._follow, engine, inputs)
        learned = stages.load_all(
            linking_rows.Kept(engine, self.matching, facts, values, keep, self.homes, former), model
        )
        self.rows = one(engine, "select count(*) from facts")[0]
        numbers = (f"select count(distinct n) from facts where {part('n')}" for part in slices(self.rows))
        if self.rows != sum(one(engine, query)[0] for query in numbers):
            raise InternalError(
                "two rows have one number", where=self.entity, next_step="report this: no row may be lost."
            )
        return learned

    def _follow(self, engine: duckdb.DuckDBPyConnection, inputs: dict[str, list[str]]) -> str | None:
        """Make `histories` of the spine's records that bore other numbers; return the SQL of their earlier rows."""
        records = one(engine, "select count(*) from kept_spine")[0]
        if found := identifier_history.histories(self.work, self.entity, inputs, records, "kept_spine"):
            engine.execute(f"create temp table histories as from {found}")
            self.former = bool(one(engine, "select count(*) from histories")[0])
        return identifier_history.former_query("histories", self.matching.followed) if self.former else None

    def _arrived(self, inputs: dict[str, list[str]]) -> str:
        """Return the SQL of every accepted row of the spine: `n`, `_ref`."""
        rows = " union all ".join(
            f"select {literal(name)} as dataset, _key, _ref from {read_parquet(files)}"
            for name in self.matching.spine
            if (files := self.work.clean_files(name, inputs))
        )
        return f"(select {linking_rows.ROW} as n, _ref from ({rows}))"

    def _keep(self, engine: duckdb.DuckDBPyConnection, name: str, *queries: str) -> None:
        """Put rows into files of the scratch folder, by a name: many of them, so that they shall not stand in memory."""
        folder = self._folder(name)
        for place, query in enumerate(queries):
            engine.execute(f"copy ({query}) to {literal(str(folder / f'{place:06d}.parquet'))} ({SCRATCH})")
        self._show(engine, name)

    def _keep_at_home(self, engine: duckdb.DuckDBPyConnection, name: str, query: str) -> None:
        """Do it with rows that have a `home`, those of each one together."""
        if self.homes == 1:
            self._keep(engine, name, query)
            return
        folder = literal(str(self._folder(name)))
        engine.execute(f"copy (select *, home as part from ({query})) to {folder} ({SCRATCH}, partition_by (part))")
        self._show(engine, name)

    def _folder(self, name: str) -> Path:
        """Make an empty folder for what is kept by a name."""
        folder = self.work.scratch(self.run.id) / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return folder

    def _show(self, engine: duckdb.DuckDBPyConnection, name: str) -> None:
        engine.execute(f"create or replace temp view {name} as from {self.work.kept(self.run.id, name)}")

    def _version(self, engine: duckdb.DuckDBPyConnection, model: Model) -> str:
        digest = one(
            engine,
            f"select coalesce(sum({number(FREQUENCY)}::decimal(38, 0)), 0)::varchar from frequencies",
        )
        with named_calls(False):
            weighing = models.body(self.matching, model)
        body = {**weighing, "frequencies": digest[0], **self.work.engine_version()}
        return versions.record(self.work.store, "link", self.entity, json.loads(json.dumps(body)))

    def _remember(self, engine: duckdb.DuckDBPyConnection, version: str) -> bool:
        """Make `remembered`: pairs weighed before under this version, of rows that are as they were."""
        files = self.work.lake.files(pairs_table(self.entity), self.published)
        if not files:
            return False
        engine.execute(
            f"""create temp table remembered as
                select distinct pairs.n, pairs.other, pairs.weight from {read_parquet(files)} as pairs
                join facts as l on l.n = pairs.n and l.version = pairs.row_version
                join facts as r on r.n = pairs.other and r.version = pairs.other_version
                where _link_version = {literal(version)}"""
        )
        return True

    def _stage(self, engine: duckdb.DuckDBPyConnection, version: str) -> runs.Counts:
        stages.let_go(engine)
        pairs = self._stage_pairs(engine, version)
        rows = "select n, dataset, _key, _ref from"
        facts = f"({rows} facts union all {rows} former_rows)" if self.former else "facts"
        engine.execute(
            f"""create temp view told as
               from linked union all
               select n, person, person, case when weight is null then 'decided' else 'duplicate' end, weight, probability, null
               from doubles;
               create temp table apart as from told where person != compared or compared in (select n from waiting);
               create temp table alone as select n from waiting anti join linked using (n);
               create temp table few as
               select n, dataset, _key, _ref from {facts} semi join (
                   from alone union select n from apart union select person from apart union select compared from apart
                   union select n from reviews union select other from reviews)
               using (n)"""
        )
        self._keep(
            engine,
            "far",
            """select dataset, _key, _ref, compared, rule, weight, probability
               from (from told where home is null) anti join apart using (n) join facts using (n)""",
        )
        if before := self.work.lake.files(links_table(self.entity), self.published):
            changed = self._change(engine, version, before)
        else:
            changed = self._create(engine, version)
        by_rule = dict(engine.execute("select rule, count(*) from links group by rule order by rule").fetchall())
        totals = one(
            engine,
            """select count(*), count(*) filter (rule in ('founder', 'provisional founder')),
                      coalesce(sum(1 - probability), 0) from links""",
        )
        if totals[0] != self.rows:
            raise InternalError(
                f"{self.rows:,} rows have {totals[0]:,} links, not one each",
                where=self.entity,
                next_step="report this: no row may be lost, and none may be linked twice.",
            )
        self._stage_numbers(engine)
        return {
            "rows": totals[0],
            "persons": totals[1],
            "changed": changed,
            "by_rule": by_rule,
            "reviews": self._stage_reviews(engine),
            "pairs": pairs,
            "expected_wrong": round(totals[2], 3),
        }

    def _stage_pairs(self, engine: duckdb.DuckDBPyConnection, version: str) -> int:
        """Write the pairs that were weighed now, and let go of them; return how many they are."""
        # What an earlier row of a record weighs is weighed anew each time: it is no current row, and there are few.
        scored = "scored anti join (select n as other from former_rows) using (other)" if self.former else "scored"
        pairs = int(one(engine, f"select count(*) from {scored}")[0])
        if pairs:
            query = f"select *, {constant(version)} as _link_version from {scored}"
            self._write(engine, pairs_table(self.entity), query)
        engine.execute("drop table scored")
        return pairs

    def _create(self, engine: duckdb.DuckDBPyConnection, version: str) -> int:
        """Write the first links for the lake, and show them as `links` too; return how many they are."""
        folder = self._folder("links")
        for place, query in enumerate(self._links(version)):
            links = created(f"({query})", KEY, COLUMNS)
            written = self._write(engine, links_table(self.entity), links, place)
            (folder / written.name).symlink_to(written)
        self._show(engine, "links")
        return self.rows

    def _change(self, engine: duckdb.DuckDBPyConnection, version: str, before: list[str]) -> int:
        """Keep all links as `links`, and write for the lake in what they differ from those before; return how many do.

        Which id a person has is said by `motlan.linking.person_ids`. Rows that went from one to another are kept as `went`.
        """
        old = f"select {', '.join((*KEY, *COLUMNS))} from {current(before, KEY)}"
        engine.execute(f"create temp table previous as {old}")
        self._keep(engine, "drawn", *self._links(version))
        self._identify(engine, before)
        others = ", ".join(name for name in (*KEY, *COLUMNS) if name != "person_id")
        self._keep(
            engine,
            "links",
            f"""select {others}, coalesce(given_id, person_id) as person_id from drawn
                left join (select founder, person_id as given_id from given) using (founder)""",
        )
        self._keep(engine, "went", "from moved")
        engine.execute(f"create temp table difference as {changes('links', 'previous', KEY, COLUMNS)}")
        count = int(one(engine, "select count(*) from difference")[0])
        if count:
            self._write(engine, links_table(self.entity), "from difference")
        return count

    def _identify(self, engine: duckdb.DuckDBPyConnection, before: list[str]) -> None:
        """Give every group of `drawn` its id, and write for the lake what changed of the ids that are not plain."""
        table = person_ids.identities_table(self.entity)
        secret = self.work.store.secret("person ids")
        datasets = [dataset.name for dataset in self.work.registry.datasets_of(self.entity)]
        step = person_ids.Identities(engine, secret, self.entity, datasets, read_parquet(before))
        columns = ", ".join((*person_ids.KEY, *person_ids.COLUMNS))
        person_ids.none_before(engine)
        if files := self.work.lake.files(table, self.published):
            engine.execute(f"insert into identities_before select {columns} from {current(files, person_ids.KEY)}")
        step.find_met()
        rows = self.work.accepted(self.entity, self.inputs)
        repurposed_records.find_turned(engine, self.matching, self.model, rows, read_parquet(before))
        step.assign()
        step.check()
        changed = changes("identities_now", "identities_before", person_ids.KEY, person_ids.COLUMNS)
        engine.execute(f"create temp table changed_identities as {changed}")
        if one(engine, "select count(*) from changed_identities")[0]:
            self._write(engine, table, "from changed_identities")

    def _links(self, version: str) -> Iterator[str]:
        """Give the SQL, query by query, of every row with its person, and what it was compared with.

        A person's id is drawn by a keyed hash of the row that founded the person. Most rows were compared with the spine's row
        that founded their person, at one home with it or `far`; the few others stand `apart` or `alone`.
        """
        secret = self.work.store.secret("person ids")
        datasets = [dataset.name for dataset in self.work.registry.datasets_of(self.entity)]

        def person(founder: str) -> str:
            return f"{ids.of_record(secret, self.entity, datasets, founder)} as person_id"

        columns = f"person_id, founder, compared, compared_ref, rule, weight, probability, {constant(version)} as _link_version"
        own, theirs, others = (f"{row}dataset || '/' || {row}_key" for row in ("", "theirs.", "others."))
        for home in range(self.homes):
            spine, left = (f"(from {rows} where home = {home})" for rows in ("kept_spine", "kept_left"))
            yield f"""
                with founders as materialized (
                    select n, dataset, _key, _ref, {own} as founder, {person("")} from {spine})
                select dataset, _key, _ref, {columns} from (
                    select mine.dataset, mine._key, mine._ref, person_id, founder, founder as compared,
                           founders._ref as compared_ref, rule, weight, probability
                    from (from linked where home = {home}) as near anti join apart using (n)
                    join {left} as mine using (n) join founders on founders.n = near.compared
                    union all
                    select far.dataset, far._key, far._ref, person_id, founder, founder, founders._ref, rule, weight, probability
                    from far join founders on founders.n = far.compared
                    union all
                    select dataset, _key, _ref, person_id, founder, founder, _ref, 'founder', null, null
                    from founders anti join doubles using (n))"""
        yield f"""
            select dataset, _key, _ref, {columns} from (
                select mine.dataset, mine._key, mine._ref, {person("theirs.")}, {theirs} as founder, {others} as compared,
                       others._ref as compared_ref, rule, weight, probability
                from apart join few as mine using (n) join few as theirs on theirs.n = apart.person
                join few as others on others.n = apart.compared
                union all
                select dataset, _key, _ref, {person("")}, {own}, {own}, _ref, 'provisional founder', null, null
                from few semi join alone using (n))"""

    def _stage_reviews(self, engine: duckdb.DuckDBPyConnection) -> int:
        engine.execute(
            """create temp table unsure as
               select l.dataset, l._key, l._ref, r.dataset as other_dataset, r._key as other_key, r._ref as other_ref,
                      weight, probability, reason
               from reviews join few as l using (n) join few as r on r.n = reviews.other"""
        )
        files = self.work.lake.files(kept.reviews_table(self.entity), self.published)
        old = "from unsure where false"
        if files:
            known = {row[0] for row in engine.execute(f"describe from {read_parquet(files)}").fetchall()}
            # What an earlier version left has no reasons.
            told = (name if name in known else f"null::varchar as {name}" for name in (*KEY, *REVIEW_COLUMNS))
            old = f"select {', '.join(told)} from {current(files, KEY)}"
        engine.execute(f"create temp table unsure_before as {old}")
        engine.execute(
            f"create temp table changed_reviews as {changes('unsure', 'unsure_before', KEY, REVIEW_COLUMNS)}"
        )
        if one(engine, "select count(*) from changed_reviews")[0]:
            self._write(engine, kept.reviews_table(self.entity), "from changed_reviews")
        return int(one(engine, "select count(*) from unsure")[0])

    def _whole_histories(self, engine: duckdb.DuckDBPyConnection) -> str:
        """Return the relation of the records' histories, those of records that are gone as a part of their heirs'."""
        engine.execute(
            """create temp table heirs_of as
               select distinct was.dataset as of, was._key as gone_key, facts.dataset as heir_dataset, facts._key as heir_key
               from former_rows as was join former using (n) join facts on facts.n = former.record where gone and holds"""
        )
        if not one(engine, "select count(*) from heirs_of")[0]:
            return "histories"
        fields = ", ".join(map(quote, self.work.registry.entity(self.entity).fields))
        own = f"_ref, _moment, {fields}"
        engine.execute(
            f"""create temp table whole_histories as
                select dataset, _key, {own}, _stands, _age from histories
                anti join heirs_of on of = dataset and gone_key = _key
                union all select heir_dataset, heir_key, {own}, false, _age + {identifier_history.OLDER}
                from histories join heirs_of on of = dataset and gone_key = _key
                union all select dataset, _key, {own}, true, 1 from {self.work.facts(self.entity, self.inputs)} as f
                semi join heirs_of on heir_dataset = f.dataset and heir_key = f._key
                anti join histories as h on h.dataset = f.dataset and h._key = f._key"""
        )
        return "whole_histories"

    def _stage_numbers(self, engine: duckdb.DuckDBPyConnection) -> None:
        """Write what changed of the numbers that persons bore, and leave what a thing beside a person may be named by."""
        files = self.work.lake.files(identifier_history.identifiers_table(self.entity), self.published)
        if not self.former and not files:
            return
        if self.former:
            followed, histories = self.matching.followed, self._whole_histories(engine)
            engine.execute(
                f"create temp table periods as {identifier_history.periods_query(histories, followed, 'links')}"
            )
            self._keep(
                engine,
                identifier_history.NAMES,
                identifier_history.named_query(histories, "former_rows", "former", followed),
            )
        key, columns = identifier_history.PERIOD_KEY, identifier_history.PERIOD_COLUMNS
        kept_columns = ", ".join((*key, *columns))
        if not files:
            told = created("periods", key, columns)
        else:
            engine.execute(f"create temp table periods_before as select {kept_columns} from {current(files, key)}")
            if not self.former:
                engine.execute("create temp table periods as from periods_before where false")
            told = changes("periods", "periods_before", key, columns)
        engine.execute(f"create temp table changed_periods as {told}")
        if one(engine, "select count(*) from changed_periods")[0]:
            self._write(engine, identifier_history.identifiers_table(self.entity), "from changed_periods")

    def _write(self, engine: duckdb.DuckDBPyConnection, table: str, query: str, number: int = 0) -> Path:
        """Write rows for the lake, into one of its files; return its path."""
        target = self.work.lake.staged_file(table, self.run.id, number)
        engine.execute(staging(query, self.run.id, target))
        return target
