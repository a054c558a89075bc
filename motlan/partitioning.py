"""Partitions: what a step does with many rows, done with some of them at a time, so that memory is flat and their number grows.

- A chunk is rows that are landed or cleaned together (`motlan.ingest.land`, `motlan.quality.row_rules`).
- A bucket is rows of one hash value: linking and set rules take one after the other. Buckets are about equal, and another engine
  may make others: what comes of all of them is the same.
- A person range is the persons whose ids lie between two bounds: merge, cross-check and comparison take one after the other. An
  id is drawn by a keyed hash, so equal ranges hold about equally many persons, alike on every engine, and in the order of the
  ids. All rows of a person are in one range. The linked rows are written by range once in a run, into its scratch folder; a step
  marks each range as finished, so that a run that was killed goes on from the last one.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from motlan.expressions import literal, quote
from motlan.lake.iceberg import SCRATCH, read_parquet
from motlan.lake.newest import MOMENT
from motlan.ledger import runs
from motlan.ledger.results import Linked
from motlan.settings import sizes
from motlan.workspace import Workspace, run_once

Bucket = Callable[[str], str]
"""Gives the SQL of whether a row, by the column of its number, is in the bucket."""


def hash_number(text: str) -> str:
    """Return the SQL of a text's number: 63 bits, the lake's longest, of its MD5; the same in every run and on every engine."""
    return f"(md5_number({text}) >> 65)::bigint"


def whole(_: str) -> str:
    """The bucket that every row is in."""
    return "true"


def make_buckets(rows: int) -> list[Bucket]:
    """Return the buckets of so many rows, each of `bucket_rows` at the most."""
    count = max(1, -(-rows // sizes().bucket_rows))
    if count == 1:
        return [whole]
    return [lambda column, place=place: f"{column} % {count} = {place}" for place in range(count)]  # type: ignore[misc]


def file_ranges(files: Collection[str], column: str) -> list[tuple[list[str], str]]:
    """Group files into ranges of a column, each with the SQL of whether a value of a text column may be in it.

    Where the values rise from file to file, as those of `_ref` do, another relation's rows are each asked for in one range.

    Args:
        files: Parquet files, with the least and the greatest value of each row group.
        column: The column; never null.
    """
    found: list[tuple[list[str], str]] = []
    low, high, total, most = "", "", 0, sizes().bucket_rows
    for first, last, rows, path in sorted(_span(path, column) for path in files):
        if found and total + rows <= most:
            low, high, total = min(low, first), max(high, last), total + rows
            paths = [*found.pop()[0], path]
        else:
            low, high, total, paths = first, last, rows, [path]
        found.append((paths, f"{column} between {literal(low)} and {literal(high)}"))
    return found if len(found) > 1 else [(paths, "true") for paths, _ in found]


def _span(path: str, column: str) -> tuple[str, str, int, str]:
    """Return the least and the greatest value of a file's column, its number of rows, and its path."""
    metadata = pq.read_metadata(path)
    place = metadata.schema.names.index(column)
    groups = [metadata.row_group(group).column(place).statistics for group in range(metadata.num_row_groups)]
    return min((g.min for g in groups), default=""), max((g.max for g in groups), default=""), metadata.num_rows, path


OWN = ("entity_id", "_key", "_ref", "_moment")
"""Columns of a linked row beside the fields."""
_DIGITS = 8


def _bound(part: int, parts: int) -> str:
    """Return the first digits of the smallest id of a part."""
    return f"{part * 16**_DIGITS // parts:0{_DIGITS}x}"


def range_number(column: str, parts: int) -> str:
    """Return the SQL of the part that an id is in, counted from 0."""

    def between(low: int, high: int) -> str:
        if high - low == 1:
            return str(low)
        middle = (low + high) // 2
        left, right = between(low, middle), between(middle, high)
        return f"case when {column} < {literal(_bound(middle, parts))} then {left} else {right} end"

    return between(0, parts)


def in_range(column: str, part: int, parts: int) -> str:
    """Return the SQL of whether an id is in a part."""
    above = [f"{column} >= {literal(_bound(part, parts))}"] if part else []
    below = [f"{column} < {literal(_bound(part + 1, parts))}"] if part + 1 < parts else []
    return " and ".join(above + below) or "true"


def number_ranges(column: str, parts: int) -> list[str]:
    """Return the SQL of whether a number of 63 bits (see `hash_number`) is in each of some equal ranges."""
    bounds = [part * 2**63 // parts for part in range(1, parts)]
    below = [*(f"{column} < {bound}" for bound in bounds), "true"]
    above = ["true", *(f"{column} >= {bound}" for bound in bounds)]
    return [f"{first} and {second}" for first, second in zip(above, below, strict=True)]


@dataclass(frozen=True)
class PersonRanges:
    """The linked rows of a run, by person range.

    Attributes:
        scratch: The run's scratch folder.
        count: How many parts there are.
        columns: Dataset -> the fields that its rows have.
    """

    scratch: Path
    count: int
    columns: dict[str, list[str]]

    def files(self, name: str, part: int | None = None) -> list[str]:
        """Return the files of what a step left under a name, of a part or of all."""
        which = "*" if part is None else str(part)
        return sorted(map(str, (self.scratch / name).glob(f"**/part={which}/*.parquet")))

    def path(self, name: str, part: int) -> Path:
        """Return the path of a file that a step writes for a part."""
        folder = self.scratch / name / f"part={part}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / "0.parquet"

    def target(self, name: str, part: int) -> str:
        """Return its SQL."""
        return literal(str(self.path(name, part)))

    def read(self, name: str, part: int | None = None) -> str:
        """Return the SQL of what a step left under a name, of a part or of all."""
        return read_parquet(self.files(name, part))

    def rows(
        self,
        fields: Sequence[str],
        part: int | None = None,
        datasets: Sequence[str] | None = None,
        *,
        beside: str | None = None,
    ) -> str:
        """Return the SQL of linked rows: `dataset`, `OWN` and fields, null where a register does not know one.

        Args:
            fields: Which fields.
            part: Of which part; of all where absent.
            datasets: Of which datasets; of all where absent.
            beside: An entity beside the persons: rows of others that name a thing of it which these rows name are among them.
        """
        own, nulls = ", ".join(OWN), "".join(f", null::varchar as {quote(name)}" for name in fields)
        found = []
        for dataset, known in self.columns.items():
            files = self.files(linked(dataset), part)
            if beside:
                files += self.files(rows_beside(beside, dataset), part)
            if (datasets is None or dataset in datasets) and files:
                values = "".join(
                    f", {quote(name)}" if name in known else f", null::varchar as {quote(name)}" for name in fields
                )
                found.append(f"select {literal(dataset)} as dataset, {own}{values} from {read_parquet(files)}")
        nobody = ", ".join(f"null::varchar as {name}" for name in ("dataset", *OWN))
        return f"({' union all '.join(found) or f'select {nobody}{nulls} where false'})"

    def each(
        self, step: str, do: Callable[[int, int], runs.Counts], counted: Sequence[str] = ()
    ) -> Iterator[runs.Counts]:
        """Do a step part by part; give each part's counts. What an earlier try finished is not done again.

        Args:
            step: Its name.
            do: Does a part, before which so many were counted.
            counted: Names of the counts that are counted on from part to part.
        """
        before = 0
        for part in range(self.count):
            counts = run_once(self._marker(step, part), partial(do, part, before))
            before += sum(counts[name] for name in counted)
            yield counts

    def side_by_side(
        self,
        work: Workspace,
        where: str,
        step: str,
        do: Callable[[duckdb.DuckDBPyConnection, int], runs.Counts],
        some: Sequence[int] | None = None,
    ) -> Iterator[runs.Counts]:
        """Do a step's parts, of which none asks what another counted; give each part's counts, as `each` does.

        Args:
            work: The open installation.
            where: The step and its subject, named in errors.
            step: Its name.
            do: Does a part on an engine session: see `Workspace.side_by_side`.
            some: The parts; all where absent.
        """

        def one(engine: duckdb.DuckDBPyConnection, part: int) -> runs.Counts:
            return run_once(self._marker(step, part), partial(do, engine, part))

        yield from work.side_by_side(where, range(self.count) if some is None else some, one)

    def _marker(self, step: str, part: int) -> Path:
        return self.scratch / f"{step}-{part:06d}.json"


def write_ranges(
    work: Workspace, engine: duckdb.DuckDBPyConnection, run: runs.Run, inputs: dict[str, list[str]]
) -> PersonRanges:
    """Cut the linked rows of a reconcile run into parts, unless that was done; each row with all that its register says.

    Args:
        work: The open installation.
        engine: An engine of the steps.
        run: The run, linked.
        inputs: Dataset -> the sync runs to read.
    """
    scratch, count = work.scratch(run.id), max(1, -(-run.result(Linked).persons // sizes().range_persons))

    def do() -> runs.Counts:
        columns = {
            dataset.name: _write_rows(work, engine, run, dataset.name, files, count)
            for dataset in work.registry.datasets_of(run.subject)
            if (files := work.clean_files(dataset.name, inputs))
        }
        return {"count": count, "columns": columns}

    return PersonRanges(scratch, **run_once(scratch / "linked.json", do))


def linked(dataset: str) -> str:
    """Return the name of a dataset's linked rows in the scratch folder."""
    return f"linked/{dataset}"


def rows_beside(entity: str, dataset: str) -> str:
    """Return the name, in the scratch folder, of a dataset's rows of persons whom an incremental run does not touch, and that
    name a thing of an entity beside persons whom it does.
    """
    return f"beside/{entity}/{dataset}"


def write_partitions(engine: duckdb.DuckDBPyConnection, queries: Iterable[str], part: str, folder: Path) -> None:
    """Write the rows of queries into a folder of each and for each part, by the SQL of the part that a row is in."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for place, query in enumerate(queries):
        engine.execute(
            f"copy (select *, {part} as part from ({query})) to {literal(str(folder / str(place)))} "
            f"({SCRATCH}, partition_by (part))"
        )


def fields_of_rows(
    work: Workspace, engine: duckdb.DuckDBPyConnection, entity: str, dataset: str, files: list[str]
) -> list[str]:
    """Return the fields that a dataset's linked rows have: its entity's, and those of what they name beside it.

    Rows cleaned before a field was declared have no column for it.
    """
    wanted = [
        *(name for name in work.registry.entity(entity).fields if name in work.registry.dataset(dataset).fields),
        *(
            name
            for related in work.registry.related_to(entity)
            if dataset in related.declared.authority
            for name in related.fields
        ),
    ]
    known = {row[0] for row in engine.execute(f"describe from {read_parquet(files)}").fetchall()}
    return [name for name in dict.fromkeys(wanted) if name in known]


def _write_rows(
    work: Workspace, engine: duckdb.DuckDBPyConnection, run: runs.Run, dataset: str, files: list[str], count: int
) -> list[str]:
    """Write a dataset's linked rows, a folder each part; return the fields that they have."""
    fields = fields_of_rows(work, engine, run.subject, dataset, files)
    kept = ", ".join(f"rows.{quote(name)}" for name in (*OWN[1:-1], *fields)) + f", {MOMENT} as _moment"
    links = f"select _ref, entity_id from {work.kept(run.id, 'links')} where dataset = {literal(dataset)}"
    passes = -(-count // sizes().ranges_at_a_time)
    queries = (
        f"""select links.entity_id, {kept} from {read_parquet(some)} as rows
            join ({links} and {inside} and {in_range("entity_id", number, passes)}) as links using (_ref)"""
        for number in range(passes)
        for some, inside in file_ranges(files, "_ref")
    )
    write_partitions(engine, queries, range_number("entity_id", count), work.scratch(run.id) / linked(dataset))
    return fields
