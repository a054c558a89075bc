"""What each job read and wrote, with its columns, its counts and what the rules answered."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from openlineage.client.event_v2 import InputDataset, OutputDataset
from openlineage.client.facet_v2 import data_quality_assertions_dataset as assertions_facet

from motlan.config.registry import Dataset, Registry
from motlan.lake.tables import clean_table, golden_table, links_table, quarantine_table, raw_table
from motlan.ledger.runs import ASKED
from motlan.openlineage import columns
from motlan.openlineage.datasets import (
    Described,
    Written,
    assertion_of,
    columns_of_model,
    columns_of_source,
    input_of,
    namespace,
    output_of,
    source_namespace,
)
from motlan.openlineage.recorded import Recorded

Both = tuple[list[InputDataset], list[OutputDataset]]
Rules = Mapping[str, list[int]]
"""Rule -> rows assessed and passed."""
ColumnOf = Callable[[str], str | None]
"""Gives the column of a dataset that a field is; None where it is none of its columns."""
LINK_COLUMNS = {
    "dataset": "register of the record",
    "_key": "the record's own key",
    "entity_id": "whom it is linked to",
    "rule": "what linked it",
}


def of_sync(registry: Registry, recorded: Recorded) -> Both:
    """Return what a sync run read and wrote: from the register, or from what was held, to landed, cleaned and held rows."""
    dataset = registry.datasets[recorded.run.subject]
    landed, cleaned = recorded.counts("land"), recorded.counts("clean")
    read, beginning = _read(registry, recorded, dataset)
    rows = landed.get("pulled")
    raw = Described(
        namespace(), raw_table(dataset.name), columns_of_source(dataset), beginning(columns.of_landed(dataset))
    )
    held = Described(namespace(), quarantine_table(dataset.name), raw.columns, raw.lineage)
    clean = _clean(registry, dataset, beginning(columns.of_cleaned(dataset)))
    answered = _assertions(registry, cleaned.get("rules", {}), lambda field: _only_column(dataset, field))
    return (
        [input_of(read, rows=rows, assertions=answered)],
        [
            output_of(registry, raw, recorded.written(raw.name, landed.get("landed"))),
            output_of(registry, clean, recorded.written(clean.name, cleaned.get("accepted")), cleaned.get("filled")),
            output_of(registry, held, recorded.written(held.name, cleaned.get("quarantined"))),
        ],
    )


def _read(
    registry: Registry, recorded: Recorded, dataset: Dataset
) -> tuple[Described, Callable[[columns.Lineage], columns.Lineage]]:
    """Return what a sync run reads, and how lineages begin there: the register, or rows that landed before."""
    asked = recorded.run.steps.get(ASKED, {})
    if held := {"replay": quarantine_table, "reclean": raw_table}.get(next(iter(asked), "")):
        table = held(dataset.name)
        described = Described(namespace(), table, columns_of_source(dataset))
        return described, lambda lineage: columns.as_source(lineage, table)
    place = source_namespace(registry, dataset.name)
    return Described(place, dataset.name, columns_of_source(dataset)), lambda lineage: lineage


def _clean(registry: Registry, dataset: Dataset, lineage: columns.Lineage | None = None) -> Described:
    """Describe the cleaned rows of a dataset."""
    told = columns_of_model(registry.entities[dataset.entity].model, dataset.expressions)
    for related in registry.related_to(dataset.entity):
        told |= {
            name: text
            for name, text in columns_of_model(related.model, dataset.expressions).items()
            if text and not told[name]
        }
    return Described(namespace(), clean_table(dataset.name), {"_key": "the record's own key", **told}, lineage or {})


def _only_column(dataset: Dataset, field: str) -> str | None:
    """Return the column of a register that a field is made of, where it is one alone."""
    found = dataset.columns_of(field) if field in dataset.expressions else []
    return found[0] if len(found) == 1 else None


def of_reconcile(registry: Registry, recorded: Recorded) -> Both:
    """Return what a reconcile run read and wrote: from cleaned rows to links, golden records and those beside them."""
    entity = registry.entities[recorded.run.subject]
    answers = recorded.counts("cross_check").get("rules", {})
    inputs = []
    for dataset in registry.datasets_of(entity.name):
        described = _clean(registry, dataset)
        answered = _assertions(registry, answers.get(dataset.name, {}), _named(described))
        inputs.append(input_of(described, assertions=answered))
    compared = recorded.counts("diff")
    by = tuple(columns.linked_by(registry, entity))
    links = Described(namespace(), links_table(entity.name), LINK_COLUMNS, decided_by=by)
    golden = _golden(registry, entity.name)
    outputs = [
        output_of(registry, links, recorded.written(links.name, recorded.counts("link").get("changed"))),
        output_of(registry, golden, recorded.written(golden.name, compared.get("versions"))),
    ]
    for related in registry.related_to(entity.name):
        rows = compared.get("related_entities", {}).get(related.name, {}).get("versions")
        described = _golden(registry, related.name)
        outputs.append(output_of(registry, described, recorded.written(described.name, rows)))
    return inputs, outputs


def _golden(registry: Registry, name: str) -> Described:
    """Describe the golden records of an entity, be it a linked one or one beside it."""
    served = registry.served(name)
    told = {"entity_id": "the bus's own id", **columns_of_model(served.model, served.fields)}
    if name in registry.related_entities:
        related = registry.related_entities[name]
        return Described(namespace(), golden_table(name), told, columns.of_related(registry, related))
    entity = registry.entities[name]
    by = tuple(columns.linked_by(registry, entity))
    return Described(namespace(), golden_table(name), told, columns.of_golden(registry, entity), by)


def of_publication(registry: Registry, recorded: Recorded) -> Both:
    """Return what a publication read and wrote: from golden records to the feeds."""
    entity = registry.entities[recorded.run.subject]
    compared = recorded.counts("diff")
    changed = {entity.name: recorded.counts("publish").get("changes", compared.get("changes"))}
    for name, counts in compared.get("related_entities", {}).items():
        changed[name] = counts["changes"]
    inputs, outputs = [], []
    for name in (entity.name, *(related.name for related in registry.related_to(entity.name))):
        golden = _golden(registry, name)
        fields = tuple(field for field in golden.columns if field != "entity_id")
        id_column = f"{name}_id"
        told = {id_column: golden.columns["entity_id"], **{field: golden.columns[field] for field in fields}}
        feed = Described(namespace(), f"feed.{name}", told, columns.of_feed(golden.name, fields, id_column))
        inputs.append(input_of(golden))
        outputs.append(output_of(registry, feed, Written(changed.get(name))))
    return inputs, outputs


def _named(described: Described) -> ColumnOf:
    """Return which column of a dataset a field is: its own, where there is one."""
    return lambda field: field if field in described.columns else None


def _assertions(registry: Registry, answers: Rules, column_of: ColumnOf) -> list[assertions_facet.Assertion]:
    found = []
    for name, (assessed, passed) in answers.items():
        rule = registry.rules.by_name.get(name)
        found.append(assertion_of(rule, name, assessed, passed, column_of(rule.field) if rule else None))
    return found
