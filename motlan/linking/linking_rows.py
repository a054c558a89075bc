"""The rows that the stages of linking read: `spine_rows`, whose rows found persons, and `left_rows`, all others.

They are tables in memory; of many rows, files that are shown by the same names. Where no spine is declared, no row is of it,
and a model is learned from `all_rows` with themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from types import MappingProxyType
from typing import ClassVar

from motlan.config.matching import Matching, sql
from motlan.expressions import literal, quote
from motlan.linking import model as models
from motlan.linking.model import Model
from motlan.linking.relations import Relations
from motlan.partitioning import hash_number, make_buckets

ROW = hash_number("dataset || '/' || _key")
"""The number of a row."""
SPINE, ALL = "spine_rows", "all_rows"
"""Relations that `left_rows` are compared with: the spine's; and where there is none, all, to learn a model from."""
VALUES = "values_of"
Keep = Callable[[str, str], None]
"""Keeps a query's rows outside of the engine's memory, those of one `bucket` together, and shows them by a name."""


def load_values(relations: Relations, matching: Matching, facts: str, prefix: str = VALUES) -> None:
    """Make `<prefix>_<field>` for each field that derived ones depend on alone: its values with those, each made once."""
    for field, names in matching.by_value.items():
        steps = [matching.steps[name] for name in names]
        derived = ", ".join(f"{text} as {quote(n)}" for n, text in zip(names, sql(steps, "v", names), strict=True))
        values = f"select distinct {quote(field)} from {facts} where {quote(field)} is not null"
        relations.make(f"{prefix}_{field}", f"select v.{quote(field)}, {derived} from ({values}) as v")


def drop_values(relations: Relations, matching: Matching) -> None:
    """Drop what `load_values` made."""
    relations.drop(*(f"{VALUES}_{field}" for field in matching.by_value))


def prepared(matching: Matching, facts: str, which: str, prefix: str = VALUES) -> str:
    """Return the SQL of rows as linking compares them, with `_key`, by the relations of `load_values`.

    Args:
        matching: The declaration.
        facts: Relation with `dataset`, `_key` and the fields.
        which: SQL of which of them.
        prefix: As `load_values` took it.
    """
    return _rows(matching, facts, which, {"_key": "_key"}, prefix=prefix)


def load_spine(relations: Relations, matching: Matching, facts: str) -> None:
    """Make `spine_rows`, or `all_rows` where there is no spine: `n`, `dataset`, the columns that linking reads, `exact_key`."""
    relations.make(compared_with(matching), _rows(matching, facts, _founding(matching)))


def compared_with(matching: Matching) -> str:
    """Return the relation that a model is learned from, beside `left_rows`."""
    return SPINE if matching.spine else ALL


def load_left(relations: Relations, matching: Matching, model: Model, facts: str) -> None:
    """Make `left_rows`, all other rows: as `spine_rows`, and how rare the values are (from the table `frequencies`)."""
    rows = _rows(matching, facts, f"not ({_on_spine(matching)})")
    relations.make("left_rows", _with_rarities(matching, model, rows))


def drop_all_rows(relations: Relations, matching: Matching) -> None:
    """Once a model is there: where there is no spine, make `spine_rows` without a row, and drop `all_rows`."""
    if not matching.spine:
        relations.make(SPINE, f"select * from {ALL} limit 0")
        relations.drop(ALL)


def load_former(relations: Relations, matching: Matching, former: str) -> None:
    """Make `earlier_rows`, of the spine's records: as `spine_rows`, with `_key`, `_ref`, `record` and `gone`.

    `record` is the number of the row that stands, or stood.

    Args:
        relations: The relations, with those of `load_values`.
        matching: The declaration.
        former: Relation with `dataset`, `_key`, `_ref`, `gone` (whether the record is) and the fields of `matching.fields`.
    """
    also = {"record": ROW, "gone": "gone", "version": hash_number("_ref"), "_key": "_key", "_ref": "_ref"}
    own = hash_number("dataset || '/' || _key || '/' || _ref")
    relations.make("earlier_rows", _rows(matching, former, "true", also, own))


def with_keys(matching: Matching, model: Model, facts: str, also: Mapping[str, str]) -> str:
    """Return the SQL of rows as linking compares them, with `_key`, `_ref`, how rare their values are, and other columns.

    Args:
        matching: The declaration.
        model: The model, whose `frequencies` the session has.
        facts: Relation with `dataset`, `_key`, `_ref` and the fields.
        also: Other columns -> their SQL over those of `facts`.
    """
    return _with_rarities(matching, model, _rows(matching, facts, "true", {"_key": "_key", "_ref": "_ref", **also}))


def _bucket(matching: Matching, buckets: int) -> str:
    """Return the SQL of a row's bucket, counted from 0."""
    if buckets == 1:
        return "0"
    own = f"{ROW} % {buckets}"
    if not matching.identifiers:
        return f"({own})::int"
    shared = f"f.{quote(matching.identifiers[0])}"
    return f"if({shared} is null, {own}, abs(hash({shared})) % {buckets})::int"


def conditions(matching: Matching, identifier: str, rows: int, buckets: int) -> list[str]:
    """Return the SQL of conditions that part so many rows, so that all with one value of an identifier are together.

    Args:
        matching: The declaration.
        identifier: Its name.
        rows: How many rows there are.
        buckets: How many buckets kept rows have; 0 of tables in memory.
    """
    if buckets > 1 and identifier == matching.identifiers[0]:
        return [f"bucket = {place}" for place in range(buckets)]
    return [part(f"abs(hash({quote(identifier)}))") for part in make_buckets(rows)]


def _with_rarities(matching: Matching, model: Model, rows: str) -> str:
    """Return the SQL of rows with how rare their values are."""
    columns, joins = models.rarities(matching, model, "frequencies", "d")
    return f"select d.*{', ' + columns if columns else ''} from ({rows}) as d{joins}"


@dataclass(frozen=True)
class Tables:
    """The loaded rows, as tables in memory.

    Attributes:
        relations: The relations of the linking.
        matching: The declaration.
        facts: Relation with `dataset`, `_key` and the fields of `matching.fields`.
        former: Relation with these and `_ref`, of earlier rows of the spine's records (`motlan.identifier_history`), or None.
        buckets: None: tables have none.
    """

    relations: Relations
    matching: Matching
    facts: str
    former: str | None = None
    buckets: ClassVar[int] = 0

    def load_spine(self) -> None:
        """Make `spine_rows`, or `all_rows`."""
        fields = ", ".join(map(quote, self.matching.fields)) or "1"
        former = f" union all select {fields} from {self.former}" if self.former else ""
        values = f"(select {fields} from {self.facts}{former})" if former else self.facts
        load_values(self.relations, self.matching, values)
        load_spine(self.relations, self.matching, self.facts)

    def count_left(self) -> int:
        """Count the rows that `left_rows` will have."""
        query = f"select count(*) from {self.facts} where not ({_on_spine(self.matching)})"
        return int(self.relations.fetch_one(query)[0])

    def load_left(self, model: Model) -> None:
        """Make `left_rows`, with how rare values are under a model."""
        load_left(self.relations, self.matching, model, self.facts)

    def finish(self) -> None:
        """Once both are loaded: drop what loading and learning alone needed; make `earlier_rows` where there are any."""
        if self.former:
            load_former(self.relations, self.matching, self.former)
        drop_all_rows(self.relations, self.matching)
        drop_values(self.relations, self.matching)


@dataclass(frozen=True)
class Kept:
    """The loaded rows, kept outside of memory: the same names, and with each row its `bucket` and its `version`.

    A version is the number of a row's `_ref`.

    They stand in `kept_spine` and `kept_left`, with `_key` and `_ref` beside; what both have (`n`, `version`, `dataset`, `_key`,
    `_ref`) in `current_rows`.

    Attributes:
        relations: The relations of the linking.
        matching: The declaration.
        facts: Relation with `dataset`, `_key`, `_ref` and the fields of `matching.fields`.
        values: Relation with these fields and all their values.
        keep: Keeps rows.
        buckets: How many there are: rows that share the first identifier are in one, so that most rows of a person are.
        also: Other columns by name -> their SQL over the columns of `facts`.
        former: Gives the relation of earlier rows of the spine's records, once `kept_spine` is there; None for none.
    """

    relations: Relations
    matching: Matching
    facts: str
    values: str
    keep: Keep
    buckets: int
    also: Mapping[str, str] = dataclass_field(default_factory=dict)
    former: Callable[[], str | None] = lambda: None

    def load_spine(self) -> None:
        """Make `spine_rows`, or `all_rows`."""
        load_values(self.relations, self.matching, self.values)
        kept = "kept_spine" if self.matching.spine else "kept_all"
        self.keep(kept, self._prepared(_founding(self.matching)))
        self._show(compared_with(self.matching), kept)

    def count_left(self) -> int:
        """Count the rows that `left_rows` will have."""
        query = f"select count(*) from {self.facts} where not ({_on_spine(self.matching)})"
        return int(self.relations.fetch_one(query)[0])

    def load_left(self, model: Model) -> None:
        """Make `left_rows`, with how rare values are under a model."""
        rows = self._prepared(f"not ({_on_spine(self.matching)})")
        self.keep("kept_left", _with_rarities(self.matching, model, rows))
        self._show("left_rows", "kept_left", models.counted(self.matching))

    def finish(self) -> None:
        """Do what `Tables` does, and make `current_rows`."""
        if not self.matching.spine:
            self.relations.show("kept_spine", "from kept_left where false")
            self._show(SPINE, "kept_spine")
        if former := self.former():
            load_former(self.relations, self.matching, former)
        columns = "n, version, dataset, _key, _ref"
        self.relations.show(
            "current_rows", f"select {columns} from kept_spine union all select {columns} from kept_left"
        )
        drop_values(self.relations, self.matching)

    def _prepared(self, which: str) -> str:
        also = {
            "bucket": _bucket(self.matching, self.buckets),
            "version": hash_number("_ref"),
            "_key": "_key",
            "_ref": "_ref",
            **self.also,
        }
        return _rows(self.matching, self.facts, which, also)

    def _show(self, name: str, kept: str, counted: Collection[str] = ()) -> None:
        """Show kept rows by a name, with what the stages read of them."""
        columns = ", ".join(map(quote, (*self.matching.columns, "exact_key", *map(models.rarity, counted))))
        self.relations.show(name, f"select n, bucket, version, dataset, {columns} from {kept}")


def _founding(matching: Matching) -> str:
    """Return the SQL of whether a row is of what `left_rows` are compared with."""
    return _on_spine(matching) if matching.spine else "true"


def _on_spine(matching: Matching) -> str:
    """Return the SQL of whether a row is of the spine."""
    return f"dataset in ({', '.join(map(literal, matching.spine))})" if matching.spine else "false"


def _rows(
    matching: Matching,
    facts: str,
    which: str,
    also: Mapping[str, str] = MappingProxyType({}),
    own: str = ROW,
    prefix: str = VALUES,
) -> str:
    """Return the SQL of rows with their own numbers, columns and exact keys, and others by name."""
    known = {name: f"{prefix}_{field}" for field, names in matching.by_value.items() for name in names}
    texts = sql(matching.steps.values(), "f", matching.derived)
    derived = [
        f"{known[name]}.{quote(name)}" if name in known else f"{text} as {quote(name)}"
        for name, text in zip(matching.steps, texts, strict=True)
    ]
    joins = "".join(f" left join {prefix}_{field} using ({quote(field)})" for field in matching.by_value)
    fields = [f"f.{quote(name)}" for name in matching.fields]
    others = [f"{text} as {name}" for name, text in also.items()]
    kept = ["n", "dataset", *also, *(f"d.{quote(name)}" for name in matching.columns)]
    return (
        f"select {', '.join(kept)}, {models.exact_key(matching, 'd')} as exact_key "
        f"from (select {', '.join([f'{own} as n', 'dataset', *others, *fields, *derived])} from {facts} as f{joins} "
        f"where {which}) as d"
    )
