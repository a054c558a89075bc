"""Row rules in one pass: each row leaves with its findings, and blocking ones send it to quarantine.

A quarantined row keeps its raw text, its place, and the rules that it broke with their fingerprint, so that it can be
replayed when a rule or a mapping has changed.
"""

from __future__ import annotations

from collections.abc import Sequence

import duckdb
import sqlalchemy as sa

from motlan.engine import DUCKDB, literal, one, quote
from motlan.lake import read_parquet
from motlan.ledger import runs, versions
from motlan.registry import Dataset, RowRule
from motlan.store import tables
from motlan.workspace import Workspace


def clean_table(dataset: str) -> str:
    """Return the name of the lake's table of a dataset's accepted rows."""
    return f"clean.{dataset}"


def quarantine_table(dataset: str) -> str:
    """Return the name of the lake's table of a dataset's quarantined rows."""
    return f"quarantine.{dataset}"


def rules_of(work: Workspace, dataset: Dataset) -> list[RowRule]:
    """Return the row rules that can be asked of a dataset, in the order declared."""
    known = {"_key", "_moment", *dataset.fields, *(f"raw_{column}" for column in dataset.columns)}
    asked = [rule for rule in work.registry.row_rules if rule.applies_to(dataset.name)]
    return [rule for rule in asked if rule.datasets != "*" or rule.parsed.fields <= known]


def tag(rules: Sequence[RowRule], canonical: str) -> str:
    """Wrap the canonical query: one true, false or null column for each rule, and the findings as a list."""
    answers = [f"({rule.parsed.sql(DUCKDB)}) as {quote('_rule_' + rule.name)}" for rule in rules]
    findings = [
        f"case when {quote('_rule_' + rule.name)} is false then {{'rule': {literal(rule.name)}, "
        f"'dimension': {literal(rule.dimension)}, 'severity': {literal(rule.severity)}, "
        f"'field': {literal(rule.field)}}} end"
        for rule in rules
    ]
    blocking = [f"{quote('_rule_' + rule.name)} is not false" for rule in rules if rule.severity == "blocking"]
    return (
        f"select *, list_filter([{', '.join(findings)}], lambda finding: finding is not null) as _errors,\n"
        f"       {' and '.join(blocking) or 'true'} as _accepted\n"
        f"from (select *, {', '.join(answers)}\nfrom ({canonical}))"
    )


def split(work: Workspace, run: runs.Run, canonical: str) -> runs.Counts:
    """Clean and check every row that the run landed; stage accepted and quarantined rows.

    Args:
        work: The open installation.
        run: A sync run whose landing is done.
        canonical: The query from `raw_rows` to canonical rows.

    Returns:
        Counts: `accepted`, `quarantined`, `version`, `snapshots`. Their sum is what landed.
    """
    dataset = work.registry.dataset(run.subject)
    rules = rules_of(work, dataset)
    query = tag(rules, canonical)
    pinned = {"query": query, "columns": list(dataset.columns), **work.engine_version()}
    version = versions.record(work.store, "clean", dataset.name, pinned)
    names = [clean_table(dataset.name), quarantine_table(dataset.name)]
    return work.staged(run.id, "clean", names, lambda: _split(work, dataset, run.id, rules, query, version))


def _split(
    work: Workspace, dataset: Dataset, run: str, rules: Sequence[RowRule], query: str, version: str
) -> runs.Counts:
    accepted = quarantined = 0
    results = {rule.name: [0, 0] for rule in rules}
    with work.engine(f"cleaning {dataset.name}") as engine:
        for number, path in enumerate(work.lake.files(f"raw.{dataset.name}", {run})):
            absent = _absent_columns(engine, path, dataset)
            engine.execute(f"create or replace temp view raw_rows as select *{absent} from {read_parquet([path])}")
            engine.execute(f"create or replace temp table tagged as {query}")
            _write(work, engine, dataset, run, number, version)
            counts = one(
                engine,
                "select count(*) filter (_accepted), count(*) filter (not _accepted)"
                + "".join(
                    f", count({quote('_rule_' + name)}), count(*) filter ({quote('_rule_' + name)})" for name in results
                )
                + " from tagged",
            )
            accepted, quarantined = accepted + counts[0], quarantined + counts[1]
            for index, result in enumerate(results.values()):
                result[0] += counts[2 + 2 * index]
                result[1] += counts[3 + 2 * index]
    return {
        "accepted": accepted,
        "quarantined": quarantined,
        "version": version,
        "rules": {name: counts for name, counts in results.items() if counts[0]},
    }


def _absent_columns(engine: duckdb.DuckDBPyConnection, path: str, dataset: Dataset) -> str:
    """Declared columns that this chunk's source did not send stand as null."""
    sent = {row[0] for row in engine.execute(f"describe from {read_parquet([path])}").fetchall()}
    return "".join(f", null::varchar as {quote(column)}" for column in dataset.columns if column not in sent)


def _write(
    work: Workspace, engine: duckdb.DuckDBPyConnection, dataset: Dataset, run: str, number: int, version: str
) -> None:
    """Write a chunk's accepted and quarantined rows, each where there are any."""
    meta = f"_ref, _run, _key, _moment, _errors, {literal(version)} as _version"
    fields = ", ".join(quote(field) for field in dataset.fields)
    raw = ", ".join(f"{quote(column)} := {quote('raw_' + column)}" for column in dataset.columns)
    accepted = f"select {meta}, {fields} from tagged where _accepted"
    quarantined = (
        f"select {meta}, _locator, to_json(struct_pack({raw}))::varchar as _raw from tagged where not _accepted"
    )
    for table, rows in ((clean_table(dataset.name), accepted), (quarantine_table(dataset.name), quarantined)):
        if one(engine, f"select count(*) from ({rows})")[0]:
            target = work.lake.folder(table, run) / f"{number:06d}.parquet"
            engine.execute(f"copy ({rows}) to {literal(str(target))} (format parquet, compression zstd)")


def record_results(
    connection: sa.Connection, run: str, dataset: str, rules: Sequence[RowRule], results: dict[str, list[int]]
) -> None:
    """Keep how many rows each rule assessed and passed, in the caller's transaction."""
    by_name = {rule.name: rule for rule in rules}
    for name, (assessed, passed) in results.items():
        rule = by_name[name]
        values = {"field": rule.field, "dimension": rule.dimension, "weight": rule.weight}
        counts = {"assessed": assessed, "passed": passed}
        connection.execute(
            sa.insert(tables.rule_results).values(run=run, dataset=dataset, rule=name, **values, **counts)
        )
