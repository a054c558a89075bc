"""The contract of a dataset, written out for its owner and its readers: ODCS (a data contract) and JSON Schema.

Both derive from the canonical schemas, the mapping and the rules: there is no second definition. ODCS is the Open Data
Contract Standard of Bitol, https://bitol-io.github.io/open-data-contract-standard/ (v3.2.0); JSON Schema is draft 2020-12.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from email.utils import parseaddr
from typing import Any

from motlan.config.quality import RegisterRule, RowRule, Rule, SetRule
from motlan.config.registry import Dataset, Registry
from motlan.lake.tables import clean_table

ODCS_VERSION = "v3.2.0"
JSON_SCHEMA = "https://json-schema.org/draft/2020-12/schema"
ODCS_WORDS = {"validity": "conformity"}
"""Dimension -> the word of ODCS's own schema for it, where that is another."""


def json_schema(registry: Registry, dataset: Dataset) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a dataset's canonical rows: the entity, restricted to what is mapped."""
    entity = registry.entity(dataset.entity)
    whole = entity.model.model_json_schema()
    mandatory = _mandatory(registry, dataset)
    fields = {name: whole["properties"][name] for name in entity.fields if name in dataset.fields}
    return {
        "$schema": JSON_SCHEMA,
        "$id": f"urn:motlan:dataset:{dataset.name}",
        "title": dataset.title.en,
        "description": f"{dataset.title.vi}. Canonical rows of {dataset.name}, an entity {entity.name}.",
        "type": "object",
        "properties": {name: _filled(form) if name in mandatory else form for name, form in fields.items()},
        "required": sorted(mandatory),
        "additionalProperties": False,
        **({"$defs": whole["$defs"]} if "$defs" in whole else {}),
    }


def data_contract(registry: Registry, dataset: Dataset) -> dict[str, Any]:
    """Return the ODCS data contract of a dataset: schema, quality rules, freshness, owner."""
    entity = registry.entity(dataset.entity)
    schema = json_schema(registry, dataset)
    mandatory = _mandatory(registry, dataset)
    others = (rule for rule in registry.rules.by_name.values() if not isinstance(rule, RowRule))
    rules = [*registry.row_rules_of(dataset), *(rule for rule in others if _applies_to(registry, rule, dataset))]
    properties = []
    for name, content in schema["properties"].items():
        form = _form(content)
        about = [_quality(rule) for rule in rules if rule.field == name]
        properties.append(
            {
                "name": name,
                "businessName": form.get("title", name),
                "logicalType": "string",
                "physicalType": "VARCHAR",
                "required": name in mandatory,
                "description": content.get("description", ""),
                "transformLogic": dataset.fields[name],
                "transformSourceObjects": _columns_of(dataset, name),
                "criticalDataElement": name in entity.identity,
                **({"logicalTypeOptions": options} if (options := _options(form)) else {}),
                **({"quality": about} if about else {}),
            }
        )
    whole = [_quality(rule) for rule in rules if rule.field not in schema["properties"]]
    return {
        "apiVersion": ODCS_VERSION,
        "kind": "DataContract",
        "id": f"urn:motlan:dataset:{dataset.name}",
        "name": dataset.title.en,
        "version": "1.0.0",
        "status": "active",
        "domain": dataset.agency,
        "description": {"purpose": f"{dataset.title.vi} / {dataset.title.en}"},
        "schema": [
            {
                "name": dataset.name,
                "physicalName": clean_table(dataset.name),
                "physicalType": "table",
                "logicalType": "object",
                "description": f"Newest accepted row of each record of {dataset.name}, as {entity.name}.",
                "properties": properties,
                **({"quality": whole} if whole else {}),
            }
        ],
        "slaProperties": list(_promises(dataset)),
        "team": _team(dataset),
        "support": [{"channel": address, "tool": "email", "url": f"mailto:{address}"}]
        if (address := parseaddr(dataset.owner)[1])
        else [],
    }


def _applies_to(registry: Registry, rule: Rule, dataset: Dataset) -> bool:
    if not (rule.applies_to(dataset.name) and rule.is_about(registry.fields_about(dataset.entity))):
        return False
    if rule.field in registry.entity(dataset.entity).fields:
        return rule.field in dataset.fields
    return True


def _mandatory(registry: Registry, dataset: Dataset) -> set[str]:
    """Return the fields without which a row is blocked: those of blocking rules of completeness that say just so."""
    asked = registry.row_rules_of(dataset)
    rules = (rule for rule in asked if rule.severity == "blocking" and rule.dimension == "completeness")
    return {rule.field for rule in rules if rule.parsed.fields == {rule.field}} & set(dataset.fields)


def _filled(content: dict[str, Any]) -> dict[str, Any]:
    """Return a field's schema without the leave to be null."""
    rest = {key: value for key, value in content.items() if key not in ("anyOf", "default")}
    return {**_form(content), **rest}


def _form(content: dict[str, Any]) -> dict[str, Any]:
    """Return what a field's text must look like, where it is not absent."""
    forms = [form for form in content.get("anyOf", [content]) if form.get("type") != "null"]
    return forms[0] if forms else content


def _options(form: dict[str, Any]) -> dict[str, Any]:
    return {name: form[name] for name in ("pattern", "minLength", "maxLength") if name in form}


def _columns_of(dataset: Dataset, field: str) -> list[str]:
    """Return the raw columns that a field is made of, through other fields where the mapping says so."""
    found: list[str] = []
    for name in sorted(dataset.expressions[field].fields):
        found += [name] if name in dataset.columns else _columns_of(dataset, name)
    return sorted(set(found))


def _quality(rule: Rule) -> dict[str, Any]:
    """Return a rule as a quality check of ODCS: custom, since its expression is in the bus's own language."""
    implementation: dict[str, Any] = {key: expression.text for key, expression in rule.expressions().items()}
    if isinstance(rule, SetRule):
        implementation |= {"unique": rule.unique} if rule.unique else {}
        implementation |= {"refers": rule.refers.model_dump()} if rule.refers else {}
    if isinstance(rule, RegisterRule) and rule.share:
        implementation["share"] = rule.share.model_dump()
    return {
        "name": rule.name,
        "type": "custom",
        "engine": "motlan",
        "implementation": {"kind": rule.section, **implementation},
        "dimension": ODCS_WORDS.get(rule.dimension, rule.dimension),
        "severity": rule.severity,
        "description": f"{rule.message.vi} / {rule.message.en}",
        "customProperties": [{"property": "weight", "value": rule.weight}, {"property": "field", "value": rule.field}],
    }


def _promises(dataset: Dataset) -> Iterator[dict[str, Any]]:
    element = f"{dataset.name}.{dataset.moment}"
    yield {
        "property": "latency",
        "value": dataset.freshness,
        "unit": "s",
        "element": element,
        "driver": "operational",
        "description": "Age of the newest change at the most, as the owner promised (freshness).",
    }
    yield {
        "property": "frequency",
        "value": dataset.schedule,
        "element": element,
        "scheduler": "cron",
        "schedule": dataset.schedule,
        "description": "When the bus pulls.",
    }


def _team(dataset: Dataset) -> dict[str, Any]:
    name, address = parseaddr(dataset.owner)
    label = name or re.sub(r"\s*<.*>", "", dataset.owner)
    return {"name": label, "members": [{"username": address or label, "name": label, "role": "owner"}]}
