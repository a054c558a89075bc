"""What only a bus can see, and what needs a whole register: set, cross and person rules. They never quarantine.

The same pass scores every register as it stands. accuracy across registers counts the fields of which a register is not itself
the authority: neither is the first authority asked, nor a row that the golden value was taken from.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property, partial
from zoneinfo import ZoneInfo

import duckdb

from motlan.config.quality import CrossRule, Rule, Rules, SetRule
from motlan.config.registry import Entity, Registry
from motlan.expressions import Dialect, literal, make, one, quote
from motlan.lake.iceberg import SCRATCH, read_parquet
from motlan.lake.newest import pull_moment
from motlan.ledger import runs
from motlan.ledger.results import CrossChecked
from motlan.partitioning import PersonRanges, linked, make_buckets, write_ranges
from motlan.quality import check_state, deadlines, ended_records, person_rules, set_rules
from motlan.quality.check_state import CheckState, RegisterCounts
from motlan.quality.dated_rules import dated_fields, values_name
from motlan.quality.register_state import ask_register, count_recent, count_standing
from motlan.quality.rule_counts import Tally
from motlan.workspace import Workspace

TALLY = "tally.json"
"""File in the run's scratch folder with the counts by area."""
FINDING = ("dataset", "_key", "rule", "entity_id", "_ref", "dimension", "severity", "field")
_DAY = r"^\d{4}-\d{2}-\d{2}"


@dataclass(frozen=True)
class Side:
    """Some persons with their rows, or all, as they were at the run before, or as they are now.

    Attributes:
        work: Its lake has all accepted rows of these persons' records, and all versions of what is published of them.
        run: The run, in whose scratch folder the steps before left what they made of these persons.
        inputs: Dataset -> the sync runs to read.
        parts: Their linked rows, and what the merge made of them.
    """

    work: Workspace
    run: runs.Run
    inputs: dict[str, list[str]]
    parts: PersonRanges


def check(work: Workspace, run: runs.Run, inputs: dict[str, list[str]]) -> CrossChecked:
    """Ask every rule that needs more than a row; leave findings and counts by area in the run's scratch folder.

    Persons are asked part by part. What needs a whole register is gathered before, in a narrow pass over all rows: values that
    are used twice or refer to nobody, and the newest day.
    """
    tally, where = Tally(), f"checking {run.subject} across registers"
    with work.bulk_engine(where) as engine:
        parts = write_ranges(work, engine, run, inputs)
        state = check_state.begin(work, run)
        told = newest_moments(engine, parts.rows([]))
        state = replace(state, as_of=newest_day(work.registry, run, told))
        gather(engine, work, run.subject, parts, state)
    asked = [dataset for dataset in parts.columns if parts.files(linked(dataset))]
    checking = Checking(work, work.registry.entity(run.subject), parts, state, asked)
    for counts in parts.side_by_side(work, where, "cross_check", checking.part):
        tally.merge(counts["counts"])
    with work.bulk_engine(where) as engine:
        registers = count_registers(engine, Side(work, run, inputs, parts), tally, state)
        registers = {name: replace(register, told=told.get(name)) for name, register in registers.items()}
        state = replace(state, counts=tally.some(), open=check_state.counts_by_day(tally), registers=registers)
        return finish(engine, work, run, inputs, state, partial(_accepted_keys, work, inputs))


def count_registers(
    engine: duckdb.DuckDBPyConnection,
    side: Side,
    tally: Tally,
    state: CheckState,
    since: Mapping[str, str | None] | None = None,
) -> dict[str, RegisterCounts]:
    """Count into a tally what row rules answered about records as they stand, and since when findings are open.

    Leaves the findings about ended records, and the relation `check_state.GONE`.

    Args:
        engine: An engine of the steps.
        side: The persons whose records they are.
        tally: Where to.
        state: In whose folder the relation is left.
        since: Dataset -> the newest moment before which records are recent; by default that of these records.

    Returns:
        Dataset -> what is known of its register, but for the newest moment of linked rows.
    """
    work, run, inputs = side.work, side.run, side.inputs
    ended = ended_records.find(work, run, engine, side.parts, inputs)
    deadlines.count_changes(work, run, engine, side.parts, tally)
    found, gone = {}, ["select null::varchar as dataset, null::varchar as _key, null::varchar as _moment where false"]
    for dataset in work.registry.datasets_of(run.subject):
        files, name = work.clean_files(dataset.name, inputs), dataset.name
        rows = int(one(engine, f"select count(*) from {side.parts.rows([], None, [name])}")[0])
        accepted, newest = count_standing(work, engine, dataset, files, tally) if files else (0, None)
        recent = count_recent(engine, "standing", newest if since is None else since.get(name)) if files else 0
        found[name] = RegisterCounts(accepted, newest, recent, rows, ended.get(name, 0))
        if files and (went := ended_records.went_query(work, run, name, inputs)):
            kept = quote(f"gone_{name}")
            make(
                engine,
                kept,
                [f"select {literal(name)} as dataset, _key, _moment from standing semi join {went} using (_key)"],
            )
            gone.append(f"from {kept}")
    engine.execute(f"copy ({' union all '.join(gone)}) to {state.target(check_state.GONE)} ({SCRATCH})")
    return found


def finish(
    engine: duckdb.DuckDBPyConnection,
    work: Workspace,
    run: runs.Run,
    inputs: dict[str, list[str]],
    state: CheckState,
    standing: Callable[[str], str | None],
) -> CrossChecked:
    """Ask registers as wholes, and leave all counts: for the publication, and for the next cross-check.

    Args:
        engine: An engine of the steps.
        work: The open installation.
        run: The reconcile run.
        inputs: Dataset -> the sync runs to read.
        state: What was counted of all persons.
        standing: Gives the SQL of the `_key` of a dataset's records that have an accepted row; None where it has none.
    """
    tally = Tally()
    tally.merge(state.counts)
    for (dataset, kind, subject, day), number in state.open.items():
        tally.add_open(dataset, kind, subject, day, number)
    left = {name: (register.linked, register.ended) for name, register in state.registers.items()}
    ended_records.count(work, run, inputs, left, tally)
    for declared in work.registry.datasets_of(run.subject):
        of = state.register(declared.name)
        counted = (of.accepted, of.newest, of.recent)
        ask_register(work, engine, declared, standing(declared.name) if of.accepted else None, counted, tally)
    tally.save(work.scratch(run.id) / TALLY)
    state.save()
    findings = sum(number for (_, kind, *_), number in state.open.items() if kind == "cross")
    return CrossChecked(findings=findings, rules=tally.results())


def _accepted_keys(work: Workspace, inputs: Mapping[str, Sequence[str]], dataset: str) -> str | None:
    files = work.clean_files(dataset, inputs)
    return f"(select _key from {read_parquet(files)})" if files else None


def gather(
    engine: duckdb.DuckDBPyConnection, work: Workspace, entity: str, parts: PersonRanges, state: CheckState
) -> None:
    """Leave in a state's folder what of all persons' rows a cross-check needs, and the next one.

    That is what fails each set rule; values used twice are looked for in one dataset at a time. And the values of fields from
    which the day alone makes an answer.
    """
    rules, relation, dialect = work.registry.rules_of(entity), parts.rows, work.dialect
    counts = {name: one(engine, f"select count(*) from {relation([], None, [name])}")[0] for name in parts.columns}
    for rule in rules.sets:
        fields, names = sorted(set_rules.used_fields(rule)), [name for name in counts if rule.applies_to(name)]
        queries = [
            set_rules.failing(rule, [""], relation(fields, None, []), dialect=dialect)
        ]  # there may be rows of none
        for asked in filter(None, [names] if rule.refers else [[name] for name in names]):
            read = [*asked, rule.refers.dataset] if rule.refers else asked
            some = make_buckets(max(counts.get(name, 0) for name in read))
            queries += [
                set_rules.failing(rule, asked, relation(fields, None, read), values, dialect) for values in some
            ]
        make(engine, "failing", queries)
        engine.execute(f"copy (from failing) to {state.target(set_rules.failing_name(rule))} ({SCRATCH})")
    for field in dated_fields(rules):
        values = f"select distinct {quote(field)} from {relation([field])}"
        engine.execute(f"copy ({values}) to {state.target(values_name(field))} ({SCRATCH})")


@dataclass(frozen=True)
class Checking:
    """The questions about persons and their rows.

    Attributes:
        work: The open installation.
        entity: The entity.
        parts: The persons.
        state: What fails set rules, and the day that ages are reckoned at.
        datasets: Those of which every person is asked.
    """

    work: Workspace
    entity: Entity
    parts: PersonRanges
    state: CheckState
    datasets: Sequence[str]

    @cached_property
    def rules(self) -> Rules:
        """The rules that are asked of the entity's rows."""
        return self.work.registry.rules_of(self.entity.name)

    @property
    def as_of(self) -> str:
        """SQL of the day that ages are reckoned at."""
        return day_literal(self.state.as_of)

    def part(self, engine: duckdb.DuckDBPyConnection, part: int) -> runs.Counts:
        """Ask about the persons of one part; leave its findings."""
        tally = Tally()
        self.leave(engine, part, self._ask(engine, part, tally) if self.parts.files("golden", part) else [])
        return {"counts": tally.counts}

    def leave(self, engine: duckdb.DuckDBPyConnection, part: int, found: Sequence[str]) -> None:
        """Leave the findings of one part, by their SQL."""
        target = self.parts.target("findings", part)
        engine.execute(f"copy ({' union all '.join([_nothing(), *found])}) to {target} ({SCRATCH})")

    def _ask(self, engine: duckdb.DuckDBPyConnection, part: int, tally: Tally) -> list[str]:
        """Count the answers about the persons of one part into a tally; return the SQL of the findings."""
        self._load(engine, part)
        rows = _rows_query(self.entity, self.rules, self.as_of, self.work.dialect)
        engine.execute(f"create or replace temp table seen as {rows}")
        found = [*_found(engine, "seen", (*self.rules.cross, *self.rules.sets), tally)]
        for place, dataset in enumerate(self.datasets):
            if asked := [rule for rule in self.rules.persons if rule.applies_to(dataset)]:
                query = person_rules.answers_query(asked, dataset, "linked", "golden", self.as_of, self.work.dialect)
                engine.execute(f"create or replace temp table persons_{place} as {query}")
                found += _found(engine, f"persons_{place}", asked, tally)
        return found

    def _load(self, engine: duckdb.DuckDBPyConnection, part: int) -> None:
        """Show a part's linked rows and golden records, as narrow as the rules allow."""
        area = self.work.registry.scoring.area
        place = quote(area) if area in self.entity.fields else "null::varchar"
        row_fields, golden_fields = _used(self.rules)
        kept = [field for field in self.entity.fields if field in row_fields]
        rows = self.parts.rows([*kept, *({area} & {*self.entity.fields} - {*kept})], part)
        columns = "".join(f", {quote(field)}" for field in kept)
        engine.execute(
            f"""create or replace temp view linked as
                select dataset, _key, _ref, _moment, entity_id, {place} as area{columns} from {rows}"""
        )
        values = "".join(f", {quote(field)}" for field in self.entity.fields if field in golden_fields)
        golden = self.parts.read("golden", part)
        for rule in self.rules.sets:
            failing = self.state.relation(set_rules.failing_name(rule))
            engine.execute(f"create or replace temp view {_failing(rule)} as from {failing}")
        engine.execute(
            f"create or replace temp view golden as select entity_id, {place} as area{values} from {golden};"
            f"create or replace temp view taken as from {self.parts.read('taken', part)}"
        )


def _nothing() -> str:
    return "select " + ", ".join(f"null::varchar as {name}" for name in FINDING) + " where false"


def _failing(rule: SetRule) -> str:
    return quote(set_rules.failing_name(rule))


def _used(rules: Rules) -> tuple[set[str], set[str]]:
    """Return the row fields and the golden fields that the rules read."""
    rows: set[str] = set()
    golden: set[str] = set()
    for rule in rules.cross:
        rows |= {name.removeprefix("row_") for name in rule.parsed.fields if name.startswith("row_")}
        golden |= {name.removeprefix("golden_") for name in rule.parsed.fields if name.startswith("golden_")}
    for person_rule in rules.persons:
        rows |= person_rules.used_fields(person_rule)
        golden |= person_rules.golden_fields(person_rule)
    for set_rule in rules.sets:
        rows |= set_rules.used_fields(set_rule)
    return rows, golden


def newest_moments(engine: duckdb.DuckDBPyConnection, rows: str) -> dict[str, str]:
    """Return the newest moment of the rows of each dataset, of those that name a day.

    Args:
        engine: An engine of the steps.
        rows: Relation with `dataset` and `_moment`.
    """
    newest = f"select dataset, max(_moment) from {rows} {{}} group by dataset"
    found = dict(engine.execute(newest.format("")).fetchall())
    if all(
        moment is None or re.match(_DAY, moment) for moment in found.values()
    ):  # nearly always: no row is matched then
        return {dataset: moment for dataset, moment in found.items() if moment is not None}
    return dict(engine.execute(newest.format(f"where regexp_matches(_moment, {literal(_DAY)})")).fetchall())


def newest_day(registry: Registry, run: runs.Run, told: Mapping[str, str]) -> str | None:
    """Return the day of the newest change that any register told of, by its own zone, and not after the run began.

    Args:
        registry: What is declared.
        run: The reconcile run.
        told: Dataset -> its newest moment; None where there is none at all.
    """
    zones = {dataset.name: dataset.zone or "UTC" for dataset in registry.datasets_of(run.subject)}
    began = pull_moment(run.id, None)
    return max((min(_day(at, zones[name]), _day(began, zones[name])) for name, at in told.items()), default=None)


def day_literal(day: str | None) -> str:
    """Return the SQL of a day, or of none."""
    return "null::varchar" if day is None else literal(day)


def _day(moment: str, zone: str) -> str:
    """Return the day of a moment in a zone; what is a day already stays one."""
    if not moment.endswith("Z"):
        return moment[:10]
    return datetime.fromisoformat(moment).astimezone(ZoneInfo(zone)).date().isoformat()


def cross_answer(rule: CrossRule, entity: Entity, as_of: str, dialect: Dialect, known: str = "") -> str:
    """Return the SQL of a cross rule's answer about a row `r` with its golden record `g`, null where it is not asked.

    Args:
        rule: The rule.
        entity: The entity.
        as_of: SQL of the day that ages are reckoned at.
        dialect: How its expression is written.
        known: SQL of what its expression comes to, where that stands somewhere.
    """
    columns = {f"row_{field}": f"r.{quote(field)}" for field in entity.fields}
    columns |= {f"golden_{field}": f"g.{quote(field)}" for field in entity.fields}
    columns |= {"dataset": "r.dataset", "row_moment": "r._moment", "as_of": as_of}
    asked = _asked(rule)
    if rule.dimension == "accuracy":
        authority = entity.authority[rule.field].first
        asked += "".join(f" and r.dataset != {literal(name)}" for name in authority)
        asked += f" and g.{quote('_from_' + rule.field)} is distinct from r._ref"
    return f"case when {asked} then {known or rule.parsed.sql(dialect, columns)} end"


def _once(rule: CrossRule, as_of: str, dialect: Dialect) -> str:
    """Return the SQL that joins what a rule says of each value of the one field that it reads; nothing where it reads more."""
    (name, *more) = sorted(rule.parsed.fields - {"as_of"})
    if more or not name.startswith("row_"):
        return ""
    field, once = quote(name.removeprefix("row_")), quote("once_" + rule.name)
    answer = rule.parsed.sql(dialect, {name: "v." + field, "as_of": as_of})
    return f"""
        left join (select {field}, {answer} as answer from (select distinct {field} from linked) as v) as {once}
        on {once}.{field} is not distinct from r.{field}"""


def _rows_query(entity: Entity, rules: Rules, as_of: str, dialect: Dialect) -> str:
    joins = {rule.name: _once(rule, as_of, dialect) for rule in rules.cross}
    answers = {
        rule.name: cross_answer(
            rule, entity, as_of, dialect, f"{quote('once_' + rule.name)}.answer" if joins[rule.name] else ""
        )
        for rule in rules.cross
    }
    answers |= {
        rule.name: f"case when {_asked(rule)} then {set_rules.answer(rule, 'r', _failing(rule), dialect)} end"
        for rule in rules.sets
    }
    columns = "".join(f", {sql} as {quote('_rule_' + name)}" for name, sql in answers.items())
    return (
        f"select r.dataset, r._key, r._ref, entity_id, coalesce(r.area, g.area) as area{columns} "
        f"from linked as r join (from golden left join taken using (entity_id)) as g using (entity_id){''.join(joins.values())}"
    )


def _asked(rule: Rule) -> str:
    if rule.among is None:
        return "true"
    if not rule.among:
        return "false"
    return f"r.dataset in ({', '.join(map(literal, rule.among))})"


def _found(engine: duckdb.DuckDBPyConnection, relation: str, rules: Sequence[Rule], tally: Tally) -> Iterable[str]:
    """Count the answers into a tally; return the SQL of the findings."""
    names = [quote("_rule_" + rule.name) for rule in rules]
    if not names:
        return []
    sums = ", ".join(f"count({name}), count(*) filter ({name})" for name in names)
    for dataset, area, *counts in engine.execute(
        f"select dataset, area, {sums} from {relation} group by dataset, area"
    ).fetchall():
        for rule, assessed, passed in zip(rules, counts[::2], counts[1::2], strict=True):
            tally.add(dataset, rule.name, area, assessed, passed)
    return [
        f"select dataset, _key, {literal(rule.name)}, entity_id, _ref, {literal(rule.dimension)}, "
        f"{literal(rule.severity)}, {literal(rule.field)} from {relation} where {name} is false"
        for rule, name in zip(rules, names, strict=True)
    ]
