"""Which columns a column is made of, computed from the mappings and from who is believed, in the words of OpenLineage.

A dependency is DIRECT where the value goes into the result: IDENTITY where it stays as it is, TRANSFORMATION where it is cleaned;
or INDIRECT where it only decides: CONDITIONAL. It is masking where nobody can tell the value from the result.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from motlan.config.registry import Dataset, Entity, Registry, RelatedEntity
from motlan.expressions.catalogue import FUNCTIONS
from motlan.lake.tables import clean_table

IDENTITY, TRANSFORMATION, CONDITIONAL, JOIN = "IDENTITY", "TRANSFORMATION", "CONDITIONAL", "JOIN"
_STRENGTH = (CONDITIONAL, IDENTITY, TRANSFORMATION)
DATED_BY = "moment"
"""Name of the functions' parameter that only says as of when a list is looked into."""


@dataclass(frozen=True)
class Dependency:
    """What a column depends on.

    Attributes:
        table: Name of the table, or of a register.
        column: Its column.
        subtype: What becomes of it; see above.
        description: How, for people.
        masking: Whether the value cannot be told from the result.
        source: Whether `table` is a register's own dataset, and none of the lake.
    """

    table: str
    column: str
    subtype: str
    description: str = ""
    masking: bool = False
    source: bool = False

    @property
    def is_direct(self) -> bool:
        """Whether the value goes into the result."""
        return self.subtype in (IDENTITY, TRANSFORMATION)


Lineage = dict[str, list[Dependency]]
"""Column -> what it depends on."""


def of_landed(dataset: Dataset) -> Lineage:
    """Return the lineage of landed rows: every column is kept as received."""
    return {name: [Dependency(dataset.name, name, IDENTITY, source=True)] for name in dataset.columns}


def of_cleaned(dataset: Dataset) -> Lineage:
    """Return the lineage of cleaned rows: canonical field <- raw columns, by the mapping's expressions."""
    found: Lineage = {}
    for field, expression in dataset.expressions.items():
        described = " ".join(expression.text.split())
        found[field] = [
            Dependency(dataset.name, column, subtype, described, source=True)
            for column, subtype in _raw_columns(dataset, field).items()
        ]
    return found


def _raw_columns(dataset: Dataset, field: str) -> dict[str, str]:
    """Return the raw columns of a field, through other fields where the mapping says so: column -> what becomes of it."""
    found: dict[str, str] = {}
    for name, subtype in uses(dataset.expressions[field].text):
        through = {name: subtype} if name in dataset.columns else _raw_columns(dataset, name)
        for column, inner in through.items():
            weaker = CONDITIONAL if CONDITIONAL in (subtype, inner) else max(subtype, inner, key=_STRENGTH.index)
            found[column] = max(found.get(column, CONDITIONAL), weaker, key=_STRENGTH.index)
    return found


def uses(text: str) -> list[tuple[str, str]]:
    """Return the names that an expression reads, and what becomes of each: IDENTITY, TRANSFORMATION or CONDITIONAL."""
    tree = ast.parse(" ".join(text.split()), mode="eval").body
    return list(dict.fromkeys(_uses(tree, IDENTITY)))


def _uses(node: ast.expr, subtype: str) -> Iterator[tuple[str, str]]:
    match node:
        case ast.Name(id=name):
            yield name, subtype
        case ast.IfExp(test=test, body=body, orelse=orelse):
            yield from _uses(test, CONDITIONAL)
            yield from _uses(body, subtype)
            yield from _uses(orelse, subtype)
        case ast.Call(func=ast.Name(id=name), args=arguments):
            function = FUNCTIONS[name]
            made = subtype if function.gathers or subtype == CONDITIONAL else TRANSFORMATION
            for place, argument in enumerate(arguments):
                told = function.parameters[min(place, len(function.parameters) - 1)].name
                yield from _uses(argument, CONDITIONAL if told == DATED_BY else made)
        case _:
            inner = CONDITIONAL if subtype == CONDITIONAL else TRANSFORMATION
            for child in ast.iter_child_nodes(node):
                if isinstance(child, ast.expr):
                    yield from _uses(child, inner)


def of_golden(registry: Registry, entity: Entity) -> Lineage:
    """Return the lineage of golden records: field <- that field of each register that is believed, the most believed first."""
    datasets = {dataset.name: dataset for dataset in registry.datasets_of(entity.name)}
    found: Lineage = {"entity_id": _of_id(datasets, entity)}
    for field in entity.fields:
        authority = entity.authority.get(field)
        if authority is None:
            continue
        saying: list[Dependency] = []
        for place, rank in enumerate(authority.ranks, 1):
            for believed in rank:
                if believed.dataset in datasets and field in datasets[believed.dataset].expressions:
                    told = f"believed in place {place}" + ("" if believed.always else " under a condition")
                    saying.append(Dependency(clean_table(believed.dataset), field, IDENTITY, told))
                    saying += _conditions(datasets[believed.dataset], uses(believed.when))
        found[field] = _once(saying)
    return found


def _of_id(datasets: Mapping[str, Dataset], entity: Entity) -> list[Dependency]:
    """Return what a golden record's id is made of: a keyed hash of its founder's own key."""
    founders = [name for name in datasets if name in entity.matching.spine] or list(datasets)
    told = "keyed hash of the key of the record that founded it"
    return [Dependency(clean_table(name), "_key", TRANSFORMATION, told, masking=True) for name in founders]


def _conditions(dataset: Dataset, used: Iterable[tuple[str, str]]) -> list[Dependency]:
    told = "decides whether the register is believed"
    return [
        Dependency(clean_table(dataset.name), name, CONDITIONAL, told)
        for name, _ in used
        if name in dataset.expressions
    ]


def _once(dependencies: Iterable[Dependency]) -> list[Dependency]:
    """Keep the first of those that say the same of one column; of a register in several places the most believed."""
    found: dict[tuple[str, str, bool], Dependency] = {}
    for one in dependencies:
        found.setdefault((one.table, one.column, one.is_direct), one)
    return list(found.values())


def linked_by(registry: Registry, entity: Entity) -> list[Dependency]:
    """Return what decides which rows are of one golden record, whatever the field: identifiers and what is compared."""
    read = dict.fromkeys(entity.matching.identifiers)
    found = []
    for dataset in registry.datasets_of(entity.name):
        for name in read:
            if name in dataset.expressions:
                told = "rows of one person are found by it"
                found.append(Dependency(clean_table(dataset.name), name, JOIN, told))
    return found


def of_related(registry: Registry, related: RelatedEntity) -> Lineage:
    """Return the lineage of an entity beside a linked one: field <- that field of each register whose rows it is made of."""
    found: Lineage = {}
    for field in related.fields:
        found[field] = [
            Dependency(clean_table(name), field, IDENTITY, f"believed in place {place}")
            for place, name in enumerate(related.declared.authority, 1)
            if name in registry.datasets and field in registry.datasets[name].expressions
        ]
    return found


def of_feed(table: str, fields: Iterable[str], id_column: str = "") -> Lineage:
    """Return the lineage of a feed: every field of its golden table as it is."""
    found = {name: [Dependency(table, name, IDENTITY)] for name in fields}
    return ({id_column: [Dependency(table, "entity_id", IDENTITY)]} if id_column else {}) | found


def as_source(lineage: Lineage, table: str) -> Lineage:
    """Return a lineage that begins at another table with columns of the same names."""
    return {
        column: [replace(one, table=table, source=False) for one in dependencies]
        for column, dependencies in lineage.items()
    }
