"""Row rules in one pass: each row leaves with its findings, and blocking ones send it to quarantine.

A quarantined row keeps its raw text, its place, and the rules that it broke with their fingerprint, so that it can be
replayed when a rule or a mapping has changed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq

from motlan.config.quality import RowRule
from motlan.config.registry import Dataset
from motlan.expressions import DUCKDB, Dialect, constant, literal, one, quote
from motlan.ingest.raw_columns import absent, rule_names, stored
from motlan.lake.iceberg import PARQUET, read_parquet
from motlan.lake.newest import PULLED, pull_moment
from motlan.lake.tables import clean_table, quarantine_table, raw_table
from motlan.ledger import runs, versions
from motlan.ledger.results import Cleaned, Landed
from motlan.quality import exceptions
from motlan.quality.rule_counts import assessed, decode
from motlan.settings import sizes
from motlan.workspace import Workspace

CHUNK_BYTES = 10**9
"""Memory that the engine needs for them."""

FINDINGS = "struct(rule varchar, dimension varchar, severity varchar, field varchar)[]"


def tag(rules: Sequence[RowRule], canonical: str, dialect: Dialect = DUCKDB) -> str:
    """Wrap the canonical query: one true, false or null column for each rule, and the findings as a list.

    Most rows have no finding, so the list is made for the others alone.
    """
    answers = "".join(
        f", ({rule.parsed.sql(dialect, rule_names(rule.parsed.fields))}) as {quote('_rule_' + rule.name)}"
        for rule in rules
    )
    broken = [f"{quote('_rule_' + rule.name)} is false" for rule in rules]
    findings = [
        f"{{'rule': {literal(rule.name)}, 'dimension': {literal(rule.dimension)}, "
        f"'severity': {literal(rule.severity)}, 'field': {literal(rule.field)}}}"
        for rule in rules
    ]
    blocking = [f"{quote('_rule_' + rule.name)} is not false" for rule in rules if rule.severity == "blocking"]
    found = f"list_where([{', '.join(findings)}]::{FINDINGS}, [{', '.join(broken)}]::boolean[])"
    return (
        f"select *, case when {' or '.join(broken) or 'false'} then {found} else []::{FINDINGS} end as _errors,\n"
        f"       {' and '.join(blocking) or 'true'} as _accepted\n"
        f"from (select *{answers}\nfrom ({canonical}))"
    )


def version_of(work: Workspace, dataset: Dataset, canonical: Callable[[Dialect], str]) -> str:
    """Return the version of what cleans and checks a dataset's rows as it is declared now; see `split`."""
    rules = work.registry.row_rules_of(dataset)
    return versions.version_id("clean", dataset.name, _pinned(work, dataset, rules, canonical))


def record_version(work: Workspace, dataset: Dataset, canonical: Callable[[Dialect], str]) -> str:
    """Keep the version of what cleans and checks a dataset's rows as it is declared now, where it is new; return its id."""
    rules = work.registry.row_rules_of(dataset)
    return versions.record(work.store, "clean", dataset.name, _pinned(work, dataset, rules, canonical))


def _pinned(
    work: Workspace, dataset: Dataset, rules: Sequence[RowRule], canonical: Callable[[Dialect], str]
) -> dict[str, Any]:
    return {
        "query": tag(rules, canonical(DUCKDB)),
        "columns": list(dataset.columns),
        "rules": [rule.name for rule in rules],
        # As declared, so that years later each step and each question can be shown, and not just the query that they became.
        "fields": {field: made.with_names({}) for field, made in dataset.expressions.items()},
        "asked": {rule.name: rule.parsed.with_names({}) for rule in rules},
        **work.engine_version(),
    }


def split(work: Workspace, run: runs.Run, canonical: Callable[[Dialect], str]) -> Cleaned:
    """Clean and check every row that the run landed; stage accepted and quarantined rows.

    Args:
        work: The open installation.
        run: A sync run whose landing is done.
        canonical: Writes the query from `raw_rows` to canonical rows.
    """
    dataset = work.registry.dataset(run.subject)
    rules = work.registry.row_rules_of(dataset)
    version = record_version(work, dataset, canonical)
    exceptions.record_rules(work, rules)
    query = exceptions.amended(tag(rules, canonical(work.dialect), work.dialect), exceptions.of(work, run))
    written = [clean_table(dataset.name), quarantine_table(dataset.name)]
    moment = pull_moment(run.id, run.result(Landed).source_as_of)
    counts = work.staged(
        run.id, Cleaned.step, written, lambda: _split(work, dataset, run.id, rules, query, version, moment)
    )
    return Cleaned.read(counts)


def _split(
    work: Workspace, dataset: Dataset, run: str, rules: Sequence[RowRule], query: str, version: str, moment: str
) -> runs.Counts:
    def chunk(engine: duckdb.DuckDBPyConnection, numbered: tuple[int, list[str]]) -> Checked:
        number, files = numbered
        clean, kept = (
            work.lake.staged_file(table, run, number)
            for table in (clean_table(dataset.name), quarantine_table(dataset.name))
        )
        return check_chunk(engine, dataset, rules, query, version, files, clean, kept, moment)

    accepted = quarantined = 0
    filled = dict.fromkeys(dataset.fields, 0)
    results = {rule.name: [0, 0] for rule in rules}
    landed = list(enumerate(chunks(work.lake.files(raw_table(dataset.name), {run}))))
    for counts in work.side_by_side(f"cleaning {dataset.name}", landed, chunk, need=CHUNK_BYTES):
        accepted, quarantined = accepted + counts.accepted, quarantined + counts.quarantined
        for name, (asked, passed) in counts.rules.items():
            results[name][0] += asked
            results[name][1] += passed
        for field, number in counts.filled.items():
            filled[field] += number
    return {
        "accepted": accepted,
        "quarantined": quarantined,
        "version": version,
        "filled": filled,
        "rules": {name: counts for name, counts in results.items() if counts[0]},
    }


def chunks(files: Sequence[str]) -> list[list[str]]:
    """Group landed files into chunks that are worth planning a query for, and still bound its memory.

    They are alike, so that memory is, for much and for little: `cleaned_chunk_rows` each, or two halves of less for two sessions.
    """
    counts = [pq.read_metadata(path).num_rows for path in files]
    bound = max(1, min(sizes().cleaned_chunk_rows, -(-sum(counts) // 2)))
    groups: dict[int, list[str]] = {}
    for path, count, after in zip(files, counts, accumulate(counts), strict=True):
        groups.setdefault((2 * after - count) // (2 * bound), []).append(path)
    return list(groups.values())


@dataclass(frozen=True)
class Checked:
    """What became of a chunk: rows accepted and quarantined, of each rule how many it assessed and passed, and of each
    field how many rows have it.
    """

    accepted: int
    quarantined: int
    rules: dict[str, tuple[int, int]]
    filled: dict[str, int]


def check_chunk(
    engine: duckdb.DuckDBPyConnection,
    dataset: Dataset,
    rules: Sequence[RowRule],
    query: str,
    version: str,
    files: Sequence[str],
    clean: Path,
    quarantined: Path,
    moment: str | None = None,
) -> Checked:
    """Clean and check the rows of landed files, and write them: the one path of the pipeline and the benchmark.

    Args:
        engine: Where it runs.
        dataset: Whose rows they are.
        rules: The rules inside the query.
        query: What `tag` made of the canonical query.
        version: Its id.
        files: Landed Parquet files.
        clean: File to write the accepted rows to, where there are any.
        quarantined: File to write the others to, with their raw text, where there are any.
        moment: What an accepted row's moment counts as that is not known, or had not come yet: the pull's.
    """
    show_raw(engine, dataset, files)
    raw = ", ".join(f"{quote(column)} := {quote(column)}" for column in map(stored, dataset.columns))
    meta, fields = "_ref, _run, _key, _moment, _errors", ", ".join(quote(field) for field in dataset.fields)
    engine.execute(
        f"create or replace temp table tagged as select {meta}, {assessed(rules)} as _assessed, {fields}, _accepted, _locator, "
        f"case when not _accepted then to_json(struct_pack({raw}))::varchar end as _raw from ({query})"
    )
    checked = _counted(engine, rules, list(dataset.fields))
    meta += f", {constant(version)} as _version"
    if checked.accepted:
        pulled = f"{constant(moment)} as {PULLED}" if moment else f"null::varchar as {PULLED}"
        _copy(engine, f"select {meta}, {pulled}, _assessed, {fields} from tagged where _accepted", clean)
    if checked.quarantined:
        kept = f"{meta}, {exceptions.broken(rules)} as _rules, _locator, _raw"
        _copy(engine, f"select {kept} from tagged where not _accepted", quarantined)
    engine.execute("drop table tagged")  # or the next chunk's would be made beside it
    return checked


def _counted(engine: duckdb.DuckDBPyConnection, rules: Sequence[RowRule], fields: Sequence[str]) -> Checked:
    """Count the tagged rows; few ways of answering occur, so each is decoded once."""
    ways = engine.execute(
        "select _accepted, _assessed, list_transform(_errors, lambda error: error.rule), count(*) from tagged group by all"
    ).fetchall()
    names = [rule.name for rule in rules]
    counts = {name: [0, 0] for name in names}
    for _, words, broken, number in ways:
        for name in decode(names, words):
            counts[name][0] += number
            counts[name][1] += number * (name not in broken)
    accepted = sum(number for good, _, _, number in ways if good)
    whole = sum(number for *_, number in ways)
    filled = one(engine, f"select {', '.join(f'count({quote(field)})' for field in fields)} from tagged")
    answered = {name: (asked, passed) for name, (asked, passed) in counts.items()}
    return Checked(accepted, whole - accepted, answered, dict(zip(fields, filled, strict=True)))


def show_raw(engine: duckdb.DuckDBPyConnection, dataset: Dataset, files: Sequence[str]) -> None:
    """Show landed files of a dataset as `raw_rows`: declared columns that their source did not send are null."""
    sent = {row[0] for row in engine.execute(f"describe from {read_parquet(files)}").fetchall()}
    unsent = absent(dataset.columns, sent)
    engine.execute(f"create or replace temp view raw_rows as select *{unsent} from {read_parquet(files)}")


def _copy(engine: duckdb.DuckDBPyConnection, rows: str, target: Path) -> None:
    engine.execute(f"copy ({rows}) to {literal(str(target))} ({PARQUET})")
