"""The step that links what changed since the last publication, and comes to the links that linking everything would.

Changed records, and whom they can affect, are linked anew among the rows that they depend on (`motlan.linking.changed_plan`).
Where a row's outcome is another than before, those whom that can affect are linked anew too, until nothing further changes. All
other rows keep their links.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import duckdb
import pyarrow as pa

from motlan import identifier_history
from motlan.config.matching import Matching
from motlan.expressions import literal, quote
from motlan.lake.iceberg import current, read_parquet
from motlan.lake.narrow import NarrowLake, write_narrow
from motlan.lake.tables import FORMER, KEYS, LINKS, ROW_KEYS, clean_table, former_table, links_table, row_keys_table
from motlan.linking import linking_rows, row_keys, valid_decisions
from motlan.linking import model as models
from motlan.linking.affected_rows import LEFT_OVER, UNLINKED, Affected, texts
from motlan.linking.changed_plan import KEPT, ChangedPlan
from motlan.linking.deterministic import DECIDED
from motlan.linking.link_rows import Linking
from motlan.linking.model import Model
from motlan.linking.persist import COLUMNS, DUPLICATE, FOUNDER, KEY, PROVISIONAL_FOUNDER
from motlan.linking.relations import Relations
from motlan.linking.scored_pairs import Context
from motlan.partitioning import hash_number
from motlan.workspace import Workspace

OWN = hash_number("dataset || '/' || _key")
OUTCOME = ("n", "person", "compared", "rule", "match_weight", "probability")
MOST_PASSES = 30
"""Passes after which everything is linked: no world of the tests needs ten."""


class TooMuchError(Exception):
    """More is affected than linking everything would cost.

    Attributes:
        rows: How many rows are affected.
    """

    def __init__(self, rows: int) -> None:
        super().__init__(f"{rows:,} rows are affected")
        self.rows = rows


@dataclass(frozen=True)
class Before:
    """What the previous run left.

    Attributes:
        run: The run.
        inputs: Dataset -> the sync runs that it read.
        base: The run whose `row_keys.<entity>` has all rows.
        runs: The published runs, oldest first.
    """

    run: str
    inputs: Mapping[str, Sequence[str]]
    base: str
    runs: Sequence[str]

    @property
    def since_base(self) -> set[str]:
        """The runs whose files tell what rows there are: the base, and those published after it."""
        return {self.base, *(run for run in self.runs if run > self.base)}

    def turned_runs(self, inputs: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
        """Return the sync runs that it had not read, and those that were taken back since, by dataset."""
        return {name: sorted({*runs} ^ {*self.inputs.get(name, ())}) for name, runs in inputs.items()}


@dataclass
class ChangedLinking:
    """The step's work on one engine session that has the table `frequencies`.

    `link` leaves these relations:

    - `linked_anew` (`n`): rows that were linked anew;
    - `outcomes` (`OUTCOME`) and `reviews_of_touched` (`n`, `other`, `match_weight`, `probability`, `reason`) of them;
    - `named_rows` (`n`, `dataset`, `_key`, `_ref`): every row that these name;
    - `changed_now`, `changed_before`: changed records as `row_keys.<entity>` has them; `changed_numbers` (`n`);
    - `keys_linked_anew` (`n`, `dataset`, `_key`), of records that are gone too;
    - with former numbers, `histories`, `former_persons_now` and `earlier_rows`.

    Attributes:
        work: The open installation.
        entity: The entity's name.
        inputs: Dataset -> the sync runs to read.
        before: What the previous run left.
        relations: The relations that last to the end of the step.
        model: The released model.
        keys: Columns of other steps' keys -> their SQL over the fields of a current row.
        most: Rows that may be affected.
        folder: A folder for the rows of changed records.
    """

    work: Workspace
    entity: str
    inputs: dict[str, list[str]]
    before: Before
    relations: Relations
    model: Model
    keys: Mapping[str, str]
    most: int
    folder: Path
    former: bool = False
    decided: bool = False
    standing: valid_decisions.Standing = field(default_factory=valid_decisions.Standing)
    passes: int = 0
    anew: int = 0

    def __post_init__(self) -> None:
        self.narrow = self.work

    @property
    def engine(self) -> duckdb.DuckDBPyConnection:
        """The session."""
        return self.relations.engine

    @property
    def matching(self) -> Matching:
        """The declaration."""
        return self.work.registry.entity(self.entity).matching

    @property
    def spine(self) -> str:
        """The SQL of whether a row is of the spine."""
        return f"dataset in ({texts(self.matching.spine)})"

    def count(self, relation: str) -> int:
        """Count the rows of a relation."""
        return int(self.relations.fetch_one(f"select count(*) from {relation}")[0])

    def find_changed(self) -> int:
        """Make `changed_records` (`dataset`, `_key`), of which a run tells that was not read before, or is not read any more;
        return their number.
        """
        new = self.before.turned_runs(self.inputs)
        parts = [
            f"select {literal(name)} as dataset, _key from {read_parquet(files)}"
            for name, runs in new.items()
            for files in (self.work.clean_files(name, {name: runs}), self.work.gone_files(name, {name: runs}))
            if files
        ]
        none = "select null::varchar as dataset, null::varchar as _key where false"
        self.relations.make(
            "changed_records", f"select distinct dataset, _key from ({' union all '.join(parts) or none})"
        )
        return self.count("changed_records")

    def link(self) -> None:
        """Link what changed and whom that affects, until nothing further changes.

        Raises:
            TooMuchError: More is affected than linking everything would cost.
        """
        self._show_rows()
        self._read_decisions()
        self._find_former()
        self._show_links()
        passes = _Passes(self)
        passes.run()
        self.passes, self.anew = passes.number, self.count("linked_anew")

    def _show_rows(self) -> None:
        """Make `changed_now`, `changed_before` and `changed_numbers`, and show `rows_before` and `rows_now`."""
        entity, relations = self.entity, self.relations
        self.narrow = narrow_to_records(self.work, self.engine, entity, self.inputs, "changed_records", self.folder)
        relations.make("changed_facts", f"from {self.narrow.facts(entity, self.inputs)}")
        stored = self.work.lake.base_and_deltas(row_keys_table(entity), self.before.since_base)
        relations.show("rows_before", f"from {current(stored, KEYS[ROW_KEYS])}")
        columns = ", ".join(map(quote, self.columns))
        numbers = f"(select {OWN} as n from changed_records)"
        relations.make("changed_before", f"select {columns} from rows_before semi join {numbers} as changed using (n)")

    @property
    def columns(self) -> list[str]:
        """The columns of a current row as it is kept."""
        return [*row_keys.columns(self.matching, self.keys), *row_keys.hashes(self.matching, "r")]

    def _prepare(self) -> None:
        """Make `changed_now` and `changed_numbers`, and show `rows_now`; the values of earlier rows are derived with them."""
        relations, matching = self.relations, self.matching
        fields = ", ".join(map(quote, matching.fields)) or "1"
        values = f"select {fields} from changed_facts"
        if self.former:
            former = identifier_history.former_query("histories", matching.followed)
            values += f" union all select {fields} from {former}"
        linking_rows.load_values(relations, matching, f"({values})")
        rows = linking_rows.with_keys(matching, self.model, "changed_facts", {"_moment": "_moment", **self.keys})
        relations.make("changed_prepared", rows)
        query = row_keys.row_keys_query(matching, {"changed_prepared": True}, list(self.keys))
        columns = ", ".join(map(quote, self.columns))
        relations.make("changed_now", f"select {columns} from ({query})")
        relations.make(
            "changed_numbers",
            """select n from (select n, _ref as now from changed_now) as a
               full join (select n, _ref as was from changed_before) as b using (n) where now is distinct from was""",
        )
        relations.show(
            "rows_now",
            f"""select {columns} from rows_before anti join changed_numbers using (n)
                union all select {columns} from changed_now semi join changed_numbers using (n)""",
        )
        if self.former:
            linking_rows.load_former(relations, matching, former)
            named = ", ".join(f"{text} as {quote(name)}" for name, text in row_keys.hashes(matching, "e").items())
            relations.make("earlier_keys", f"select e.n, record, gone, {named} from earlier_rows as e")

    def _read_decisions(self) -> None:
        relations = self.relations
        columns = "dataset, _key, _ref"
        facts = f"""(select {columns} from rows_before anti join (
                select dataset, _key from changed_records) as changed using (dataset, _key)
            union all select {columns} from changed_facts)"""
        self.standing = valid_decisions.read(self.work, self.engine, self.entity, self.inputs, facts, self.model)
        self.decided = valid_decisions.load(relations, self.standing)
        records = sorted(valid_decisions.find_records(self.work.store, self.entity, self.before.run))
        relations.load("records_decided_on", records, {"dataset": pa.string(), "_key": pa.string()})
        relations.make("decided_on", f"select distinct {OWN} as n from records_decided_on")

    def _find_former(self) -> None:
        """Make `histories` of the spine's records that bore other numbers, and what linking reads of them."""
        spine = f"""(select dataset, _key, _ref from rows_before anti join (
                select dataset, _key from changed_records) as changed using (dataset, _key) where {self.spine}
            union all select dataset, _key, _ref from changed_facts where {self.spine})"""
        records = self.count(spine)
        if found := identifier_history.histories(self.work, self.entity, self.inputs, records, spine):
            self.relations.make("histories", f"from {found}")
            self.former = bool(self.count("histories"))
        self._prepare()

    def _show_links(self) -> None:
        """Show `links_before`; make `left_over_rows` and `duplicates_before`."""
        relations, matching = self.relations, self.matching
        files = self.work.lake.base_and_deltas(links_table(self.entity), set(self.before.runs))
        columns = ", ".join((*KEY, *COLUMNS))
        relations.show("links_before", f"select {columns} from {current(files, KEYS[LINKS])}")
        founder = hash_number("founder")
        relations.make(
            "left_over_links",
            f"""select {OWN} as n, rule, {founder} as founder_n from links_before
                where rule in ({texts(LEFT_OVER)}) and dataset not in ({texts(matching.spine)})""",
        )
        relations.make("left_over_rows", "select * from rows_now join left_over_links using (n)")
        relations.make(
            "duplicates_before",
            f"""select {OWN} as n, {founder} as person, founder, match_weight, probability from links_before
                where {self.spine} and rule != '{FOUNDER}'""",
        )


def narrow_to_records(
    work: Workspace,
    engine: duckdb.DuckDBPyConnection,
    entity: str,
    inputs: Mapping[str, Sequence[str]],
    records: str,
    folder: Path,
) -> Workspace:
    """Return the installation, of whose datasets the accepted rows of some records alone are shown, older ones too.

    Args:
        work: The open installation.
        engine: A session.
        entity: The entity's name.
        inputs: Dataset -> the sync runs to read.
        records: Relation with `dataset`, `_key`.
        folder: Where the rows are written.
    """
    names = [dataset.name for dataset in work.registry.datasets_of(entity)]
    shown = work.with_retracted(inputs)
    for name in names:
        if files := work.clean_files(name, shown):
            mine = f"(select distinct _key as mine from {records} where dataset = {literal(name)})"
            write_narrow(
                engine, folder, clean_table(name), files, f"semi join {mine} as wanted on wanted.mine = rows._key"
            )
    return replace(work, lake=NarrowLake(work.lake, folder, [clean_table(name) for name in names]))


class _Passes:
    """Passes over what is touched, each with what the one before it found to be affected."""

    def __init__(self, step: ChangedLinking) -> None:
        self.step, self.relations, self.number, self._names = step, step.relations, 0, 0
        self.context = Context(step.relations, step.matching, step.model)
        self.affected = Affected(self.context, step.spine)

    def run(self) -> None:
        """Link until nothing further changes; keep what came of it."""
        step, relations = self.step, self.relations
        relations.make("anew_0", self._union(self._first()))
        while True:
            if step.count(f"anew_{self.number}") > step.most or self.number == MOST_PASSES:
                raise TooMuchError(step.count(f"anew_{self.number}"))
            self._link()
            if not self._grow():
                break
            self.number += 1
        self._keep()

    def _union(self, queries: Sequence[str]) -> str:
        found = " union ".join(f"select n from ({query})" for query in queries)
        return self._with_company(found)

    def _with_company(self, found: str) -> str:
        """Add the rows of the spine that share their first identifier, those of the same cluster, and those decided on."""
        step, affected = self.step, self.affected
        relations = self.relations
        self._names += 1
        name = relations.make(f"found_{self._names}", found)
        spine = affected.rows(on_spine=True)
        sharing = affected.sharing(
            spine, f"(from rows_now semi join {name} using (n) where {step.spine})", affected.first_identifier
        )
        clusters = f"""select n from left_over_rows where rule in ({texts(UNLINKED)}) and founder_n in (
            select founder_n from left_over_links semi join {name} using (n) where rule in ({texts(UNLINKED)}))"""
        return f"select n from {name} union {sharing} union {clusters}"

    def _first(self) -> list[str]:
        """Return the queries of the rows that changed records can affect, and of those that people decided on."""
        step, affected = self.step, self.affected
        spine, left = (
            self.relations.make(
                f"{side}_of_changed",
                f"""select c.* from changed_before as c semi join changed_numbers using (n) where {where}
                    union all select c.* from changed_now as c semi join changed_numbers using (n) where {where}""",
            )
            for side, where in (("spine", step.spine), ("left", f"not ({step.spine})"))
        )
        queries = ["select n from changed_numbers", *affected.of_changed_spine(spine), *affected.of_changed_left(left)]
        gone = f"""select c.dataset, {hash_number("l.founder")} as person from left_of_changed as c
            join links_before as l using (dataset, _key)"""
        queries.append(self._of_persons("first", gone))
        if step.count("decided_on"):
            queries += self._decided_on("from decided_on", "first")
        return queries

    def _of_persons(self, name: str, persons: str) -> str:
        """Return the query of the rows that compete for persons (`dataset`, `person`), with a row of that dataset."""
        relations, spine = self.relations, self.affected.rows(on_spine=True)
        relations.make(f"persons_{name}", f"select distinct dataset, person from ({persons})")
        former = ""
        if self.step.former:
            former = f""" union all by name select p.dataset as of_dataset, e.* from persons_{name} as p
                join (select n as earlier, person from {former_before(self.step)}) as f using (person)
                join earlier_rows as e on e.n = f.earlier"""
        relations.make(
            f"rows_of_persons_{name}",
            f"""select distinct p.dataset as of_dataset, s.* from persons_{name} as p
                join (select n, person from duplicates_before union select person, person from persons_{name}) as d using (person)
                join {spine} as s on s.n = d.n{former}""",
        )
        return self.affected.of_persons(f"rows_of_persons_{name}")

    def _decided_on(self, rows: str, name: str) -> list[str]:
        """Return the queries of rows, and of all rows of their persons before."""
        relations, records = self.relations, "select n, dataset, _key from rows_now"
        relations.make(
            f"founders_decided_on_{name}",
            f"""select distinct founder from links_before semi join (
                    select dataset, _key from ({records}) semi join ({rows}) as named using (n)
                ) as mine using (dataset, _key)""",
        )
        theirs = f"select {OWN} as n from links_before semi join founders_decided_on_{name} using (founder)"
        return [f"select n from rows_now semi join ({rows}) as named using (n)", theirs]

    def _link(self) -> None:
        """Link the touched rows of this pass; leave `outcomes_<pass>`, `reviews_<pass>`, `named_<pass>`, `former_<pass>`."""
        step, touched = self.step, f"anew_{self.number}"
        loaded = Relations(step.engine)
        self._load(loaded, touched)
        linking = Linking(
            step.engine,
            step.matching,
            step.model,
            former=step.former,
            arrived=self._arrived() if step.former else None,
            decided=step.decided,
            loaded=loaded,
        )
        affected = Affected(linking.context, step.spine)
        plan = ChangedPlan(linking, affected, touched)
        linking.relations.run(plan.steps, (*linking.results, *KEPT))
        self._take(touched)
        if step.decided:
            self.relations.make(f"contradicted_{self.number}", "from contradicted_pairs")
        linking.close()

    def _arrived(self) -> str:
        """Return the SQL of every accepted row of the spine: `dataset`, `_key`, `n`, `_ref`."""
        step = self.step
        rows = [
            f"select {literal(name)} as dataset, _key, _ref from {read_parquet(files)}"
            for name in step.matching.spine
            if (files := step.work.clean_files(name, step.inputs))
        ]
        return f"(select {linking_rows.ROW} as n, _ref from ({' union all '.join(rows)}))"

    def _load(self, loaded: Relations, touched: str) -> None:
        """Make `left_rows` and `spine_rows` of this pass."""
        step, affected = self.step, self.affected
        left, spine = affected.rows(on_spine=False), affected.rows(on_spine=True)
        own = loaded.make("left_rows_linked_anew", f"from {left} semi join {touched} using (n)")
        exact = affected.sharing(f"(from left_over_rows anti join {touched} using (n))", own, affected.exact)
        columns = ", ".join(f"r.{quote(name)}" for name in step.columns)
        loaded.make(
            "left_rows",
            f"""select {columns} from {own} as r union all
                select {columns} from left_over_rows as r semi join ({exact}) as same using (n)""",
        )
        numbers = [
            f"select n from {touched}",
            affected.sharing(spine, "left_rows", [*affected.identifiers, *affected.exact]),
        ]
        if step.former:
            numbers += [
                "select record as n from earlier_rows",
                affected.sharing(spine, "earlier_keys", affected.identifiers),
                affected.sharing(spine, "(from earlier_keys where gone)", affected.spine_of_left),
            ]
        found = " union ".join(f"select n from ({query})" for query in numbers)
        rare = {models.rarity(name) for name in models.counted(step.matching)}
        plain = ", ".join(f"s.{quote(name)}" for name in step.columns if name not in rare)
        loaded.make("spine_rows", f"select {plain} from {spine} as s semi join ({found}) as found using (n)")

    def _take(self, touched: str) -> None:
        """Keep what a pass came to, of the touched rows."""
        relations, number, step = self.relations, self.number, self.step
        kept = ", ".join(OUTCOME)
        duplicate = f"case when match_weight is null then '{DECIDED}' else '{DUPLICATE}' end"
        relations.make(
            f"outcomes_{number}",
            f"""select {kept} from row_links semi join {touched} using (n)
                union all
                select n, person, person, {duplicate}, match_weight, probability from duplicates semi join {touched} using (n)
                union all
                select n, n, n, '{FOUNDER}', null, null from spine_rows
                semi join {touched} using (n) anti join duplicates using (n)
                union all
                select n, n, n, '{PROVISIONAL_FOUNDER}', null, null from provisional_founders semi join {touched} using (n)""",
        )
        relations.make(f"reviews_{number}", f"from review_pairs semi join {touched} using (n)")
        names = "n, dataset, _key, _ref"
        sources = ["spine_rows", "left_rows", *KEPT, *(["former_rows"] if step.former else [])]
        wanted = f"""(select n from outcomes_{number} union select person from outcomes_{number}
            union select compared from outcomes_{number} union select n from reviews_{number}
            union select other from reviews_{number})"""
        known = " union ".join(f"select {names} from {name}" for name in sources)
        relations.make(
            f"known_names_{number}", f"select * from ({known}) as known semi join {wanted} as wanted using (n)"
        )
        missing = f"({wanted[1:-1]} except select n from known_names_{number})"
        relations.make(
            f"named_{number}",
            f"""from known_names_{number} union all
                select {names} from rows_now semi join {missing} as missing using (n)""",
        )
        if step.former:
            relations.make(
                f"former_{number}", "select f.*, r._ref from former_persons as f join former_rows as r using (n)"
            )

    def _grow(self) -> bool:
        """Make the next pass's touched rows of those that what changed in this one affects; return whether there are more."""
        step, relations, number = self.step, self.relations, self.number
        touched, following = f"anew_{number}", f"anew_{number + 1}"
        relations.make(
            f"keys_{number}",
            f"""select n, dataset, _key from rows_now semi join {touched} using (n)
                union select n, dataset, _key from changed_before semi join {touched} using (n)""",
        )
        relations.make(
            f"turned_{number}",
            f"""select keys.n, keys.dataset, {hash_number("was.founder")} as person_was, was.rule as rule_was,
                       now.person, now.rule
                from keys_{number} as keys left join (
                    select dataset, _key, founder, rule from links_before semi join keys_{number} using (dataset, _key)
                ) as was on was.dataset = keys.dataset and was._key = keys._key
                left join outcomes_{number} as now on now.n = keys.n
                where person_was is distinct from now.person or rule_was is distinct from now.rule""",
        )
        queries = [f"select n from {touched}", *self._affected(f"turned_{number}")]
        relations.make(following, self._union(queries))
        return step.count(following) > step.count(touched)

    def _affected(self, turned: str) -> list[str]:
        """Return the queries of the rows that other outcomes can affect."""
        step, affected, number = self.step, self.affected, self.number
        rows = f"(from rows_now semi join {turned} using (n) where {{where}})"
        spine = rows.format(where=step.spine)
        left = f"""(from rows_now semi join (from {turned} where rule in ({texts(LEFT_OVER)}) or rule_was in ({texts(LEFT_OVER)}))
            as t using (n) where not ({step.spine}))"""
        persons = f"""select dataset, person_was as person from {turned} where person_was is not null
            union select dataset, person from {turned} where person is not null"""
        queries = [
            *affected.of_changed_spine(spine),
            *affected.of_changed_left(left),
            self._of_persons(f"of_{number}", persons),
        ]
        if step.former:
            queries += self._of_former()
        if step.decided:
            founders = f"""select {OWN} as n from links_before semi join (
                select dataset || '/' || _key as founder from named_{number} semi join (
                    select o.person as n from outcomes_{number} as o semi join decided_on using (n)) as p using (n)
            ) as f using (founder)"""
            queries.append(founders)
        return queries

    def _of_former(self) -> list[str]:
        """Return the queries of the rows that earlier rows can affect which hold now and did not, or the other way round."""
        step, number = self.step, self.number
        former = former_before(step)
        self.relations.make(
            f"former_changed_{number}",
            f"""select n from (select n, record as r, person as p, holds as h, _ref as f from former_{number}) as now
                full join (select n, record, person, holds, _ref from {former}) as was using (n)
                where r is distinct from record or p is distinct from person or h is distinct from holds
                   or f is distinct from _ref""",
        )
        rows = f"(from earlier_rows semi join former_changed_{number} using (n))"
        hashed = ", ".join(f"{text} as {quote(name)}" for name, text in row_keys.hashes(step.matching, "e").items())
        changed = self.relations.make(f"former_turned_{number}", f"select e.*, {hashed} from {rows} as e")
        return self.affected.of_changed_spine(changed)

    def _keep(self) -> None:
        """Show what the last pass came to by its lasting names."""
        number = self.number
        names = {
            "linked_anew": "anew",
            "outcomes": "outcomes",
            "reviews_of_touched": "reviews",
            "named_rows": "named",
            "keys_linked_anew": "keys",
        }
        if self.step.former:
            names["former_persons_now"] = "former"
        if self.step.decided:
            names["contradicted_pairs"] = "contradicted"
        for name, of in names.items():
            self.relations.show(name, f"from {of}_{number}")


def former_before(step: ChangedLinking) -> str:
    """Return the SQL of which earlier rows held at the previous run: `n`, `record`, `person`, `holds`, `_ref`."""
    files = step.work.lake.base_and_deltas(former_table(step.entity), set(step.before.runs))
    if files:
        return f"(select n, record, person, holds, _ref from {current(files, KEYS[FORMER])})"
    return (
        "(select null::bigint as n, null::bigint as record, null::bigint as person, false as holds, "
        "null::varchar as _ref where false)"
    )
