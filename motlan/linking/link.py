"""The step that links every current row to a person, and gives persons ids that stay.

Rows are compared with rows, never with golden values, under one frozen version of model, frequencies and thresholds. What a
pair weighs depends on its two rows alone, and is remembered: a later run weighs only pairs of which a row changed, and comes
to the same groups as if it had weighed all (see `motlan.linking.stages`).
"""

from __future__ import annotations

import json

import duckdb
import pyarrow as pa

from motlan.engine import literal, one, quote
from motlan.engine.named import named_calls
from motlan.errors import ConfigurationError, ContractError
from motlan.lake import PARQUET, SCRATCH, changes, created, current, read_parquet
from motlan.ledger import runs, versions
from motlan.linking import model as models
from motlan.linking import stages
from motlan.linking import store as kept
from motlan.linking.model import Model
from motlan.matching import Matching
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
REVIEW_COLUMNS = ("_ref", "other_dataset", "other_key", "other_ref", "weight", "probability")
GROUPED = """
    select mine.dataset, mine._key, mine._ref, others.dataset || '/' || others._key as founder,
           others.dataset || '/' || others._key as compared, others._ref as compared_ref, rule, weight, probability
    from (from told anti join apart using (n)) as told join facts as mine using (n)
    join (from facts where on_spine) as others on others.n = told.compared
    union all
    select mine.dataset, mine._key, mine._ref, theirs.dataset || '/' || theirs._key, others.dataset || '/' || others._key,
           others._ref, rule, weight, probability
    from apart join facts as mine using (n) join facts as theirs on theirs.n = apart.person
    join facts as others on others.n = apart.compared
    union all
    select dataset, _key, _ref, dataset || '/' || _key, dataset || '/' || _key, _ref, 'founder', null, null
    from facts anti join doubles using (n) where on_spine
    union all
    select dataset, _key, _ref, dataset || '/' || _key, dataset || '/' || _key, _ref, 'provisional founder', null, null
    from facts semi join (from waiting anti join linked using (n)) using (n)"""
"""The SQL of every row with the one that founded its person, and the one that it was compared with, of what linking left.

Most rows were compared with the spine's row that founded their person; the few others stand `apart`."""


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
        Counts: `rows`, `persons`, `changed`, `by_rule`, `reviews`, `pairs` (weighed now), `expected_wrong` (links), `version`,
        `model`, `snapshots`. All rows with their persons are left in the run's scratch folder as `links.parquet`.
    """
    tables = [table(run.subject) for table in (links_table, kept.reviews_table, pairs_table, kept.frequencies_table)]
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


def load_decisions(work: Workspace, engine: duckdb.DuckDBPyConnection, entity: str) -> bool:
    """Make the table `decided` of what persons decided; tell whether there is anything."""
    told: pa.Table = kept.decided(work.store, entity)
    engine.register("told", told)
    engine.execute(
        f"""create or replace temp table decided as
           select {stages.number("left_dataset || '/' || left_key")} as n,
                  {stages.number("right_dataset || '/' || right_key")} as other, same from told"""
    )
    engine.unregister("told")
    return bool(told.num_rows)


class _Step:
    """The step's work on one engine session."""

    def __init__(self, work: Workspace, run: runs.Run, published: list[str]) -> None:
        self.work, self.run, self.published = work, run, set(published)
        self.entity = run.subject
        self.matching: Matching = work.registry.entity(run.subject).matching
        self.rows = 0

    def do(self, inputs: dict[str, list[str]]) -> runs.Counts:
        with self.work.bulk_engine(f"linking {self.entity}") as engine:
            facts = self._facts(engine, inputs)
            released = self._released()
            decided = load_decisions(self.work, engine, self.entity)
            if released is None:
                linking = stages.link_all(engine, self.matching, facts, decided=decided)
                model, found = kept.record(self.work.store, self.entity, linking.model), linking.model
                text = found.model_dump_json()
                (self.work.scratch(self.run.id) / "model.json").write_text(text, encoding="utf-8")
                if one(engine, "select count(*) from frequencies")[0]:
                    self._write(engine, kept.frequencies_table(self.entity), "from frequencies")
                version = self._version(engine, found)
            else:
                model, found = released
                load_frequencies(self.work, engine, self.entity, model)
                version = self._version(engine, found)
                remembered = self._remember(engine, version)
                stages.link_all(engine, self.matching, facts, found, remembered=remembered, decided=decided)
            return {**self._stage(engine, version), "version": version, "model": model}

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

    def _facts(self, engine: duckdb.DuckDBPyConnection, inputs: dict[str, list[str]]) -> str:
        """Keep the current rows for this step, and their numbers; return the relation's name."""
        spine = ", ".join(map(literal, self.matching.spine)) or "null"
        fields = ", ".join(map(quote, self.matching.fields))
        self._keep(
            engine,
            "facts",
            f"""select {stages.ROW} as n, {stages.number("_ref")} as version, dataset in ({spine}) as on_spine,
                       dataset, _key, _ref, {fields} from {self.work.facts(self.entity, inputs)}""",
        )
        self.rows, numbers = one(engine, "select count(*), count(distinct n) from facts")
        if self.rows != numbers:
            raise ContractError(
                "two rows have one number", where=self.entity, next_step="report this: no row may be lost."
            )
        return "facts"

    def _keep(self, engine: duckdb.DuckDBPyConnection, name: str, query: str) -> None:
        """Put rows into a file of the scratch folder, by a name: many of them, so that they shall not stand in memory."""
        target = literal(str(self.work.scratch(self.run.id) / f"{name}.parquet"))
        engine.execute(f"copy ({query}) to {target} ({SCRATCH})")
        engine.execute(f"create temp view {name} as from read_parquet({target})")

    def _version(self, engine: duckdb.DuckDBPyConnection, model: Model) -> str:
        digest = one(
            engine,
            f"select coalesce(sum({stages.number(FREQUENCY)}::decimal(38, 0)), 0)::varchar from frequencies",
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
        engine.execute(
            """create temp view told as
               from linked union all select n, person, person, 'duplicate', weight, probability from doubles;
               create temp table apart as from told where person != compared or compared in (select n from waiting)"""
        )
        if before := self.work.lake.files(links_table(self.entity), self.published):
            changed = self._change(engine, version, before)
        else:
            changed = self._create(engine, version)
        by_rule = dict(engine.execute("select rule, count(*) from links group by rule order by rule").fetchall())
        totals = one(
            engine,
            """select count(*), count(*) filter (rule in ('founder', 'provisional founder')),
                      (select count(*) from scored), coalesce(sum(1 - probability), 0) from links""",
        )
        if totals[2]:
            self._write(
                engine,
                pairs_table(self.entity),
                f"""select scored.*, l.version as row_version, r.version as other_version, {literal(version)} as _link_version
                    from scored join facts as l on l.n = scored.n join facts as r on r.n = scored.other""",
            )
        return {
            "rows": totals[0],
            "persons": totals[1],
            "changed": changed,
            "by_rule": by_rule,
            "reviews": self._stage_reviews(engine),
            "pairs": totals[2],
            "expected_wrong": round(totals[3], 3),
        }

    def _create(self, engine: duckdb.DuckDBPyConnection, version: str) -> int:
        """Write the first links for the lake, and keep as `links` what is read of them afterwards; return how many they are."""
        links = f"({self._links(f'({GROUPED})', version)})"
        if self.rows:
            links = read_parquet([self._write(engine, links_table(self.entity), created(links, KEY, COLUMNS))])
        self._keep(engine, "links", f"select dataset, _key, person_id, rule, probability from {links}")
        return self.rows

    def _change(self, engine: duckdb.DuckDBPyConnection, version: str, before: list[str]) -> int:
        """Keep all links as `links`, and write for the lake in what they differ from those before; return how many do.

        The founder's own earlier id comes first, then the smallest of the others' that no founder holds. So a provisional person
        that appears on the spine keeps its id.
        """
        old = f"select {', '.join((*KEY, *COLUMNS))} from {current(before, KEY)}"
        engine.execute(f"create temp table previous as {old}")
        self._keep(engine, "grouped", GROUPED)
        had = """
            left join (
                select founder, person_id as earlier from (
                    select founder, arg_min(person_id, (not own, person_id)) as person_id, bool_or(own) as own from (
                        select founder, person_id, dataset || '/' || _key = founder as own
                        from grouped join (select dataset, _key, person_id from previous) using (dataset, _key))
                    group by founder)
                qualify row_number() over (partition by person_id order by own desc, founder) = 1) using (founder)"""
        self._keep(engine, "links", self._links(f"grouped{had}", version, "earlier"))
        engine.execute(f"create temp table difference as {changes('links', 'previous', KEY, COLUMNS)}")
        count = int(one(engine, "select count(*) from difference")[0])
        if count:
            self._write(engine, links_table(self.entity), "from difference")
        return count

    def _links(self, grouped: str, version: str, earlier: str = "null") -> str:
        """Return the SQL of every row with its person's id: the `earlier` one of its group, or one drawn by a keyed hash.

        The hash is of the row that founded the group.
        """
        secret = self.work.store.secret("person ids").hex()
        return f"""
            select dataset, _key, _ref, coalesce({earlier}, substr(sha256({literal(secret)} || founder), 1, 32)::uuid::varchar)
                   as person_id, founder, compared, compared_ref, rule, weight, probability, {literal(version)} as _link_version
            from {grouped}"""

    def _stage_reviews(self, engine: duckdb.DuckDBPyConnection) -> int:
        engine.execute(
            """create temp table unsure as
               select l.dataset, l._key, l._ref, r.dataset as other_dataset, r._key as other_key, r._ref as other_ref,
                      weight, probability
               from reviews join facts as l using (n) join facts as r on r.n = reviews.other"""
        )
        files = self.work.lake.files(kept.reviews_table(self.entity), self.published)
        kept_columns = ", ".join((*KEY, *REVIEW_COLUMNS))
        old = f"select {kept_columns} from {current(files, KEY)}" if files else "from unsure where false"
        engine.execute(f"create temp table unsure_before as {old}")
        engine.execute(
            f"create temp table changed_reviews as {changes('unsure', 'unsure_before', KEY, REVIEW_COLUMNS)}"
        )
        if one(engine, "select count(*) from changed_reviews")[0]:
            self._write(engine, kept.reviews_table(self.entity), "from changed_reviews")
        return int(one(engine, "select count(*) from unsure")[0])

    def _write(self, engine: duckdb.DuckDBPyConnection, table: str, query: str) -> str:
        """Write rows for the lake; return the path of the file."""
        target = str(self.work.lake.folder(table, self.run.id) / "000000.parquet")
        engine.execute(
            f"copy (select *, {literal(self.run.id)} as _run from ({query})) to {literal(target)} ({PARQUET})"
        )
        return target
