"""OpenLineage's published JSON schemas, as far as an installation has them: read back from `openlineage-python`.

No package of the schema files is published. The library's classes are generated from them, each with the address and version of
the schema that it was made of; here they are turned into JSON Schema (draft 2020-12) again. They are stricter than the published
ones: a property that a facet does not have is refused.
"""

from __future__ import annotations

import importlib
import pkgutil
import types
import typing
from enum import Enum
from functools import cache
from typing import Any, Literal, Union

import attr
from jsonschema import Draft202012Validator, FormatChecker
from openlineage.client import generated

FORMATS = {"eventTime": "date-time", "nominalStartTime": "date-time", "runId": "uuid"}
FORMATS |= dict.fromkeys(("producer", "schemaURL", "_producer", "_schemaURL"), "uri")
PLAIN = {str: {"type": "string"}, int: {"type": "integer"}, float: {"type": "number"}, bool: {"type": "boolean"}}
formats = FormatChecker()


@formats.checks("date-time")
def _is_moment(value: object) -> bool:
    from datetime import datetime

    return datetime.fromisoformat(str(value)).tzinfo is not None


@formats.checks("uri")
def _is_address(value: object) -> bool:
    from urllib.parse import urlsplit

    return bool(urlsplit(str(value)).scheme)


@cache
def classes() -> dict[str, type]:
    """Address of a published schema -> the class that was generated from it."""
    modules = [
        importlib.import_module(f"{generated.__name__}.{one.name}") for one in pkgutil.iter_modules(generated.__path__)
    ]
    found = {}
    for module in modules:
        for made in vars(module).values():
            if isinstance(made, type) and made.__module__ == module.__name__ and "_get_schema" in vars(made):
                found[made._get_schema()] = made  # type: ignore[attr-defined]
    return found


@cache
def validator(address: str) -> Draft202012Validator:
    return Draft202012Validator(_object(classes()[address]), format_checker=formats)


def _object(made: type, inside: tuple[type, ...] = ()) -> dict[str, Any]:
    if made in inside:  # columns in columns
        return {"type": "object"}
    hints = typing.get_type_hints(made)
    properties, required = {}, []
    for one in attr.fields(made):
        properties[one.name] = _of(hints[one.name], (*inside, made)) | (
            {"format": FORMATS[one.name]} if one.name in FORMATS else {}
        )
        if one.default is attr.NOTHING or one.name in ("producer", "schemaURL", "_producer", "_schemaURL"):
            required.append(one.name)
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _of(hint: Any, inside: tuple[type, ...]) -> dict[str, Any]:
    origin, given = typing.get_origin(hint), typing.get_args(hint)
    if hint in PLAIN:
        return dict(PLAIN[hint])
    if hint is Any:
        return {}
    if origin in (Union, types.UnionType):
        kept = [_of(one, inside) for one in given if one is not type(None)]
        return kept[0] if len(kept) == 1 else {"anyOf": kept}
    if origin is Literal:
        return {"enum": list(given)}
    if origin is list:
        return {"type": "array", "items": _of(given[0], inside)}
    if origin is dict:
        # A facet is held to the schema that it names itself; see `check`.
        inner = {"type": "object"} if _is_facet(given[1]) else _of(given[1], inside)
        return {"type": "object", "additionalProperties": inner}
    if isinstance(hint, type) and issubclass(hint, Enum):
        return {"enum": [one.value for one in hint]}
    return _object(hint, inside)


def _is_facet(hint: Any) -> bool:
    return isinstance(hint, type) and hint.__name__.endswith("Facet")


def check(event: dict[str, Any]) -> list[str]:
    """Return the addresses of the schemas that an event and all its facets were held to; raises where one does not hold."""
    validator(event["schemaURL"]).validate(event)
    held = [event["schemaURL"]]
    of_datasets = [one for name in ("inputs", "outputs") for one in event.get(name, [])]
    for place in (event["run"], event["job"], *of_datasets):
        for key in ("facets", "inputFacets", "outputFacets"):
            for facet in place.get(key, {}).values():
                validator(facet["_schemaURL"]).validate(facet)
                held.append(facet["_schemaURL"])
    return held
