"""What only a bus can see, and what needs a whole register: set, cross and person rules. They never quarantine.

The same pass scores every register as it stands. accuracy across registers counts the fields of which a register is not itself
the authority: neither is the first authority asked, nor a row that the golden value was taken from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb

from motlan.config.quality import CrossRule, Rule, Rules
from motlan.config.registry import Entity
from motlan.expressions import Dialect, literal, make, one, quote
from motlan.lake.iceberg import SCRATCH, read_parquet
from motlan.lake.newest import pull_moment
from motlan.ledger import runs
from motlan.ledger.results import CrossChecked
from motlan.partitioning import PersonRanges, linked, make_buckets, write_ranges
from motlan.quality import deadlines, ended_records, person_rules, set_rules
from motlan.quality.register_state import count_register_state
from motlan.quality.rule_counts import Tally
from motlan.workspace import Workspace

TALLY = "tally.json"
"""File in the run's scratch folder with the counts by area."""
FINDING = ("dataset", "_key", "rule", "entity_id", "_ref", "dimension", "severity", "field")
_DAY = r"'^\d{4}-\d{2}-\d{2}'"


def check(work: Workspace, run: runs.Run, inputs: dict[str, list[str]]) -> CrossChecked:
    """Ask every rule that needs more than a row; leave findings and counts by area in the run's scratch folder.

    Persons are asked part by part. What needs a whole register is gathered before, in a narrow pass over all rows: values that
    are used twice or refer to nobody, and the newest day.
    """
    tally, where = Tally(), f"checking {run.subject} across registers"
    with work.bulk_engine(where) as engine:
        parts = write_ranges(work, engine, run, inputs)
        zones = {dataset.name: dataset.zone or "UTC" for dataset in work.registry.datasets_of(run.subject)}
        checking = _Checking(work, work.registry.entity(run.subject), parts, _as_of(engine, parts, zones, run.id))
        checking.gather(engine)
    counted = list(parts.side_by_side(work, where, "cross_check", checking.part))
    for counts in counted:
        tally.merge(counts["counts"])
    with work.bulk_engine(where) as engine:
        ended = ended_records.find(work, run, engine, parts, inputs, tally)
        deadlines.count_changes(work, run, engine, parts, tally)
        for dataset in work.registry.datasets_of(run.subject):
            count_register_state(work, engine, dataset, inputs.get(dataset.name, []), tally)
    tally.save(work.scratch(run.id) / TALLY)
    found = sum(counts["findings"] for counts in counted) + ended
    return CrossChecked(findings=found, rules=tally.results())


@dataclass(frozen=True)
class _Checking:
    """The questions about persons and their rows."""

    work: Workspace
    entity: Entity
    parts: PersonRanges
    as_of: str

    @cached_property
    def rules(self) -> Rules:
        """The rules that are asked of the entity's rows."""
        return self.work.registry.rules_of(self.entity.name)

    def gather(self, engine: duckdb.DuckDBPyConnection) -> None:
        """Keep what fails each set rule; values used twice are looked for in one dataset at a time."""
        relation, dialect = self.parts.rows, self.work.dialect
        counts = {
            name: one(engine, f"select count(*) from {relation([], None, [name])}")[0] for name in self.parts.columns
        }
        for rule in self.rules.sets:
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
            engine.execute(f"copy (from failing) to {literal(str(self._failing(rule)))} ({SCRATCH})")

    def _failing(self, rule: Rule) -> Path:
        return self.parts.scratch / f"failing_{rule.name}.parquet"

    def part(self, engine: duckdb.DuckDBPyConnection, part: int) -> runs.Counts:
        """Ask about the persons of one part; leave its findings."""
        tally = Tally()
        self._load(engine, part)
        found = [_nothing()]
        engine.execute(
            f"create or replace temp table seen as {_rows_query(self.entity, self.rules, self.as_of, self.work.dialect)}"
        )
        found += _found(engine, "seen", (*self.rules.cross, *self.rules.sets), tally)
        for place, dataset in enumerate(self.parts.columns):
            asked = [rule for rule in self.rules.persons if rule.applies_to(dataset)]
            if asked and self.parts.files(linked(dataset)):
                query = person_rules.answers_query(asked, dataset, "linked", "golden", self.as_of, self.work.dialect)
                engine.execute(f"create or replace temp table persons_{place} as {query}")
                found += _found(engine, f"persons_{place}", asked, tally)
        target = self.parts.target("findings", part)
        engine.execute(f"copy ({' union all '.join(found)}) to {target} ({SCRATCH})")
        findings = one(engine, f"select count(*) from {self.parts.read('findings', part)}")[0]
        return {"findings": findings, "counts": tally.counts}

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
            failing = read_parquet([str(self._failing(rule))])
            engine.execute(f"create or replace temp view {_failing(rule)} as from {failing}")
        engine.execute(
            f"create or replace temp view golden as select entity_id, {place} as area{values} from {golden};"
            f"create or replace temp view taken as from {self.parts.read('taken', part)}"
        )


def _nothing() -> str:
    return "select " + ", ".join(f"null::varchar as {name}" for name in FINDING) + " where false"


def _failing(rule: Rule) -> str:
    return quote("failing_" + rule.name)


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


def _as_of(engine: duckdb.DuckDBPyConnection, parts: PersonRanges, zones: Mapping[str, str], run: str) -> str:
    """Return the SQL of the day of the newest change that any register told of, by its own zone, and not after the run began.

    Args:
        engine: A session of the steps.
        parts: The linked rows.
        zones: Dataset -> the IANA name of its zone.
        run: The run's id.
    """
    newest = (
        f"select dataset, max(_moment) from {parts.rows([])} where regexp_matches(_moment, {_DAY}) group by dataset"
    )
    began = pull_moment(run, None)
    days = [
        min(_day(moment, zones[dataset]), _day(began, zones[dataset]))
        for dataset, moment in engine.execute(newest).fetchall()
    ]
    return literal(max(days)) if days else "null::varchar"


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
