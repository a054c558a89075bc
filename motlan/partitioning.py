"""Parts of persons: the linked rows of a run, cut by the bus's own person ids, so that the steps after linking need no more
memory for a country than for a town.

A person id is drawn by a keyed hash, so equal ranges of ids hold about equally many persons, alike on every engine, and in the
order of the ids. All rows of a person are in one part. The rows are cut once in a run, into its scratch folder; a step does
part after part and seals each, so that a run that was killed goes on from the last part that it finished.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import duckdb

from motlan.expressions import literal, quote
from motlan.lake.iceberg import SCRATCH, read_parquet
from motlan.lake.newest import MOMENT
from motlan.ledger import runs
from motlan.ledger.results import Linked
from motlan.settings import sizes
from motlan.slices import file_slices
from motlan.workspace import Workspace, sealed

OWN = ("person_id", "_key", "_ref", "_moment")
"""Columns of a linked row beside the fields."""
_DIGITS = 8


def _bound(part: int, parts: int) -> str:
    """Return the first digits of the smallest id of a part."""
    return f"{part * 16**_DIGITS // parts:0{_DIGITS}x}"


def number(column: str, parts: int) -> str:
    """Return the SQL of the part that an id is in, counted from 0."""

    def between(low: int, high: int) -> str:
        if high - low == 1:
            return str(low)
        middle = (low + high) // 2
        left, right = between(low, middle), between(middle, high)
        return f"case when {column} < {literal(_bound(middle, parts))} then {left} else {right} end"

    return between(0, parts)


def within(column: str, part: int, parts: int) -> str:
    """Return the SQL of whether an id is in a part."""
    above = [f"{column} >= {literal(_bound(part, parts))}"] if part else []
    below = [f"{column} < {literal(_bound(part + 1, parts))}"] if part + 1 < parts else []
    return " and ".join(above + below) or "true"


@dataclass(frozen=True)
class Parts:
    """The linked rows of a run, in parts.

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

    def rows(self, fields: Sequence[str], part: int | None = None, datasets: Sequence[str] | None = None) -> str:
        """Return the SQL of linked rows: `dataset`, `OWN` and fields, null where a register does not know one.

        Args:
            fields: Which fields.
            part: Of which part; of all where absent.
            datasets: Of which datasets; of all where absent.
        """
        own, nulls = ", ".join(OWN), "".join(f", null::varchar as {quote(name)}" for name in fields)
        found = []
        for dataset, known in self.columns.items():
            if (datasets is None or dataset in datasets) and (files := self.files(linked(dataset), part)):
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
            counts = sealed(self._seal(step, part), partial(do, part, before))
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
            return sealed(self._seal(step, part), partial(do, engine, part))

        yield from work.side_by_side(where, range(self.count) if some is None else some, one)

    def _seal(self, step: str, part: int) -> Path:
        return self.scratch / f"{step}-{part:06d}.json"


def cut(work: Workspace, engine: duckdb.DuckDBPyConnection, run: runs.Run, inputs: dict[str, list[str]]) -> Parts:
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
            dataset.name: _cut(work, engine, run, dataset.name, files, count)
            for dataset in work.registry.datasets_of(run.subject)
            if (files := work.clean_files(dataset.name, inputs))
        }
        return {"count": count, "columns": columns}

    return Parts(scratch, **sealed(scratch / "linked.json", do))


def linked(dataset: str) -> str:
    """Return the name of a dataset's linked rows in the scratch folder."""
    return f"linked/{dataset}"


def spread(engine: duckdb.DuckDBPyConnection, queries: Iterable[str], part: str, folder: Path) -> None:
    """Write the rows of queries into a folder of each and for each part, by the SQL of the part that a row is in."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for place, query in enumerate(queries):
        engine.execute(
            f"copy (select *, {part} as part from ({query})) to {literal(str(folder / str(place)))} "
            f"({SCRATCH}, partition_by (part))"
        )


def _cut(
    work: Workspace, engine: duckdb.DuckDBPyConnection, run: runs.Run, dataset: str, files: list[str], count: int
) -> list[str]:
    """Write a dataset's linked rows, a folder each part; return the fields that they have."""
    entity = work.registry.entity(run.subject)
    wanted = [
        *(name for name in entity.fields if name in work.registry.dataset(dataset).fields),
        *(
            name
            for facet in work.registry.facets_of(entity.name)
            if dataset in facet.facet.authority
            for name in facet.fields
        ),
    ]
    # Rows cleaned before a field was declared have no column for it.
    known = {row[0] for row in engine.execute(f"describe from {read_parquet(files)}").fetchall()}
    fields = [name for name in dict.fromkeys(wanted) if name in known]
    kept = ", ".join(f"rows.{quote(name)}" for name in (*OWN[1:-1], *fields)) + f", {MOMENT} as _moment"
    links = f"select _ref, person_id from {work.kept(run.id, 'links')} where dataset = {literal(dataset)}"
    passes = -(-count // sizes().ranges_at_a_time)
    queries = (
        f"""select links.person_id, {kept} from {read_parquet(some)} as rows
            join ({links} and {inside} and {within("person_id", number, passes)}) as links using (_ref)"""
        for number in range(passes)
        for some, inside in file_slices(files, "_ref")
    )
    spread(engine, queries, number("person_id", count), work.scratch(run.id) / linked(dataset))
    return fields
