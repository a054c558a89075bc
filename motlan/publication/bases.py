"""Bases: the published rows of a table of appended versions, written anew, so that a run reads one base and few deltas.

Each publication adds what it changed to the lake's tables, and nothing is ever taken out of them: as-of queries find any state.
Who wants the rows as they stand reads a base and the deltas after it (`Lake.base_and_deltas`). When the rows of the deltas reach
`rebase_percent` hundredths of the base's, a new base is written beside: nobody waits for it, and a kill leaves the old one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow.parquet as pq
import sqlalchemy as sa

from motlan.errors import InternalError
from motlan.expressions import literal, one, quote
from motlan.lake.iceberg import PARQUET, Versions, base_table, require_filled
from motlan.lake.tables import (
    corrections_table,
    findings_table,
    former_table,
    golden_table,
    identifiers_table,
    identities_table,
    key_of,
    links_table,
    names_table,
    reviews_table,
    row_keys_table,
)
from motlan.ledger import holds, runs
from motlan.ledger.file_entries import append_files
from motlan.merge import related_entities
from motlan.partitioning import in_range, number_ranges
from motlan.settings import sizes
from motlan.store import tables
from motlan.workspace import Workspace

KEPT = 2
"""Bases of a table that stay: a run that is under way reads the last but one."""

Watch = Callable[[str], None]
"""Is given the name of a table whose base is written."""


@dataclass(frozen=True)
class Table:
    """A table of appended versions.

    Attributes:
        name: Its name.
        key: Its key.
        runs: The runs whose files tell what stands in it, oldest first.
        parts: Conditions on the key that part its rows for writing.
    """

    name: str
    key: Sequence[str]
    runs: Sequence[str]
    parts: Sequence[str] = ("true",)


@dataclass(frozen=True)
class State:
    """How a table is read.

    Attributes:
        table: The table.
        up_to: The run up to which the base holds; the first publication where no base was written anew.
        base_rows: Rows of the base.
        delta_rows: Rows that later publications added.
        delta_runs: How many publications these are.
        written: Whether a new base was written now.
    """

    table: str
    up_to: str
    base_rows: int
    delta_rows: int
    delta_runs: int
    written: bool = False


def rewrite_bases(
    work: Workspace, entity: str, *, percent: int | None = None, watch: Watch = lambda _: None
) -> list[State]:
    """Write new bases of the tables of an entity whose deltas have grown; return how each table is read then.

    Done again, it changes nothing. Killed, it leaves the old bases, and the next call removes what is half written.

    Args:
        work: The open installation.
        entity: The linked entity.
        percent: Rows of deltas, in hundredths of the base's, from which a base is written anew; `rebase_percent` where absent.
        watch: Is given the name of each table whose base is written.

    Raises:
        TransientError: Another process writes the entity's bases.
    """
    with holds.hold(work.store, holds.lock_of("care", entity), wait=holds.patience()):
        with work.store.engine.connect() as connection:
            published = runs.visible(connection, "reconcile", entity)
            found = previous_base(connection, entity)
        limit = sizes().rebase_percent if percent is None else percent
        kept = [found, *(run for run in published if run > found)] if found else []
        return list(_rewrite(work, _tables(work, entity, published, kept), limit, watch))


def previous_base(connection: sa.Connection, entity: str) -> str | None:
    """Return the run whose `row_keys.<entity>` has all rows, as the next run starts from it; None where there is none."""
    done = runs.newest_done(connection, "reconcile", entity)
    if done is None:
        return None
    base = tables.runs.c.steps["link"]["base"].astext
    found: str | None = connection.execute(sa.select(base).where(tables.runs.c.id == done)).scalar_one_or_none()
    return found


def _rewrite(work: Workspace, named: Iterable[Table], percent: int, watch: Watch) -> Iterator[State]:
    for table in named:
        state = _state(work, table.name, table.runs)
        if state is None:
            continue
        if state.delta_runs and state.delta_rows * 100 >= state.base_rows * percent:
            watch(table.name)
            rows = _write(work, table)
            _remove_old(work, base_table(table.name))
            state = State(table.name, table.runs[-1], rows, 0, 0, written=True)
        yield state


def _state(work: Workspace, table: str, named: Sequence[str]) -> State | None:
    """Return how a table is read; None where nothing of it is there."""
    known = set(named)
    files = [file for file in work.lake.added(table) if file.run in known]
    if not files:
        return None
    written = work.lake.find_base(table, known)
    up_to = written or min(str(file.run) for file in files)
    base = work.lake.added(base_table(table)) if written else files
    deltas = [file for file in files if str(file.run) > up_to]
    return State(
        table,
        up_to,
        sum(file.rows for file in base if file.run == up_to),
        sum(file.rows for file in deltas),
        len({file.run for file in deltas}),
    )


def _tables(work: Workspace, entity: str, published: Sequence[str], kept: Sequence[str]) -> Iterator[Table]:
    """Give an entity's tables of appended versions that are read as they stand.

    Args:
        work: The open installation.
        entity: The entity.
        published: Its published runs, oldest first.
        kept: The runs whose files tell its current rows.
    """
    names = [literal(dataset.name) for dataset in work.registry.datasets_of(entity)]
    datasets = [*(f"dataset = {name}" for name in names), f"dataset not in ({', '.join(names)})"]

    def count(table: str, named: Sequence[str]) -> int:
        known = set(named)
        rows = sum(file.rows for file in work.lake.added(table) if file.run in known)
        return max(1, -(-rows // sizes().range_persons))

    def by_id(table: str, key: Sequence[str]) -> Table:
        parts = count(table, published)
        return Table(table, key, published, [in_range(quote(key[0]), part, parts) for part in range(parts)])

    yield by_id(golden_table(entity), key_of(golden_table(entity)))
    for related in work.registry.related_to(entity):
        what = related_entities.compared(related)
        yield by_id(what.table, what.key)
    yield by_id(identities_table(entity), key_of(identities_table(entity)))
    for name in (links_table, reviews_table, identifiers_table, corrections_table, findings_table):
        yield Table(name(entity), key_of(name(entity)), published, datasets)
    for name in (former_table, names_table):
        yield Table(name(entity), key_of(name(entity)), published)
    rows, (number,) = row_keys_table(entity), key_of(row_keys_table(entity))
    yield Table(rows, (number,), kept, number_ranges(quote(number), count(rows, kept)))


def _write(work: Workspace, table: Table) -> int:
    """Write a base of a table as its newest run left it, sorted by its key; return how many rows it has."""
    files = work.lake.base_and_deltas(table.name, table.runs)
    target, run = base_table(table.name), table.runs[-1]
    folder = work.lake.folder(target, run)
    for partial in folder.glob("*.parquet"):  # of a killed try: a base is added to its table as a whole
        partial.unlink()
    order = ", ".join(map(quote, table.key))
    rows = 0
    with work.bulk_engine(f"writing the base of {table.name}") as engine:
        (known,) = one(engine, f"select count(*) from {Versions.of(files).since(table.key)}")
        for part, where in enumerate(table.parts):
            path = work.lake.staged_file(target, run, part)
            query = f"select * from {Versions.of(files).rewritten(table.key, where)} order by {order}"
            engine.execute(f"copy ({query}) to {literal(str(path))} ({PARQUET})")
            count = int(pq.read_metadata(path).num_rows)
            rows += count
            if not count:
                path.unlink()
    if rows != known:
        raise InternalError(
            f"the base has {rows:,} rows, and the table {known:,}",
            where=table.name,
            next_step="report this: the base before is read on, and nothing is lost.",
        )
    require_filled(table.name, sorted(folder.glob("*.parquet")))
    work.lake.commit(target, run)
    with work.store.publishing() as connection:
        append_files(connection)
    return rows


def _remove_old(work: Workspace, table: str) -> None:
    """Remove all bases of a table but the newest ones."""
    known = sorted({str(file.run) for file in work.lake.added(table)})
    for run in known[:-KEPT]:
        work.lake.discard(table, run)
