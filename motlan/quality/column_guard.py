"""Columns that come out null or failing in most rows: no register is like that; a declaration or a source's form is wrong.

A wrong separator, header, charset or mapping spoils a column as a whole. Such a run is stopped with the column's name and
what most of its values look like, never with a value. What is counted while rows are cleaned only makes suspicious; the rows
themselves are read again where something is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import duckdb
import pyarrow.parquet as pq

from motlan.adapter import tellable
from motlan.config.registry import Dataset
from motlan.config.scoring import Breaker
from motlan.errors import ContractError
from motlan.expressions import DUCKDB, Dialect, one, parse, quote
from motlan.ingest.raw_columns import stored
from motlan.lake.tables import raw_table
from motlan.ledger import runs
from motlan.ledger.results import Cleaned
from motlan.quality.row_rules import show_raw
from motlan.quality.run_guard import STEP, least_share
from motlan.workspace import Workspace

LOOKED_AT = 24
"""Characters of a value of which the form is told."""
ROWS_READ_AGAIN = 100_000
"""Rows, at about, of a suspicious run that are read again."""


@dataclass(frozen=True)
class Spoilt:
    """A column that is spoilt: in how many rows, of how many that count, and in which way."""

    column: str
    bad: int
    whole: int
    way: str


def check(work: Workspace, run: runs.Run, cleaned: Cleaned, canonical: Callable[[Dialect], str]) -> None:
    """Stop a sync run of which surely most rows have a column that came out null or failing.

    Args:
        work: The open installation.
        run: The sync run.
        cleaned: What its cleaning counted: `accepted`, `quarantined`, `filled` (field -> rows that have it), `rules`.
        canonical: Writes the query from `raw_rows` to canonical rows.

    Raises:
        ContractError: There is such a column; the report is in the ledger's run.
    """
    dataset, limits = work.registry.dataset(run.subject), work.registry.scoring.breaker_of(run.subject)
    files = work.lake.files(raw_table(dataset.name), {run.id})
    found = _failing(work, dataset, cleaned, limits)
    suspected = _suspected(dataset, files, cleaned, limits)
    if not (suspected or found):
        return
    with work.engine(f"checking the columns of {dataset.name}") as engine:
        show_raw(engine, dataset, files)
        _take_some(engine, cleaned.accepted + cleaned.quarantined)
        found = [*_unreadable(engine, dataset, suspected, canonical(DUCKDB), limits), *found]
        if not found:
            return
        worst = max(found, key=lambda spoilt: spoilt.bad / spoilt.whole)
        form = _form(engine, worst.column)
    report = {"column": tellable(worst.column), "rows": worst.whole, "bad": worst.bad, "form": form}
    runs.note(work.store, run.id, STEP, report)
    what = f"column {tellable(worst.column)} {worst.way} in {worst.bad:,} of {worst.whole:,} rows"
    raise ContractError(
        f"{what}; most of its values look like {form}",
        where=dataset.name,
        next_step=(
            "compare separator, header, charset and format of what comes with adapters/agencies.yaml and the mapping; "
            "where the register is so, raise its breaker.failing_share in mapping/scoring.yaml."
        ),
    )


def surely_most(bad: int, whole: int, limits: Breaker) -> bool:
    """Tell whether surely more than the share that a column may have is bad."""
    return bad > 0 and whole >= limits.evidence and least_share(bad, whole) > limits.failing_share


def _sources(dataset: Dataset) -> dict[str, list[str]]:
    """Return the raw columns that fields are made of, each with these fields."""
    found: dict[str, list[str]] = {}
    for field in dataset.fields:
        for column in dataset.columns_of(field):
            found.setdefault(column, []).append(field)
    return found


def _suspected(dataset: Dataset, files: Sequence[str], cleaned: Cleaned, limits: Breaker) -> list[str]:
    """Return the columns that were sent much more often than anything was made of them, as Parquet's own counts tell."""
    sent, names = dict.fromkeys(dataset.columns, 0), {stored(column): column for column in dataset.columns}
    for path in files:
        for column, filled in _filled(path, names):
            sent[names[column]] += filled
    made = cleaned.filled
    return [
        column
        for column, fields in _sources(dataset).items()
        if surely_most(sent[column] - max(made[field] for field in fields), sent[column], limits)
    ]


def _filled(path: str, columns: Mapping[str, str]) -> Iterator[tuple[str, int]]:
    metadata = pq.read_metadata(path)
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        for place in range(group.num_columns):
            column = group.column(place)
            if column.path_in_schema in columns:
                nulls = column.statistics.null_count if column.statistics and column.statistics.has_null_count else 0
                yield column.path_in_schema, group.num_rows - nulls


def _failing(work: Workspace, dataset: Dataset, cleaned: Cleaned, limits: Breaker) -> list[Spoilt]:
    """Return the columns whose field surely breaks a rule in most rows.

    Of a rule that only wants the field to be there, because people may lack it: in all rows, or in most of many.
    """
    found = []
    for rule in work.registry.row_rules_of(dataset):
        assessed, passed = cleaned.rules.get(rule.name, (0, 0))
        failed, columns = assessed - passed, dataset.columns_of(rule.field) if rule.field in dataset.fields else []
        if rule.severity == "warning" or not columns or not surely_most(failed, assessed, limits):
            continue
        if rule.dimension != "completeness":
            found.append(Spoilt(columns[0], failed, assessed, f"breaks {rule.name}"))
        elif rule.parsed.fields == {rule.field} and (not passed or assessed >= limits.minimum_rows):
            found.append(Spoilt(columns[0], failed, assessed, f"gives no {rule.field}"))
    return found


def _take_some(engine: duckdb.DuckDBPyConnection, rows: int) -> None:
    """Leave some `ROWS_READ_AGAIN` of the raw rows, from all over the run."""
    some = f"hash(_ref) % {-(-rows // ROWS_READ_AGAIN)} = 0"
    engine.execute(f"create temp table some_rows as select * from raw_rows where {some}")
    engine.execute("create or replace temp view raw_rows as select * from some_rows")


def _unreadable(
    engine: duckdb.DuckDBPyConnection, dataset: Dataset, columns: Sequence[str], canonical: str, limits: Breaker
) -> list[Spoilt]:
    """Return those of some columns that were surely not read in most of the rows in which they say something."""
    sources, found = _sources(dataset), []
    for column in columns:
        something = parse("text(x)").sql(DUCKDB, {"x": quote(stored(column))})
        nothing = " and ".join(f"{quote(field)} is null" for field in sources[column])
        counts = f"count(*) filter (where {nothing}), count(*)"
        bad, whole = one(engine, f"select {counts} from ({canonical}) where {something} is not null")
        if surely_most(bad, whole, limits):
            found.append(Spoilt(column, bad, whole, "could not be read"))
    return found


def _form(engine: duckdb.DuckDBPyConnection, column: str) -> str:
    """Return the form that most values of a column have: A and a for letters, 9 for digits, runs of four and more counted."""
    name = quote(stored(column))
    form = f"left({name}, {LOOKED_AT})"
    for pattern, sign in ((r"\p{Lu}", "A"), (r"\p{L}", "a"), (r"\p{N}", "9"), (r"[\x00-\x1f\x7f-\x9f]", "?")):
        form = f"regexp_replace({form}, '{pattern}', '{sign}', 'g')"
    for sign in "Aa9":
        form = f"regexp_replace({form}, '{sign}{{4,}}', '{sign}…', 'g')"
    found = engine.execute(f"select mode({form}) from raw_rows where {name} <> ''").fetchone()
    return f"`{found[0]}`" if found and found[0] is not None else "nothing: it is empty"
