"""The rows that the stages of linking read: `spine_rows`, whose rows found persons, and `left_rows`, all others.

They are tables in memory; of many rows, files that are shown by the same names.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

import duckdb

from motlan.config.matching import Matching, sql
from motlan.expressions import literal, quote
from motlan.linking import model as models
from motlan.linking.model import Model
from motlan.slices import number, slices

ROW = number("dataset || '/' || _key")
"""The number of a row."""
Keep = Callable[[str, str], None]
"""Keeps a query's rows outside of the engine's memory, those of one `home` together, and shows them by a name."""


def load_values(engine: duckdb.DuckDBPyConnection, matching: Matching, facts: str) -> None:
    """Make `values_of_<field>` for each field that derived ones depend on alone: its values with those, each made once."""
    for field, names in matching.by_value.items():
        steps = [matching.steps[name] for name in names]
        told = ", ".join(f"{text} as {quote(n)}" for n, text in zip(names, sql(steps, "v", names), strict=True))
        values = f"select distinct {quote(field)} from {facts} where {quote(field)} is not null"
        engine.execute(
            f"create or replace temp table {_values_of(field)} as select v.{quote(field)}, {told} from ({values}) as v"
        )


def drop_values(engine: duckdb.DuckDBPyConnection, matching: Matching) -> None:
    """Drop the tables of `load_values`."""
    for field in matching.by_value:
        engine.execute(f"drop table if exists {_values_of(field)}")


def prepared(matching: Matching, facts: str, which: str) -> str:
    """Return the SQL of rows as linking compares them, with `_key`, by the tables of `load_values`.

    Args:
        matching: The declaration.
        facts: Relation with `dataset`, `_key` and the fields.
        which: SQL of which of them.
    """
    return _rows(matching, facts, which, {"_key": "_key"})


def _values_of(field: str) -> str:
    return quote(f"values_of_{field}")


def load_spine(engine: duckdb.DuckDBPyConnection, matching: Matching, facts: str, *, all_rows: bool = False) -> None:
    """Make `spine_rows`, of the tables of `load_values`: `n`, `dataset`, the columns that linking reads, `exact_key`."""
    which = "true" if all_rows else _on_spine(matching)
    engine.execute(f"create or replace temp table spine_rows as {_rows(matching, facts, which)}")


def load_left(engine: duckdb.DuckDBPyConnection, matching: Matching, model: Model, facts: str) -> None:
    """Make `left_rows`, all other rows: as `spine_rows`, and how rare the values are (from the table `frequencies`)."""
    rows = _rows(matching, facts, f"not ({_on_spine(matching)})")
    engine.execute(f"create or replace temp table left_rows as {_with_rarities(matching, model, rows)}")


def load_former(engine: duckdb.DuckDBPyConnection, matching: Matching, former: str) -> None:
    """Make `former_rows`, earlier rows of the spine's records: as `spine_rows`, with `_key`, `_ref`, `record` and `gone`.

    `record` is the number of the row that stands, or stood.

    Args:
        engine: A session with the tables of `load_values`.
        matching: The declaration.
        former: Relation with `dataset`, `_key`, `_ref`, `gone` (whether the record is) and the fields of `matching.fields`.
    """
    also = {"record": ROW, "gone": "gone", "version": number("_ref"), "_key": "_key", "_ref": "_ref"}
    rows = _rows(matching, former, "true", also, number("dataset || '/' || _key || '/' || _ref"))
    engine.execute(f"create or replace temp table former_rows as {rows}")


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
    """The loaded rows, as tables in memory.

    Attributes:
        engine: A session.
        matching: The declaration.
        facts: Relation with `dataset`, `_key` and the fields of `matching.fields`.
        former: Relation with these and `_ref`, of earlier rows of the spine's records (`motlan.identifier_history`), or None.
        homes: None: tables have none.
    """

    engine: duckdb.DuckDBPyConnection
    matching: Matching
    facts: str
    former: str | None = None
    homes: ClassVar[int] = 0

    def load_spine(self) -> None:
        """Make `spine_rows`."""
        fields = ", ".join(map(quote, self.matching.fields)) or "1"
        former = f" union all select {fields} from {self.former}" if self.former else ""
        load_values(
            self.engine, self.matching, f"(select {fields} from {self.facts}{former})" if former else self.facts
        )
        load_spine(self.engine, self.matching, self.facts, all_rows=not self.matching.spine)

    def load_left(self, model: Model) -> None:
        """Make `left_rows`, with how rare values are under a model."""
        load_left(self.engine, self.matching, model, self.facts)

    def finish(self) -> None:
        """Once both are loaded: where no spine is declared, leave no rows in `spine_rows`; let go of what loading needed.

        Earlier rows are loaded too, as `former_rows`, where there are any.
        """
        if self.former:
            load_former(self.engine, self.matching, self.former)
        if not self.matching.spine:
            self.engine.execute("delete from spine_rows")
        drop_values(self.engine, self.matching)


@dataclass(frozen=True)
class Kept:
    """The loaded rows, kept outside of memory: the same names, and with each row its `home` and `version` (the number of `_ref`).

    They stand in `kept_spine` and `kept_left`, with `_key` and `_ref` beside; what both have (`n`, `version`, `dataset`, `_key`,
    `_ref`) in `facts`.

    Attributes:
        engine: A session.
        matching: The declaration.
        facts: Relation with `dataset`, `_key`, `_ref` and the fields of `matching.fields`.
        values: Relation with these fields and all their values.
        keep: Keeps rows.
        homes: How many homes there are: rows that share the first identifier have one, so that most rows of a person do.
        former: Gives the relation of earlier rows of the spine's records, once `kept_spine` is there; None for none.
    """

    engine: duckdb.DuckDBPyConnection
    matching: Matching
    facts: str
    values: str
    keep: Keep
    homes: int
    former: Callable[[], str | None] = lambda: None

    def load_spine(self) -> None:
        """Make `spine_rows`."""
        load_values(self.engine, self.matching, self.values)
        self.keep("kept_spine", self._prepared(_on_spine(self.matching) if self.matching.spine else "true"))
        self._show("spine_rows", "kept_spine")

    def load_left(self, model: Model) -> None:
        """Make `left_rows`, with how rare values are under a model."""
        rows = self._prepared(f"not ({_on_spine(self.matching)})")
        self.keep("kept_left", _with_rarities(self.matching, model, rows))
        self._show("left_rows", "kept_left", models.counted(self.matching))

    def finish(self) -> None:
        """Do what `Tables` does, and make `facts`."""
        if not self.matching.spine:
            self.engine.execute("create or replace temp view kept_spine as from kept_left where false")
            self._show("spine_rows", "kept_spine")
        if former := self.former():
            load_former(self.engine, self.matching, former)
        columns = "n, version, dataset, _key, _ref"
        self.engine.execute(
            f"create or replace temp view facts as select {columns} from kept_spine union all select {columns} from kept_left"
        )
        drop_values(self.engine, self.matching)

    def _prepared(self, which: str) -> str:
        also = {"home": _home(self.matching, self.homes), "version": number("_ref"), "_key": "_key", "_ref": "_ref"}
        return _rows(self.matching, self.facts, which, also)

    def _show(self, name: str, kept: str, counted: Collection[str] = ()) -> None:
        """Show kept rows by a name, with what the stages read of them."""
        columns = ", ".join(map(quote, (*self.matching.columns, "exact_key", *map(models.rarity, counted))))
        self.engine.execute(
            f"create or replace temp view {name} as select n, home, version, dataset, {columns} from {kept}"
        )


def _on_spine(matching: Matching) -> str:
    """Return the SQL of whether a row is of the spine."""
    return f"dataset in ({', '.join(map(literal, matching.spine))})" if matching.spine else "false"


def _rows(
    matching: Matching, facts: str, which: str, also: Mapping[str, str] = MappingProxyType({}), own: str = ROW
) -> str:
    """Return the SQL of rows with their own numbers, columns and exact keys, and others by name."""
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
        f"from (select {', '.join([f'{own} as n', 'dataset', *told, *fields, *derived])} from {facts} as f{joins} "
        f"where {which}) as d"
    )
