"""The rows that the stages of linking read: `spine_rows`, whose rows found persons, and `left_rows`, all others.

They are tables in memory; of many rows, files that are shown by the same names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import duckdb

from motlan.engine import literal, quote
from motlan.linking import model as models
from motlan.linking.model import Model
from motlan.matching import Matching, sql
from motlan.slices import number, slices

ROW = number("dataset || '/' || _key")
"""The number of a row."""
Keep = Callable[..., None]
"""Keeps queries' rows by a name, outside the engine's memory."""


def load_values(engine: duckdb.DuckDBPyConnection, matching: Matching, facts: str) -> None:
    """Make `values_of_<field>` for each field that derived ones depend on alone: its values with those, each made once."""
    for field, names in matching.by_value.items():
        steps = [matching.steps[name] for name in names]
        told = ", ".join(f"{text} as {quote(n)}" for n, text in zip(names, sql(steps, "v", names), strict=True))
        values = f"select distinct {quote(field)} from {facts} where {quote(field)} is not null"
        engine.execute(
            f"create or replace temp table {_values_of(field)} as select v.{quote(field)}, {told} from ({values}) as v"
        )


def _values_of(field: str) -> str:
    return quote(f"values_of_{field}")


def load_spine(engine: duckdb.DuckDBPyConnection, matching: Matching, facts: str, *, all_rows: bool = False) -> None:
    """Make `spine_rows`, of the tables of `load_values`: `n`, `dataset`, the columns that linking reads, `exact_key`."""
    which = "true" if all_rows else on_spine(matching)
    engine.execute(f"create or replace temp table spine_rows as {_rows(matching, facts, which)}")


def load_left(engine: duckdb.DuckDBPyConnection, matching: Matching, model: Model, facts: str) -> None:
    """Make `left_rows`, all other rows: as `spine_rows`, and how rare the values are (from the table `frequencies`)."""
    rows = _rows(matching, facts, f"not ({on_spine(matching)})")
    engine.execute(f"create or replace temp table left_rows as {_with_rarities(matching, model, rows)}")


def prepared(matching: Matching, facts: str, homes: int) -> str:
    """Return the SQL of all rows as linking reads them, to be kept; it reads the tables of `load_values`.

    Columns: `n`, `home`, `version` (the number of `_ref`), `on_spine`, `dataset`, `_key`, `_ref`, the columns that linking
    reads, `exact_key`.

    Args:
        matching: The declaration.
        facts: Relation with `dataset`, `_key`, `_ref` and the fields of `matching.fields`.
        homes: How many homes there are: rows that share the first identifier have one home, so that most rows of a person do.
    """
    also = {"home": _home(matching, homes), "version": number("_ref"), "on_spine": on_spine(matching)}
    return _rows(matching, facts, "true", also | {"_key": "_key", "_ref": "_ref"})


def _home(matching: Matching, homes: int) -> str:
    """Return the SQL of a row's home, counted from 0."""
    if homes == 1:
        return "0"
    own = f"{ROW} % {homes}"
    if not matching.identifiers:
        return f"({own})::int"
    shared = f"f.{quote(matching.identifiers[0])}"
    return f"if({shared} is null, {own}, abs(hash({shared})) % {homes})::int"


def cuts(matching: Matching, identifier: str, rows: int, homes: int) -> list[str]:
    """Return the SQL of conditions that cut so many rows, so that all with one value of an identifier are together.

    Args:
        matching: The declaration.
        identifier: Its name.
        rows: How many rows there are.
        homes: How many homes kept rows have; 0 of tables in memory.
    """
    if homes > 1 and identifier == matching.identifiers[0]:
        return [f"home = {place}" for place in range(homes)]
    return [part(f"abs(hash({quote(identifier)}))") for part in slices(rows)]


def _with_rarities(matching: Matching, model: Model, rows: str) -> str:
    """Return the SQL of rows with how rare their values are."""
    columns, joins = models.rarities(matching, model, "frequencies", "d")
    return f"select d.*{', ' + columns if columns else ''} from ({rows}) as d{joins}"


@dataclass(frozen=True)
class Tables:
    """The loaded rows, as tables in memory."""

    engine: duckdb.DuckDBPyConnection
    matching: Matching
    facts: str

    def load_spine(self) -> None:
        """Make `spine_rows`."""
        load_values(self.engine, self.matching, self.facts)
        load_spine(self.engine, self.matching, self.facts, all_rows=not self.matching.spine)

    def empty_spine(self) -> None:
        """Leave no rows in `spine_rows`."""
        self.engine.execute("delete from spine_rows")

    def load_left(self, model: Model) -> None:
        """Make `left_rows`, with how rare values are under a model."""
        load_left(self.engine, self.matching, model, self.facts)


@dataclass(frozen=True)
class Kept:
    """The loaded rows, kept outside of memory: the same names, and with each row its `home` and `version`."""

    engine: duckdb.DuckDBPyConnection
    matching: Matching
    facts: str
    keep: Keep
    homes: int

    def load_spine(self) -> None:
        """Make `spine_rows`."""
        self._show_spine(on_spine(self.matching) if self.matching.spine else "true")

    def empty_spine(self) -> None:
        """Leave no rows in `spine_rows`."""
        self._show_spine("false")

    def _show_spine(self, which: str) -> None:
        self.engine.execute(f"create or replace temp view spine_rows as {self._rows(which)}")

    def load_left(self, model: Model) -> None:
        """Make `left_rows`, with how rare values are under a model."""
        homes = [f" and home = {place}" for place in range(self.homes)] if self.homes > 1 else [""]
        rows = (self._rows(f"not ({on_spine(self.matching)}){home}") for home in homes)
        self.keep("left_rows", *(_with_rarities(self.matching, model, of_home) for of_home in rows))

    def _rows(self, which: str) -> str:
        columns = ", ".join(map(quote, self.matching.columns))
        return f"select n, home, version, dataset, {columns}, exact_key from {self.facts} where {which}"


def on_spine(matching: Matching) -> str:
    """Return the SQL of whether a row is of the spine."""
    return f"dataset in ({', '.join(map(literal, matching.spine))})" if matching.spine else "false"


def _rows(matching: Matching, facts: str, which: str, also: Mapping[str, str] = MappingProxyType({})) -> str:
    """Return the SQL of rows with their numbers, columns and exact keys, and others by name."""
    known = {name: _values_of(field) for field, names in matching.by_value.items() for name in names}
    texts = sql(matching.steps.values(), "f", matching.derived)
    derived = [
        f"{known[name]}.{quote(name)}" if name in known else f"{text} as {quote(name)}"
        for name, text in zip(matching.steps, texts, strict=True)
    ]
    joins = "".join(f" left join {_values_of(field)} using ({quote(field)})" for field in matching.by_value)
    fields = [f"f.{quote(name)}" for name in matching.fields]
    told = [f"{text} as {name}" for name, text in also.items()]
    kept = ["n", "dataset", *also, *(f"d.{quote(name)}" for name in matching.columns)]
    return (
        f"select {', '.join(kept)}, {models.exact_key(matching, 'd')} as exact_key "
        f"from (select {', '.join([f'{ROW} as n', 'dataset', *told, *fields, *derived])} from {facts} as f{joins} "
        f"where {which}) as d"
    )
