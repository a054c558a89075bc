"""The cross-check of a run that reads what changed: the answers about touched persons as they were are replaced by those of now.

What is left of the run before (`motlan.quality.check_state`) is adjusted: counts by those of the touched persons on either side,
values that fail set rules by the rows that took or left a value. What a register's newest change decides is asked of all current
rows, in a narrow pass, where that change is another one.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import duckdb
import pyarrow.parquet as pq

from motlan.config.quality import Rules, SetRule
from motlan.expressions import literal, make, one, quote
from motlan.lake.iceberg import SCRATCH, read_parquet
from motlan.ledger import runs
from motlan.ledger.results import CrossChecked
from motlan.quality import check_state, set_rules
from motlan.quality.check_state import CheckState, RegisterCounts
from motlan.quality.cross_register import (
    Checking,
    Side,
    count_registers,
    finish,
    newest_day,
    newest_moments,
)
from motlan.quality.dated_rules import dated_fields, values_name
from motlan.quality.register_state import count_recent, earliest_day
from motlan.quality.rule_counts import Tally
from motlan.workspace import Workspace

Counted = tuple[Tally, dict[str, RegisterCounts]]
"""What was counted of a side, and of its registers by dataset."""


def check(work: Workspace, run: runs.Run, before: Side, now: Side, previous: CheckState, keys: str) -> CrossChecked:
    """Ask every rule that needs more than a row of touched persons; leave their findings, and the counts of all persons.

    Args:
        work: The open installation, its lake not narrowed.
        run: The reconcile run.
        before: The touched persons as they were at the run that `previous` is of.
        now: They as they are now.
        previous: What the cross-check before left.
        keys: Relation of all current rows: `dataset`, `_key`, `_moment`.
    """
    with work.bulk_engine(f"checking {run.subject} across registers") as engine:
        state = check_state.begin(work, run)
        if _is_nobody(before) and _is_nobody(now):
            return _carry(engine, work, run, now, previous, state, keys)
        changed = f"(from {before.parts.rows([])} union all from {now.parts.rows([])})"
        told = newest_told(engine, previous, changed, keys)
        state = replace(state, as_of=newest_day(work.registry, run, told))
        asked = _datasets_with_rows(engine, before, now, previous)
        for rule in work.registry.rules_of(run.subject).sets:
            _adjust_failing(engine, rule, before, now, previous, state)
        _keep_values(engine, work.registry.rules_of(run.subject), now, previous, state)
        sides = (
            _count(engine, before, previous, previous, state, previous.asked()),
            _count(engine, now, state, previous, state, asked),
        )
        _keep_gone(engine, before, now, previous, state)
        state = _adjusted(engine, work, run, previous, state, sides, told, keys)
        return finish(engine, work, run, now.inputs, state, partial(_standing, state, keys))


def _is_nobody(side: Side) -> bool:
    """Return whether a side has no person and no row."""
    work, datasets = side.work, side.work.registry.datasets_of(side.run.subject)
    files = [path for dataset in datasets for path in work.clean_files(dataset.name, side.inputs)]
    return not any(pq.read_metadata(path).num_rows for path in (*side.parts.files("golden"), *files))


def _carry(
    engine: duckdb.DuckDBPyConnection,
    work: Workspace,
    run: runs.Run,
    now: Side,
    previous: CheckState,
    state: CheckState,
    keys: str,
) -> CrossChecked:
    """Leave what the run before left, where nobody is touched; only registers as wholes are asked."""
    previous.copy_relations(state)
    told = {name: register.told for name, register in previous.registers.items() if register.told is not None}
    checking = Checking(work, work.registry.entity(run.subject), now.parts, state, [])
    for part in range(now.parts.count):
        checking.leave(engine, part, [])
    state = replace(previous, folder=state.folder, as_of=newest_day(work.registry, run, told))
    return finish(engine, work, run, now.inputs, state, partial(_standing, state, keys))


def newest_told(engine: duckdb.DuckDBPyConnection, previous: CheckState, changed: str, keys: str) -> dict[str, str]:
    """Return the newest moment of the linked rows of each dataset that names a day.

    Args:
        engine: An engine of the steps.
        previous: What the cross-check before left.
        changed: Relation of the changed rows, as they were and as they are: `dataset`, `_moment`.
        keys: Relation of all current rows, with these columns. It is read where what changed is as new as the newest.
    """
    found = {name: register.told for name, register in previous.registers.items() if register.told is not None}
    moved = [name for name, at in newest_moments(engine, changed).items() if at >= found.get(name, "")]
    if moved:
        found = {name: at for name, at in found.items() if name not in moved}
        some = f"(select dataset, _moment from {keys} where dataset in ({', '.join(map(literal, moved))}))"
        found |= newest_moments(engine, some)
    return found


def _datasets_with_rows(engine: duckdb.DuckDBPyConnection, before: Side, now: Side, previous: CheckState) -> list[str]:
    """Return the datasets that have linked rows now."""

    def rows(side: Side, name: str) -> int:
        return int(one(engine, f"select count(*) from {side.parts.rows([], None, [name])}")[0])

    names = [dataset.name for dataset in now.work.registry.datasets_of(now.run.subject)]
    return [name for name in names if previous.register(name).linked - rows(before, name) + rows(now, name)]


def _count(
    engine: duckdb.DuckDBPyConnection,
    side: Side,
    answers: CheckState,
    previous: CheckState,
    state: CheckState,
    asked: list[str],
) -> Counted:
    """Count a side's answers, and leave its findings.

    Args:
        engine: An engine of the steps.
        side: The side.
        answers: What fails set rules, and the day, of this side.
        previous: What the cross-check before left.
        state: Where the side leaves which records are gone.
        asked: The datasets of which every person is asked.
    """
    tally = Tally()
    checking = Checking(side.work, side.work.registry.entity(side.run.subject), side.parts, answers, asked)
    for part in range(side.parts.count):
        tally.merge(checking.part(engine, part)["counts"])
    since = {name: register.newest for name, register in previous.registers.items()}
    return tally, count_registers(engine, side, tally, state, since)


def _adjusted(
    engine: duckdb.DuckDBPyConnection,
    work: Workspace,
    run: runs.Run,
    previous: CheckState,
    state: CheckState,
    sides: tuple[Counted, Counted],
    told: dict[str, str],
    keys: str,
) -> CheckState:
    """Return a state with the counts before, those of one side taken away and those of the other one added."""
    (old, was), (new, is_now) = sides
    tally = Tally()
    for counts, times in ((previous.counts, 1), (old.counts, -1), (new.counts, 1)):
        tally.merge(counts, times)
    still_open = check_state.adjusted_open(
        previous.open, check_state.counts_by_day(old), check_state.counts_by_day(new)
    )
    registers = {
        dataset.name: replace(
            _register(engine, dataset.name, previous, was, is_now, state, keys), told=told.get(dataset.name)
        )
        for dataset in work.registry.datasets_of(run.subject)
    }
    return replace(state, counts=tally.some(), open=still_open, registers=registers)


def _register(
    engine: duckdb.DuckDBPyConnection,
    name: str,
    previous: CheckState,
    was: dict[str, RegisterCounts],
    is_now: dict[str, RegisterCounts],
    state: CheckState,
    keys: str,
) -> RegisterCounts:
    """Return what is known of a register now, but for the newest moment of linked rows."""
    known, old, new = previous.register(name), was[name], is_now[name]
    found = known.adjusted(old, new)
    latest = max(filter(None, (old.newest, new.newest)), default="")
    if not latest or latest < (known.newest or "") or latest == known.newest == new.newest:
        return found
    rows = (
        f"(select _moment from {keys} where dataset = {literal(name)} union all {_gone_rows(state, name, '_moment')})"
    )
    newest = one(engine, f"select max(_moment) from {rows}")[0]
    late = f"(select _moment from {rows} where _moment >= {literal(earliest_day(newest))})"
    return replace(found, newest=newest, recent=count_recent(engine, late, newest))


def _standing(state: CheckState, keys: str, name: str) -> str:
    """Return the SQL of the keys of a register's records that have an accepted row."""
    return f"(select _key from {keys} where dataset = {literal(name)} union all {_gone_rows(state, name, '_key')})"


def _gone_rows(state: CheckState, name: str, column: str) -> str:
    return f"select {column} from {state.relation(check_state.GONE)} where dataset = {literal(name)}"


def _keep_gone(
    engine: duckdb.DuckDBPyConnection, before: Side, now: Side, previous: CheckState, state: CheckState
) -> None:
    """Leave which records are gone of all registers, in place of those of the touched persons alone."""
    touched = " union ".join(
        f"select {literal(dataset.name)} as dataset, _key from {read_parquet(files)}"
        for side in (before, now)
        for dataset in side.work.registry.datasets_of(side.run.subject)
        if (files := side.work.clean_files(dataset.name, side.inputs))
    )
    kept = f"from {previous.relation(check_state.GONE)}"
    if touched:
        kept += f" anti join ({touched}) as touched using (dataset, _key)"
    make(engine, "gone_records", [kept, f"from {state.relation(check_state.GONE)}"])
    engine.execute(f"copy (from gone_records) to {state.target(check_state.GONE)} ({SCRATCH})")


def _keep_values(
    engine: duckdb.DuckDBPyConnection, rules: Rules, now: Side, previous: CheckState, state: CheckState
) -> None:
    """Leave the values that rows have, or had, of fields that rules read beside the day."""
    for field in dated_fields(rules):
        values = (
            f"from {previous.relation(values_name(field))} union select {quote(field)} from {now.parts.rows([field])}"
        )
        engine.execute(f"copy ({values}) to {state.target(values_name(field))} ({SCRATCH})")


def _adjust_failing(
    engine: duckdb.DuckDBPyConnection, rule: SetRule, before: Side, now: Side, previous: CheckState, state: CheckState
) -> None:
    """Leave what fails a set rule now: what failed before, adjusted by the rows that took or left a value.

    Of a value that did not fail before, all rows that have it are here: `motlan.quality.flipped_persons` found their persons.
    """
    name, own = set_rules.failing_name(rule), list(map(quote, set_rules.own_fields(rule)))
    fields, key = ", ".join(own), ", ".join(("dataset", *own))
    for side, rows in ((before, "had_values"), (now, "have_values")):
        make(engine, rows, [_values(rule, side)])
    taken = f"from have_values anti join had_values using ({key}, _key)"
    left = f"from had_values anti join have_values using ({key}, _key)"
    moves = f"select {key}, 1 as change {taken} union all select {key}, -1 as change {left}"
    make(engine, "moved_values", [f"select {key}, sum(change)::bigint as change from ({moves}) group by {key}"])
    failed, here = previous.relation(name), f"(select {key}, count(*) as number from have_values group by {key})"
    query = f"select {key}, number from {failed} anti join moved_values using ({key}) union all "
    query += f"""
        select {key}, coalesce(failed.number + change, here.number) as number from moved_values
        left join {failed} as failed using ({key}) left join {here} as here using ({key})"""
    if rule.refers:
        known = {rows: _known(rule, side) for rows, side in (("knew", before), ("know", now))}
        for rows, values in known.items():
            make(engine, rows, [values])
        lost = f"(from knew anti join know using ({fields}))"
        query = f"""
            select * from ({query} union all
                select {key}, number from {here} as here semi join {lost} as lost using ({fields})
                anti join moved_values using ({key})) as failing
            anti join know using ({fields})"""
    least = 1 if rule.refers else 2
    make(engine, "failing", [f"select {key}, number from ({query}) where number >= {least}"])
    engine.execute(f"copy (from failing) to {state.target(name)} ({SCRATCH})")


def _values(rule: SetRule, side: Side) -> str:
    """Return the SQL of the values of the rows of a side that a rule assesses: `dataset`, `_key` and its own fields."""
    names = [name for name in side.parts.columns if rule.applies_to(name)]
    rows = side.parts.rows(sorted(set_rules.used_fields(rule)), None, names)
    fields = ", ".join(map(quote, set_rules.own_fields(rule)))
    asked = set_rules.assessed(rule, names or [""], side.work.dialect)
    return f"select dataset, _key, {fields} from {rows} where {asked}"


def _known(rule: SetRule, side: Side) -> str:
    """Return the SQL of the values of a side that a rule's own field may refer to, by this field's name."""
    assert rule.refers
    rows = side.parts.rows([rule.refers.field], None, [rule.refers.dataset])
    value = quote(rule.refers.field)
    return f"select distinct {value} as {quote(rule.field)} from {rows} where {value} is not null"
