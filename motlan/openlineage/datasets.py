"""Datasets as OpenLineage names and describes them: registers, tables of the lake, feeds; schema, columns, rows, quality."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from openlineage.client.event_v2 import InputDataset, OutputDataset
from openlineage.client.facet_v2 import (
    column_lineage_dataset,
    data_quality_assertions_dataset,
    data_quality_metrics_dataset,
    data_quality_metrics_input_dataset,
    dataset_version_dataset,
    input_statistics_input_dataset,
    output_statistics_output_dataset,
    schema_dataset,
)
from openlineage.client.generated.base import DatasetFacet, InputDatasetFacet, OutputDatasetFacet
from pydantic import BaseModel

from motlan.config.quality import Rule
from motlan.config.registry import Dataset, Registry
from motlan.openlineage.columns import Dependency, Lineage

TEXT = "varchar"
"""Type of what landed and of what was cleaned, as the lake keeps it."""


def namespace() -> str:
    """Return the namespace of the bus's jobs and tables: `OPENLINEAGE_NAMESPACE`, or `motlan`."""
    return os.environ.get("OPENLINEAGE_NAMESPACE") or "motlan"


def source_namespace(registry: Registry, dataset: str) -> str:
    """Return the namespace of a register's own dataset: its agency's."""
    return f"{namespace()}://agencies/{registry.datasets[dataset].agency}"


@dataclass(frozen=True)
class Written:
    """What a run added to a table.

    Attributes:
        rows: How many rows.
        bytes: Of its files; None where it is no table of the lake.
        files: How many.
        version: The table's snapshot; None where there is none.
    """

    rows: int | None
    bytes: int | None = None
    files: int | None = None
    version: str | None = None


@dataclass(frozen=True)
class Described:
    """A dataset.

    Attributes:
        namespace: Where it is.
        name: Its name there.
        columns: Column -> description.
        lineage: What each column is made of.
        decided_by: What decides which rows there are, whatever the column.
        type: Of all columns.
    """

    namespace: str
    name: str
    columns: Mapping[str, str]
    lineage: Lineage = field(default_factory=dict)
    decided_by: tuple[Dependency, ...] = ()
    type: str = TEXT


def columns_of_model(model: type[BaseModel], fields: Iterable[str]) -> dict[str, str]:
    """Return fields of a canonical entity with their descriptions."""
    return {name: (model.model_fields[name].description or "") if name in model.model_fields else "" for name in fields}


def columns_of_source(dataset: Dataset) -> dict[str, str]:
    """Return a register's columns, with where each stands in what it sends."""
    return {name: "" if path == name else f"at {path}" for name, path in dataset.columns.items()}


def input_of(
    described: Described,
    *,
    rows: int | None = None,
    assertions: Iterable[data_quality_assertions_dataset.Assertion] = (),
    filled: Mapping[str, int] | None = None,
) -> InputDataset:
    """Make an input of a run.

    Args:
        described: The dataset.
        rows: Rows that were read.
        assertions: What rules answered about them.
        filled: Column -> rows that have it.
    """
    facets: dict[str, InputDatasetFacet] = {}
    if rows is not None:
        facets["inputStatistics"] = input_statistics_input_dataset.InputStatisticsInputDatasetFacet(rowCount=rows)
    if rows is not None and filled is not None:
        metrics = data_quality_metrics_input_dataset
        facets["dataQualityMetrics"] = metrics.DataQualityMetricsInputDatasetFacet(
            rowCount=rows,
            columnMetrics={
                name: metrics.ColumnMetrics(count=number, nullCount=rows - number) for name, number in filled.items()
            },
        )
    if found := list(assertions):
        facets["dataQualityAssertions"] = data_quality_assertions_dataset.DataQualityAssertionsDatasetFacet(found)
    return InputDataset(described.namespace, described.name, facets=_facets(described), inputFacets=facets)


def output_of(
    registry: Registry, described: Described, written: Written, filled: Mapping[str, int] | None = None
) -> OutputDataset:
    """Make an output of a run.

    Args:
        registry: What is declared.
        described: The dataset.
        written: What was added.
        filled: Column -> rows among these that have it.
    """
    facets = _facets(described)
    if written.version is not None:
        facets["version"] = dataset_version_dataset.DatasetVersionDatasetFacet(written.version)
    if filled is not None and written.rows is not None:
        metrics = data_quality_metrics_dataset
        facets["dataQualityMetrics"] = metrics.DataQualityMetricsDatasetFacet(
            rowCount=written.rows,
            columnMetrics={name: metrics.ColumnMetrics(count=number) for name, number in filled.items()},
        )
    if described.lineage or described.decided_by:
        facets["columnLineage"] = _column_lineage(registry, described)
    statistics: dict[str, OutputDatasetFacet] = {}
    if written.rows is not None:
        statistics["outputStatistics"] = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
            rowCount=written.rows, size=written.bytes, fileCount=written.files
        )
    return OutputDataset(described.namespace, described.name, facets=facets, outputFacets=statistics)


def _facets(described: Described) -> dict[str, DatasetFacet]:
    fields = [
        schema_dataset.SchemaDatasetFacetFields(
            name=name, type=described.type, description=text or None, ordinal_position=place
        )
        for place, (name, text) in enumerate(described.columns.items(), 1)
    ]
    return {"schema": schema_dataset.SchemaDatasetFacet(fields=fields)}


def _column_lineage(registry: Registry, described: Described) -> DatasetFacet:
    fields = {
        name: column_lineage_dataset.Fields(inputFields=[_input_field(registry, one) for one in dependencies])
        for name, dependencies in described.lineage.items()
        if dependencies
    }
    whole = [_input_field(registry, one) for one in described.decided_by]
    return column_lineage_dataset.ColumnLineageDatasetFacet(fields=fields, dataset=whole)


def _input_field(registry: Registry, one: Dependency) -> column_lineage_dataset.InputField:
    how = column_lineage_dataset.Transformation(
        type="DIRECT" if one.is_direct else "INDIRECT",
        subtype=one.subtype,
        description=one.description or None,
        masking=one.masking,
    )
    place = source_namespace(registry, one.table) if one.source else namespace()
    return column_lineage_dataset.InputField(place, one.table, one.column, transformations=[how])


def assertion_of(
    rule: Rule | None, name: str, assessed: int, passed: int, column: str | None
) -> data_quality_assertions_dataset.Assertion:
    """Make an assertion of what a rule answered.

    Args:
        rule: The rule; None where nobody declares it any more.
        name: Its name.
        assessed: Rows that it was asked of.
        passed: Those that passed.
        column: Column of the dataset that it is about; None for the dataset as a whole.
    """
    counted: dict[str, Any] = {"assessed": assessed, "passed": passed, "failed": assessed - passed}
    return data_quality_assertions_dataset.Assertion(
        assertion=rule.dimension if rule else "validity",
        success=passed == assessed,
        column=column,
        severity=("warn" if rule.severity == "warning" else "error") if rule else None,
        name=name,
        description=rule.message.en if rule else None,
        expected=str(assessed),
        actual=str(passed),
        params=counted,
    )
