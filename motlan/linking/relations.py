"""The relations of one linking: each is made once, under a name that tells its content, and nothing changes it afterwards.

Linking is a list of steps. A step declares which relations it reads and which it makes; what it makes beside these is its own
and goes when it ends. A relation goes as soon as no later step declares that it reads it. So no list of tables is kept by hand,
and memory holds what is still needed, no more.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa

from motlan.errors import InternalError

_READ = re.compile(r"\b(?:from|join)\s+(\w+)", re.IGNORECASE)
"""Where a query names a relation that it reads: columns and texts may have the same words."""


@dataclass(frozen=True)
class Step:
    """One step of a linking.

    Attributes:
        name: What it does.
        reads: Relations that earlier steps made.
        makes: Relations that it leaves to later steps.
        run: Runs it.
    """

    name: str
    reads: tuple[str, ...]
    makes: tuple[str, ...]
    run: Callable[[], None]


class Relations:
    """The named relations of one linking on one engine session.

    Args:
        engine: The session. Relations that it has already are not known here, and not dropped.
    """

    def __init__(self, engine: duckdb.DuckDBPyConnection) -> None:
        self.engine = engine
        self._used: set[str] = set()
        self._standing: dict[str, bool] = {}
        self._behind: dict[str, set[str]] = {}
        self._hidden: frozenset[str] = frozenset()
        self._step = ""

    def make(self, name: str, *queries: str) -> str:
        """Make a temporary table of the rows of queries, run one after another: each has the memory for itself.

        Returns:
            The name.

        Raises:
            InternalError: A relation of this name was made before, or a query reads what the step does not declare.
        """
        return self.make_in_parts(name, queries)

    def make_in_parts(self, name: str, queries: Iterable[str]) -> str:
        """Do it with queries that are given one by one, each when the one before it has run."""
        self._take(name)
        for place, query in enumerate(queries):
            self._check(query)
            self.engine.execute(f"insert into {name} {query}" if place else f"create temp table {name} as {query}")
        self._standing[name] = False
        return name

    def show(self, name: str, query: str) -> str:
        """Make a temporary view; what it reads stays as long as it does. Return its name."""
        self._take(name)
        self._check(query)
        self.engine.execute(f"create temp view {name} as {query}")
        self._standing[name] = True
        self._behind[name] = self._named(query)
        return name

    def load(self, name: str, rows: Sequence[Sequence[Any]], columns: Mapping[str, pa.DataType]) -> str:
        """Make a temporary table of a few rows that are in memory, with so named and typed columns. Return its name."""
        self._take(name)
        create_table(self.engine, name, rows, columns)
        self._standing[name] = False
        return name

    def fetch(self, query: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query that has few."""
        self._check(query)
        return self.engine.execute(query).fetchall()

    def fetch_one(self, query: str) -> tuple[Any, ...]:
        """Return the one row of a query."""
        return self.fetch(query)[0]

    def exists(self, name: str) -> bool:
        """Return whether a relation of this name was made and stands."""
        return name in self._standing

    def run(self, steps: Sequence[Step], keep: Collection[str]) -> None:
        """Run steps in order, and drop each relation that no later step reads.

        Args:
            steps: The steps.
            keep: Relations that stay when the last step is done.

        Raises:
            InternalError: A step does not make what it declares.
        """
        before = set(self._standing)
        for place, step in enumerate(steps):
            needed = {*keep, *(name for later in steps[place + 1 :] for name in later.reads)}
            with self._within(step):
                step.run()
            if missing := [name for name in step.makes if name not in self._standing]:
                raise InternalError(f"a step of linking does not make {', '.join(missing)}", where=step.name)
            self._drop_all_but(needed, set(self._standing) - before)

    @contextmanager
    def _within(self, step: Step) -> Iterator[None]:
        """Hide, while a step runs, what it does not declare that it reads; drop what it made for itself alone."""
        self._step, self._hidden = step.name, frozenset(self._standing) - self._reached(step.reads)
        with self.scope(step.makes):
            yield
        self._step, self._hidden = "", frozenset()

    @contextmanager
    def scope(self, keep: Collection[str] = ()) -> Iterator[None]:
        """Drop, at the end, the relations that were made within, but for some and what these show."""
        before = set(self._standing)
        yield
        self._drop_all_but(keep, set(self._standing) - before)

    def drop(self, *names: str) -> None:
        """Drop relations that nothing reads any more."""
        for name in names:
            self.engine.execute(f"drop {'view' if self._standing.pop(name) else 'table'} {name}")
            self._behind.pop(name, None)

    def close(self, keep: Collection[str] = ()) -> None:
        """Drop all relations but some, so that another linking can run on the session."""
        self._drop_all_but(keep, set(self._standing))

    def _drop_all_but(self, keep: Collection[str], among: Collection[str]) -> None:
        needed = self._reached(keep)
        self.drop(*(name for name in reversed(list(self._standing)) if name in among and name not in needed))

    def _reached(self, names: Collection[str]) -> set[str]:
        """Return relations with all that they show."""
        found: set[str] = set()
        waiting = set(names)
        while waiting:
            found |= waiting
            waiting = {behind for name in waiting for behind in self._behind.get(name, ())} - found
        return found

    def _named(self, query: str) -> set[str]:
        return {word for word in _READ.findall(query) if word in self._standing}

    def _take(self, name: str) -> None:
        if name in self._used:
            raise InternalError(f"the relation {name} is made a second time", where=self._step or "linking")
        self._used.add(name)

    def _check(self, query: str) -> None:
        if self._hidden and (strange := self._named(query) & self._hidden):
            raise InternalError(f"a step of linking reads {', '.join(sorted(strange))} undeclared", where=self._step)


def union(relations: Iterable[str], columns: str = "*") -> str:
    """Return the SQL of the rows of relations with the same columns, one after another."""
    return " union all ".join(f"select {columns} from {name}" for name in relations)


def create_table(
    engine: duckdb.DuckDBPyConnection, name: str, rows: Sequence[Sequence[Any]], columns: Mapping[str, pa.DataType]
) -> None:
    """Create a temporary table of a few rows that are in memory."""
    values = list(zip(*rows, strict=True)) or [()] * len(columns)
    arrays = {key: pa.array(column, kind) for (key, kind), column in zip(columns.items(), values, strict=True)}
    engine.register(f"{name}_given", pa.table(arrays))
    engine.execute(f"create temp table {name} as from {name}_given")
    engine.unregister(f"{name}_given")
